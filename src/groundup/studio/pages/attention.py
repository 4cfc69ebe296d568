"""Attention."""

from __future__ import annotations

from ..app import Studio
from ..frame import heading


def add(studio: Studio) -> None:
    @studio.page("/attention", "Attention")
    def attention() -> None:
        heading("Attention")

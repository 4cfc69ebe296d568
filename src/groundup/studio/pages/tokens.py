"""Tokens."""

from __future__ import annotations

from ..app import Studio
from ..frame import heading


def add(studio: Studio) -> None:
    @studio.page("/tokens", "Tokens")
    def tokens() -> None:
        heading("Tokens")

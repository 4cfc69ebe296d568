"""Runs."""

from __future__ import annotations

from ..app import Studio
from ..frame import heading


def add(studio: Studio) -> None:
    @studio.page("/runs", "Runs")
    def runs() -> None:
        heading("Runs")

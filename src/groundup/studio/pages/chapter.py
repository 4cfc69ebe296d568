"""A chapter."""

from __future__ import annotations

from ..app import Studio
from ..frame import heading


def add(studio: Studio) -> None:
    @studio.page("/chapter/{number}", "Chapter")
    def chapter(number: int) -> None:
        heading(f"Chapter {number}")

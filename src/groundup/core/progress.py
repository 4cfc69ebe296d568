"""Progress a person can follow: a bar with ETA and a line of facts, or nothing where output is for a machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Task(Protocol):
    def advance(self, amount: float = 1) -> None: ...

    def update(
        self, *, completed: float | None = None, total: float | None = None, facts: str | None = None
    ) -> None: ...


class Progress(Protocol):
    """`say` prints a line above the bars; `task` opens a bar for as long as the context lasts."""

    def say(self, text: str) -> None: ...

    def task(self, description: str, total: float | None = None) -> Any: ...


class _Silent:
    def advance(self, amount: float = 1) -> None: ...

    def update(
        self, *, completed: float | None = None, total: float | None = None, facts: str | None = None
    ) -> None: ...


class SilentProgress:
    """For --json, tests and library use."""

    def say(self, text: str) -> None: ...

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Task]:
        yield _Silent()


class _Bar:
    def __init__(self, bars: Any, number: Any) -> None:
        self._bars, self._number = bars, number

    def advance(self, amount: float = 1) -> None:
        self._bars.advance(self._number, amount)

    def update(self, *, completed: float | None = None, total: float | None = None, facts: str | None = None) -> None:
        given: dict[str, Any] = {}
        if completed is not None:
            given["completed"] = completed
        if total is not None:
            given["total"] = total
        if facts is not None:
            given["facts"] = facts
        self._bars.update(self._number, **given)


class RichProgress:
    """Bars on the terminal (stderr), plain lines where there is none."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(file=sys.stderr, highlight=False)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Task]:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
        )
        with Bars(*columns, console=self.console, transient=not self.console.is_terminal) as bars:
            yield _Bar(bars, bars.add_task(description, total=total, facts=""))

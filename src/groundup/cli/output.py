"""What the verbs share: the --json flag, tables, opening a model, and progress that fits the output."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ..core.progress import Progress, RichProgress, SilentProgress

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Adds --json: one JSON object on the last line of standard output, nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(function)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def progress_for(as_json: bool) -> Progress:
    return SilentProgress() if as_json else RichProgress()


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on standard output; numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for i, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[i], (int, float)) or row[i] == "" for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*[show(value) for value in row])
    Console(highlight=False).print(table)


def show(value: Any) -> str:
    """A figure as a person reads it; text is shown as it is, control characters taken out."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    from rich.markup import escape

    return escape(printable(str(value)))


def printable(text: str) -> str:
    """Text without terminal control codes (a model may write any), newlines and tabs kept."""
    return "".join(c if c in "\n\t" or ord(c) >= 0xA0 or 0x20 <= ord(c) < 0x7F else "\ufffd" for c in text)

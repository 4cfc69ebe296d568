"""`groundup todo`: a to-do list in one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .output import json_option, print_json, print_table

if TYPE_CHECKING:
    from ..foundations.todo import TodoList

F = TypeVar("F", bound=Callable[..., Any])


def _file_option(function: F) -> F:
    return click.option(
        "--file", "path", type=click.Path(path_type=Path, dir_okay=False), default=Path("todo.jsonl"), show_default=True,
        help="Where the list is.", envvar="GROUNDUP_TODO",
    )(function)  # fmt: skip


def _open(path: Path) -> TodoList:
    from ..foundations.todo import TodoList

    return TodoList(path)


@click.group()
def command() -> None:
    """Keep a list of things to do; every change is on disk before the command ends.

    \b
    Examples:
      groundup todo add "water the plants"
      groundup todo done 1
      groundup todo list --json
    """


@command.command()
@click.argument("text", nargs=-1, required=True)
@_file_option
@json_option
def add(text: tuple[str, ...], path: Path, as_json: bool) -> None:
    """Add an item."""
    _told(_open(path).add(" ".join(text)), "added", as_json)


@command.command()
@click.argument("number", type=int)
@_file_option
@json_option
def done(number: int, path: Path, as_json: bool) -> None:
    """Mark item NUMBER as done."""
    _told(_open(path).complete(number), "done", as_json)


@command.command()
@click.argument("number", type=int)
@_file_option
@json_option
def remove(number: int, path: Path, as_json: bool) -> None:
    """Take item NUMBER off the list."""
    _told(_open(path).remove(number), "removed", as_json)


@command.command(name="list")
@click.option("--open", "only_open", is_flag=True, help="Only what is not done.")
@_file_option
@json_option
def list_items(only_open: bool, path: Path, as_json: bool) -> None:
    """Show the list."""
    items = _open(path).items(done=False if only_open else None)
    if as_json:
        print_json({"file": str(path), "items": [asdict(item) for item in items]})
    elif not items:
        click.echo("nothing to do")
    else:
        print_table(str(path), ["", "what", "done"], [(item.id, item.text, item.done or "") for item in items])


def _told(item: Any, deed: str, as_json: bool) -> None:
    if as_json:
        print_json({deed: asdict(item)})
    else:
        click.echo(f"{deed}: {item.id}  {item.text}")

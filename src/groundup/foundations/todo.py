"""A to-do list that survives: every change is written whole to a temporary file beside the list and put in its place, so that a kill at any
moment leaves the list before or after the change, never half of it.

One JSON object a line: {"id", "text", "added", "done"}; times are ISO 8601 in UTC. Left out: several people changing one list at once
(the later change wins), dates due, order other than that of adding.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..core.artifact import atomic_write
from ..core.errors import DataError


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Item:
    id: int
    """Counts up from 1; the number of a removed item is not given again while a later one is there."""
    text: str
    added: str
    done: str | None = None
    """When; None while it is open."""


class TodoList:
    """The list in one file, which need not exist yet."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = _now) -> None:
        self.path = path
        self._now = now
        self._items = _read(path)

    def items(self, *, done: bool | None = None) -> list[Item]:
        """In the order of adding; done: only those, or only open ones."""
        return [item for item in self._items if done is None or (item.done is not None) == done]

    def add(self, text: str) -> Item:
        """DataError for an empty text, or one of several lines."""
        text = text.strip()
        if not text or "\n" in text:
            raise DataError("an item is one line of text", hint="groundup todo add 'water the plants'")
        item = Item(max((item.id for item in self._items), default=0) + 1, text, self._time())
        self._write([*self._items, item])
        return item

    def complete(self, number: int) -> Item:
        """Mark as done; done already, it keeps its time."""
        item = self._find(number)
        if item.done is None:
            item = replace(item, done=self._time())
            self._write([item if other.id == number else other for other in self._items])
        return item

    def remove(self, number: int) -> Item:
        item = self._find(number)
        self._write([other for other in self._items if other.id != number])
        return item

    def _find(self, number: int) -> Item:
        for item in self._items:
            if item.id == number:
                return item
        raise DataError(f"there is no item {number} among {len(self._items)} in {self.path}", hint="groundup todo list")

    def _time(self) -> str:
        return self._now().astimezone(UTC).isoformat(timespec="seconds")

    def _write(self, items: list[Item]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as file:
            for item in items:
                file.write(json.dumps(asdict(item), ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self._items = items


def _read(path: Path) -> list[Item]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is no to-do list: byte {error.start} is not UTF-8", hint="move the file away"
        ) from None
    items: list[Item] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            items.append(_item(line, f"{path}, row {number}"))
            if items[-1].id in {item.id for item in items[:-1]}:
                raise DataError(
                    f"{path}, row {number}: the number {items[-1].id} is there twice", hint="give it another"
                )
    return items


def _item(line: str, where: str) -> Item:
    try:
        row: Any = json.loads(line)
        item = Item(**row)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(
            f"{where}: is no item of a to-do list: {error}", hint="mend the row, or move the file away"
        ) from None
    if type(item.id) is not int or not isinstance(item.text, str) or not isinstance(item.done, str | None):
        raise DataError(
            f"{where}: an item has a whole number as id and a text", hint="mend the row, or move the file away"
        )
    return item

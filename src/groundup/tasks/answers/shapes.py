"""Answers of several parts: lists, tuples, sets, intervals and unions of these. Only taken apart here; see `equality.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_OPENING, _CLOSING = "([{", ")]}"
_UNION = re.compile(r"\\cup(?![a-zA-Z])|(?<=[)\]}])\s*U\s*(?=[(\[{])")
_OR = re.compile(r",?\s+(?:or|and)\s+|\s*;\s*", re.IGNORECASE)
_COMMA_SPACE = re.compile(r",\s+")
MAX_ITEMS = 100


@dataclass(frozen=True, slots=True)
class Shape:
    """The texts of the parts, and the brackets around them ("" for none)."""

    items: tuple[str, ...]
    opens: str = ""
    closes: str = ""

    @property
    def ordered(self) -> bool:
        return self.opens != "{"


def union(text: str) -> tuple[str, ...] | None:
    """The members of A \\cup B ..., or None."""
    parts = tuple(part.strip() for part in _UNION.split(text))
    return parts if len(parts) > 1 and all(parts) else None


def shapes(text: str) -> Iterator[Shape]:
    """Every way to read a text as several parts; none for a text of one part. (1,234) has two: a pair, and one number."""
    opens = closes = ""
    inside = text
    if len(text) > 2 and text[0] in _OPENING and text[-1] in _CLOSING and _balanced(text[1:-1]):
        opens, closes, inside = text[0], text[-1], text[1:-1].strip()
    elif not _balanced(text):
        return
    seen: set[tuple[str, ...]] = set()
    for items in (_split(inside, spaced=False), _split(inside, spaced=True)):
        if items in seen or not 0 < len(items) <= MAX_ITEMS or not all(items):
            continue
        seen.add(items)
        if len(items) > 1 or opens in ("{", "["):
            yield Shape(items, opens, closes)
    alternatives = tuple(part.strip() for part in _OR.split(inside.replace(", ", " or ")) if part.strip())
    if not opens and 1 < len(alternatives) <= MAX_ITEMS and _OR.search(inside):
        yield Shape(alternatives, "{", "}")


def _balanced(text: str) -> bool:
    """No bracket closes that was not opened; the kind of bracket does not matter, for the sake of [0, 1)."""
    depth = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth < 0:
            return False
    return depth == 0


def _split(text: str, *, spaced: bool) -> tuple[str, ...]:
    """Parts between the commas outside brackets; `spaced`: only between those with a space after them."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if character == "," and depth == 0 and (not spaced or text[place + 1 : place + 2].isspace()):
            parts.append(text[start:place].strip())
            start = place + 1
    return (*parts, text[start:].strip())

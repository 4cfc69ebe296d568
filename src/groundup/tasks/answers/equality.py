"""Whether two answers say the same, whatever way they are written.

In this order, and decided by what the right answer is: the same text; the letter of a choice; yes or no; several parts
(compared part by part: in order in a tuple, list or interval, in any order in a set, a union, or "1 or 2"); a date, a time
of day, a weekday, a month, an ordinal; an equation; a quantity (number, unit); else the words. Where a number is wanted and
something else is given that cannot be read as one, they differ. Nothing is evaluated by Python, lengths, depths and sizes
are limited, and no input raises.

Left out: trigonometry and complex numbers (compared as texts), decimals with a comma, dates like 03/04/2024.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .calendar import read_date, read_month, read_time, read_weekday
from .clean import cleaned
from .quantity import read_expression, read_quantity
from .shapes import Shape, shapes, union
from .words import read_ordinal

MAX_CHARACTERS = 1000
_MAX_DEPTH = 6
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_CHOICE = re.compile(r"\(?\s*([A-Za-z])\s*\)?\s*(?:[.:)](?:\s.*)?|\)\s*.*)?", re.DOTALL)
_YES, _NO = frozenset({"yes", "true"}), frozenset({"no", "false"})
_INFINITY = re.compile(r"([+-]?)\s*(?:\\infty|infinity|inf|oo)")
_NAME = re.compile(r"[A-Za-z]\w{0,15}(?:\([a-z]\))?|\\[a-z]+")
_READERS: tuple[Callable[[str], Any], ...] = (read_date, read_time, read_weekday, read_month, read_ordinal)


@dataclass(frozen=True, slots=True)
class Equality:
    """True or false, with the reason where the two could not be compared at all."""

    equal: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.equal


def answers_equal(given: str, wanted: str, *, relative_tolerance: float = 0.0) -> Equality:
    """Whether `given` says what `wanted`, the right answer, says. Never raises, never takes long.

    relative_tolerance: how far off a number may be, as a share of the wanted one; 0 asks for the exact value.
    """
    for name, text in (("given", given), ("right", wanted)):
        if len(text) > MAX_CHARACTERS:
            return Equality(False, f"the {name} answer has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}")
    if not wanted.strip() or not given.strip():
        return Equality(not given.strip() and not wanted.strip(), "no answer")
    if given == wanted:
        return Equality(True)
    if _WHOLE.fullmatch(given) and _WHOLE.fullmatch(wanted) and not relative_tolerance:  # most answers by far: be quick
        return Equality(int(given) == int(wanted))
    return Equality(_same(cleaned(given), cleaned(wanted), relative_tolerance, _MAX_DEPTH))


def is_number(text: str) -> bool:
    """Whether an answer is one number, with or without a unit, and has no unknowns."""
    if len(text) > MAX_CHARACTERS:
        return False
    if _WHOLE.fullmatch(text):
        return True
    found = read_quantity(cleaned(text))
    return found is not None and not found.letters


def _same(given: str, wanted: str, tolerance: float, depth: int) -> bool:
    if given == wanted or _plain(given) == _plain(wanted):
        return True
    if depth == 0:
        return False
    if len(wanted.strip("() ")) == 1 and wanted.strip("() ").isupper():
        match = _CHOICE.fullmatch(given)
        return match is not None and match[1].upper() == wanted.strip("() ")
    if (truth := _truth(wanted)) is not None:
        return _truth(given) is truth
    several = _several(given, wanted, tolerance, depth)
    if several is not None:
        return several
    for reader in _READERS:
        if (right := reader(wanted)) is not None:
            if (said := reader(given)) is not None:
                return bool(said == right)
            return False
    if "=" in given or "=" in wanted:
        return _same_equations(given, wanted, tolerance, depth)
    if (infinite := _INFINITY.fullmatch(wanted)) is not None:
        match = _INFINITY.fullmatch(given)
        return match is not None and (match[1] or "+") == (infinite[1] or "+")
    quantity, found = read_quantity(wanted), read_quantity(given)
    # Letters are a word, unless they are held against an expression: x y and xy are x*y, ab is not ba.
    if quantity is None and found is not None and found.letters:
        quantity = read_expression(wanted)
    elif found is None and quantity is not None and quantity.letters:
        found = read_expression(given)
    return quantity is not None and found is not None and found.same(quantity, tolerance)


def _plain(text: str) -> str:
    """Words alone: no case, no article, single spaces, none inside mathematics."""
    words = text.casefold().split()
    if len(words) > 1 and words[0] in ("the", "a", "an"):
        words = words[1:]
    joined = " ".join(words)
    return joined.replace(" ", "") if "\\" in joined else joined


def _truth(text: str) -> bool | None:
    """Yes, or no; alone or before a comma and an explanation that does not say the opposite."""
    words = re.findall(r"[a-z]+", text.casefold())
    if not words or words[0] not in _YES | _NO or (len(words) > 1 and not re.match(r"\s*\w+\s*[,.;:!-]", text)):
        return None
    truth = words[0] in _YES
    return None if set(words) & (_NO if truth else _YES) else truth


def _several(given: str, wanted: str, tolerance: float, depth: int) -> bool | None:
    """Compared part by part; None where the right answer has one part (and no such reading of both agrees)."""
    if (right := union(wanted)) is not None:
        found = union(given)
        return found is not None and _same_in_any_order(found, right, tolerance, depth)
    readings = list(shapes(wanted))
    if not readings:
        return None
    # One part in brackets may be given without them: {5} and 5.
    said = list(shapes(given)) or [Shape((given,))]
    if any(_same_shapes(a, b, tolerance, depth) for a in said for b in readings):
        return True
    return None if read_quantity(wanted) is not None else False  # 1,234 is two numbers, or one


def _same_shapes(given: Shape, wanted: Shape, tolerance: float, depth: int) -> bool:
    if len(given.items) != len(wanted.items):
        return False
    bracketed = bool(given.opens) and bool(wanted.opens)
    if bracketed and (given.opens, given.closes) != (wanted.opens, wanted.closes):
        return False
    half_open = (wanted.opens + wanted.closes) in ("(]", "[)") or (given.opens + given.closes) in ("(]", "[)")
    if half_open and not bracketed:
        return False
    if wanted.ordered and given.ordered:
        return all(_same(a, b, tolerance, depth - 1) for a, b in zip(given.items, wanted.items))
    if wanted.ordered:
        return False  # an order is asked for
    return _same_in_any_order(given.items, wanted.items, tolerance, depth)


def _same_in_any_order(given: tuple[str, ...], wanted: tuple[str, ...], tolerance: float, depth: int) -> bool:
    if len(given) != len(wanted):
        return False
    left = list(given)
    for right in wanted:
        place = next((i for i, said in enumerate(left) if _same(said, right, tolerance, depth - 1)), None)
        if place is None:
            return False
        del left[place]
    return True


def _same_equations(given: str, wanted: str, tolerance: float, depth: int) -> bool:
    """x = 5 is 5; y = 2x is 2x = y; 6*7 = 42 is 42, since it is true."""
    ours, theirs = ([side.strip() for side in text.split("=")] for text in (given, wanted))
    if not all(ours) or not all(theirs) or max(len(ours), len(theirs)) > 2:
        return False
    if len(ours) == len(theirs):
        return any(
            all(_same(a, b, tolerance, depth - 1) for a, b in zip(sides, theirs)) for sides in (ours, ours[::-1])
        )
    (name, said), alone = (ours, theirs[0]) if len(ours) == 2 else (theirs, ours[0])
    if not _NAME.fullmatch(name) and not _same(name, said, 0.0, depth - 1):
        return False
    return _same(said, alone, tolerance, depth - 1) if len(ours) == 2 else _same(alone, said, tolerance, depth - 1)

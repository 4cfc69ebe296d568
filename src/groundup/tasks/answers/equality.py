"""Whether two answers say the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_NUMBER = re.compile(r"[+-]?\$?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?:\s*/\s*(\d+))?")
_MAX_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Equality:
    """True or false, with the reason where the two could not be compared at all."""

    equal: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.equal


def answers_equal(given: str, wanted: str) -> Equality:
    """Whether `given` says what `wanted` says. Never raises, never takes long."""
    if len(given) > _MAX_CHARACTERS:
        return Equality(False, f"an answer of {len(given):,} characters")
    a, b = _number(given), _number(wanted)
    if b is not None:
        return Equality(a is not None and a == b)
    return Equality(_words(given) == _words(wanted))


def is_number(text: str) -> bool:
    return _number(text) is not None


def _number(text: str) -> Fraction | None:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or (match[3] and int(match[3]) == 0):
        return None
    value = Fraction(match[1].replace(",", "") + (match[2] or "")) / int(match[3] or 1)
    return -value if text.strip().startswith("-") else value


def _words(text: str) -> str:
    return " ".join(text.casefold().replace(",", " ").split())

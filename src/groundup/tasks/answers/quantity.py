"""A number with or without a unit: 42, forty-two apples, $3.50, 5 ft 3 in, 2\\sqrt{3} cm, 12%, 1.5 million."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from . import value as v
from .expression import evaluate, unknown
from .units import Unit, lookup, read_unit
from .value import Refused, Value
from .words import read_words

_POINTS = 3
_LETTERS = re.compile(r"[^\W\d_]{2}")
_NAMED = re.compile(r"(?<![a-zA-Z])(?:(?:pi|sqrt)(?![a-zA-Z])|(?:ln|log|exp|abs)\()")
_CURRENCY = re.compile(r"([+-]?)\s*([$€£])\s*(?=[\d.\\])(.*)")
_NUMBER_AND_REST = re.compile(r"(.*[\d)}])\s*([^\W\d_$€£¢°][^\d]*(?:\^?\{?-?\d\}?[^\d]*)*|[$€£¢°]\S*)")
_PERCENT = re.compile(r"(.*\S)\s*(?:%|per\s?cent)", re.IGNORECASE)
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\.?(?:\s*,?\s*(?:and\s+)?|$)")
# Words after a number that take it back or leave it open; such a text is no quantity.
_HEDGES = frozenset((
    "or", "and", "not", "but", "nor", "than", "more", "less", "least", "most",
    "maybe", "perhaps", "possibly", "about", "if", "to", "at", "over", "under", "minus",
    "plus",
))  # fmt: skip
_EMPTY_UNITS = frozenset(
    {"unit", "units", "square units", "sq units", "cubic units", "in total", "total", "altogether"}
)
PERCENT = Unit(Fraction(1, 100), (("percent", 1),))


@dataclass(frozen=True, slots=True)
class Quantity:
    """The value at each of some points for the unknowns (all the same where there are none), and the unit."""

    values: tuple[Value, ...]
    letters: frozenset[str]
    unit: Unit | None = None

    def same(self, other: Quantity, tolerance: float) -> bool:
        """Equal after conversion. A unit that one side leaves out is taken to be the other's; per cent against a bare number is
        right as a share (0.12) and as a figure (12). Unknowns may cancel: only the values count, not the letters.
        """
        a, b = self.unit, other.unit
        if a is not None and b is not None:
            if a.kinds != b.kinds:
                return False
            ours, theirs = (1, 1) if a.worth == b.worth else (a.worth, b.worth)
            return self._close(other, tolerance, Fraction(ours), Fraction(theirs))
        if self._close(other, tolerance):
            return True
        if PERCENT in (a, b):
            return self._close(other, tolerance, *(u.worth if u else Fraction(1) for u in (a, b)))
        return False

    def _close(
        self, other: Quantity, tolerance: float, ours: Fraction = Fraction(1), theirs: Fraction = Fraction(1)
    ) -> bool:
        try:
            return all(
                v.multiply(a, Value.of(ours)).same(v.multiply(b, Value.of(theirs)), relative_tolerance=tolerance)
                for a, b in zip(self.values, other.values, strict=True)
            )
        except Refused:
            return False


def read_quantity(text: str) -> Quantity | None:
    """The quantity that a cleaned text says, or None."""
    if match := _CURRENCY.fullmatch(text):
        inner = read_quantity(match[1] + match[3])
        unit = read_unit(match[2], labels=False)
        if inner is None or (inner.unit is not None and not (inner.unit.is_label or inner.unit == unit)):
            return None
        return Quantity(inner.values, inner.letters, unit)
    if match := _PERCENT.fullmatch(text):
        inner = _number(match[1])
        return None if inner is None else Quantity(inner.values, inner.letters, PERCENT)
    if (said := read_words(text)) is not None:
        return Quantity((Value.of(said),) * _POINTS, frozenset())
    return _compound(text) or _with_unit(text) or _number(text) or _in_words(text)


def _number(text: str) -> Quantity | None:
    """An expression or a number in words, with no unit."""
    if (said := read_words(text)) is not None:
        return Quantity((Value.of(said),) * _POINTS, frozenset())
    return read_expression(text) if _is_written_as_mathematics(text) else None


def read_expression(text: str) -> Quantity | None:
    """A text that is known to be mathematics: x y and xy are products here, which `read_quantity` takes for words."""
    try:
        first, letters = evaluate(text)
        points = (
            [{letter: unknown(letter, point) for letter in letters} for point in range(1, _POINTS)] if letters else []
        )
        rest = [evaluate(text, point)[0] for point in points] if letters else [first] * (_POINTS - 1)
    except Refused:
        return None
    return Quantity((first, *rest), letters)


def _is_written_as_mathematics(text: str) -> bool:
    """Letters alone are a word, whose order counts: ab is not ba. A hyphen makes no difference to words of several letters."""
    if any(character.isdigit() or character in "\\+*/^|" for character in text) or text == "e":
        return True
    if _NAMED.search(text):
        return True
    return "-" in text and _LETTERS.search(text) is None


def _with_unit(text: str) -> Quantity | None:
    match = _NUMBER_AND_REST.fullmatch(text)
    if match is None:
        return None
    words = match[2].casefold().split()
    if _HEDGES & set(words):
        return None
    unit = None
    if match[2].casefold() not in _EMPTY_UNITS:
        # Two letters after a number may be unknowns (2xy); a label is a word.
        unit = read_unit(match[2], labels=any(len(word) > 2 for word in words))
        if unit is None or (len(match[2]) == 1 and lookup(match[2]) is None):
            return None
    number = _number(match[1])
    if number is None or number.letters:
        return None
    return Quantity(number.values, number.letters, unit)


def _compound(text: str) -> Quantity | None:
    """5 ft 3 in; 2 hours and 30 minutes: at least two pieces of one kind, each unit smaller than the one before."""
    total, place, kind, smallest, pieces = Fraction(0), 0, "", None, 0
    while place < len(text):
        match = _PIECE.match(text, place)
        found = lookup(match[2]) if match else None
        if (
            match is None
            or found is None
            or kind not in ("", found[0])
            or (smallest is not None and found[1] >= smallest)
        ):
            return None
        if len(match[1]) > 30:
            return None
        kind, smallest = found
        total += Fraction(match[1]) * smallest
        place, pieces = match.end(), pieces + 1
    if pieces < 2:
        return None
    base = read_unit(
        {"length": "m", "mass": "g", "time": "s", "volume": "l", "months": "month"}.get(kind, ""), labels=False
    )
    if base is None:
        return None
    return Quantity((Value.of(total / base.worth if kind != "volume" else total),) * _POINTS, frozenset(), base)


def _in_words(text: str) -> Quantity | None:
    """forty-two apples: the longest run of words at the front that is a number, and what it counts."""
    words = text.split()
    if len(words) > 20:
        return None
    for length in range(len(words) - 1, 0, -1):
        said = read_words(" ".join(words[:length]))
        if said is not None:
            rest = " ".join(words[length:])
            if _HEDGES & set(rest.casefold().split()):
                return None
            unit = None if rest.casefold() in _EMPTY_UNITS else read_unit(rest, labels=True)
            if unit is None and rest.casefold() not in _EMPTY_UNITS:
                return None
            return Quantity((Value.of(said),) * _POINTS, frozenset(), unit)
    return None

"""Units of quantities: what a unit is worth in the first of its kind, and which kind that is.

A unit is a product of named units with whole powers: km/h, m^2, square feet, kg per m^3. A word that is no known unit is a
label ("apples"): equal to itself only. Temperatures are labels too, since their zeros differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_TABLE: dict[str, dict[str, str]] = {
    "length": {
        "m": "1", "meter": "1", "metre": "1", "km": "1000", "kilometer": "1000", "kilometre": "1000", "cm": "1/100",
        "centimeter": "1/100", "centimetre": "1/100", "mm": "1/1000", "millimeter": "1/1000", "millimetre": "1/1000",
        "dm": "1/10", "in": "127/5000", "inch": "127/5000", "inches": "127/5000", "ft": "381/1250", "foot": "381/1250",
        "feet": "381/1250", "yd": "1143/1250", "yard": "1143/1250", "mi": "201168/125", "mile": "201168/125",
    },
    "mass": {
        "g": "1", "gram": "1", "gramme": "1", "kg": "1000", "kilo": "1000", "kilogram": "1000", "mg": "1/1000",
        "milligram": "1/1000", "t": "1000000", "tonne": "1000000", "lb": "45359237/100000", "lbs": "45359237/100000",
        "pound": "45359237/100000", "oz": "45359237/1600000", "ounce": "45359237/1600000",
    },
    "time": {
        "s": "1", "sec": "1", "second": "1", "ms": "1/1000", "millisecond": "1/1000", "min": "60", "minute": "60",
        "h": "3600", "hr": "3600", "hour": "3600", "day": "86400", "week": "604800",
    },
    "volume": {
        "l": "1", "liter": "1", "litre": "1", "ml": "1/1000", "milliliter": "1/1000", "millilitre": "1/1000", "cl": "1/100",
    },
    "months": {"month": "1", "year": "12", "yr": "12", "decade": "120", "century": "1200", "centuries": "1200"},
    "dollar": {"$": "1", "dollar": "1", "usd": "1", "cent": "1/100", "¢": "1/100"},
    "euro": {"€": "1", "euro": "1", "eur": "1"},
    "sterling": {"£": "1", "gbp": "1", "pence": "1/100", "penny": "1/100"},
    "angle": {"degree": "1", "deg": "1", "°": "1"},
}  # fmt: skip
_KNOWN = {name: (kind, Fraction(worth)) for kind, names in _TABLE.items() for name, worth in names.items()}
_POWERS = {"square": 2, "sq": 2, "cubic": 3}
_PART = re.compile(r"([^\W\d_]+\.?|[$€£¢°])(?:\^?\{?(-?[1-9])\}?)?")
_MAX_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Unit:
    """worth: how many of the first unit of its kind. kinds: kind (or label) and power, sorted; a label begins with `=`."""

    worth: Fraction
    kinds: tuple[tuple[str, int], ...]

    @property
    def is_label(self) -> bool:
        """Only words that are no known unit."""
        return all(kind.startswith("=") for kind, _ in self.kinds)


def read_unit(text: str, *, labels: bool) -> Unit | None:
    """A unit from its text, or None. `labels`: take unknown words as labels."""
    text = text.strip()
    if not text or len(text) > _MAX_CHARACTERS:
        return None
    worth, powers = Fraction(1), dict[str, int]()
    sign, pending = 1, 1
    words = text.replace("*", " ").replace("·", " ").replace("/", " / ").split()
    label: list[str] = []
    for word in words:
        if word in ("/", "per"):
            if sign < 0 or word == words[-1]:
                return None
            sign = -1
            continue
        if word.casefold() in _POWERS:
            pending = _POWERS[word.casefold()]
            continue
        match = _PART.fullmatch(word)
        if match is None:
            return None
        power = sign * pending * int(match[2] or 1)
        pending = 1
        known = lookup(match[1])
        if known is None:
            if not labels or match[2]:
                return None
            label.append(_singular(match[1].casefold().rstrip(".")))
            continue
        kind, size = known
        powers[kind] = powers.get(kind, 0) + power
        worth *= size**power
    if label:
        powers["=" + " ".join(label)] = 1
    # A litre is a cubic decimetre, so volumes and cubed lengths can be compared.
    if (litres := powers.pop("volume", 0)) != 0:
        powers["length"] = powers.get("length", 0) + 3 * litres
        worth *= Fraction(1, 1000) ** litres
    return Unit(worth, tuple(sorted((kind, power) for kind, power in powers.items() if power)))


def lookup(word: str) -> tuple[str, Fraction] | None:
    """Kind and worth of one unit's name or sign. Short names keep their case (m is no M), long ones do not."""
    word = word.rstrip(".")
    for name in (word, word.casefold()) if len(word) > 2 else (word, {"L": "l", "mL": "ml"}.get(word, word)):
        if name in _KNOWN:
            return _KNOWN[name]
        if len(name) > 3 and name.endswith("s") and name[:-1] in _KNOWN:
            return _KNOWN[name[:-1]]
    return None


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word

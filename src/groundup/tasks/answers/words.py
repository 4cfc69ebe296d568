"""Numbers written out in English: forty-two, minus three point five, two and a half, three quarters, 1.5 million, third."""

from __future__ import annotations

import re
from fractions import Fraction

_ONES = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: 10 * n
    for n, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2)
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4,
    "fifth": 5, "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8,
    "ninth": 9, "ninths": 9, "tenth": 10, "tenths": 10,
}  # fmt: skip
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16,
    "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30,
}  # fmt: skip
_ORDINAL_DIGITS = re.compile(r"(\d{1,4})(?:st|nd|rd|th)")
_SCALED = re.compile(r"([+-]?[\d.,]*\d)\s*(thousand|million|billion|trillion)")
_MAX_WORDS = 40


def read_words(text: str) -> Fraction | None:
    """The number that a text writes out, or None where it is anything else."""
    text = text.casefold().strip()
    if match := _SCALED.fullmatch(text):
        digits = match[1].replace(",", "")
        return Fraction(digits) * _SCALES[match[2]] if digits.count(".") < 2 else None
    words = text.replace("-", " ").split()
    if not words or len(words) > _MAX_WORDS or not all(word.isalpha() for word in words):
        return None
    if words[0] in ("minus", "negative"):
        found = read_words(" ".join(words[1:])) if len(words) > 1 and words[1] not in ("minus", "negative") else None
        return None if found is None else -found
    if words[0] in ("a", "an") and len(words) > 1:
        words[0] = "one"
    if "point" in words:
        place = words.index("point")
        whole, digits = _whole(words[:place]), [_ONES.get(word, 10) for word in words[place + 1 :]]
        if whole is None or not digits or max(digits) > 9:
            return None
        return whole + Fraction(int("".join(map(str, digits))), 10 ** len(digits))
    if words[-1] in _PARTS:
        return _with_part(words)
    if words == ["one", "dozen"] or words == ["dozen"]:
        return Fraction(12)
    whole = _whole(words)
    return None if whole is None else Fraction(whole)


def read_ordinal(text: str) -> int | None:
    """3 for 3rd and for third; None for anything else."""
    text = text.casefold().strip()
    if match := _ORDINAL_DIGITS.fullmatch(text):
        return int(match[1])
    *tens, last = text.replace("-", " ").split() or [""]
    if last not in _ORDINALS or len(tens) > 1 or (tens and (tens[0] not in _TENS or _ORDINALS[last] > 9)):
        return None
    return _ORDINALS[last] + (_TENS[tens[0]] if tens else 0)


def _with_part(words: list[str]) -> Fraction | None:
    """half; three quarters; two and a half. A lone third, fourth ... is an ordinal, and not read here."""
    bottom = _PARTS[words[-1]]
    if len(words) == 1:
        return Fraction(1, 2) if bottom == 2 else None
    before = words[:-1]
    if "and" in before:
        place = len(before) - 1 - before[::-1].index("and")
        whole = _whole(before[:place])
        top = _whole(["one" if word in ("a", "an") else word for word in before[place + 1 :]])
        return None if whole is None or top is None else whole + Fraction(top, bottom)
    top = _whole(before)
    return None if top is None else Fraction(top, bottom)


def _whole(words: list[str]) -> int | None:
    """A whole number below 10^15 from its words."""
    total = group = 0
    last_scale = 10**15
    size = 1000  # what was read last in this group: the next must be smaller
    previous = ""
    for word in words:
        if word == "and":
            if previous not in ("hundred", *_SCALES):
                return None
        elif word in _ONES and size > 10 and (size != 100 or previous != "tens") and (size < 1000 or group == 0):
            if previous == "tens" and not 0 < _ONES[word] < 10:
                return None
            group += _ONES[word]
            size, word = 10, "ones"
        elif word in _TENS and size > 100:
            group += _TENS[word]
            size, word = 99, "tens"
        elif word == "hundred" and 0 < group < 100 and previous in ("ones", "tens"):
            group *= 100
            size = 999
        elif word in _SCALES and group and _SCALES[word] < last_scale:
            total += group * _SCALES[word]
            last_scale, group, size = _SCALES[word], 0, 1000
        else:
            return None
        previous = word
    if not words or previous == "and":
        return None
    return total + group

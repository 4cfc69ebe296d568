"""Porter's stemmer: an English word without its endings, so that "connected" and "connections" count as one term.

The algorithm of Porter (1980), "An algorithm for suffix stripping", as printed. `revised` adds the three points in which Porter's own later
program departs from the paper: words of one or two letters stay, -bli becomes -ble (the paper: -abli, -able), -logi becomes -log.
A stem is a name for a group of words and often no word ("relational": "relat"); text/lemmatise.py gives words.
Left out: other languages, and the successor Porter2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

_VOWELS = "aeiou"
_CACHED_WORDS = 1 << 16

Rule: TypeAlias = tuple[str, str, Callable[[str], bool]]
"""(ending, what takes its place, condition on what stands before the ending)"""


def stem(word: str, *, revised: bool = False) -> str:
    """The stem of one word, in lower case."""
    return _stem(word.lower(), revised)


@lru_cache(maxsize=_CACHED_WORDS)
def _stem(word: str, revised: bool) -> str:
    if revised and len(word) <= 2:
        return word
    word = _replace(word, _PLURALS)
    word = _past_and_continuous(word)
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    word = _replace(word, _REVISED_SUFFIXES if revised else _DOUBLE_SUFFIXES)
    word = _replace(word, _SINGLE_SUFFIXES)
    word = _replace(word, _LAST_SUFFIXES)
    if word.endswith("e"):
        before = word[:-1]
        if measure(before) > 1 or (measure(before) == 1 and not _ends_cvc(before)):
            word = before
    if word.endswith("ll") and measure(word[:-1]) > 1:
        word = word[:-1]
    return word


def _consonants(word: str) -> list[bool]:
    """For each letter. A y is a vowel after a consonant; whatever is no letter counts as a consonant."""
    made: list[bool] = []
    for letter in word:
        made.append((not made or not made[-1]) if letter == "y" else letter not in _VOWELS)
    return made


def measure(word: str) -> int:
    """m of [C](VC)^m[V]: how often a vowel is followed by a consonant."""
    kinds = _consonants(word)
    return sum(not a and b for a, b in pairwise(kinds))


def _has_vowel(word: str) -> bool:
    return not all(_consonants(word))


def _ends_double_consonant(word: str) -> bool:
    return len(word) >= 2 and word[-1] == word[-2] and _consonants(word)[-1]


def _ends_cvc(word: str) -> bool:
    """*o of the paper: consonant, vowel, consonant, and the last is not w, x or y."""
    return len(word) >= 3 and _consonants(word)[-3:] == [True, False, True] and word[-1] not in "wxy"


def _always(before: str) -> bool:
    return True


def _positive(before: str) -> bool:
    return measure(before) > 0


def _above_one(before: str) -> bool:
    return measure(before) > 1


def _replace(word: str, rules: Sequence[Rule]) -> str:
    """The first rule whose ending fits decides, whether its condition holds or not."""
    for ending, instead, condition in rules:
        if word.endswith(ending):
            before = word[: len(word) - len(ending)]
            return before + instead if condition(before) else word
    return word


def _past_and_continuous(word: str) -> str:
    """Step 1b: -ed and -ing, and what their loss leaves behind (hopp, fil, conflat)."""
    if word.endswith("eed"):
        return word[:-1] if measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        if word.endswith(ending):
            before = word[: -len(ending)]
            if not _has_vowel(before):
                return word
            if before.endswith(("at", "bl", "iz")):
                return before + "e"
            if _ends_double_consonant(before):
                return before if before[-1] in "lsz" else before[:-1]
            return before + "e" if measure(before) == 1 and _ends_cvc(before) else before
    return word


_PLURALS: tuple[Rule, ...] = (
    ("sses", "ss", _always),
    ("ies", "i", _always),
    ("ss", "ss", _always),
    ("s", "", _always),
)


def _rules(pairs: str, condition: Callable[[str], bool]) -> tuple[Rule, ...]:
    """ "ending>instead" divided by spaces."""
    return tuple((*pair.split(">"), condition) for pair in pairs.split())  # type: ignore[misc]


_DOUBLE_SUFFIXES = _rules(
    "ational>ate tional>tion enci>ence anci>ance izer>ize abli>able alli>al entli>ent eli>e ousli>ous ization>ize ation>ate ator>ate "
    "alism>al iveness>ive fulness>ful ousness>ous aliti>al iviti>ive biliti>ble",
    _positive,
)
_REVISED_SUFFIXES = (
    *(("bli", "ble", c) if ending == "abli" else (ending, instead, c) for ending, instead, c in _DOUBLE_SUFFIXES),
    ("logi", "log", _positive),
)
_SINGLE_SUFFIXES = _rules("icate>ic ative> alize>al iciti>ic ical>ic ful> ness>", _positive)
_LAST_SUFFIXES: tuple[Rule, ...] = (
    *_rules("al> ance> ence> er> ic> able> ible> ant> ement> ment> ent>", _above_one),
    ("ion", "", lambda before: measure(before) > 1 and before[-1:] in ("s", "t")),
    *_rules("ou> ism> ate> iti> ous> ive> ize>", _above_one),
)

"""Words of a text, stop words and n-grams: the terms that classic methods count.

Ways to cut are named, so that a model can store which one it was made with. Left out: languages written without spaces (tokenizers/ cuts
those into pieces), sentence division.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

_WORDS = re.compile(r"\w+(?:['’]\w+)*")
_LONG_WORDS = re.compile(r"\b\w\w+\b")
_WORDS_AND_MARKS = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]+")
_SPACES = re.compile(r"\s\s+")

CUTS: Mapping[str, Callable[[str], list[str]]] = MappingProxyType(
    {
        "words": _WORDS.findall,
        "long_words": _LONG_WORDS.findall,
        "words_and_marks": _WORDS_AND_MARKS.findall,
        "spaces": str.split,
    }
)
"""words: runs of letters and digits, apostrophes inside kept. long_words: of two letters at least, apostrophes divide (scikit-learn's
default). words_and_marks: words, and runs of other characters ("!!", "£"). spaces: whatever stands between spaces."""

_GRAMMAR = """
a about above after again against all am an and any are as at be because been before being below between both but by can could did do does
doing down during each few for from further had has have having he her here hers herself him himself his how i if in into is it its itself
just me more most my myself of off on once only or other our ours ourselves out over own same she should so some such than that the their
theirs them themselves then there these they this those through to too under until up very was we were what when where which while who
whom why will with would you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_GRAMMAR.split())
"""Words of English grammar. "no", "not" and "nor" are no stop words here: they turn an opinion round."""


def cut(text: str, way: str = "words", *, lower: bool = True, accents: bool = True) -> list[str]:
    """Terms of `text` in order. accents: False writes é as e. Raises KeyError for a way that CUTS does not name."""
    text = text.lower() if lower else text
    return CUTS[way](text if accents else without_accents(text))


def without_accents(text: str) -> str:
    """Letters without the marks over and under them; letters that are no letter with a mark (ø, ß) stay."""
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def ngrams(terms: Sequence[str], low: int, high: int) -> list[str]:
    """Runs of low to high terms joined by spaces, shorter ones first."""
    if low == high == 1:
        return list(terms)
    return [" ".join(terms[i : i + n]) for n in range(low, high + 1) for i in range(len(terms) - n + 1)]


def character_ngrams(text: str, low: int, high: int) -> list[str]:
    """Runs of low to high characters, spaces included (several count as one)."""
    text = _SPACES.sub(" ", text)
    return [text[i : i + n] for n in range(low, high + 1) for i in range(len(text) - n + 1)]

"""How much two texts share, in words: ROUGE-L, shares of distinct n-grams, content words.

A word is a run of letters, digits or apostrophes, in lower case; a character of a script written without spaces is a
word of its own. No stemming.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_UNSPACED = "぀-ヿ㐀-䶿一-鿿฀-๿"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w'’])+")
# Words that stand in any English text; what is left says what the text is about.
_FUNCTION_WORDS = (
    "a about after again all also am an and any are as at be because been before being but by can could did do does doing "
    "for from had has have having he her here him his how i if in into is it its just like me more most my no not now of on "
    "one only or other our out over please she so some such than that the their them then there these they this those to too "
    "up us very was we were what when where which while who why will with would yes you your"
)


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def content_words(text: str) -> set[str]:
    """Words without those of grammar (English)."""
    return set(words(text)) - _function_words()


@lru_cache(maxsize=1)
def _function_words() -> frozenset[str]:
    return frozenset(_FUNCTION_WORDS.split())


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest sequence of words that stands in both, in order, not always side by side.

    Bit-parallel (Hyyrö, "Bit-parallel LCS-length computation revisited", 2004): one big integer holds a row of the table.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(a):
        places[word] = places.get(word, 0) | (1 << i)
    full = (1 << len(a)) - 1
    row = full
    for word in b:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & full
    return len(a) - row.bit_count()


def rouge_l(a: str | Sequence[str], b: str | Sequence[str]) -> float:
    """F1 of the longest common subsequence, in [0, 1] (Lin 2004, section 3.1, with beta = 1). Texts, or their `words`."""
    left = words(a) if isinstance(a, str) else a
    right = words(b) if isinstance(b, str) else b
    if not left or not right:
        return 0.0
    return 2.0 * longest_common_subsequence(left, right) / (len(left) + len(right))


def distinct_share(texts: Iterable[str], n: int) -> float:
    """Different n-grams per n-gram over all texts (distinct-n, Li et al. 2016); 0 where there is none."""
    seen: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        parts = words(text)
        grams = [tuple(parts[i : i + n]) for i in range(len(parts) - n + 1)]
        seen.update(grams)
        total += len(grams)
    return len(seen) / total if total else 0.0


def repeated_share(text: str, n: int) -> float:
    """Share of the n-grams of one text that are copies of an earlier one; 0 for a text of fewer than n words."""
    parts = words(text)
    if len(parts) < n:
        return 0.0
    return 1.0 - distinct_share([text], n)

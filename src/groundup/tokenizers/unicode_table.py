"""One byte of flags per Unicode code point, for the pre-tokenization scanners.

Made from the `regex` module's own properties and not from `unicodedata`, whose Unicode version is older: a code point
assigned since then would be a letter to one and nothing to the other. tiktoken and tokenizers bring Unicode versions of their
own, so for code points assigned in the last few years the four may still disagree with each other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

SPACE, NEWLINE, NUMBER, UPPER, LOWER, OTHER_LETTER, MARK = (1 << bit for bit in range(7))
"""\\s; \\r or \\n; \\p{N}; \\p{Lu} or \\p{Lt}; \\p{Ll}; \\p{Lm} or \\p{Lo}; \\p{M}. None of them: punctuation and the rest."""

LETTER = UPPER | LOWER | OTHER_LETTER
_PROPERTIES = (
    (r"\s+", SPACE),
    (r"[\r\n]+", NEWLINE),
    (r"\p{N}+", NUMBER),
    (r"[\p{Lu}\p{Lt}]+", UPPER),
    (r"\p{Ll}+", LOWER),
    (r"[\p{Lm}\p{Lo}]+", OTHER_LETTER),
    (r"\p{M}+", MARK),
)
_SURROGATES = range(0xD800, 0xE000)


@lru_cache(maxsize=1)
def category_table() -> Any:
    """uint8 [0x110000], flags by code point. Made once per process (about 0.1 s)."""
    import numpy as np
    import regex

    points = np.concatenate(
        [
            np.arange(0, _SURROGATES.start, dtype=np.uint32),
            np.arange(_SURROGATES.stop, 0x110000, dtype=np.uint32),
        ]
    )
    everything = points.tobytes().decode("utf-32-le" if np.little_endian else "utf-32-be")
    table = np.zeros(0x110000, dtype=np.uint8)
    for pattern, flag in _PROPERTIES:
        for match in regex.finditer(pattern, everything):
            table[points[match.start() : match.end()]] |= np.uint8(flag)
    table.setflags(write=False)
    return table

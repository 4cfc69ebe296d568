"""What a text is made of, measured in one pass: shares of letters and unprintable characters, repeated lines, encoded
blobs. The numbers that quality rules are written in; the rules themselves are in `groundup.data.filters`.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from functools import lru_cache

import numpy as np

# At least 60 characters without a break: MIME wraps base64 at 76 and PEM at 64, and no word or path is that long often.
_BLOB = re.compile(r"[A-Za-z0-9+/]{60,}={0,2}")
_SAMPLE_BYTES = 1 << 18


def _is_letter(char: str) -> bool:
    return unicodedata.category(char)[0] in "LM"


def _is_unprintable(char: str) -> bool:
    """Controls, surrogates, private use, unassigned, and the mark of a failed decoding."""
    return char == "\ufffd" or (unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn") and char not in "\t\n\r")


@lru_cache(maxsize=1)
def _ascii_classes() -> np.ndarray:
    """[3, 256]: space, letter, unprintable."""
    classes = np.zeros((3, 256), dtype=np.int64)
    for code in range(128):
        char = chr(code)
        classes[:, code] = char.isspace(), _is_letter(char), _is_unprintable(char)
    return classes


def character_shares(text: str) -> tuple[float, float]:
    """(letters per non-space character, unprintable characters per character). Marks count as letters, so that Indic
    and Arabic text is not judged by its vowels. (0, 0) for text of spaces.
    """
    if text.isascii():
        counted = np.bincount(np.frombuffer(text.encode(), dtype=np.uint8), minlength=256)
        spaces, letters, unprintable = (int(n) for n in _ascii_classes() @ counted)
    else:
        counts = Counter(text)
        spaces = sum(n for char, n in counts.items() if char.isspace())
        letters = sum(n for char, n in counts.items() if _is_letter(char))
        unprintable = sum(n for char, n in counts.items() if _is_unprintable(char))
    solid = len(text) - spaces
    return (letters / solid if solid else 0.0), (unprintable / len(text) if text else 0.0)


def duplicate_line_share(text: str) -> float:
    """Share of the non-empty lines that are copies of an earlier line (Rae et al. 2021, table A1)."""
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    return 1.0 - len(set(lines)) / len(lines) if lines else 0.0


def compressed_share(text: str) -> float:
    """Bytes after DEFLATE at level 1 per byte, over at most the first 256 KB; near 0 for text that repeats itself."""
    data = text[:_SAMPLE_BYTES].encode("utf-8", errors="replace")
    return len(zlib.compress(data, 1)) / len(data) if data else 1.0


def blob_share(text: str) -> float:
    """Share of the characters that stand in long unbroken runs of the base64 (and so also hexadecimal) alphabet."""
    return sum(len(run) for run in _BLOB.findall(text)) / len(text) if text else 0.0


def longest_line(text: str) -> int:
    """Characters in the longest line."""
    return max(map(len, text.split("\n")))

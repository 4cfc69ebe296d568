"""Pre-tokenization compiled by Numba: three scanners over UTF-8 bytes, one per published family of patterns.

Each finds the same pieces as the `regex` module running the pattern (`patterns.split_text`), by walking forward: none of the
patterns needs more than the class of a few characters ahead, so the time is linear in the text, whatever it holds.
Input must be valid UTF-8. A scanner fills `ends` (byte offset after each piece) until it is full or the text is done.

Shapes: data uint8 [n]; table uint8 [0x110000] (`unicode_table`); ends int64 [room].
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment"
from __future__ import annotations

import numpy as np
from numba import njit

from .unicode_table import LETTER, LOWER, MARK, NEWLINE, NUMBER, OTHER_LETTER, SPACE, UPPER

_WORD = LETTER | MARK
_NOT_PUNCTUATION = SPACE | LETTER | NUMBER
_UPPERISH = UPPER | OTHER_LETTER | MARK
_LOWERISH = LOWER | OTHER_LETTER | MARK


@njit(inline="always")
def _class_at(data, i, table):
    """(flags, bytes) of the character at byte i."""
    b = np.int64(data[i])
    if b < 0x80:
        return table[b], 1
    if b < 0xE0:
        return table[((b & 0x1F) << 6) | (np.int64(data[i + 1]) & 0x3F)], 2
    if b < 0xF0:
        return table[((b & 0x0F) << 12) | ((np.int64(data[i + 1]) & 0x3F) << 6) | (np.int64(data[i + 2]) & 0x3F)], 3
    point = ((b & 0x07) << 18) | ((np.int64(data[i + 1]) & 0x3F) << 12)
    return table[point | ((np.int64(data[i + 2]) & 0x3F) << 6) | (np.int64(data[i + 3]) & 0x3F)], 4


@njit(nogil=True, cache=True)
def _run(data, i, n, table, mask):
    """End of the longest run from byte i of characters that have one of the flags in `mask`."""
    while i < n:
        flags, size = _class_at(data, i, table)
        if flags & mask == 0:
            break
        i += size
    return i


@njit(nogil=True, cache=True)
def _run_punctuation(data, i, n, table):
    """End of the run of [^\\s\\p{L}\\p{N}]* from byte i."""
    while i < n:
        flags, size = _class_at(data, i, table)
        if flags & _NOT_PUNCTUATION:
            break
        i += size
    return i


@njit(nogil=True, cache=True)
def _contraction(data, i, n, any_case):
    """Bytes of 's 't 're 've 'm 'll 'd at byte i, 0 when there is none. In any case, U+017F counts as an s (case folding)."""
    if i + 1 >= n or data[i] != 39:
        return 0
    a = data[i + 1]
    if any_case:
        if a == 0xC5 and i + 2 < n and data[i + 2] == 0xBF:
            return 3
        if 65 <= a <= 90:
            a += 32
    if a == 115 or a == 116 or a == 109 or a == 100:
        return 2
    if i + 2 >= n:
        return 0
    b = data[i + 2]
    if any_case and 65 <= b <= 90:
        b += 32
    if (a == 114 and b == 101) or (a == 118 and b == 101) or (a == 108 and b == 108):
        return 3
    return 0


@njit(nogil=True, cache=True)
def _spaces(data, i, n, table, line_breaks, tail):
    """End of the piece of white space at byte i: (\\s++$)? (\\s*[\\r\\n]+)? then \\s+(?!\\S) or \\s+."""
    j = i
    last = i
    after_newline = i
    while j < n:
        flags, size = _class_at(data, j, table)
        if flags & SPACE == 0:
            break
        last = j
        j += size
        if flags & NEWLINE:
            after_newline = j
    if tail and j == n:
        return j
    if line_breaks and after_newline > i:
        return after_newline
    if j == n or last == i:
        return j
    return last


@njit(nogil=True, cache=True)
def _digits(data, i, n, table, most):
    """End of \\p{N}{1,most} at byte i."""
    taken = 0
    while i < n and taken < most:
        flags, size = _class_at(data, i, table)
        if flags & NUMBER == 0:
            break
        i += size
        taken += 1
    return i


@njit(nogil=True, cache=True)
def scan_gpt2(data, i, n, table, single_digits, unused, ends):
    """GPT-2. single_digits: every \\p{N} was cut off as a piece of its own before (SmolLM). Returns (pieces, offset)."""
    count = 0
    while i < n and count < ends.size:
        size = _contraction(data, i, n, False)
        if size:
            i += size
        else:
            flags, size = _class_at(data, i, table)
            start = i
            if data[i] == 32 and i + 1 < n:
                ahead, ahead_size = _class_at(data, i + 1, table)
                if ahead & SPACE == 0 and not (single_digits and ahead & NUMBER):
                    flags, size = ahead, ahead_size
                    start = i + 1
            if flags & LETTER:
                i = _run(data, start + size, n, table, LETTER)
            elif flags & NUMBER:
                i = start + size if single_digits else _run(data, start + size, n, table, NUMBER)
            elif flags & SPACE:
                end = _run(data, start + size, n, table, SPACE)
                if single_digits and end < n and _class_at(data, end, table)[0] & NUMBER:
                    i = end
                else:
                    i = _spaces(data, i, n, table, False, False)
            else:
                i = _run_punctuation(data, start + size, n, table)
        ends[count] = i
        count += 1
    return count, i


@njit(nogil=True, cache=True)
def scan_cl100k(data, i, n, table, most_digits, tail, ends):
    """cl100k. most_digits: longest piece of digits. tail: white space at the end of the text is one piece."""
    count = 0
    while i < n and count < ends.size:
        flags, size = _class_at(data, i, table)
        if flags & LETTER:
            i = _run(data, i + size, n, table, LETTER)
        elif flags & NUMBER:
            i = _digits(data, i, n, table, most_digits)
        else:
            contraction = _contraction(data, i, n, True)
            ahead = np.uint8(0)
            ahead_size = 0
            if i + size < n:
                ahead, ahead_size = _class_at(data, i + size, table)
            if contraction:
                i += contraction
            elif ahead & LETTER and flags & NEWLINE == 0:
                i = _run(data, i + size + ahead_size, n, table, LETTER)
            elif flags & SPACE == 0 or (data[i] == 32 and ahead_size and ahead & _NOT_PUNCTUATION == 0):
                i = _run_punctuation(data, i + size, n, table)
                while i < n and (data[i] == 10 or data[i] == 13):
                    i += 1
            else:
                i = _spaces(data, i, n, table, True, tail)
        ends[count] = i
        count += 1
    return count, i


@njit(nogil=True, cache=True)
def _cased_word(data, i, n, table):
    """(end of U*L+ from i or -1, end of U+L* from i or -1), U the upper-case-like class and L the lower-case-like one.

    U and L share \\p{Lm} \\p{Lo} \\p{M}: where no lower-case letter follows the run of U, the pattern backs up to the last
    shared character and L+ takes that one alone.
    """
    j = i
    shared = -1
    while j < n:
        flags, size = _class_at(data, j, table)
        if flags & _UPPERISH == 0:
            if flags & LOWER:
                end = _run(data, j + size, n, table, _LOWERISH)
                return end, end if j > i else -1
            break
        j += size
        if flags & UPPER == 0:
            shared = j
    return shared, j if j > i else -1


@njit(nogil=True, cache=True)
def scan_o200k(data, i, n, table, most_digits, contractions, ends):
    """o200k. most_digits: longest piece of digits. contractions: a word takes 's, 'll, ... with it."""
    count = 0
    while i < n and count < ends.size:
        flags, size = _class_at(data, i, table)
        end = -1
        if flags & (NEWLINE | NUMBER) == 0:
            upper_with = -1
            if flags & LETTER == 0:
                end, upper_with = _cased_word(data, i + size, n, table)
            if end < 0 and flags & _WORD:
                end, upper = _cased_word(data, i, n, table)
                if end < 0:
                    end = upper_with if upper_with >= 0 else upper
            elif end < 0:
                end = upper_with
        if end >= 0:
            if contractions:
                end += _contraction(data, end, n, True)
            i = end
        elif flags & NUMBER:
            i = _digits(data, i, n, table, most_digits)
        else:
            ahead_punctuation = False
            if data[i] == 32 and i + 1 < n:
                ahead_punctuation = _class_at(data, i + 1, table)[0] & _NOT_PUNCTUATION == 0
            if flags & SPACE == 0 or ahead_punctuation:
                i = _run_punctuation(data, i + size, n, table)
                while i < n and (data[i] == 10 or data[i] == 13 or data[i] == 47):
                    i += 1
            else:
                i = _spaces(data, i, n, table, True, False)
        ends[count] = i
        count += 1
    return count, i


SCANNER_FUNCTIONS = {"gpt2": scan_gpt2, "cl100k": scan_cl100k, "o200k": scan_o200k}

"""Counting the distinct pieces of a text, compiled by Numba: an open-addressing hash table over one arena of bytes.

The table is a tuple of arrays (see `piece_counts.PieceCounts`), and a call stops when one is full so that the caller can grow it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment"
from __future__ import annotations

import numpy as np
from numba import njit

from .hashing import EMPTY, SHORT, piece_key, same_bytes, slot_of


@njit(nogil=True, cache=True)
def count_pieces(data, at, ends, first, last, weights, slot_key, slot_word, word_end, word_count, arena, num_words):
    """Add the pieces ends[first:last] of `data`, the first of which starts at byte `at`, each `weights[i]` times (or once).

    Returns (pieces done, byte offset reached, number of words). Done < last: grow the table and call again.
    """
    mask = slot_key.size - 1
    used = word_end[num_words - 1] if num_words else np.int64(0)
    for i in range(first, last):
        end = ends[i]
        n = end - at
        if 2 * num_words >= slot_key.size or num_words >= word_end.size or used + n > arena.size:
            return i, at, num_words
        weight = weights[i] if weights.size else np.int64(1)
        key = piece_key(data, at, end)
        slot = slot_of(key, mask)
        while True:
            found = slot_key[slot]
            if found == EMPTY:
                slot_key[slot] = key
                slot_word[slot] = num_words
                for k in range(n):
                    arena[used + k] = data[at + k]
                used += n
                word_end[num_words] = used
                word_count[num_words] = weight
                num_words += 1
                break
            if found == key:
                word = slot_word[slot]
                start = word_end[word - 1] if word else np.int64(0)
                if n <= SHORT or (word_end[word] - start == n and same_bytes(arena, start, data, at, n)):
                    word_count[word] += weight
                    break
            slot = (slot + 1) & mask
        at = end
    return last, at, num_words


@njit(nogil=True, cache=True)
def rehash(old_key, old_word, slot_key, slot_word):
    """Move every entry into a larger, empty table."""
    mask = slot_key.size - 1
    for s in range(old_key.size):
        key = old_key[s]
        if key != EMPTY:
            slot = slot_of(key, mask)
            while slot_key[slot] != EMPTY:
                slot = (slot + 1) & mask
            slot_key[slot] = key
            slot_word[slot] = old_word[s]

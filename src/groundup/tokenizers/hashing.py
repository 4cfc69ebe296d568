"""The hash of a piece of bytes, shared by the compiled counting and encoding loops (Numba).

A piece of up to 7 bytes is its own key (the bytes, and its length on top), so equal keys mean equal pieces. A longer one gets
FNV-1a over its bytes under a top byte that no short key has; equal keys must then be checked byte by byte.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment"
from __future__ import annotations

import numpy as np
from numba import njit

SHORT = 7
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
"""Marks a free slot: a long key with all bits set is moved aside by `piece_key`."""
_LONG = np.uint64(0xF0 << 56)
_FNV_BASIS = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK56 = np.uint64((1 << 56) - 1)


@njit(inline="always")
def piece_key(data, start, end):
    n = end - start
    if n <= SHORT:
        key = np.uint64(n) << np.uint64(56)
        for k in range(n):
            key |= np.uint64(data[start + k]) << np.uint64(8 * k)
        return key
    key = _FNV_BASIS
    for k in range(start, end):
        key = (key ^ np.uint64(data[k])) * _FNV_PRIME
    return ((key ^ (key >> np.uint64(29))) & _MASK56) | _LONG


@njit(inline="always")
def slot_of(key, mask):
    """First slot to look at in a table of mask + 1 slots (a power of two); Fibonacci hashing."""
    h = key * _GOLDEN
    return np.int64((h ^ (h >> np.uint64(32))) & np.uint64(mask))


@njit(inline="always")
def same_bytes(a, a_start, b, b_start, n):
    k = 0
    while k < n and a[a_start + k] == b[b_start + k]:
        k += 1
    return k == n

"""Training examples from token shards: windows of context + 1 ids in an order that is a pure function of (seed, number).

Every epoch lays the windows end to end over the tokens, seen as a ring, from a start of its own, and visits each exactly
once in shuffled order. Nothing is kept between calls: a resumed run, or one with another number of processes, asks for the
same numbers and gets the same windows. The shuffle is a Feistel network over the window numbers (Black and Rogaway 2002,
"Ciphers with arbitrary finite domains"), so it takes no memory, however many windows there are.
"""

from __future__ import annotations

import numpy as np

from ..core.errors import DataError
from .shards import TokenShards

_MASK = (1 << 64) - 1
_ROUNDS = 6  # four make a pseudo-random permutation (Luby and Rackoff 1988); two more for a weak round function


def _mix(value: int) -> int:
    """A 64-bit number in which every bit depends on every bit of `value` (the finaliser of SplitMix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def permuted(index: int, size: int, key: int) -> int:
    """Place of `index` in a shuffle of range(size) chosen by `key`. One to one for each key."""
    if not 0 <= index < size:
        raise IndexError(f"{index} is outside 0:{size}")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    low = (1 << half) - 1
    while True:  # walk the cycle until it is back inside: the domain is below four times the size
        left, right = index >> half, index & low
        for number in range(_ROUNDS):
            left, right = right, left ^ (_mix(_mix(key + number) ^ right) & low)
        index = (left << half) | right
        if index < size:
            return index


class TokenWindows:
    """`example(i)` for i = 0, 1, 2, ... without end."""

    def __init__(
        self, shards: TokenShards, context_tokens: int, seed: int, *, shuffle: bool = True, documents: bool = False
    ) -> None:
        """shuffle=False: the windows in the order of the text from its first token, the same in every epoch and none
        over its end (for evaluation). documents=True: examples are (ids, document numbers).

        Raises DataError when the split has not enough tokens for one window.
        """
        if context_tokens < 1:
            raise DataError(f"context_tokens must be at least 1, not {context_tokens}")
        if shards.num_tokens < context_tokens + 1:
            raise DataError(
                f"the split has {shards.num_tokens:,} tokens; one window of context {context_tokens:,} needs "
                f"{context_tokens + 1:,}",
                hint="use more text, a larger share (data.split.validation=0.1) or a shorter context",
            )
        self.shards = shards
        self.context_tokens = context_tokens
        self.seed = seed
        self._shuffle = shuffle
        self._documents = documents

    @property
    def num_windows(self) -> int:
        """Windows in one epoch."""
        tokens = self.shards.num_tokens
        return (tokens if self._shuffle else tokens - 1) // self.context_tokens

    def start(self, index: int) -> int:
        """Position of example `index`'s first token."""
        if index < 0:
            raise IndexError(f"examples are numbered from 0, not {index}")
        epoch, place = divmod(index, self.num_windows)
        if not self._shuffle:
            return place * self.context_tokens
        key = _mix(_mix(self.seed) + epoch)
        place = permuted(place, self.num_windows, key)
        offset = _mix(key ^ 0x5EED) % self.context_tokens
        return (offset + place * self.context_tokens) % self.shards.num_tokens

    def example(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """int64 [context_tokens + 1]; with documents=True also the document number of each position, same shape."""
        start, size = self.start(index), self.shards.num_tokens
        stop = start + self.context_tokens + 1
        ids = self.shards.tokens(start, min(stop, size))
        if stop > size:
            ids = np.concatenate([ids, self.shards.tokens(0, stop - size)])
        if not self._documents:
            return ids
        positions = np.arange(start, stop)
        numbers = self.shards.document_numbers(positions % size)
        numbers[positions >= size] += self.shards.num_documents  # past the seam nothing continues, one document or many
        return ids, numbers

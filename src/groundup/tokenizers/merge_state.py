"""The arrays of BPE training: made from counted pieces, grown when the compiled loop asks for room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .piece_counts import PieceCounts

_FIRST_PAIRS = 1 << 17
"""Room for pairs at first: all 65,536 pairs of bytes and as many again."""


def _grown(array: np.ndarray, used: int, room: int) -> np.ndarray:
    if used + room <= len(array):
        return array
    larger = np.empty((max(2 * len(array), used + room), *array.shape[1:]), array.dtype)
    larger[:used] = array[:used]
    return larger


class MergeState:
    """Training between two calls of the merge loop; `merge_kernel` says what each array holds.

    tokens: the bytes of each token before any merge, special ones first; an empty one can never be spelled.
    byte_id int64 [256]. Memory: about 40 bytes per byte of distinct piece, plus 60 per pair ever seen. Arrays sized for the
    worst case (positions, scratch) take memory only as they are written to.
    """

    def __init__(
        self, counts: PieceCounts, tokens: Sequence[bytes], byte_id: np.ndarray, num_special: int, vocab_size: int
    ) -> None:
        from .merge_kernel import NUM_TOKENS, place_words

        self._vocab_size, self._num_special = vocab_size, num_special
        sizes = np.diff(counts.word_end, prepend=0)
        num_symbols = int(sizes[sizes > 1].sum())
        room = max(vocab_size, len(tokens))
        self._state = np.zeros(7, np.int64)
        self._state[NUM_TOKENS] = len(tokens)
        self._merges = np.empty((room, 2), np.int64)
        self._nodes = np.empty((num_symbols, 4), np.int32)
        self._word_of = np.empty(num_symbols, np.int32)
        self._word_count = counts.word_count
        self._pairs = np.empty((_FIRST_PAIRS, 3), np.int32)
        self._pair_count = np.empty(_FIRST_PAIRS, np.int64)
        self._pair_start = np.empty(_FIRST_PAIRS, np.int64)
        self._positions = np.empty(3 * num_symbols + 1, np.int32)  # a merge removes a symbol and notes two positions
        self._heap = np.empty((_FIRST_PAIRS, 3), np.int64)
        self._beside = np.full((room, 2), -1, np.int32)
        self._noted = np.empty((2 * num_symbols + 1, 2), np.int32)
        joined = b"".join(tokens)
        self._spelled = np.empty(max(2 * len(joined), 8 * vocab_size), np.uint8)
        self._spelled[: len(joined)] = np.frombuffer(joined, np.uint8)
        self._token_end = np.zeros(room + 1, np.int64)
        self._token_end[1 : len(tokens) + 1] = np.cumsum([len(token) for token in tokens])
        place_words(
            counts.arena, counts.word_end, self._word_count, byte_id, self._state, self._nodes, self._word_of,
            self._pairs, self._pair_count, self._pair_start, self._positions, self._heap,
        )  # fmt: skip

    @property
    def num_tokens(self) -> int:
        return int(self._state[0])

    @property
    def merges(self) -> np.ndarray:
        """int64 [merges, 2]: left id, right id; the first makes id len(tokens), and so on."""
        from .merge_kernel import NUM_MERGES

        return self._merges[: self._state[NUM_MERGES]]

    def advance(self, most: int, min_frequency: int) -> bool:
        """Apply up to `most` merges; False when there are no more to apply."""
        from .merge_kernel import AGAIN, DONE, NUM_MERGES, apply_merges

        wanted = int(self._state[NUM_MERGES]) + most
        while (left := wanted - int(self._state[NUM_MERGES])) > 0:
            outcome = apply_merges(
                left, self._vocab_size, self._num_special, min_frequency, self._state, self._merges, self._nodes,
                self._word_of, self._word_count, self._pairs, self._pair_count, self._pair_start, self._positions,
                self._heap, self._beside, self._spelled, self._token_end, self._noted,
            )  # fmt: skip
            if outcome == DONE:
                return False
            if outcome != AGAIN:
                self._grow()
        return True

    def _grow(self) -> None:
        num_tokens, num_pairs, heap_size, _, _, pairs, size = self._state.tolist()
        self._pairs = _grown(self._pairs, num_pairs, pairs)
        self._pair_count = _grown(self._pair_count, num_pairs, pairs)
        self._pair_start = _grown(self._pair_start, num_pairs, pairs)
        self._heap = _grown(self._heap, heap_size, pairs)
        self._spelled = _grown(self._spelled, int(self._token_end[num_tokens]), size)

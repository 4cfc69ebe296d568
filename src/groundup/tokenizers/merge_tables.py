"""The tables of a byte-level BPE model in the form the compiled encoder takes."""

from __future__ import annotations

import queue
from collections.abc import Sequence

import numpy as np

from groundup.core.errors import TokenizerError

from .vocabulary import BPEVocabulary

_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)  # hashing.EMPTY, without importing Numba
_CACHE_SLOTS = 1 << 14
_NO_MERGE = 0x7FFFFFFFFFFFFFFF


def _power_of_two(least: int) -> int:
    return 1 << max(4, (least - 1).bit_length())


class MergeTables:
    """Look-up tables for encoding.

    tokens: bytes of each id; empty where an id has none (special tokens, gaps).
    left, right, value: int64 [merges]; value is rank << 32 | new id. The same rank may come several times (tiktoken).
    whole_pieces: a piece that is a token is that token, whatever merging would make of it (tiktoken; `ignore_merges` of
    Hugging Face). Otherwise only merging counts, and a token that merging does not reach is never produced.
    """

    def __init__(
        self, tokens: Sequence[bytes], left: np.ndarray, right: np.ndarray, value: np.ndarray, *, whole_pieces: bool
    ) -> None:
        from .encode_kernel import fill_pairs

        self.spelled = np.frombuffer(bytearray(b"".join(tokens)) or bytearray(1), np.uint8)
        self.token_end = np.zeros(len(tokens) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, tokens), np.int64, len(tokens)), out=self.token_end[1:])
        self.byte_id = np.full(256, -1, np.int32)
        for token, data in enumerate(tokens):
            if len(data) == 1:
                self.byte_id[data[0]] = token
        self.pair_key = np.full(_power_of_two(2 * len(left) + 1), _EMPTY, np.uint64)
        self.pair_value = np.empty(len(self.pair_key), np.int64)
        fill_pairs(left, right, value, self.pair_key, self.pair_value)
        self.byte_pair = np.full(65536, _NO_MERGE, np.int64)
        byte_of = np.full(len(tokens) + 1, -1, np.int64)
        byte_of[self.byte_id[self.byte_id >= 0]] = np.flatnonzero(self.byte_id >= 0)
        both = (byte_of[left] >= 0) & (byte_of[right] >= 0)
        self.byte_pair[byte_of[left[both]] << 8 | byte_of[right[both]]] = value[both]
        for table in (self.spelled, self.token_end):
            table.flags.writeable = False
        self._free: queue.SimpleQueue[tuple[np.ndarray, ...]] = queue.SimpleQueue()
        self._enter_whole(tokens, whole_pieces)

    def _enter_whole(self, tokens: Sequence[bytes], whole_pieces: bool) -> None:
        """Make the table of tokens that a whole piece may become."""
        from .count_kernels import count_pieces

        self.direct_key = np.full(16, _EMPTY, np.uint64)
        self.direct_id = np.empty(16, np.int32)
        wanted = np.array([i for i, data in enumerate(tokens) if data], np.int64)
        if not whole_pieces and len(wanted):
            # Only those that merging their own bytes gives back.
            wanted = wanted[self._reached(wanted)]
        data = b"".join(tokens[i] for i in wanted)
        arena = np.frombuffer(data or b"\0", np.uint8)
        ends = np.cumsum([len(tokens[i]) for i in wanted], dtype=np.int64)
        key = np.full(_power_of_two(2 * len(wanted) + 2), _EMPTY, np.uint64)
        word = np.empty(len(key), np.int32)
        room = len(wanted) + 1
        done, _, distinct = count_pieces(
            arena, 0, ends, 0, len(wanted), np.empty(0, np.int64), key, word, np.empty(room, np.int64),
            np.empty(room, np.int64), np.empty(len(data) + 1, np.uint8), 0,
        )  # fmt: skip
        assert done == len(wanted)
        if distinct != len(wanted):
            seen: dict[bytes, int] = {}
            for i in wanted.tolist():
                if tokens[i] in seen:
                    raise TokenizerError(f"ids {seen[tokens[i]]} and {i} both stand for {tokens[i]!r}")
                seen[tokens[i]] = i
        used = key != _EMPTY
        word[used] = wanted[word[used]]
        self.direct_key, self.direct_id = key, word

    def _reached(self, wanted: np.ndarray) -> np.ndarray:
        """bool [wanted]: whether merging the bytes of a token gives that token."""
        sizes = np.diff(self.token_end)
        spellable = np.ones(len(wanted), bool)
        if (self.byte_id < 0).any():
            missing = np.concatenate([[0], np.cumsum(self.byte_id[self.spelled] < 0)])
            spellable = missing[self.token_end[wanted + 1]] == missing[self.token_end[wanted]]
        wanted = wanted[spellable]
        data = b"".join(self.spelled[self.token_end[i] : self.token_end[i + 1]].tobytes() for i in wanted)
        ends = np.cumsum(sizes[wanted], dtype=np.int64)
        out = np.empty(len(data) + 1, np.int32)
        written, _ = self.encode(np.frombuffer(data or b"\0", np.uint8), 0, ends, len(ends), out, 0)
        out = out[:written]
        last = np.searchsorted(np.cumsum(sizes[out]), ends)  # the id that ends each token
        spellable[spellable] = out[last] == wanted
        return spellable

    def encode(
        self, data: np.ndarray, at: int, ends: np.ndarray, count: int, out: np.ndarray, written: int
    ) -> tuple[int, int]:
        """Ids of pieces into out[written:]; see `encode_kernel.encode_pieces`. Safe from several threads."""
        from .encode_kernel import CACHE_BYTES, CACHE_IDS, encode_pieces

        try:
            cache = self._free.get_nowait()
        except queue.Empty:
            cache = (
                np.full(_CACHE_SLOTS, _EMPTY, np.uint64),
                np.empty(_CACHE_SLOTS, np.int32),
                np.empty(_CACHE_SLOTS * CACHE_BYTES, np.uint8),
                np.empty(_CACHE_SLOTS * CACHE_IDS, np.int32),
            )
        result: tuple[int, int] = encode_pieces(
            data, at, ends, count, out, written, self.direct_key, self.direct_id, self.spelled, self.token_end,
            self.byte_id, self.byte_pair, self.pair_key, self.pair_value, *cache,
        )  # fmt: skip
        self._free.put(cache)
        return result


def tables_of(vocabulary: BPEVocabulary) -> MergeTables:
    """The tables of a vocabulary, its merges worked out first where it has none of its own."""
    tokens = list(vocabulary.tokens)
    if vocabulary.merges is None:
        left, right, new = split_pairs(tokens)
        return MergeTables(tokens, left, right, new << 32 | new, whole_pieces=True)
    pairs = np.array(vocabulary.merges, np.int64).reshape(-1, 2)
    id_of = {data: i for i, data in enumerate(tokens) if data}
    new = np.array([id_of[tokens[a] + tokens[b]] for a, b in vocabulary.merges], np.int64)
    value = np.arange(len(pairs), dtype=np.int64) << 32 | new
    return MergeTables(tokens, pairs[:, 0].copy(), pairs[:, 1].copy(), value, whole_pieces=vocabulary.whole_pieces)


def split_pairs(tokens: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(left, right, joined) int64 [n] for every way to cut a token into two tokens: what tiktoken's rule can merge."""
    id_of = {data: i for i, data in enumerate(tokens) if data}
    found: list[tuple[int, int, int]] = []
    for data, joined in id_of.items():
        for k in range(1, len(data)):
            left = id_of.get(data[:k])
            if left is not None:
                right = id_of.get(data[k:])
                if right is not None:
                    found.append((left, right, joined))
    table = np.array(found, np.int64).reshape(-1, 3)
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()

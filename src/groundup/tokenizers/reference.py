"""Byte-level BPE in plain Python, to be read. A test holds the compiled loops equal to it, and exercises start from it."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from .alphabet import ALPHABET_ORDER, to_bytes
from .bpe_train import LearnedVocabulary

Pair = tuple[int, int]


def train(
    words: Mapping[bytes, int], *, vocab_size: int, special_tokens: tuple[str, ...] = (), min_frequency: int = 1
) -> LearnedVocabulary:
    """Learn merges from distinct words and their counts."""
    tokens = [b""] * len(special_tokens) + [bytes([byte]) for byte in ALPHABET_ORDER]
    id_of = {data: i for i, data in enumerate(tokens) if data}
    forbidden = {to_bytes(token) for token in special_tokens}
    symbols = [[id_of[bytes([byte])] for byte in word] for word in words]
    weights = list(words.values())

    counts: Counter[Pair] = Counter()
    seen: defaultdict[Pair, set[int]] = defaultdict(set)
    for w, word in enumerate(symbols):
        for pair in pairwise(word):
            counts[pair] += weights[w]
            seen[pair].add(w)
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)

    merges: list[Pair] = []
    while len(tokens) < vocab_size and queue:
        count, pair = heapq.heappop(queue)
        if -count != counts[pair]:  # it has become rarer since it was queued
            if counts[pair] > 0:
                heapq.heappush(queue, (-counts[pair], pair))
            continue
        if -count < max(1, min_frequency):
            break
        data = tokens[pair[0]] + tokens[pair[1]]
        if data in forbidden:
            continue
        new = len(tokens)
        tokens.append(data)
        merges.append(pair)
        formed: set[Pair] = set()
        for w in sorted(seen[pair]):
            symbols[w], changes = merge_word(symbols[w], pair, new)
            for changed, change in changes:
                counts[changed] += change * weights[w]
                if change > 0:
                    seen[changed].add(w)
                    formed.add(changed)
        for changed in formed:
            if counts[changed] > 0:
                heapq.heappush(queue, (-counts[changed], changed))
    return LearnedVocabulary(tokens=tokens, merges=merges, special_tokens=special_tokens)


def merge_word(word: Sequence[int], pair: Pair, new: int) -> tuple[list[int], list[tuple[Pair, int]]]:
    """Replace `pair` by `new` from left to right. Returns the word, and which pairs came (+1) and went (-1) around it."""
    merged: list[int] = []
    changes: list[tuple[Pair, int]] = []
    i = 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            if merged:
                changes += [((merged[-1], pair[0]), -1), ((merged[-1], new), 1)]
            if i + 2 < len(word):
                changes += [((pair[1], word[i + 2]), -1), ((new, word[i + 2]), 1)]
            merged.append(new)
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return merged, changes


def encode_piece(piece: bytes, byte_id: Mapping[int, int], merge_of: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """Merge one piece: always the pair of lowest rank, the leftmost of equals. merge_of: pair -> (rank, new id)."""
    ids = [byte_id[byte] for byte in piece]
    while True:
        best = min(
            ((merge_of[pair][0], i) for i, pair in enumerate(pairwise(ids)) if pair in merge_of),
            default=None,
        )
        if best is None:
            return ids
        i = best[1]
        ids[i : i + 2] = [merge_of[(ids[i], ids[i + 1])][1]]

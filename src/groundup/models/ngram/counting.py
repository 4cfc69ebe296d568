"""Every n-gram of a text up to an order, counted, as one trie in arrays.

A node is an n-gram; its children are the n-grams one unit longer that begin with it. Nodes are numbered order by order, those of
one order by (parent, word), so that the children of a node lie side by side and one search finds one. Node 0 is the root (the
empty n-gram), nodes 1 .. V the single units with or without a count, node V + 1 the beginning of a sentence, which is context
only. The *suffix* of a node is the node of the same n-gram without its first unit: where back-off goes, and from where
continuation counts come (how many different units an n-gram was seen after).

Counting is a sort per order: an n-gram is the pair (its first n - 1 units as one number, its last unit), so a radix sort of
64-bit keys brings equal ones together. `count_reference` is the same with dictionaries of tuples.

Letters: T units of the text with beginnings, V units of the vocabulary, G nodes, N highest order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...core.errors import DataError

MAX_ORDER = 7


@dataclass(frozen=True, eq=False)
class NGramTrie:
    """Counts of all n-grams of orders 1 to `order`."""

    vocab_size: int
    offsets: np.ndarray
    """[N + 2] int64: nodes of order k are offsets[k] to offsets[k + 1]."""
    word: np.ndarray
    """[G] int32: the last unit of each node; V at the node of the beginning."""
    suffix: np.ndarray
    """[G] int32."""
    first_child: np.ndarray
    """[G + 1] int32: children of node g are first_child[g] to first_child[g + 1]."""
    count: np.ndarray
    """[G] int64; 0 at the root."""

    @property
    def order(self) -> int:
        return len(self.offsets) - 2

    @property
    def beginning(self) -> int:
        """Node of the beginning of a sentence."""
        return self.vocab_size + 1

    def nodes(self, order: int) -> slice:
        return slice(int(self.offsets[order]), int(self.offsets[order + 1]))

    @cached_property
    def parent(self) -> np.ndarray:
        """[G] int64; the root is its own."""
        return np.concatenate([[0], np.repeat(np.arange(len(self.word)), np.diff(self.first_child))])

    @cached_property
    def from_beginning(self) -> np.ndarray:
        """[G] bool: n-grams that start with the beginning of a sentence."""
        flags = np.zeros(len(self.word), bool)
        flags[self.beginning] = True
        for order in range(2, self.order + 1):
            here = self.nodes(order)
            flags[here] = flags[self.parent[here]]
        return flags

    def over_children(self, values: np.ndarray) -> np.ndarray:
        """values [G] -> [G] sums over each node's children, the beginning (which nothing predicts) left out."""
        kept = values.astype(np.float64)
        kept[[0, self.beginning]] = 0.0
        return np.bincount(self.parent, weights=kept, minlength=len(kept))

    @cached_property
    def num_children(self) -> np.ndarray:
        """[G] int64: different units seen after each node."""
        seen = (self.count > 0).astype(np.int64)
        return self.over_children(seen).astype(np.int64)

    def adjusted(self) -> np.ndarray:
        """[G] int64 counts of Kneser and Ney 1995: how many different units an n-gram follows, for orders below the highest;
        n-grams from the beginning of a sentence, which follow nothing, keep their counts. The beginning itself gets 0.
        """
        counts = np.where(self.from_beginning, self.count, 0)
        counts[self.nodes(self.order)] = self.count[self.nodes(self.order)]
        for order in range(1, self.order):
            here, above = self.nodes(order), self.nodes(order + 1)
            follows = np.bincount(self.suffix[above] - here.start, minlength=here.stop - here.start)
            counts[here] = np.where(self.from_beginning[here], counts[here], follows)
        counts[self.beginning] = 0
        return counts

    def up_to(self, order: int) -> NGramTrie:
        """The same counts without the orders above `order`."""
        end = int(self.offsets[order + 1])
        first_child = np.minimum(self.first_child[: end + 1], end)
        return NGramTrie(
            self.vocab_size,
            self.offsets[: order + 2],
            self.word[:end],
            self.suffix[:end],
            first_child,
            self.count[:end],
        )


def lay_out(documents: Iterable[Sequence[int] | np.ndarray], vocab_size: int, end_of_line: int | None) -> np.ndarray:
    """[T] int32: the documents behind each other, the beginning (id vocab_size) before each one, and before each line where
    `end_of_line` is the unit that ends one.
    """
    parts = []
    for document in documents:
        ids = np.asarray(document, np.int32)
        starts = np.zeros(1, np.int64)
        if end_of_line is not None:
            after = np.flatnonzero(ids == end_of_line) + 1
            starts = np.concatenate([starts, after[after < len(ids)]])
        if len(ids):
            parts.append(np.insert(ids, starts, vocab_size))
    if not parts:
        raise DataError("there is no text to count n-grams in", hint="check the data stage")
    return np.concatenate(parts)


def count_ngrams(text: np.ndarray, order: int, vocab_size: int) -> NGramTrie:
    """text: what `lay_out` gives."""
    from .kernels import next_order

    if not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order must be 1 to {MAX_ORDER}, not {order}")
    units = vocab_size + 1
    counts = [np.zeros(1, np.int64), np.bincount(text, minlength=units)]
    words = [np.zeros(1, np.int32), np.arange(units, dtype=np.int32)]
    suffixes = [np.zeros(1, np.int32), np.zeros(units, np.int32)]
    num_children = [np.array([units])]
    offsets = [0, 1, 1 + units]
    ids = text.astype(np.int32)
    starts = np.maximum.accumulate(np.where(text == vocab_size, np.arange(len(text)), 0)).astype(np.int32)
    for length in range(2, order + 1):
        ids, parent, word, suffix, count = next_order(text, starts, ids, length, units)
        num_children.append(np.bincount(parent, minlength=offsets[-1] - offsets[-2]))
        words.append(word)
        suffixes.append(suffix + np.int32(offsets[-2]))
        counts.append(count)
        offsets.append(offsets[-1] + len(word))
    num_children.append(np.zeros(offsets[-1] - offsets[-2], np.int64))
    first_child = np.concatenate([[1], 1 + np.cumsum(np.concatenate(num_children))]).astype(np.int32)
    return NGramTrie(
        vocab_size,
        np.array(offsets),
        np.concatenate(words).astype(np.int32),
        np.concatenate(suffixes).astype(np.int32),
        first_child,
        np.concatenate(counts).astype(np.int64),
    )


def count_reference(text: np.ndarray, order: int, vocab_size: int) -> dict[tuple[int, ...], int]:
    """Every n-gram with its count, in plain Python: what `count_ngrams` must equal."""
    counts: Counter[tuple[int, ...]] = Counter()
    sentence: list[int] = []
    for unit in text.tolist():
        sentence = [unit] if unit == vocab_size else [*sentence[-(order - 1) :], unit] if order > 1 else [unit]
        counts.update(tuple(sentence[-length:]) for length in range(1, len(sentence) + 1))
    return dict(counts)


def ngrams(trie: NGramTrie) -> list[tuple[int, ...]]:
    """The units of every node, in order of the nodes."""
    made: list[Any] = [()]
    for node in range(1, len(trie.word)):
        made.append((*made[trie.parent[node]], int(trie.word[node])))
    return made

"""k nearest neighbours: an answer is the mean, or the most frequent class, of the k examples nearest by Euclid's distance.

All distances are computed, in a loop that Numba compiles: right for tables; for millions of vectors an index is needed. Of equally near
examples the first wins, of equally frequent classes the lowest number. Left out: trees of space, other distances.

Letters: N examples, Q queries, D features, k neighbours, K classes.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit

from ..core.errors import ConfigError
from .sparse import Array


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _nearest(queries, examples, k):
    """Of each query the k smallest squared distances so far, kept in order; one that is no smaller than the last is passed over."""
    which = np.zeros((queries.shape[0], k), np.int64)
    squares = np.full((queries.shape[0], k), np.inf)
    for q in range(queries.shape[0]):
        for n in range(examples.shape[0]):
            square = 0.0
            for d in range(queries.shape[1]):
                square += (queries[q, d] - examples[n, d]) ** 2
            if square >= squares[q, k - 1]:
                continue
            place = k - 1
            while place > 0 and squares[q, place - 1] > square:
                squares[q, place], which[q, place] = squares[q, place - 1], which[q, place - 1]
                place -= 1
            squares[q, place], which[q, place] = square, n
    return which, squares


def nearest(queries: Array, examples: Array, k: int) -> tuple[Array, Array]:
    """(which int64 [Q, k] nearest first, distances [Q, k]); k is at most N."""
    assert 1 <= k <= len(examples), (k, len(examples))
    which, squares = _nearest(np.ascontiguousarray(queries, np.float64), np.ascontiguousarray(examples, np.float64), k)
    return which, np.sqrt(squares)


@dataclass(frozen=True, eq=False)
class NeighboursModel:
    examples: Array
    """[N, D]"""
    targets: Array
    """[N]: numbers, or classes"""
    k: int
    weights: str
    num_classes: int | None

    def outputs(self, x: Array) -> Array:
        """[Q, D] -> [Q, K]: share of each class among the neighbours; or [Q, 1], their mean."""
        which, distances = nearest(x, self.examples, self.k)
        weights = np.ones_like(distances)
        if self.weights == "distance":
            exact = distances == 0
            weights = np.where(exact.any(axis=1, keepdims=True), exact, 1.0 / np.where(exact, 1.0, distances))
        weights = weights / weights.sum(axis=1, keepdims=True)
        found = self.targets[which]
        if self.num_classes is None:
            mean: Array = (weights * found).sum(axis=1, keepdims=True)
            return mean
        shares = np.zeros((len(x), self.num_classes))
        np.add.at(shares, (np.arange(len(x))[:, None], found.astype(np.int64)), weights)
        return shares


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Remember the examples; answer as the nearest ones did."""

    k: int = 5
    weights: Literal["uniform", "distance"] = "uniform"
    """distance: a neighbour counts by the inverse of how far it is."""
    type: Literal["neighbours"] = "neighbours"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"must be at least 1, not {self.k}", path="k")

    def fit(self, x: Array, y: Array, num_classes: int | None = None) -> NeighboursModel:
        k = min(self.k, len(y))
        return NeighboursModel(np.asarray(x, np.float64), np.asarray(y, np.float64), k, self.weights, num_classes)

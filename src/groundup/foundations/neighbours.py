"""k nearest neighbours: an answer is the mean, or the most frequent class, of the k examples nearest by Euclid's distance.

All distances are computed, in blocks: right for tables; for millions of vectors an index is needed. Of equally near ones the first example wins, of
equally frequent classes the lowest number, as in scikit-learn's brute force. Left out: trees of space, other distances.

Letters: N examples, Q queries, D features, k neighbours, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.errors import ConfigError
from .sparse import Array

_BLOCK_ELEMENTS = 1 << 22


def squared_distances(a: Array, b: Array) -> Array:
    """[Q, D], [N, D] -> [Q, N], from |a|² - 2 a·b + |b|²; never below 0."""
    made = (a * a).sum(axis=1)[:, None] - 2.0 * (a @ b.T) + (b * b).sum(axis=1)
    return np.maximum(made, 0.0, out=made)


def nearest(queries: Array, examples: Array, k: int) -> tuple[Array, Array]:
    """(which int64 [Q, k] nearest first, distances [Q, k])."""
    middle = examples.mean(axis=0)  # distances do not change, and cancel less
    queries, examples = queries - middle, examples - middle
    which = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k))
    step = max(1, _BLOCK_ELEMENTS // max(1, len(examples)))
    for start in range(0, len(queries), step):
        squares = squared_distances(queries[start : start + step], examples)
        some = (
            np.argpartition(squares, k - 1, axis=1)[:, :k]
            if k < len(examples)
            else np.tile(np.arange(k), (len(squares), 1))
        )
        some.sort(axis=1)  # so that the stable sort below leaves ties in the order of the examples
        near = np.take_along_axis(squares, some, axis=1)
        order = np.argsort(near, axis=1, kind="stable")
        which[start : start + step] = np.take_along_axis(some, order, axis=1)
        distances[start : start + step] = np.sqrt(np.take_along_axis(near, order, axis=1))
    return which, distances


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
            return (weights * found).sum(axis=1, keepdims=True)
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

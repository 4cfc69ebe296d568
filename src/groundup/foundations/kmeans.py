"""k-means: Lloyd's iterations (1982) from centres drawn by k-means++ (Arthur and Vassilvitskii 2007).

Of `num_starts` draws the one with the smallest inertia is kept. A cluster that loses all its points takes the point farthest from its
centre, so there are always k. Left out: mini-batches, bounds that skip distances.

Letters: N points, D features, K clusters.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..core.errors import DataError
from .neighbours import nearest
from .sparse import Array


@dataclass(frozen=True, eq=False)
class Clusters:
    centres: Array
    """[K, D]"""
    labels: Array
    """int64 [N]"""
    inertia: float
    """Sum of squared distances to the centre of each."""
    iterations: int

    def predict(self, x: Array) -> Array:
        """int64 [N]: the nearest centre of each."""
        labels: Array = nearest(x, self.centres, 1)[0][:, 0]
        return labels


@dataclass(frozen=True, kw_only=True)
class KMeans:
    num_clusters: int = 8
    num_starts: int = 5
    max_iterations: int = 300
    tolerance: float = 1e-6
    """Ends when no centre moves farther than this share of the spread of the data."""
    seed: int = 0

    def fit(self, x: Array, start: Array | None = None) -> Clusters:
        """x [N, D]; start [K, D]: centres to begin with, in place of draws."""
        x = np.ascontiguousarray(x, np.float64)
        if not 1 <= self.num_clusters <= len(x):
            raise DataError(f"{self.num_clusters} clusters of {len(x)} points", hint="ask for fewer clusters")
        if start is not None:
            return self._lloyd(x, np.array(start, np.float64))
        draws = (np.random.default_rng([self.seed, i]) for i in range(self.num_starts))
        return min((self._lloyd(x, plus_plus(x, self.num_clusters, draw)) for draw in draws), key=lambda c: c.inertia)

    def _lloyd(self, x: Array, centres: Array) -> Clusters:
        limit = self.tolerance * float(np.sqrt(np.mean(np.var(x, axis=0))))
        labels, squares = _assign(x, centres)
        iteration = 0
        while iteration < self.max_iterations:
            iteration += 1
            moved = _means(x, labels, squares, centres)
            far = float(np.sqrt(((moved - centres) ** 2).sum(axis=1).max()))
            centres = moved
            before = labels
            labels, squares = _assign(x, centres)
            if far <= limit or np.array_equal(before, labels):
                break
        return Clusters(centres, labels, float(squares.sum()), iteration)


def plus_plus(x: Array, k: int, draw: np.random.Generator) -> Array:
    """[K, D]: the first centre any point, each further one a point drawn by its squared distance to the nearest so far."""
    chosen = [int(draw.integers(len(x)))]
    squares = ((x - x[chosen[0]]) ** 2).sum(axis=1)
    for _ in range(k - 1):
        total = squares.sum()
        chosen.append(int(draw.choice(len(x), p=squares / total)) if total > 0 else int(draw.integers(len(x))))
        squares = np.minimum(squares, ((x - x[chosen[-1]]) ** 2).sum(axis=1))
    centres: Array = x[chosen]
    return centres


@njit(nogil=True, cache=True)
def _assign(x, centres):
    """(nearest centre [N], squared distance to it [N])"""
    labels, squares = np.zeros(x.shape[0], np.int64), np.empty(x.shape[0])
    for i in range(x.shape[0]):
        best = np.inf
        for k in range(centres.shape[0]):
            square = 0.0
            for d in range(x.shape[1]):
                square += (x[i, d] - centres[k, d]) ** 2
            if square < best:
                best, labels[i] = square, k
        squares[i] = best
    return labels, squares


def _means(x: Array, labels: Array, squares: Array, centres: Array) -> Array:
    counts = np.bincount(labels, minlength=len(centres))
    sums = np.zeros_like(centres)
    np.add.at(sums, labels, x)
    moved = sums / np.maximum(counts, 1)[:, None]
    farthest = np.argsort(-squares, kind="stable")
    for place, empty in enumerate(np.flatnonzero(counts == 0)):
        moved[empty] = x[farthest[place]]
    return moved

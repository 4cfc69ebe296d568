"""Hierarchical clustering: the two nearest clusters are joined, again and again, until one is left.

Found by chains of nearest neighbours (Murtagh 1983) with the distances after a join from the formula of Lance and Williams (1967): time
and memory N², the same tree as the obvious N³ for these four linkages. Steps are numbered as SciPy's: points are 0 .. N - 1, the cluster of
step i is N + i. Left out: centroid and median linkage (whose heights can fall), graphs of who may join.

Letters: N points, D features.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit

from ..core.errors import DataError
from .sparse import Array

Linkage = Literal["single", "complete", "average", "ward"]
SINGLE, COMPLETE, AVERAGE, WARD = range(4)
_CODES: dict[Linkage, int] = {"single": SINGLE, "complete": COMPLETE, "average": AVERAGE, "ward": WARD}
MAX_POINTS = 20_000
"""Their distances take 1.6 GB."""


@dataclass(frozen=True, eq=False)
class MergeTree:
    merges: Array
    """float64 [N - 1, 4]: two clusters, the smaller number first; the height of their join; the size of what it makes."""

    @property
    def num_points(self) -> int:
        return len(self.merges) + 1

    def cut(self, num_clusters: int) -> Array:
        """int64 [N]: the clusters that are there before the last num_clusters - 1 joins, numbered by their first point."""
        n = self.num_points
        parent = np.arange(2 * n - 1)
        for step in range(n - num_clusters):
            parent[self.merges[step, :2].astype(np.int64)] = n + step
        for node in range(2 * n - 2, -1, -1):
            parent[node] = parent[parent[node]]
        _, first, labels = np.unique(parent[:n], return_index=True, return_inverse=True)
        order = np.argsort(np.argsort(first))
        found: Array = order[labels]
        return found

    def leaves(self) -> list[int]:
        """Points in an order in which every cluster stands together: how a dendrogram is drawn."""
        n = self.num_points
        order, waiting = [], [2 * n - 2]
        while waiting:
            node = waiting.pop()
            if node < n:
                order.append(node)
            else:
                left, right = self.merges[node - n, :2].astype(int)
                waiting += [right, left]
        return order


def linkage(x: Array, method: Linkage = "ward") -> MergeTree:
    """x [N, D]. single: distance of the nearest members; complete: of the farthest; average: mean of all; ward: how much the sum of
    squares within clusters grows (as a distance: sqrt(2 · growth)).
    """
    if not 2 <= len(x) <= MAX_POINTS:
        raise DataError(f"hierarchical clustering takes 2 to {MAX_POINTS:,} points, not {len(x):,}",
                        hint="take a sample, or cluster with k-means first")  # fmt: skip
    pairs, heights = _chains(np.ascontiguousarray(x, np.float64), _CODES[method])
    # Chains find joins out of order; sorted by height they are a tree again (none of these linkages goes down).
    order = np.argsort(heights, kind="stable")
    n = len(x)
    merges = np.empty((n - 1, 4))
    root, number, size = np.arange(n), np.arange(n), np.ones(n, np.int64)
    for step, at in enumerate(order):
        a, b = (_root(root, int(point)) for point in pairs[at])
        first, second = sorted((int(number[a]), int(number[b])))
        merges[step] = first, second, heights[at], size[a] + size[b]
        root[b], number[a], size[a] = a, n + step, size[a] + size[b]
    return MergeTree(merges)


def _root(root: Array, point: int) -> int:
    while root[point] != point:
        root[point] = root[root[point]]
        point = int(root[point])
    return point


@njit(nogil=True, cache=True)
def _chains(x, method):
    """(pairs int64 [N - 1, 2] of points, one of each cluster joined; heights)"""
    n = x.shape[0]
    distances = np.empty((n, n))
    for i in range(n):
        distances[i, i] = np.inf
        for j in range(i):
            square = 0.0
            for d in range(x.shape[1]):
                square += (x[i, d] - x[j, d]) ** 2
            distances[i, j] = distances[j, i] = np.sqrt(square)
    size = np.ones(n, np.int64)
    pairs, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1)
    chain = np.empty(n, np.int64)
    length = 0
    for step in range(n - 1):
        if length == 0:
            for i in range(n):
                if size[i] > 0:
                    chain[0], length = i, 1
                    break
        while True:
            a = chain[length - 1]
            # Of equally near ones the one before it in the chain, so that the chain ends.
            b = chain[length - 2] if length > 1 else -1
            best = distances[a, b] if length > 1 else np.inf
            for j in range(n):
                if size[j] > 0 and distances[a, j] < best:
                    best, b = distances[a, j], j
            if length > 1 and b == chain[length - 2]:
                break
            chain[length] = b
            length += 1
        length -= 2
        pairs[step, 0], pairs[step, 1], heights[step] = a, b, best
        na, nb = size[a], size[b]
        for j in range(n):
            if size[j] == 0 or j in (a, b):
                continue
            da, db = distances[a, j], distances[b, j]
            if method == SINGLE:
                made = min(da, db)
            elif method == COMPLETE:
                made = max(da, db)
            elif method == AVERAGE:
                made = (na * da + nb * db) / (na + nb)
            else:
                nj = size[j]
                made = np.sqrt(((na + nj) * da * da + (nb + nj) * db * db - nj * best * best) / (na + nb + nj))
            distances[b, j] = distances[j, b] = made
        size[b], size[a] = na + nb, 0
    return pairs, heights

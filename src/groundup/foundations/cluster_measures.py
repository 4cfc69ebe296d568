"""How good a clustering is: by itself (silhouette), or beside labels that are known (adjusted Rand index, purity).

Letters: N points, D features, K clusters, L labels.
"""

from __future__ import annotations

import numpy as np

from .sparse import Array

_BLOCK = 256


def contingency(clusters: Array, labels: Array) -> Array:
    """int64 [K, L]: how many points are in each cluster and have each label."""
    rows, columns = (np.unique(x, return_inverse=True)[1] for x in (clusters, labels))
    counts = np.zeros((rows.max() + 1, columns.max() + 1), np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def purity(clusters: Array, labels: Array) -> float:
    """Share of the points that have the most frequent label of their cluster. More clusters are never less pure."""
    return float(contingency(clusters, labels).max(axis=1).sum() / len(labels))


def adjusted_rand_index(clusters: Array, labels: Array) -> float:
    """Pairs that both put together or both keep apart, less what chance gives (Hubert and Arabie 1985): 1 is equal, 0 is chance."""
    counts = contingency(clusters, labels)

    def pairs(sizes: Array) -> float:
        return float((sizes * (sizes - 1) / 2).sum())

    together, of_rows, of_columns = pairs(counts), pairs(counts.sum(axis=1)), pairs(counts.sum(axis=0))
    chance = of_rows * of_columns / max(1.0, len(labels) * (len(labels) - 1) / 2)
    most = (of_rows + of_columns) / 2
    return 1.0 if most == chance else (together - chance) / (most - chance)


def silhouette(x: Array, labels: Array) -> float:
    """Mean over the points of (b - a) / max(a, b), a the mean distance within its cluster, b to the nearest other (Rousseeuw 1987):
    1 is well apart, 0 is no clusters at all. 0 for points alone in theirs.
    """
    _, labels = np.unique(labels, return_inverse=True)
    counts = np.bincount(labels)
    if len(counts) < 2:
        return 0.0
    sums = np.zeros((len(x), len(counts)))
    for k in range(len(counts)):
        members = x[labels == k]
        for start in range(0, len(x), _BLOCK):
            part = x[start : start + _BLOCK]
            sums[start : start + _BLOCK, k] = np.sqrt(((part[:, None] - members) ** 2).sum(axis=2)).sum(axis=1)
    own = counts[labels]
    within = sums[np.arange(len(x)), labels] / np.maximum(own - 1, 1)
    means = sums / counts
    means[np.arange(len(x)), labels] = np.inf
    other = means.min(axis=1)
    largest = np.maximum(within, other)
    scores = np.where((own > 1) & (largest > 0), (other - within) / np.where(largest > 0, largest, 1.0), 0.0)
    return float(scores.mean())

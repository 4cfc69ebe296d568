"""Decision trees and random forests, for classes and for numbers.

A tree is grown as CART is (Breiman et al. 1984): each node takes the feature and threshold that lower the impurity most, until
`max_depth`, `min_samples_split` or `min_samples_leaf` stop it or nothing is left to lower. Impurity is Gini's or the entropy of the
classes, or the variance of the numbers. Thresholds lie half way between neighbouring values; of equally good splits the first
feature and the lowest threshold win (scikit-learn draws one). A forest (Breiman 2001) is the mean of trees, each on a sample with
replacement, each split among `max_features` drawn features. Left out: pruning afterwards, missing values, categories without
one-hot columns, boosting.

Letters: N examples, D features, K outputs (classes, or 1), M nodes.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit

from ..core.errors import ConfigError
from .sparse import Array

GINI, ENTROPY, VARIANCE = 0, 1, 2
_CODES = {"gini": GINI, "entropy": ENTROPY, "variance": VARIANCE}
_UNLIMITED = 1 << 30
_NO_GAIN = 1e-12
"""Of the impurity at the root: a smaller gain is rounding."""


@dataclass(frozen=True, eq=False)
class TreeModel:
    """Node 0 is the root; a row goes left where its `feature` is at most `threshold`."""

    feature: Array
    """int64 [M]; -1: a leaf."""
    threshold: Array
    """float64 [M]"""
    left: Array
    """int64 [M]"""
    right: Array
    value: Array
    """float64 [M, K]: the share of each class, or the mean."""
    samples: Array
    """int64 [M]"""
    impurity: Array
    """float64 [M]"""

    @property
    def depth(self) -> int:
        depths = np.zeros(len(self.feature), np.int64)
        for node in range(len(self.feature)):  # a child always comes after its parent
            if self.feature[node] >= 0:
                depths[[self.left[node], self.right[node]]] = depths[node] + 1
        return int(depths.max())

    @property
    def num_leaves(self) -> int:
        return int((self.feature < 0).sum())

    def leaves(self, x: Array) -> Array:
        """int64 [N]: the leaf that each row falls into."""
        found: Array = _leaves(np.ascontiguousarray(x, np.float64), self.feature, self.threshold, self.left, self.right)
        return found

    def outputs(self, x: Array) -> Array:
        """[N, D] -> [N, K]"""
        made: Array = self.value[self.leaves(x)]
        return made

    def importances(self, num_features: int) -> Array:
        """[D]: share of the whole decrease of impurity that splits on each feature brought."""
        gained = np.zeros(num_features)
        for node in np.flatnonzero(self.feature >= 0):
            left, right = self.left[node], self.right[node]
            gained[self.feature[node]] += (
                self.samples[node] * self.impurity[node]
                - self.samples[left] * self.impurity[left]
                - self.samples[right] * self.impurity[right]
            )
        return gained / gained.sum() if gained.sum() > 0 else gained


@dataclass(frozen=True, eq=False)
class ForestModel:
    trees: tuple[TreeModel, ...]

    def outputs(self, x: Array) -> Array:
        """[N, D] -> [N, K]: mean of the trees'."""
        mean: Array = np.mean([tree.outputs(x) for tree in self.trees], axis=0)
        return mean

    def importances(self, num_features: int) -> Array:
        mean: Array = np.mean([tree.importances(num_features) for tree in self.trees], axis=0)
        return mean


@dataclass(frozen=True, kw_only=True)
class DecisionTree:
    """Questions with two answers, one after the other."""

    max_depth: int | None = None
    min_samples_split: int = 2
    min_samples_leaf: int = 1
    criterion: Literal["gini", "entropy"] = "gini"
    """Of classes; numbers are split by their variance."""
    type: Literal["tree"] = "tree"

    def __post_init__(self) -> None:
        if self.max_depth is not None and self.max_depth < 1:
            raise ConfigError(f"must be at least 1, not {self.max_depth}", path="max_depth")
        if self.min_samples_split < 2 or self.min_samples_leaf < 1:
            raise ConfigError("min_samples_split must be at least 2 and min_samples_leaf at least 1")

    def fit(self, x: Array, y: Array, num_classes: int | None = None) -> TreeModel:
        """x [N, D]; y int [N] of classes with num_classes, float [N] of numbers without."""
        return _grown(self, x, y, num_classes, np.arange(len(y)), x.shape[1], 0)


@dataclass(frozen=True, kw_only=True)
class RandomForest:
    """Many trees that differ by what they saw; their mean is steadier than any of them."""

    num_trees: int = 100
    max_features: float | None = None
    """Share of the features that each split chooses among; null: their square root for classes, a third for numbers (Breiman)."""
    max_depth: int | None = None
    min_samples_leaf: int = 1
    seed: int = 0
    type: Literal["forest"] = "forest"

    def __post_init__(self) -> None:
        if self.num_trees < 1:
            raise ConfigError(f"must be at least 1, not {self.num_trees}", path="num_trees")
        if self.max_features is not None and not 0 < self.max_features <= 1:
            raise ConfigError(f"must be above 0 and at most 1, not {self.max_features}", path="max_features")

    def fit(self, x: Array, y: Array, num_classes: int | None = None) -> ForestModel:
        share = self.max_features or (1 / 3 if num_classes is None else x.shape[1] ** -0.5)
        one = DecisionTree(max_depth=self.max_depth, min_samples_leaf=self.min_samples_leaf)
        features = max(1, round(share * x.shape[1]))
        trees = []
        for number in range(self.num_trees):
            draw = np.random.default_rng([self.seed, number])
            which = draw.integers(0, len(y), len(y))
            trees.append(_grown(one, x, y, num_classes, which, features, int(draw.integers(1 << 31))))
        return ForestModel(tuple(trees))


def _grown(
    config: DecisionTree, x: Array, y: Array, num_classes: int | None, which: Array, max_features: int, seed: int
) -> TreeModel:
    """A tree of the rows `which` (repeated ones count twice)."""
    columns = np.ascontiguousarray(np.asarray(x, np.float64)[which].T)
    grown = _grow(
        columns,
        np.asarray(y, np.float64)[which],
        np.argsort(columns, axis=1, kind="stable"),
        num_classes or 1,
        VARIANCE if num_classes is None else _CODES[config.criterion],
        config.max_depth or _UNLIMITED,
        config.min_samples_split,
        config.min_samples_leaf,
        max_features,
        seed,
    )
    return TreeModel(*grown)


@njit(nogil=True, cache=True)
def _leaves(x, feature, threshold, left, right):
    found = np.empty(x.shape[0], np.int64)
    for i in range(x.shape[0]):
        node = 0
        while feature[node] >= 0:
            node = left[node] if x[i, feature[node]] <= threshold[node] else right[node]
        found[i] = node
    return found


@njit(nogil=True, cache=True)
def _impurity(sums, squares, count, criterion):
    """sums [K]: of the numbers (K = 1), or how often each class is there; squares: sum of the squared numbers."""
    if criterion == VARIANCE:
        mean = sums[0] / count
        return max(0.0, squares / count - mean * mean)
    total = 0.0
    for k in range(len(sums)):
        share = sums[k] / count
        if criterion == GINI:
            total += share * share
        elif share > 0:
            total -= share * math.log2(share)
    return 1.0 - total if criterion == GINI else total


@njit(nogil=True, cache=True)
def _best_split(x, y, order, start, end, criterion, min_leaf, candidates, sums, squares):
    """(feature, threshold); feature -1 where no split is allowed. order[feature, start:end]: the node's rows by that feature."""
    n, num_outputs = end - start, len(sums)
    best, best_feature, best_threshold = np.inf, -1, 0.0
    left, right = np.empty(num_outputs), np.empty(num_outputs)
    for feature in candidates:
        column, rows = x[feature], order[feature, start:end]
        left_squares, right_squares = 0.0, squares
        for k in range(num_outputs):
            left[k], right[k] = 0.0, sums[k]
        for i in range(n - 1):
            target = y[rows[i]]
            if criterion == VARIANCE:
                left[0] += target
                right[0] -= target
                left_squares += target * target
                right_squares -= target * target
            else:
                left[int(target)] += 1.0
                right[int(target)] -= 1.0
            here, after = column[rows[i]], column[rows[i + 1]]
            count = i + 1
            if here == after or count < min_leaf or n - count < min_leaf:
                continue
            both = count * _impurity(left, left_squares, count, criterion) + (n - count) * _impurity(
                right, right_squares, n - count, criterion
            )
            if both < best:
                middle = here / 2.0 + after / 2.0
                # Between two floats that are neighbours there is no middle.
                best, best_feature, best_threshold = both, feature, here if middle >= after else middle
    return best_feature, best_threshold


@njit(nogil=True, cache=True)
def _grow(x, y, order, num_outputs, criterion, max_depth, min_split, min_leaf, max_features, seed):
    """x [D, N], y [N], order int64 [D, N]: the rows sorted by each feature. Depth first, the left child before the right one.

    A node is the same stretch of every row of `order`, and a split moves what goes left to the front of it, in order: so
    nothing is sorted twice.
    """
    np.random.seed(seed)
    num_features, num_rows = x.shape
    most = 2 * num_rows - 1
    feature, threshold = np.full(most, -1, np.int64), np.zeros(most)
    left, right = np.full(most, -1, np.int64), np.full(most, -1, np.int64)
    value, samples, impurity = np.zeros((most, num_outputs)), np.zeros(most, np.int64), np.zeros(most)
    # Of each waiting node: where its rows begin and end, its depth, its parent and whether it is the right child.
    waiting = np.empty((most, 5), np.int64)
    waiting[0, 0], waiting[0, 1], waiting[0, 2], waiting[0, 3], waiting[0, 4] = 0, num_rows, 0, -1, 0
    num_waiting, num_nodes = 1, 0
    middle = 0.0
    if criterion == VARIANCE:  # about their mean, squares lose no digits
        middle = y.mean()
        y = y - middle
    sums = np.empty(num_outputs)
    beside = np.empty(num_rows, np.int64)
    goes_left = np.empty(num_rows, np.bool_)
    every = np.arange(num_features)
    smallest = 0.0
    while num_waiting:
        num_waiting -= 1
        start, end, depth = waiting[num_waiting, 0], waiting[num_waiting, 1], waiting[num_waiting, 2]
        parent, is_right = waiting[num_waiting, 3], waiting[num_waiting, 4]
        node = num_nodes
        num_nodes += 1
        if parent >= 0:
            if is_right:
                right[parent] = node
            else:
                left[parent] = node
        n = end - start
        squares = 0.0
        for k in range(num_outputs):
            sums[k] = 0.0
        for row in order[0, start:end]:
            if criterion == VARIANCE:
                sums[0] += y[row]
                squares += y[row] ** 2
            else:
                sums[int(y[row])] += 1.0
        samples[node] = n
        impurity[node] = _impurity(sums, squares, n, criterion)
        for k in range(num_outputs):
            value[node, k] = sums[k] / n + middle
        if node == 0:
            smallest = _NO_GAIN * impurity[0]
        if depth >= max_depth or n < min_split or n < 2 * min_leaf or impurity[node] <= smallest:
            continue
        # Drawn features come first; where none of them can split, the others are tried one by one (as scikit-learn does).
        if max_features < num_features:
            for i in range(num_features - 1):
                j = i + np.random.randint(num_features - i)
                every[i], every[j] = every[j], every[i]
        chosen, tried = -1, 0
        while chosen < 0 and tried < num_features:
            now = every[tried : max_features if tried == 0 else tried + 1]
            chosen, cut = _best_split(x, y, order, start, end, criterion, min_leaf, now, sums, squares)
            tried += len(now)
        if chosen < 0:
            continue
        feature[node], threshold[node] = chosen, cut
        size = 0
        for row in order[0, start:end]:
            goes_left[row] = x[chosen, row] <= cut
            size += goes_left[row]
        for f in range(num_features):
            low, high = start, 0
            for i in range(start, end):
                row = order[f, i]
                if goes_left[row]:
                    order[f, low] = row
                    low += 1
                else:
                    beside[high] = row
                    high += 1
            for i in range(high):
                order[f, low + i] = beside[i]
        for begin, stop, side in ((start + size, end, 1), (start, start + size, 0)):
            waiting[num_waiting, 0], waiting[num_waiting, 1], waiting[num_waiting, 2] = begin, stop, depth + 1
            waiting[num_waiting, 3], waiting[num_waiting, 4] = node, side
            num_waiting += 1
    n = num_nodes
    return feature[:n], threshold[:n], left[:n], right[:n], value[:n], samples[:n], impurity[:n]


def tree_arrays(trees: tuple[TreeModel, ...]) -> dict[str, Array]:
    """Any number of trees as arrays to be stored: nodes of all after one another."""
    names = ("feature", "threshold", "left", "right", "value", "samples", "impurity")
    joined = {name: np.concatenate([getattr(tree, name) for tree in trees]) for name in names}
    return joined | {"num_nodes": np.array([len(tree.feature) for tree in trees], np.int64)}


def trees_of(arrays: dict[str, Any]) -> tuple[TreeModel, ...]:
    ends = np.cumsum(arrays["num_nodes"])
    names = ("feature", "threshold", "left", "right", "value", "samples", "impurity")
    return tuple(
        TreeModel(*(arrays[name][end - size : end] for name in names))
        for size, end in zip(arrays["num_nodes"], ends, strict=True)
    )

"""How right predictions are: labels (accuracy, precision, recall, F1, Matthews' correlation, confusion), scores (ROC, precision-recall,
log loss, calibration) and numbers (MAE, RMSE, R²).

Where nothing is there to divide by, precision, recall and F1 are 0, as scikit-learn's `zero_division=0`. Averages say what they
average: micro counts every example the same, macro every label, weighted every label by how often it is wanted. Left out:
ranking (retrieval has its own), intervals (foundations/intervals.py), tagged chunks and answers in texts (text/label_measures.py).

Letters: N examples, K labels, T thresholds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from ..text.label_measures import f1

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def accuracy(wanted: Sequence[object], given: Sequence[object]) -> float:
    """Share of equal pairs; 0 for none."""
    pairs = list(zip(wanted, given, strict=True))
    return sum(bool(w == g) for w, g in pairs) / len(pairs) if pairs else 0.0


def confusion(wanted: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> Array:
    """int64 [K, K]: how often the label of the row was wanted and that of the column given."""
    number = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for w, g in zip(wanted, given, strict=True):
        counts[number[w], number[g]] += 1
    return counts


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """Of each label, in the order of the confusion matrix that they were taken from."""

    precision: Array
    """[K] right / given"""
    recall: Array
    """[K] right / wanted"""
    f1: Array
    support: Array
    """[K] how often wanted"""

    def mean(self, what: Literal["precision", "recall", "f1"], average: Literal["macro", "weighted"]) -> float:
        values = getattr(self, what)
        return float(values.mean() if average == "macro" else values @ self.support / max(self.support.sum(), 1))


def label_scores(counts: Array) -> LabelScores:
    """counts: [K, K] of `confusion`."""
    right, wanted, given = np.diag(counts), counts.sum(1), counts.sum(0)
    return LabelScores(
        precision=right / np.maximum(given, 1),
        recall=right / np.maximum(wanted, 1),
        f1=2 * right / np.maximum(wanted + given, 1),
        support=wanted,
    )


def matthews(counts: Array) -> float:
    """Matthews' correlation of a confusion matrix [K, K], for more than two labels as Gorodkin (2004); 0 where one side is constant."""
    counts = np.asarray(counts, np.float64)
    total, right, wanted, given = counts.sum(), np.trace(counts), counts.sum(1), counts.sum(0)
    spread = (total**2 - wanted @ wanted) * (total**2 - given @ given)
    return float((right * total - wanted @ given) / np.sqrt(spread)) if spread > 0 else 0.0


def macro_f1(wanted: Sequence[str], given: Sequence[str]) -> float:
    """Mean of the F1 of every label that is wanted or given at least once, each counting the same."""
    return multi_label_f1([(w,) for w in wanted], [(g,) for g in given])[1]


def multi_label_f1(wanted: Sequence[Iterable[str]], given: Sequence[Iterable[str]]) -> tuple[float, float]:
    """(micro, macro) F1 of sets of labels; macro over the labels that are wanted or given at least once."""
    true: Counter[str] = Counter()
    of_wanted: Counter[str] = Counter()
    of_given: Counter[str] = Counter()
    for w, g in zip(wanted, given, strict=True):
        ours, theirs = set(w), set(g)
        of_wanted.update(ours)
        of_given.update(theirs)
        true.update(ours & theirs)
    labels = of_wanted | of_given
    micro = f1(true.total(), of_wanted.total(), of_given.total())
    macro = sum(f1(true[x], of_wanted[x], of_given[x]) for x in labels) / len(labels) if labels else 0.0
    return micro, macro


def _counts_at_thresholds(wanted: Array, scores: Array) -> tuple[Array, Array, Array]:
    """(thresholds falling, true positives, false positives): how many score at least each different score."""
    wanted, scores = np.asarray(wanted, bool), np.asarray(scores, np.float64)
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # ties stand or fall together
    true = np.cumsum(wanted[order])[last]
    return scores[order][last], true, last + 1 - true


def roc_curve(wanted: Array, scores: Array) -> tuple[Array, Array, Array]:
    """(false positive rate, true positive rate, threshold), each [T + 1], from (0, 0) to (1, 1). ValueError if `wanted` is all of one kind."""
    thresholds, true, false = _counts_at_thresholds(wanted, scores)
    if true[-1] == 0 or false[-1] == 0:
        raise ValueError("a ROC curve needs examples that are wanted and examples that are not")
    return (
        np.append(0.0, false / false[-1]),
        np.append(0.0, true / true[-1]),
        np.append(np.inf, thresholds),
    )


def roc_auc(wanted: Array, scores: Array) -> float:
    """Area under the ROC curve: how likely a wanted example scores above another one, ties counting half."""
    false, true, _ = roc_curve(wanted, scores)
    return float(np.trapezoid(true, false))


def precision_recall_curve(wanted: Array, scores: Array) -> tuple[Array, Array, Array]:
    """(precision, recall, threshold), each [T], thresholds falling."""
    thresholds, true, false = _counts_at_thresholds(wanted, scores)
    if true[-1] == 0:
        raise ValueError("a precision-recall curve needs examples that are wanted")
    return true / (true + false), true / true[-1], thresholds


def average_precision(wanted: Array, scores: Array) -> float:
    """Precision at each threshold, weighted by the recall won there (no interpolation)."""
    precision, recall, _ = precision_recall_curve(wanted, scores)
    return float(precision @ np.diff(recall, prepend=0.0))


def log_loss(wanted: Array, probabilities: Array) -> float:
    """Mean -log p of the right label: wanted int [N], probabilities [N, K]. A probability of 0 counts as float64's smallest step."""
    picked = np.asarray(probabilities, np.float64)[np.arange(len(wanted)), wanted]
    return float(-np.log(np.maximum(picked, np.finfo(np.float64).eps)).mean())


def calibration_curve(right: Array, confidences: Array, num_bins: int = 10) -> tuple[Array, Array, Array]:
    """(mean confidence, share right, count) of each bin of equal width that holds anything; right: bool [N], confidences [N] in [0, 1]."""
    places = np.clip((np.asarray(confidences) * num_bins).astype(np.int64), 0, num_bins - 1)
    counts = np.bincount(places, minlength=num_bins)
    filled = counts > 0
    confidence = np.bincount(places, confidences, minlength=num_bins)[filled] / counts[filled]
    share = np.bincount(places, np.asarray(right, np.float64), minlength=num_bins)[filled] / counts[filled]
    return confidence, share, counts[filled]


def calibration_error(right: Array, confidences: Array, num_bins: int = 10) -> float:
    """Mean distance of confidence from the share that is right, over the bins of `calibration_curve` (Guo et al. 2017, ECE)."""
    confidence, share, counts = calibration_curve(right, confidences, num_bins)
    return float(np.abs(confidence - share) @ counts / counts.sum())


def mean_absolute_error(wanted: Array, given: Array) -> float:
    return float(np.abs(np.asarray(wanted) - given).mean())


def root_mean_squared_error(wanted: Array, given: Array) -> float:
    return float(np.sqrt(np.square(np.asarray(wanted) - given).mean()))


def r_squared(wanted: Array, given: Array) -> float:
    """1 - squared error / spread around the mean: 0 is as good as the mean. A constant `wanted` gives 1 if met, else 0."""
    wanted = np.asarray(wanted, np.float64)
    error, spread = np.square(wanted - given).sum(), np.square(wanted - wanted.mean()).sum()
    return float(1 - error / spread) if spread > 0 else float(error == 0)

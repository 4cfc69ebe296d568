"""What is said of a classifier after it has labelled texts, rows or images that it did not learn from: figures, and exhibits of several beside
one another. The same names for every stage that classifies, so that one table can hold them all.

Letters: N examples, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.exhibits import Plot, Series, Table
from ..data.images import grey
from ..foundations.intervals import paired_bootstrap, wilson
from ..foundations.metrics import (
    average_precision,
    calibration_curve,
    calibration_error,
    confusion,
    label_scores,
    log_loss,
    matthews,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from ..foundations.sparse import Array

_BOOTSTRAP_SAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """Labels wanted and given, as numbers of `labels`, of N examples."""

    labels: Sequence[str]
    wanted: Array
    """int [N]"""
    given: Array
    """int [N]"""
    folds: Array | None = None
    """int [N]: which fold each was held out in."""
    probabilities: Array | None = None
    """[N, K]"""
    positive: int | None = None
    """Of two labels, the one that is to be caught."""
    seconds: float | None = None

    @property
    def right(self) -> Array:
        return np.asarray(self.wanted == self.given)

    @property
    def matrix(self) -> Array:
        """[K, K] confusion."""
        return confusion([self.labels[i] for i in self.wanted], [self.labels[i] for i in self.given], self.labels)

    @property
    def positive_scores(self) -> Array | None:
        if self.positive is None or self.probabilities is None:
            return None
        scores: Array = self.probabilities[:, self.positive]
        return scores

    def figures(self, max_blocked: float | None = None) -> dict[str, Any]:
        """accuracy (with the ends of its interval), macro_f1, mcc; the accuracy of each fold; with probabilities log_loss and
        calibration_error; with a positive label caught (its recall), blocked (share of the other that is taken for it), roc_auc, and
        caught_within_limit, the most that could be caught with blocked <= max_blocked.
        """
        counts = self.matrix
        share = wilson(int(self.right.sum()), len(self.right))
        made: dict[str, Any] = {
            "accuracy": share.value,
            "accuracy_low": share.low,
            "accuracy_high": share.high,
            "macro_f1": label_scores(counts).mean("f1", "macro"),
            "mcc": matthews(counts),
            "examples": len(self.right),
            "confusion": counts.tolist(),
        }
        if self.folds is not None:
            made["per_fold"] = [float(self.right[self.folds == fold].mean()) for fold in np.unique(self.folds)]
        if self.probabilities is not None:
            made["log_loss"] = log_loss(self.wanted, self.probabilities)
            made["calibration_error"] = calibration_error(
                self.right, self.probabilities[np.arange(len(self.given)), self.given]
            )
        if self.positive is not None:
            made |= self._of_positive(counts, max_blocked)
        if self.seconds is not None:
            made["seconds"] = self.seconds
        return {name: _rounded(value) for name, value in made.items()}

    def _of_positive(self, counts: Array, max_blocked: float | None) -> dict[str, Any]:
        assert self.positive is not None
        wanted = self.wanted == self.positive
        caught = wilson(int(counts[self.positive, self.positive]), max(int(wanted.sum()), 1))
        blocked = wilson(int(counts[1 - self.positive, self.positive]), max(int((~wanted).sum()), 1))
        made: dict[str, Any] = {
            "positive": self.labels[self.positive],
            "caught": caught.value,
            "caught_low": caught.low,
            "caught_high": caught.high,
            "blocked": blocked.value,
            "blocked_low": blocked.low,
            "blocked_high": blocked.high,
        }
        scores = self.positive_scores
        if scores is not None and 0 < wanted.sum() < len(wanted):
            made["roc_auc"] = roc_auc(wanted, scores)
            made["average_precision"] = average_precision(wanted, scores)
            if max_blocked is not None:
                false, true, _ = roc_curve(wanted, scores)
                made["caught_within_limit"] = float(true[false <= max_blocked].max())
        return made


def comparison(
    named: Mapping[str, Labelling],
    figures: Mapping[str, Mapping[str, Any]],
    chosen: str,
    title: str,
    notes: Sequence[str],
) -> Table:
    """One row each, and how far it is behind the chosen one on the same examples."""
    two = any("caught" in row for row in figures.values())
    columns = ["method", "accuracy", "interval", f"behind {chosen}", "macro F1", "MCC"]
    columns += ["caught", "blocked", "ROC AUC"] if two else []
    rows = []
    for name, labelling in named.items():
        row = figures[name]
        low, high = row["accuracy_low"], row["accuracy_high"]
        behind = "" if name == chosen else _behind(named[chosen].right, labelling.right)
        cells = [name, row["accuracy"], f"{low:.3f} .. {high:.3f}", behind, row["macro_f1"], row["mcc"]]
        rows.append(cells + ([row["caught"], row["blocked"], row.get("roc_auc")] if two else []))
    return Table(title=title, columns=columns, rows=rows, notes=notes)


def _behind(best: Array, other: Array) -> str:
    found = paired_bootstrap(best.astype(float).tolist(), other.astype(float).tolist(), samples=_BOOTSTRAP_SAMPLES)
    return f"{found.value:.3f} ({found.low:+.3f} .. {found.high:+.3f})"


def bars(figures: Mapping[str, Mapping[str, Any]], title: str) -> Plot:
    rows = list(figures.values())
    series = Series(
        name="accuracy", x=list(figures), y=[row["accuracy"] for row in rows],
        low=[row["accuracy_low"] for row in rows], high=[row["accuracy_high"] for row in rows],
    )  # fmt: skip
    return Plot(title=title, kind="bars", series=[series], y_label="accuracy")


def confusion_plot(labelling: Labelling, title: str = "Confusion matrix") -> Plot:
    return Plot(
        title=title, kind="heatmap", matrix=labelling.matrix.tolist(), rows=labelling.labels, columns=labelling.labels, x_label="answer",
        y_label="right label", sentence="Rows: the right label. Columns: the answer. What is off the diagonal is wrong.",
    )  # fmt: skip


def labels_table(labelling: Labelling, title: str = "Each label") -> Table:
    """Precision, recall and F1 of each, and their means."""
    scores = label_scores(labelling.matrix)
    rows: list[list[Any]] = [
        [
            label,
            *(round(float(value[i]), 4) for value in (scores.precision, scores.recall, scores.f1)),
            int(scores.support[i]),
        ]
        for i, label in enumerate(labelling.labels)
    ]
    for average in ("macro", "weighted"):
        means = [round(scores.mean(what, average), 4) for what in ("precision", "recall", "f1")]
        rows.append([f"mean ({average})", *means, int(scores.support.sum())])
    return Table(title=title, columns=["label", "precision", "recall", "F1", "examples"], rows=rows)


def precision_recall_plot(named: Mapping[str, Labelling]) -> Plot | None:
    """None where no method has scores of a positive label."""
    series = []
    for name, one in named.items():
        scores, wanted = one.positive_scores, one.wanted == one.positive
        if scores is not None and wanted.any():
            precision, recall, _ = precision_recall_curve(wanted, scores)
            series.append(Series(name=name, x=recall.tolist(), y=precision.tolist()))
    if not series:
        return None
    return Plot(title="Precision against recall", kind="lines", series=series, x_label="recall", y_label="precision",
                sentence="One point for each threshold; up and to the right is better.")  # fmt: skip


def roc_plot(named: Mapping[str, Labelling]) -> Plot | None:
    """None where no method has scores of a positive label."""
    series = []
    for name, one in named.items():
        scores, wanted = one.positive_scores, one.wanted == one.positive
        if scores is not None and 0 < wanted.sum() < len(wanted):
            false, true, _ = roc_curve(wanted, scores)
            series.append(Series(name=name, x=false.tolist(), y=true.tolist()))
    if not series:
        return None
    return Plot(title="Caught against wrongly blocked", kind="lines", series=series, x_label="share of the others that is blocked",
                y_label="share that is caught", sentence="One point for each threshold; up and to the left is better.")  # fmt: skip


def calibration_plot(labelling: Labelling, name: str) -> Plot | None:
    if labelling.probabilities is None:
        return None
    picked = labelling.probabilities[np.arange(len(labelling.given)), labelling.given]
    confidence, share, _ = calibration_curve(labelling.right, picked)
    ends = [float(confidence[0]), 1.0]
    series = [
        Series(name=name, x=confidence.tolist(), y=share.tolist()),
        Series(name="as sure as right", x=ends, y=ends),
    ]
    return Plot(title=f"How sure {name} is, and how often it is right", kind="lines", series=series, y_label="share that is right",
                x_label="probability of the answer")  # fmt: skip


def mistakes_table(labelling: Labelling, texts: Sequence[str], count: int = 12) -> Table:
    """The mistakes that were made with the most confidence."""
    sure = (
        labelling.probabilities
        if labelling.probabilities is not None
        else np.eye(len(labelling.labels))[labelling.given]
    )
    picked = sure[np.arange(len(texts)), labelling.given]
    wrong = np.flatnonzero(~labelling.right)
    rows = [
        [
            texts[i][:160],
            labelling.labels[labelling.wanted[i]],
            labelling.labels[labelling.given[i]],
            round(float(picked[i]), 3),
        ]
        for i in wrong[np.argsort(-picked[wrong], kind="stable")][:count]
    ]
    return Table(title="The surest mistakes", columns=["text", "right label", "answer", "how sure"], rows=rows)


def mistaken_pictures(labelling: Labelling, images: Array, count: int = 32) -> Plot | None:
    """The mistakes that were made with the most confidence. images: uint8 [N, H, W] or [N, H, W, 3]; None without a mistake."""
    assert labelling.probabilities is not None
    wrong = np.flatnonzero(~labelling.right)
    if not len(wrong):
        return None
    first = wrong[np.argsort(-labelling.probabilities[wrong].max(1), kind="stable")][:count]
    return Plot(
        title="Pictures with the wrong label",
        kind="images",
        matrices=[grey(images[i]).tolist() for i in first],
        captions=[
            f"{labelling.labels[labelling.wanted[i]]}, not {labelling.labels[labelling.given[i]]}" for i in first
        ],
        sentence=f"{len(wrong):,} of {len(labelling.right):,}; the ones it was surest of first.",
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    return [_rounded(v) for v in value] if isinstance(value, list) else value

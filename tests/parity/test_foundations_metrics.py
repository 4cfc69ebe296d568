"""Metrics against scikit-learn on random labels, scores with ties, and numbers."""

from __future__ import annotations

import os

import numpy as np
import pytest

from groundup.foundations import metrics

sklearn = pytest.importorskip("sklearn.metrics")
pytestmark = pytest.mark.row("0.7")

SEED = int.from_bytes(os.urandom(4))


@pytest.fixture(autouse=True)
def told() -> None:
    print(f"seed {SEED}")


def close(ours: object, theirs: object) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("num_labels", [2, 3, 6])
def test_labels(num_labels: int) -> None:
    rng = np.random.default_rng(SEED)
    names = [f"label {i}" for i in range(num_labels)]
    for _ in range(8):
        n = int(rng.integers(1, 60))
        # Now and then a label that nobody wants, or nobody gives.
        wanted = [names[i] for i in rng.integers(0, max(1, num_labels - rng.integers(0, 2)), n)]
        given = [names[i] for i in rng.integers(rng.integers(0, 2), num_labels, n)]
        counts = metrics.confusion(wanted, given, names)
        close(counts, sklearn.confusion_matrix(wanted, given, labels=names))
        close(metrics.accuracy(wanted, given), sklearn.accuracy_score(wanted, given))
        scores = metrics.label_scores(counts)
        theirs = sklearn.precision_recall_fscore_support(wanted, given, labels=names, zero_division=0)
        for ours, other in zip((scores.precision, scores.recall, scores.f1, scores.support), theirs, strict=True):
            close(ours, other)
        for average in ("macro", "weighted"):
            for what, function in (
                ("precision", sklearn.precision_score),
                ("recall", sklearn.recall_score),
                ("f1", sklearn.f1_score),
            ):
                close(
                    scores.mean(what, average), function(wanted, given, labels=names, average=average, zero_division=0)
                )
        close(metrics.macro_f1(wanted, given), sklearn.f1_score(wanted, given, average="macro"))
        both_vary = len(set(wanted)) > 1 and len(set(given)) > 1
        close(metrics.matthews(counts), sklearn.matthews_corrcoef(wanted, given) if both_vary else 0.0)


def test_scores_of_one_label() -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(30):
        n = int(rng.integers(4, 80))
        wanted = rng.random(n) < rng.uniform(0.2, 0.8)
        wanted[:2] = [True, False]
        scores = rng.normal(size=n).round(int(rng.integers(0, 4)))  # rounded: ties
        false, true, thresholds = metrics.roc_curve(wanted, scores)
        theirs = sklearn.roc_curve(wanted, scores, drop_intermediate=False)
        for ours, other in zip((false, true, thresholds), theirs, strict=True):
            close(ours, other)
        close(metrics.roc_auc(wanted, scores), sklearn.roc_auc_score(wanted, scores))
        close(metrics.average_precision(wanted, scores), sklearn.average_precision_score(wanted, scores))
        precision, recall, at = metrics.precision_recall_curve(wanted, scores)
        their_precision, their_recall, their_at = sklearn.precision_recall_curve(wanted, scores)
        close(precision, their_precision[:-1][::-1])
        close(recall, their_recall[:-1][::-1])
        close(at, their_at[::-1])


def test_curves_need_both_kinds() -> None:
    with pytest.raises(ValueError, match="wanted and examples that are not"):
        metrics.roc_auc(np.array([True, True]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="examples that are wanted"):
        metrics.average_precision(np.array([False]), np.array([0.1]))


def test_probabilities() -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(20):
        n, k = int(rng.integers(2, 50)), int(rng.integers(2, 5))
        probabilities = rng.dirichlet(np.ones(k), n)
        wanted = rng.integers(0, k, n)
        close(metrics.log_loss(wanted, probabilities), sklearn.log_loss(wanted, probabilities, labels=range(k)))
    right = rng.random(500) < 0.7
    confidence = rng.random(500)
    ours, share, counts = metrics.calibration_curve(right, confidence, 8)
    theirs = pytest.importorskip("sklearn.calibration").calibration_curve(right, confidence, n_bins=8)
    close(share, theirs[0])
    close(ours, theirs[1])
    assert counts.sum() == 500
    # Of two answers with a confidence of 0.8, one right: off by 0.3.
    close(metrics.calibration_error(np.array([True, False]), np.array([0.8, 0.8])), 0.3)


def test_numbers() -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(20):
        wanted, given = rng.normal(size=(2, int(rng.integers(2, 40))))
        close(metrics.mean_absolute_error(wanted, given), sklearn.mean_absolute_error(wanted, given))
        close(metrics.root_mean_squared_error(wanted, given), sklearn.root_mean_squared_error(wanted, given))
        close(metrics.r_squared(wanted, given), sklearn.r2_score(wanted, given))
    assert metrics.r_squared(np.ones(3), np.ones(3)) == 1.0 and metrics.r_squared(np.ones(3), np.zeros(3)) == 0.0

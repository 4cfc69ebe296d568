"""Naive Bayes and support vector machines against scikit-learn's on random cases; the NB-SVM against its formulas."""

from __future__ import annotations

import os

import numpy as np
import pytest

from groundup.core.errors import ConfigError
from groundup.foundations.naive_bayes import NaiveBayes, NaiveBayesSVM, log_count_ratios
from groundup.foundations.sparse import CSR
from groundup.foundations.svm import KernelSVM, LinearSVM, rbf_kernel

bayes = pytest.importorskip("sklearn.naive_bayes")
svm = pytest.importorskip("sklearn.svm")
pytestmark = pytest.mark.row("0.6")

SEED = int.from_bytes(os.urandom(4))


@pytest.fixture
def rng() -> np.random.Generator:
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


def labels(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    y = rng.integers(0, k, n)
    y[:k] = range(k)
    return y


@pytest.mark.parametrize("k", [2, 3, 5])
def test_naive_bayes(rng: np.random.Generator, k: int) -> None:
    x, y, alpha = rng.poisson(0.7, size=(60, 8)).astype(float), labels(rng, 60, k), float(rng.uniform(0.1, 2))
    for event, peer in (("multinomial", bayes.MultinomialNB), ("bernoulli", bayes.BernoulliNB)):
        model = NaiveBayes(event=event, alpha=alpha).fit(CSR.from_dense(x), y, k)
        seen = (x > 0).astype(float) if event == "bernoulli" else x
        theirs = peer(alpha=alpha).fit(x, y)
        np.testing.assert_allclose(
            model.probabilities(CSR.from_dense(seen)), theirs.predict_proba(x), rtol=1e-9, atol=1e-12
        )
        assert (model.predict(CSR.from_dense(seen)) == theirs.predict(x)).all()


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("k", [2, 4])
def test_linear_svm_finds_the_same_optimum(rng: np.random.Generator, loss: str, k: int) -> None:
    x = rng.normal(size=(50, 5)) * (rng.random((50, 5)) < 0.7)
    y, c = labels(rng, 50, k), float(rng.uniform(0.1, 3))
    ours = LinearSVM(C=c, loss=loss, tolerance=1e-9, max_passes=200_000).fit(CSR.from_dense(x), y, k)
    theirs = svm.LinearSVC(C=c, loss=loss, tol=1e-9, max_iter=2_000_000, dual=True).fit(x, y)
    np.testing.assert_allclose(ours.coef, theirs.coef_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.scores(x)[:, 0 if k == 2 else slice(None)], theirs.decision_function(x), atol=1e-5)


def test_kernel_svm_gives_the_same_decisions(rng: np.random.Generator) -> None:
    for _ in range(4):
        x = rng.normal(size=(60, 3))
        y, c, gamma = labels(rng, 60, 2), float(rng.uniform(0.3, 10)), float(rng.uniform(0.1, 1))
        ours = KernelSVM(C=c, gamma=gamma, tolerance=1e-8).fit(CSR.from_dense(x), y, 2)
        theirs = svm.SVC(C=c, gamma=gamma, tol=1e-8).fit(x, y)
        new = rng.normal(size=(20, 3))
        np.testing.assert_allclose(ours.scores(new)[:, 0], theirs.decision_function(new), rtol=0, atol=1e-5)
        dense = KernelSVM(C=c, gamma=gamma, tolerance=1e-8).fit(x, y, 2)
        np.testing.assert_allclose(dense.scores(new), ours.scores(new), rtol=0, atol=1e-6)


def test_kernel_svm_of_three_classes_is_one_against_the_rest(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(45, 2)), labels(rng, 45, 3)
    ours = KernelSVM(gamma=0.5, tolerance=1e-8).fit(x, y, 3).scores(x)
    for k in range(3):
        theirs = svm.SVC(gamma=0.5, tol=1e-8).fit(x, y == k).decision_function(x)
        np.testing.assert_allclose(ours[:, k], theirs, rtol=0, atol=1e-5)


def test_kernel(rng: np.random.Generator) -> None:
    peer = pytest.importorskip("sklearn.metrics.pairwise").rbf_kernel
    a, b = rng.normal(size=(7, 4)), rng.normal(size=(300, 4))
    for left in (a, CSR.from_dense(a)):
        for right in (b, CSR.from_dense(b)):
            np.testing.assert_allclose(rbf_kernel(left, right, 0.3), peer(a, b, 0.3), rtol=1e-10)


def test_naive_bayes_svm_by_its_formulas(rng: np.random.Generator) -> None:
    presence = (rng.random((40, 6)) < 0.4).astype(float)
    y = labels(rng, 40, 2)
    p = 0.5 + presence[y == 1].sum(0)
    q = 0.5 + presence[y == 0].sum(0)
    ratios = np.log((p / np.abs(p).sum()) / (q / np.abs(q).sum()))
    np.testing.assert_allclose(log_count_ratios(CSR.from_dense(presence), y == 1, 0.5), ratios, rtol=1e-12)
    counts = presence * rng.integers(1, 4, presence.shape)
    model = NaiveBayesSVM(alpha=0.5, C=0.7, interpolation=0.25).fit(CSR.from_dense(counts), y, 2)
    inner = svm.LinearSVC(C=0.7, tol=1e-8, max_iter=1_000_000, dual=True).fit(presence * ratios, y).coef_[0]
    wanted = (0.75 * np.abs(inner).mean() + 0.25 * inner) * ratios
    ours = model.coef[0] / np.linalg.norm(model.coef[0])
    # The inner machines stop at a gradient of 1e-2.
    np.testing.assert_allclose(ours, wanted / np.linalg.norm(wanted), rtol=0, atol=0.02)
    score = presence @ ours
    placed = svm.LinearSVC(C=0.7, tol=1e-8, max_iter=1_000_000, dual=True).fit((score / score.std())[:, None], y)
    theirs = placed.decision_function((score / score.std())[:, None])
    np.testing.assert_allclose(presence @ model.coef[0] + model.intercept[0], theirs, rtol=0, atol=0.05)


def test_naive_bayes_svm_of_three_classes(rng: np.random.Generator) -> None:
    x, y = CSR.from_dense((rng.random((40, 6)) < 0.4).astype(float)), labels(rng, 40, 3)
    three = NaiveBayesSVM().fit(x, y, 3)
    for k in range(3):
        np.testing.assert_array_equal(three.coef[k], NaiveBayesSVM().fit(x, (y == k).astype(int), 2).coef[0])


@pytest.mark.parametrize("config", [{"alpha": 0.0}, {"C": -1.0}, {"interpolation": 1.5}])
def test_settings_out_of_range(config: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        NaiveBayesSVM(**config)

"""Sparse products against dense ones; least squares, ridge and logistic regression against scikit-learn; L-BFGS against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from sklearn import linear_model

from groundup.core.errors import ConfigError
from groundup.foundations.lbfgs import minimise
from groundup.foundations.linear import LeastSquares, LogisticRegression, Ridge
from groundup.foundations.sparse import CSR, matmul, rmatmul

pytestmark = pytest.mark.row("0.6")


def with_zeros(draw: np.random.Generator, *shape: int) -> np.ndarray:
    return draw.normal(size=shape) * (draw.random(shape) < 0.4)


def test_sparse_rows_are_the_dense_ones(draw: np.random.Generator) -> None:
    dense = with_zeros(draw, 30, 11)
    dense[4] = 0.0
    dense[:, 7] = 0.0
    x = CSR.from_dense(dense)
    theirs = scipy.sparse.csr_matrix(dense)
    np.testing.assert_array_equal(x.data, theirs.data)
    np.testing.assert_array_equal(x.indices, theirs.indices)
    np.testing.assert_array_equal(x.indptr, theirs.indptr)
    again = CSR.from_rows([{int(c): float(row[c]) for c in np.flatnonzero(row)} for row in dense], 11)
    for made in (x, again):
        np.testing.assert_array_equal(made.to_dense(), dense)
    wide, tall, vector = draw.normal(size=(11, 3)), draw.normal(size=(30, 2)), draw.normal(size=11)
    np.testing.assert_allclose(matmul(x, wide), dense @ wide, atol=1e-12)
    np.testing.assert_allclose(matmul(x, vector), dense @ vector, atol=1e-12)
    np.testing.assert_allclose(rmatmul(x, tall), dense.T @ tall, atol=1e-12)
    np.testing.assert_allclose(rmatmul(x, tall[:, 0]), dense.T @ tall[:, 0], atol=1e-12)
    which = draw.integers(0, 30, 12)
    np.testing.assert_array_equal(x.rows(which).to_dense(), dense[which])
    np.testing.assert_array_equal(x.rows(dense[:, 0] > 0).to_dense(), dense[dense[:, 0] > 0])
    np.testing.assert_allclose(x.scale_columns(vector).to_dense(), dense * vector, atol=1e-14)
    np.testing.assert_allclose(x.scale_rows(tall[:, 0]).to_dense(), dense * tall[:, :1], atol=1e-14)
    np.testing.assert_allclose(x.sum_columns(), dense.sum(0), atol=1e-12)
    np.testing.assert_allclose(x.sum_rows(), dense.sum(1), atol=1e-12)
    assert x.shape == dense.shape and len(x) == 30


@pytest.mark.parametrize("alpha", [0.0, 0.7, 100.0])
@pytest.mark.parametrize("shape", [(40, 6), (5, 9)])
def test_least_squares_and_ridge(draw: np.random.Generator, shape: tuple[int, int], alpha: float) -> None:
    x, y, new = draw.normal(size=shape) + 3, draw.normal(size=shape[0]) - 5, draw.normal(size=(7, shape[1]))
    ours = Ridge(alpha=alpha).fit(x, y) if alpha else LeastSquares().fit(x, y)
    theirs = (linear_model.Ridge(alpha=alpha, solver="svd") if alpha else linear_model.LinearRegression()).fit(x, y)
    np.testing.assert_allclose(ours.coef, theirs.coef_, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(ours.predict(new), theirs.predict(new), rtol=1e-7, atol=1e-7)


def test_columns_that_depend_on_each_other_are_no_error(draw: np.random.Generator) -> None:
    x = draw.normal(size=(30, 4))
    x = np.concatenate([x, x[:, :1] + x[:, 1:2], np.ones((30, 1))], axis=1)
    y = draw.normal(size=30)
    ours, theirs = LeastSquares().fit(x, y), linear_model.LinearRegression().fit(x, y)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), atol=1e-9)
    np.testing.assert_allclose(ours.coef, theirs.coef_, atol=1e-8)


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression(draw: np.random.Generator, classes: int) -> None:
    x, y = with_zeros(draw, 120, 8), np.concatenate([np.arange(classes), draw.integers(0, classes, 120 - classes)])
    strength = 10.0 ** draw.uniform(-2, 1)
    theirs = linear_model.LogisticRegression(C=strength, tol=1e-9, max_iter=10_000).fit(x, y)
    for given in (x, CSR.from_dense(x)):
        ours = LogisticRegression(C=strength, tolerance=1e-9).fit(given, y)
        np.testing.assert_allclose(ours.coef, theirs.coef_, atol=2e-5)
        np.testing.assert_allclose(ours.intercept, theirs.intercept_, atol=2e-5)
        np.testing.assert_allclose(ours.probabilities(given), theirs.predict_proba(x), atol=1e-5)
        sure = np.abs(np.diff(np.sort(theirs.predict_proba(x), axis=1)[:, -2:], axis=1))[:, 0] > 1e-4
        np.testing.assert_array_equal(ours.predict(given)[sure], theirs.predict(x)[sure])


def test_extreme_scores_do_not_overflow() -> None:
    x, y = np.array([[-1e5], [1e5], [2e5]]), np.array([0, 1, 1])
    model = LogisticRegression(C=1e6).fit(x, y)
    assert np.isfinite(model.probabilities(x)).all() and model.predict(x).tolist() == [0, 1, 1]
    with pytest.raises(ConfigError, match="above 0"):
        LogisticRegression(C=0.0)


def test_lbfgs_on_rosenbrock(draw: np.random.Generator) -> None:
    start = draw.normal(size=6)

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(scipy.optimize.rosen(x)), scipy.optimize.rosen_der(x)

    found = minimise(function, start, tolerance=1e-5)
    assert found.converged and found.gradient <= 1e-5
    # Rosenbrock's function of six has a second, local minimum near (-1, 1, ..., 1).
    assert min(np.abs(found.x - 1).max(), np.abs(found.x - [-1, 1, 1, 1, 1, 1]).max()) < 0.25
    assert minimise(function, np.ones(6)).iterations == 0

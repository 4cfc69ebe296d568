"""Linear models: least squares, ridge, and logistic regression of two or more classes.

Each is a config with `fit(x, y)`, which gives a fitted model of plain arrays. Least squares and ridge are solved by the singular
values of the centred features, so columns that depend on each other are no error; logistic regression by L-BFGS. The penalties are those
of scikit-learn, so that the numbers can be compared: |y - x w|² + alpha |w|², and 1/2 |w|² + C · sum of log-losses; intercepts are
free. Left out: L1 penalties, elastic nets, sample weights, least squares of sparse features.

Letters: N examples, D features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.errors import ConfigError
from .lbfgs import minimise
from .linear_algebra import lstsq
from .sparse import Array, Matrix, matmul, rmatmul


@dataclass(frozen=True, eq=False)
class LinearModel:
    coef: Array
    """[D]"""
    intercept: float

    def predict(self, x: Matrix) -> Array:
        """[N, D] -> [N]"""
        return matmul(x, self.coef) + self.intercept


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """The straight line with the smallest sum of squared errors; of several such the one with the smallest weights."""

    type: Literal["linear"] = "linear"

    def fit(self, x: Array, y: Array) -> LinearModel:
        """x [N, D], y [N]"""
        return _least_squares(x, y, 0.0)


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """Least squares with weights held small: worse on what was seen, often better on what was not."""

    alpha: float = 1.0
    """Weight of |w|² beside the sum of squared errors."""
    type: Literal["ridge"] = "ridge"

    def __post_init__(self) -> None:
        if not self.alpha >= 0:
            raise ConfigError(f"must be at least 0, not {self.alpha}", path="alpha")

    def fit(self, x: Array, y: Array) -> LinearModel:
        """x [N, D], y [N]"""
        return _least_squares(x, y, self.alpha)


def _least_squares(x: Array, y: Array, alpha: float) -> LinearModel:
    """Centred, so that the intercept is free of the penalty: it makes the mean of the errors 0."""
    middle, target = x.mean(axis=0), float(np.mean(y))
    coef, _ = lstsq(x - middle, y - target, ridge=alpha)
    return LinearModel(coef, target - float(middle @ coef))


@dataclass(frozen=True, eq=False)
class LogisticModel:
    """Two classes are told apart by one row of weights (K' = 1), more by a row each (K' = K)."""

    coef: Array
    """[K', D]"""
    intercept: Array
    """[K']"""

    def scores(self, x: Matrix) -> Array:
        """Log-odds [N, K']: of class 1 against class 0 where there are two, else of each class up to a constant."""
        return matmul(x, self.coef.T) + self.intercept

    def probabilities(self, x: Matrix) -> Array:
        """[N, K]"""
        scores = self.scores(x)
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        likely: Array = np.exp(scores - _log_sum_exp(scores)[:, None])
        return likely

    def predict(self, x: Matrix) -> Array:
        """int64 [N]: the most likely class of each."""
        scores = self.scores(x)
        return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1)


@dataclass(frozen=True, kw_only=True)
class LogisticRegression:
    """Softmax of a linear function; minimises 1/2 |w|² + C · sum of -log p(right class)."""

    C: float = 1.0
    """Inverse strength of the penalty, as in scikit-learn: small is smooth."""
    tolerance: float = 1e-6
    """Ends where no component of the gradient of the mean loss is above this."""
    max_iterations: int = 1000
    type: Literal["logistic"] = "logistic"

    def __post_init__(self) -> None:
        if not self.C > 0:
            raise ConfigError(f"must be above 0, not {self.C}", path="C")

    def fit(self, x: Matrix, y: Array, num_classes: int | None = None) -> LogisticModel:
        """x [N, D] dense or CSR, y int [N] in 0 .. num_classes - 1."""
        y = np.asarray(y, np.int64)
        classes = max(2, int(y.max(initial=0)) + 1) if num_classes is None else num_classes
        rows, columns = (1 if classes == 2 else classes), x.shape[1]
        count, right = len(y), np.arange(len(y))

        def loss(flat: Array) -> tuple[float, Array]:
            """Mean loss and the penalty over N C, so that the tolerance means the same whatever N is."""
            weights = flat.reshape(rows, columns + 1)
            scores = matmul(x, np.ascontiguousarray(weights[:, :-1].T)) + weights[:, -1]
            if rows == 1:
                value = np.mean(np.logaddexp(0.0, scores[:, 0]) - y * scores[:, 0])
                error = (_sigmoid(scores[:, 0]) - y)[:, None]
            else:
                total = _log_sum_exp(scores)
                value = np.mean(total - scores[right, y])
                error = np.exp(scores - total[:, None])
                error[right, y] -= 1.0
            error /= count
            gradient = np.empty_like(weights)
            gradient[:, :-1] = rmatmul(x, error).T + weights[:, :-1] / (count * self.C)
            gradient[:, -1] = error.sum(axis=0)
            value += 0.5 * np.sum(weights[:, :-1] ** 2) / (count * self.C)
            return float(value), gradient.reshape(-1)

        found = minimise(
            loss, np.zeros(rows * (columns + 1)), tolerance=self.tolerance, max_iterations=self.max_iterations
        )
        weights = found.x.reshape(rows, columns + 1)
        return LogisticModel(weights[:, :-1].copy(), weights[:, -1].copy())


def _sigmoid(scores: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -scores))


def _log_sum_exp(scores: Array) -> Array:
    """[N, K] -> [N]"""
    top = scores.max(axis=1)
    total: Array = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return total

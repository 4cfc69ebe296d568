"""Support vector machines: linear by dual coordinate descent, and with a kernel by sequential minimal optimisation.

Linear: 1/2 |w|² + C · sum of max(0, 1 - y s)^1 or ^2 with s = w·x + b, b a weight like the others on a constant 1 (Hsieh et al. 2008;
LIBLINEAR's and scikit-learn's LinearSVC objective). Kernel: the dual of the hinge loss with a free b, the pair to change chosen by second
order (Fan, Chen and Lin 2005; LIBSVM's, scikit-learn's SVC). More than two classes: one against the rest. The loops are compiled by Numba;
the optimality conditions and the objectives of scikit-learn hold them to account in tests. Left out: shrinking, a cache of kernel rows
(the whole kernel matrix is kept: a limit on N), probabilities, regression.

Letters: N examples, D features, M support vectors.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit

from ..core.errors import ConfigError, DataError
from .sparse import CSR, Array, Matrix, matmul

MAX_KERNEL_EXAMPLES = 8000
"""The kernel matrix of more takes over half a gigabyte."""


@dataclass(frozen=True, eq=False)
class LinearMargins:
    """One row of weights for two classes (the margin of class 1), else one for each."""

    coef: Array
    """[K', D]"""
    intercept: Array
    """[K']"""

    def scores(self, x: Matrix) -> Array:
        """[N, K'] signed margins."""
        return matmul(x, self.coef.T) + self.intercept


@dataclass(frozen=True, kw_only=True)
class LinearSVM:
    C: float = 1.0
    loss: Literal["hinge", "squared_hinge"] = "squared_hinge"
    tolerance: float = 1e-4
    """Ends when the projected gradients of a pass differ by less."""
    max_passes: int = 1000
    seed: int = 0
    """Of the order of each pass; the optimum does not depend on it."""
    type: Literal["linear_svm"] = "linear_svm"

    def __post_init__(self) -> None:
        if not self.C > 0:
            raise ConfigError(f"must be above 0, not {self.C}", path="C")

    def fit(self, x: CSR, y: Array, num_classes: int) -> LinearMargins:
        """x [N, D], y int [N]"""
        wanted = [1] if num_classes == 2 else range(num_classes)
        rows = [
            _dual_descent(x.data, x.indices, x.indptr, np.where(y == k, 1.0, -1.0), x.num_columns, self.C,
                          self.loss == "squared_hinge", self.tolerance, self.max_passes, self.seed)
            for k in wanted
        ]  # fmt: skip
        weights = np.stack(rows)
        return LinearMargins(weights[:, :-1].copy(), weights[:, -1].copy())


@njit(cache=True, nogil=True)
def _dual_descent(data, indices, indptr, y, num_columns, C, squared, tolerance, max_passes, seed):
    """[D + 1] weights, the last that of the constant. alpha in [0, C] (hinge) or [0, inf) with 1/(2C) on the diagonal (squared)."""
    n = len(y)
    diagonal = 0.5 / C if squared else 0.0
    top = np.inf if squared else C
    w = np.zeros(num_columns + 1)
    alpha = np.zeros(n)
    lengths = np.full(n, 1.0 + diagonal)
    for i in range(n):
        for z in range(indptr[i], indptr[i + 1]):
            lengths[i] += data[z] * data[z]
    np.random.seed(seed)
    order = np.arange(n)
    for _ in range(max_passes):
        np.random.shuffle(order)
        highest, lowest = -np.inf, np.inf
        for i in order:  # type: ignore[assignment]
            score = w[num_columns]
            for z in range(indptr[i], indptr[i + 1]):
                score += w[indices[z]] * data[z]
            gradient = y[i] * score - 1.0 + diagonal * alpha[i]
            projected = gradient
            if alpha[i] == 0.0:
                projected = min(gradient, 0.0)
            elif alpha[i] == top:
                projected = max(gradient, 0.0)
            highest, lowest = max(highest, projected), min(lowest, projected)
            if projected != 0.0:
                before = alpha[i]
                alpha[i] = min(max(before - gradient / lengths[i], 0.0), top)
                step = (alpha[i] - before) * y[i]
                w[num_columns] += step
                for z in range(indptr[i], indptr[i + 1]):
                    w[indices[z]] += step * data[z]
        if highest - lowest <= tolerance:
            break
    return w


@dataclass(frozen=True, eq=False)
class KernelMargins:
    support: Matrix
    """[M, D]"""
    coef: Array
    """[M, K'] y · alpha; 0 where an example supports another class's margin only."""
    intercept: Array
    """[K']"""
    gamma: float

    def scores(self, x: Matrix) -> Array:
        """[N, K'] signed margins."""
        return rbf_kernel(x, self.support, self.gamma) @ self.coef + self.intercept


@dataclass(frozen=True, kw_only=True)
class KernelSVM:
    """With the radial kernel exp(-gamma |a - b|²)."""

    C: float = 1.0
    gamma: float = 1.0
    tolerance: float = 1e-3
    type: Literal["kernel_svm"] = "kernel_svm"

    def __post_init__(self) -> None:
        for name in ("C", "gamma", "tolerance"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"must be above 0, not {getattr(self, name)}", path=name)

    def fit(self, x: Matrix, y: Array, num_classes: int) -> KernelMargins:
        """x [N, D], y int [N]. DataError for more than MAX_KERNEL_EXAMPLES."""
        if len(y) > MAX_KERNEL_EXAMPLES:
            raise DataError(f"{len(y)} examples; a kernel matrix is kept for up to {MAX_KERNEL_EXAMPLES}",
                            hint="a linear SVM takes any number")  # fmt: skip
        kernel = rbf_kernel(x, x, self.gamma)
        wanted = [1] if num_classes == 2 else range(num_classes)
        found = [_smo(kernel, np.where(y == k, 1.0, -1.0), self.C, self.tolerance) for k in wanted]
        coef = np.stack(
            [alpha * np.where(y == k, 1.0, -1.0) for (alpha, _), k in zip(found, wanted, strict=True)], axis=1
        )
        used = np.flatnonzero((coef != 0).any(1))
        support = x.rows(used) if isinstance(x, CSR) else x[used]
        return KernelMargins(support, coef[used], np.array([b for _, b in found]), self.gamma)


def rbf_kernel(a: Matrix, b: Matrix, gamma: float) -> Array:
    """[N, M] exp(-gamma |a - b|²)"""
    if isinstance(a, CSR) and isinstance(b, CSR):
        products = _sparse_products(a.data, a.indices, a.indptr, b.data, b.indices, b.indptr, a.num_columns)
    else:
        products = matmul(a, np.ascontiguousarray((b.to_dense() if isinstance(b, CSR) else b).T))
    distances = _squared_lengths(a)[:, None] + _squared_lengths(b)[None] - 2 * products
    similar: Array = np.exp(-gamma * np.maximum(distances, 0.0))
    return similar


@njit(cache=True, nogil=True)
def _sparse_products(data, indices, indptr, other, other_indices, other_indptr, num_columns):
    """[N, M] a @ b.T: each row of b is written out once, and taken away again, in a vector as wide as the columns."""
    made = np.empty((len(indptr) - 1, len(other_indptr) - 1))
    wide = np.zeros(num_columns)
    for j in range(made.shape[1]):
        for z in range(other_indptr[j], other_indptr[j + 1]):
            wide[other_indices[z]] = other[z]
        for i in range(made.shape[0]):
            total = 0.0
            for z in range(indptr[i], indptr[i + 1]):
                total += data[z] * wide[indices[z]]
            made[i, j] = total
        for z in range(other_indptr[j], other_indptr[j + 1]):
            wide[other_indices[z]] = 0.0
    return made


def _squared_lengths(x: Matrix) -> Array:
    return x.with_data(x.data**2).sum_rows() if isinstance(x, CSR) else np.square(x).sum(1)


@njit(cache=True, nogil=True)
def _smo(kernel, y, C, tolerance):
    """(alpha [N], b): minimises 1/2 a'Qa - sum a, Q_ij = y_i y_j K_ij, 0 <= a <= C, y'a = 0."""
    n = len(y)
    alpha = np.zeros(n)
    gradient = -np.ones(n)
    tiny = 1e-12
    for _ in range(max(10_000_000, 100 * n)):
        i, best = -1, -np.inf
        for t in range(n):  # i: the steepest that may still grow along y
            if ((y[t] > 0 and alpha[t] < C) or (y[t] < 0 and alpha[t] > 0)) and -y[t] * gradient[t] >= best:
                i, best = t, -y[t] * gradient[t]
        j, worst, gain = -1, np.inf, np.inf
        for t in range(n):  # j: the largest decrease by second order
            if (y[t] > 0 and alpha[t] > 0) or (y[t] < 0 and alpha[t] < C):
                worst = min(worst, -y[t] * gradient[t])
                rise = best + y[t] * gradient[t]
                if rise > 0 and i >= 0:
                    curve = max(kernel[i, i] + kernel[t, t] - 2 * kernel[i, t], tiny)
                    if -rise * rise / curve <= gain:
                        j, gain = t, -rise * rise / curve
        if i < 0 or j < 0 or best - worst < tolerance:
            break
        curve = max(kernel[i, i] + kernel[j, j] - 2 * kernel[i, j], tiny)
        step = (best + y[j] * gradient[j]) / curve  # alpha_i grows by y_i step, alpha_j by -y_j step
        room_i = C - alpha[i] if y[i] > 0 else alpha[i]
        room_j = alpha[j] if y[j] > 0 else C - alpha[j]
        step = min(step, room_i, room_j)
        # What reaches a bound is put on it, so that rounding leaves nothing beside it.
        alpha[i] = (C if y[i] > 0 else 0.0) if step == room_i else alpha[i] + y[i] * step
        alpha[j] = (0.0 if y[j] > 0 else C) if step == room_j else alpha[j] - y[j] * step
        for t in range(n):
            gradient[t] += y[t] * step * (kernel[t, i] - kernel[t, j])
    free, total, up, low = 0, 0.0, np.inf, -np.inf
    for t in range(n):
        value = y[t] * gradient[t]
        if 0.0 < alpha[t] < C:
            free += 1
            total += value
        elif (alpha[t] == 0.0) == (y[t] > 0):
            up = min(up, value)
        else:
            low = max(low, value)
    return alpha, -(total / free if free else (up + low) / 2)

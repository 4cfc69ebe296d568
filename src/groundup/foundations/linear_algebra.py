"""Linear algebra from its definitions: vectors, products, LU, QR, eigenvalues of symmetric matrices, singular values, least squares.

Methods are the ones whose error is known to be small: LU with partial pivoting, QR by Householder's reflections, eigenvalues by
cyclic Jacobi rotations (Golub and Van Loan 2013, 8.5), singular values by one-sided Jacobi (Hestenes 1958) on the triangle of a QR
factorisation. The loops are plain Python that Numba compiles; NumPy's LAPACK is what tests compare with. Left out: blocks for the cache (so
LAPACK is faster), eigenvalues of matrices that are not symmetric, complex numbers.

Letters: M rows, N columns, R = min(M, N).
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from ..core.errors import DataError
from .sparse import Array

_SWEEPS = 60
"""Jacobi methods converge quadratically; ten or so are ever needed."""
_EPSILON = float(np.finfo(np.float64).eps)
_FASTMATH = {"reassoc", "contract"}
"""Sums may be taken in any order, so that they use vector registers."""


def add(a: Array, b: Array) -> Array:
    """Sum, component by component; both [N]."""
    assert a.shape == b.shape, (a.shape, b.shape)
    return np.array([x + y for x, y in zip(a, b)])


def dot(a: Array, b: Array) -> float:
    """Sum of products of the components: |a| |b| times the cosine of the angle between them."""
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(sum(x * y for x, y in zip(a, b)))


def cross(a: Array, b: Array) -> Array:
    """In three dimensions: at right angles to both, as long as the area between them."""
    assert a.shape == b.shape == (3,), (a.shape, b.shape)
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def norm(a: Array, order: float = 2.0) -> float:
    """(sum |x|^order)^(1 / order); order inf: the largest |x|. Scaled first, so that squares do not overflow."""
    top = float(np.max(np.abs(a), initial=0.0))
    if math.isinf(order) or top == 0.0 or not math.isfinite(top):
        return top
    return top * math.pow(sum((abs(x) / top) ** order for x in a), 1.0 / order)


def transpose(a: Array) -> Array:
    """[M, N] -> [N, M]"""
    return np.array([[a[i, j] for i in range(a.shape[0])] for j in range(a.shape[1])]).reshape(a.shape[::-1])


def matmul(a: Array, b: Array) -> Array:
    """[M, K], [K, N] -> [M, N]: each entry the dot product of a row and a column."""
    assert a.shape[1] == b.shape[0], (a.shape, b.shape)
    made: Array = _matmul(_plain(a), _plain(b))
    return made


def lu(a: Array) -> tuple[Array, Array, float]:
    """(LU [N, N], order int64 [N], sign): a[order] = L U, L below the diagonal (ones on it not stored), U on and above it.

    Each column's largest remaining entry becomes its pivot; `sign` is that of the permutation.
    """
    made: tuple[Array, Array, float] = _lu(_square(a))
    return made


def solve(a: Array, b: Array) -> Array:
    """x of a x = b: [N, N], [N] or [N, K]. DataError where a has no inverse."""
    factors, order, _ = lu(a)
    size = float(np.max(np.abs(factors), initial=0.0))
    if np.any(np.abs(np.diag(factors)) <= 8 * len(a) * _EPSILON * size):
        raise DataError(f"the {len(a)} x {len(a)} matrix is singular: a row is a combination of others",
                        hint="use least squares, or leave the dependent rows out")  # fmt: skip
    made: Array = _substitute(factors, _plain(b.reshape(len(b), -1)[order]))
    return made.reshape(b.shape)


def inverse(a: Array) -> Array:
    return solve(a, np.eye(len(a)))


def determinant(a: Array) -> float:
    """Product of the pivots: the volume that the rows span, with its sign."""
    factors, _, sign = lu(a)
    return float(sign * np.prod(np.diag(factors)))


def qr(a: Array) -> tuple[Array, Array]:
    """(Q [M, R] with orthonormal columns, R [R, N] upper triangular), a = Q R."""
    made: tuple[Array, Array] = _qr(_plain(a), True)
    return made


def eigen_symmetric(a: Array) -> tuple[Array, Array]:
    """(eigenvalues [N] ascending, eigenvectors [N, N] as columns) of a symmetric matrix."""
    values, vectors = _jacobi(_square(a))
    order = np.argsort(values, kind="stable")
    return values[order], vectors[:, order]


def svd(a: Array) -> tuple[Array, Array, Array]:
    """(U [M, R], singular values [R] descending, V^T [R, N]), a = U diag(s) V^T."""
    if a.shape[0] < a.shape[1]:
        u, s, vt = svd(a.T)
        return vt.T, s, u.T
    q, r = qr(a)
    # Rows of r^T = columns of r; rotated until they are at right angles they are s · u, and the rotations are V.
    rotated, v = _one_sided_jacobi(_plain(r.T))
    s = np.array([norm(row) for row in rotated])
    order = np.argsort(-s, kind="stable")
    s, rotated, v = s[order], rotated[order], v[order]
    u = _orthonormal_rows(rotated, s)
    return q @ u.T, s, v


def lstsq(a: Array, b: Array, *, ridge: float = 0.0) -> tuple[Array, int]:
    """(x [N] or [N, K], rank) that minimises |a x - b|² + ridge |x|²; the shortest such x where several do.

    Singular values below max(M, N) · eps of the largest count as 0, as in LAPACK's.
    """
    right = _plain(b.reshape(len(b), -1))
    size = max(a.shape)
    if len(a) > a.shape[1]:
        # The triangle of [a | b] holds that of a and, beside it, Q^T b: nothing tall is left.
        _, triangle = _qr(np.concatenate([_plain(a), right], axis=1), False)
        a, right = triangle[: a.shape[1], : a.shape[1]], triangle[: a.shape[1], a.shape[1] :]
    u, s, vt = svd(a)
    rank = int(np.sum(s > size * _EPSILON * s.max(initial=0.0)))
    s = s[:rank]
    x = vt[:rank].T @ ((s / (s * s + ridge))[:, None] * (u[:, :rank].T @ right))
    return x.reshape(-1, *b.shape[1:]), rank


def low_rank(a: Array, rank: int) -> Array:
    """The matrix of that rank nearest to a (Eckart and Young 1936): its largest singular values alone."""
    u, s, vt = svd(a)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


def _plain(a: Array) -> Array:
    return np.ascontiguousarray(a, np.float64)


def _square(a: Array) -> Array:
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise DataError(f"the matrix must have as many rows as columns, not {' x '.join(map(str, a.shape))}")
    return _plain(a).copy()


def _orthonormal_rows(rows: Array, s: Array) -> Array:
    """Each row over its length; where that is 0, any row at right angles to all others."""
    made = np.zeros_like(rows)
    tiny = len(s) * _EPSILON * s.max(initial=0.0)
    for i in range(len(s)):
        if s[i] > tiny:
            made[i] = rows[i] / s[i]
            continue
        for axis in range(len(s)):  # some axis is not yet spanned
            trial = np.zeros(len(s))
            trial[axis] = 1.0
            for _ in range(2):  # twice is enough (Kahan and Parlett)
                trial -= made[:i].T @ (made[:i] @ trial)
            length = norm(trial)
            if length > 0.5 / math.sqrt(len(s)):
                made[i] = trial / length
                break
    return made


@njit(nogil=True, cache=True, fastmath=_FASTMATH)
def _matmul(a, b):
    made = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                made[i, j] += a[i, k] * b[k, j]
    return made


@njit(nogil=True, cache=True, fastmath=_FASTMATH)
def _lu(a):
    n = a.shape[0]
    order = np.arange(n)
    sign = 1.0
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(a[i, k]) > abs(a[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(n):
                a[k, j], a[pivot, j] = a[pivot, j], a[k, j]
            order[k], order[pivot] = order[pivot], order[k]
            sign = -sign
        if a[k, k] == 0.0:
            continue
        for i in range(k + 1, n):
            a[i, k] /= a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= a[i, k] * a[k, j]
    return a, order, sign


@njit(nogil=True, cache=True, fastmath=_FASTMATH)
def _substitute(factors, b):
    """Forwards through L, then backwards through U, in place."""
    n = factors.shape[0]
    for i in range(n):
        for j in range(i):
            for k in range(b.shape[1]):
                b[i, k] -= factors[i, j] * b[j, k]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            for k in range(b.shape[1]):
                b[i, k] -= factors[i, j] * b[j, k]
        for k in range(b.shape[1]):
            b[i, k] /= factors[i, i]
    return b


@njit(nogil=True, cache=True, fastmath=_FASTMATH)
def _reflect(x, v, start):
    """x - 2 v (v · x), of the components from `start` on."""
    along = 0.0
    for i in range(start, len(x)):
        along += v[i] * x[i]
    along *= 2.0
    for i in range(start, len(x)):
        x[i] -= along * v[i]


@njit(nogil=True, cache=True, fastmath=_FASTMATH)
def _qr(a, with_q):
    m, n = a.shape
    rank = min(m, n)
    # Columns as rows: all loops below run along memory.
    columns = np.empty((n, m))
    for i in range(m):
        for j in range(n):
            columns[j, i] = a[i, j]
    reflectors = np.zeros((rank, m))
    for k in range(rank):
        size = 0.0
        for i in range(k, m):
            size = max(size, abs(columns[k, i]))
        if size == 0.0:
            continue
        length = 0.0
        for i in range(k, m):
            reflectors[k, i] = columns[k, i] / size
            length += reflectors[k, i] ** 2
        length = math.sqrt(length)
        # Away from the axis, so that nothing cancels.
        reflectors[k, k] += length if reflectors[k, k] >= 0 else -length
        length = 0.0
        for i in range(k, m):
            length += reflectors[k, i] ** 2
        length = math.sqrt(length)
        for i in range(k, m):
            reflectors[k, i] /= length
        for j in range(k, n):
            _reflect(columns[j], reflectors[k], k)
    r = np.zeros((rank, n))
    for j in range(n):
        for i in range(min(j + 1, rank)):
            r[i, j] = columns[j, i]
    q = np.zeros((m, rank if with_q else 0))
    column = np.empty(m)
    for j in range(q.shape[1]):
        for i in range(m):
            column[i] = 0.0
        column[j] = 1.0
        for k in range(rank - 1, -1, -1):
            _reflect(column, reflectors[k], k)
        for i in range(m):
            q[i, j] = column[i]
    return q, r


@njit(nogil=True, cache=True, fastmath=_FASTMATH)
def _jacobi(a):
    n = a.shape[0]
    vectors = np.eye(n)
    for _ in range(_SWEEPS):
        off, on = 0.0, 0.0
        for i in range(n):
            on += a[i, i] ** 2
            for j in range(i):
                off += a[i, j] ** 2
        if off <= (0.1 * _EPSILON) ** 2 * on:
            break
        for p in range(n):
            for q in range(p + 1, n):
                if a[p, q] == 0.0:
                    continue
                theta = (a[q, q] - a[p, p]) / (2.0 * a[p, q])
                t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + math.hypot(theta, 1.0))
                c = 1.0 / math.hypot(t, 1.0)
                s = t * c
                for k in range(n):
                    x, y = a[k, p], a[k, q]
                    a[k, p], a[k, q] = c * x - s * y, s * x + c * y
                for k in range(n):
                    x, y = a[p, k], a[q, k]
                    a[p, k], a[q, k] = c * x - s * y, s * x + c * y
                for k in range(n):
                    x, y = vectors[k, p], vectors[k, q]
                    vectors[k, p], vectors[k, q] = c * x - s * y, s * x + c * y
    values = np.empty(n)
    for i in range(n):
        values[i] = a[i, i]
    return values, vectors


@njit(nogil=True, cache=True, fastmath=_FASTMATH)
def _one_sided_jacobi(rows):
    """Rotate pairs of rows until all are at right angles to each other; (rows, the same rotations of the identity)."""
    n, m = rows.shape
    turned = np.eye(n)
    for _ in range(_SWEEPS):
        worst = 0.0
        for p in range(n):
            for q in range(p + 1, n):
                alpha, beta, gamma = 0.0, 0.0, 0.0
                for k in range(m):
                    alpha += rows[p, k] ** 2
                    beta += rows[q, k] ** 2
                    gamma += rows[p, k] * rows[q, k]
                size = math.sqrt(alpha * beta)
                if gamma == 0.0 or abs(gamma) <= _EPSILON * size:
                    continue
                worst = max(worst, abs(gamma) / size)
                zeta = (beta - alpha) / (2.0 * gamma)
                t = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + math.hypot(zeta, 1.0))
                c = 1.0 / math.hypot(t, 1.0)
                s = t * c
                for k in range(m):
                    x, y = rows[p, k], rows[q, k]
                    rows[p, k], rows[q, k] = c * x - s * y, s * x + c * y
                for k in range(n):
                    x, y = turned[p, k], turned[q, k]
                    turned[p, k], turned[q, k] = c * x - s * y, s * x + c * y
        if worst <= 4 * _EPSILON:
            break
    return rows, turned


def condition_number(a: Array) -> Any:
    """Largest over smallest singular value: how much a relative error of the right-hand side can grow."""
    _, s, _ = svd(a)
    return float(s[0] / s[-1]) if s[-1] > 0 else math.inf

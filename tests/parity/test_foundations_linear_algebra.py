"""Linear algebra against NumPy's LAPACK, on fresh random matrices: square, tall, wide, of low rank, badly scaled."""

from __future__ import annotations

import numpy as np
import pytest

from groundup.core.errors import DataError
from groundup.foundations import linear_algebra as la

pytestmark = pytest.mark.row("0.1")
SHAPES = [(1, 1), (5, 5), (30, 8), (8, 30), (1, 6), (6, 1)]


def deficient(draw: np.random.Generator) -> np.ndarray:
    a = draw.normal(size=(20, 7))
    a[:, 3] = 2 * a[:, 1] - a[:, 0]
    a[:, 5] = 0.0
    return a


def test_vectors(draw: np.random.Generator) -> None:
    a, b = draw.normal(size=(2, 3))
    np.testing.assert_array_equal(la.add(a, b), a + b)
    np.testing.assert_allclose(la.dot(a, b), a @ b, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(la.cross(a, b), np.cross(a, b), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose([la.dot(la.cross(a, b), a), la.dot(la.cross(a, b), b)], 0, atol=1e-13)
    long = draw.normal(size=9) * 10.0 ** draw.integers(-200, 150)
    for order in (1.0, 2.0, 3.5, np.inf):
        scaled = long / np.abs(long).max()  # NumPy's own overflows where ours must not
        np.testing.assert_allclose(la.norm(long, order), np.abs(long).max() * np.linalg.norm(scaled, order), rtol=1e-12)
    assert la.norm(np.zeros(4)) == 0.0


@pytest.mark.parametrize("shape", SHAPES)
def test_products(draw: np.random.Generator, shape: tuple[int, int]) -> None:
    a, b = draw.normal(size=shape), draw.normal(size=(shape[1], 4))
    np.testing.assert_allclose(la.matmul(a, b), a @ b, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(la.transpose(a), a.T)


def test_lu_solve_inverse_determinant(draw: np.random.Generator) -> None:
    n = int(draw.integers(1, 12))
    a = draw.normal(size=(n, n)) + np.eye(n)
    factors, order, _ = la.lu(a)
    lower, upper = np.tril(factors, -1) + np.eye(n), np.triu(factors)
    np.testing.assert_allclose(lower @ upper, a[order], atol=1e-12)
    assert np.abs(lower).max() <= 1.0  # partial pivoting
    condition = np.linalg.cond(a)
    b = draw.normal(size=(n, 3))
    np.testing.assert_allclose(la.solve(a, b), np.linalg.solve(a, b), rtol=1e-13 * condition, atol=1e-13 * condition)
    np.testing.assert_allclose(la.inverse(a), np.linalg.inv(a), rtol=1e-13 * condition, atol=1e-13 * condition)
    np.testing.assert_allclose(la.determinant(a), np.linalg.det(a), rtol=1e-12 * condition)
    assert la.determinant(np.eye(3)[[1, 0, 2]]) == -1.0


def test_a_singular_matrix_has_no_inverse(draw: np.random.Generator) -> None:
    a = draw.normal(size=(5, 5))
    a[4] = a[1]  # equal rows stay equal through the elimination, so the last pivot is 0 whatever is rounded
    assert abs(la.determinant(a)) < 1e-12
    with pytest.raises(DataError, match="singular"):
        la.inverse(a)
    with pytest.raises(DataError, match="4 x 5"):
        la.determinant(a[:4])


@pytest.mark.parametrize("shape", SHAPES)
def test_qr(draw: np.random.Generator, shape: tuple[int, int]) -> None:
    a = draw.normal(size=shape)
    q, r = la.qr(a)
    np.testing.assert_allclose(q @ r, a, atol=1e-13)
    np.testing.assert_allclose(q.T @ q, np.eye(min(shape)), atol=1e-13)
    np.testing.assert_allclose(np.abs(r), np.abs(np.linalg.qr(a)[1]), atol=1e-12)
    np.testing.assert_array_equal(np.tril(r, -1), 0.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values(draw: np.random.Generator, shape: tuple[int, int]) -> None:
    a = draw.normal(size=shape) * 10.0 ** draw.integers(-3, 4, shape[1])
    u, s, vt = la.svd(a)
    wanted = np.linalg.svd(a, compute_uv=False)
    np.testing.assert_allclose(s, wanted, rtol=1e-10, atol=1e-13 * wanted[0])
    np.testing.assert_allclose(u * s @ vt, a, atol=1e-12 * wanted[0])
    for basis in (u.T, vt):
        np.testing.assert_allclose(basis @ basis.T, np.eye(min(shape)), atol=1e-12)
    assert la.condition_number(a) == pytest.approx(wanted[0] / wanted[-1], rel=1e-8)


def test_singular_vectors_of_a_matrix_without_full_rank(draw: np.random.Generator) -> None:
    a = deficient(draw)
    u, s, vt = la.svd(a)
    np.testing.assert_allclose(s, np.linalg.svd(a, compute_uv=False), atol=1e-13 * s[0])
    np.testing.assert_allclose(u.T @ u, np.eye(7), atol=1e-12)
    np.testing.assert_allclose(vt @ vt.T, np.eye(7), atol=1e-12)
    np.testing.assert_array_equal(la.svd(np.zeros((4, 2)))[1], 0.0)


def test_eigenvalues(draw: np.random.Generator) -> None:
    n = int(draw.integers(1, 15))
    a = draw.normal(size=(n, n))
    a = a + a.T
    values, vectors = la.eigen_symmetric(a)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(a), atol=1e-12)
    np.testing.assert_allclose(a @ vectors, vectors * values, atol=1e-12)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_least_squares(draw: np.random.Generator, shape: tuple[int, int]) -> None:
    a, b = draw.normal(size=shape), draw.normal(size=(shape[0], 2))
    x, rank = la.lstsq(a, b)
    wanted, _, wanted_rank, s = np.linalg.lstsq(a, b)
    np.testing.assert_allclose(x, wanted, rtol=1e-9, atol=1e-12 * s[0] / s[-1] ** 2 * max(1, s[0]))
    assert rank == wanted_rank


def test_the_shortest_of_many_solutions(draw: np.random.Generator) -> None:
    a, b = deficient(draw), draw.normal(size=20)
    x, rank = la.lstsq(a, b)
    assert rank == 5
    np.testing.assert_allclose(x, np.linalg.lstsq(a, b)[0], atol=1e-10)


def test_the_nearest_matrix_of_low_rank(draw: np.random.Generator) -> None:
    a = draw.normal(size=(9, 6))
    near = la.low_rank(a, 2)
    assert np.linalg.matrix_rank(near) == 2
    rest = np.linalg.svd(a, compute_uv=False)[2:]
    assert np.linalg.norm(a - near) == pytest.approx(np.linalg.norm(rest), rel=1e-10)

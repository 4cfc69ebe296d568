"""Sparse matrices by rows (CSR), as bags of words need them: products, a choice of rows, sums. Float64, no changing in place.

The kernels are loops over the numbers that are there, compiled by Numba; `to_dense` is the readable reference, a test holds each
product equal to the same one of the dense matrix. Left out: other layouts, sparse times sparse.

Letters: N rows, D columns, K columns of the other factor, Z numbers stored.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numba import njit

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class CSR:
    """data float64 [Z], indices int32 [Z] (columns), indptr int64 [N + 1]: row i is data[indptr[i] : indptr[i + 1]]."""

    data: Array
    indices: Array
    indptr: Array
    num_columns: int

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[int, float]], num_columns: int) -> CSR:
        """Each row as {column: value}; columns are stored in ascending order."""
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=indptr[1:])
        ordered = [sorted(row.items()) for row in rows]
        indices = np.array([column for row in ordered for column, _ in row], np.int32)
        data = np.array([value for row in ordered for _, value in row], np.float64)
        assert not len(indices) or (indices.min() >= 0 and indices.max() < num_columns), "a column is out of range"
        return cls(data, indices, indptr, num_columns)

    @classmethod
    def from_dense(cls, x: Array) -> CSR:
        """x [N, D]; zeros are not stored."""
        rows, columns = np.nonzero(x)
        indptr = np.searchsorted(rows, np.arange(len(x) + 1)).astype(np.int64)
        return cls(np.asarray(x, np.float64)[rows, columns], columns.astype(np.int32), indptr, x.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.indptr) - 1, self.num_columns

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def to_dense(self) -> Array:
        """[N, D]"""
        dense = np.zeros(self.shape)
        np.add.at(dense, (self.row_of_each(), self.indices), self.data)
        return dense

    def row_of_each(self) -> Array:
        """int64 [Z]: which row each stored number is of."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def matmul(self, other: Array) -> Array:
        """x @ other: [D, K] -> [N, K], or [D] -> [N]."""
        wide = np.ascontiguousarray(other, np.float64).reshape(len(other), -1)
        assert len(wide) == self.num_columns, (wide.shape, self.shape)
        made: Array = _matmul(self.data, self.indices, self.indptr, wide)
        return made if other.ndim == 2 else made[:, 0]

    def rmatmul(self, other: Array) -> Array:
        """x.T @ other: [N, K] -> [D, K], or [N] -> [D]."""
        wide = np.ascontiguousarray(other, np.float64).reshape(len(other), -1)
        assert len(wide) == len(self), (wide.shape, self.shape)
        made: Array = _rmatmul(self.data, self.indices, self.indptr, wide, self.num_columns)
        return made if other.ndim == 2 else made[:, 0]

    def rows(self, which: Array) -> CSR:
        """The rows with these numbers (or where a bool [N] is True), in their order."""
        which = np.flatnonzero(which) if which.dtype == bool else np.asarray(which, np.int64)
        sizes = np.diff(self.indptr)[which]
        indptr = np.zeros(len(which) + 1, np.int64)
        np.cumsum(sizes, out=indptr[1:])
        take = np.repeat(self.indptr[which] - indptr[:-1], sizes) + np.arange(indptr[-1])
        return CSR(self.data[take], self.indices[take], indptr, self.num_columns)

    def columns(self, which: Array) -> CSR:
        """The columns where the bool [D] is True, in their order."""
        kept = which[self.indices]
        indptr = np.append(0, np.cumsum(kept))[self.indptr].astype(np.int64)
        renumbered = (np.cumsum(which) - 1).astype(np.int32)
        return CSR(self.data[kept], renumbered[self.indices[kept]], indptr, int(which.sum()))

    def with_data(self, data: Array) -> CSR:
        """The same places, other numbers."""
        return CSR(np.asarray(data, np.float64), self.indices, self.indptr, self.num_columns)

    def scale_columns(self, factors: Array) -> CSR:
        """x * factors: [D]"""
        return self.with_data(self.data * factors[self.indices])

    def scale_rows(self, factors: Array) -> CSR:
        """x * factors[:, None]: [N]"""
        return self.with_data(self.data * np.repeat(factors, np.diff(self.indptr)))

    def sum_columns(self) -> Array:
        """Sum of each column: [D]"""
        return np.bincount(self.indices, self.data, minlength=self.num_columns).astype(np.float64)

    def sum_rows(self) -> Array:
        """Sum of each row: [N]"""
        return np.bincount(self.row_of_each(), self.data, minlength=len(self)).astype(np.float64)


Matrix: TypeAlias = "Array | CSR"
"""[N, D], dense or sparse: what linear models take."""


def matmul(x: Matrix, other: Array) -> Array:
    """x @ other: [N, D], [D, K] -> [N, K] (or [D] -> [N])."""
    return x.matmul(other) if isinstance(x, CSR) else x @ other


def rmatmul(x: Matrix, other: Array) -> Array:
    """x.T @ other: [N, D], [N, K] -> [D, K] (or [N] -> [D])."""
    return x.rmatmul(other) if isinstance(x, CSR) else x.T @ other


@njit("float64[:, ::1](float64[::1], int32[::1], int64[::1], float64[:, ::1])", nogil=True, cache=True)
def _matmul(data, indices, indptr, other):
    made = np.zeros((len(indptr) - 1, other.shape[1]))
    for i in range(len(indptr) - 1):
        for z in range(indptr[i], indptr[i + 1]):
            for k in range(other.shape[1]):
                made[i, k] += data[z] * other[indices[z], k]
    return made


@njit("float64[:, ::1](float64[::1], int32[::1], int64[::1], float64[:, ::1], int64)", nogil=True, cache=True)
def _rmatmul(data, indices, indptr, other, num_columns):
    made = np.zeros((num_columns, other.shape[1]))
    for i in range(len(indptr) - 1):
        for z in range(indptr[i], indptr[i + 1]):
            for k in range(other.shape[1]):
                made[indices[z], k] += data[z] * other[i, k]
    return made

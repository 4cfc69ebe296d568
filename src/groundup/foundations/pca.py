"""Principal components: the directions in which points vary most, from the singular values of what is left without the mean.

Signs are fixed so that the largest entry of each direction is positive. Left out: whitening, the randomised form for very wide data.

Letters: N points, D features, C components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import DataError
from .linear_algebra import eigen_symmetric, svd
from .sparse import Array


@dataclass(frozen=True, eq=False)
class Components:
    mean: Array
    """[D]"""
    directions: Array
    """[C, D], each of length 1, at right angles, the one of most variance first"""
    variances: Array
    """[C], over N - 1"""
    shares: Array
    """[C]: of the whole variance"""

    def project(self, x: Array) -> Array:
        """[N, D] -> [N, C]"""
        made: Array = (x - self.mean) @ self.directions.T
        return made

    def back(self, z: Array) -> Array:
        """[N, C] -> [N, D]: the nearest points that the components can describe."""
        made: Array = z @ self.directions + self.mean
        return made


def fit_pca(x: Array, num_components: int) -> Components:
    """x [N, D]; at most min(N, D) components."""
    most = min(x.shape)
    if not 1 <= num_components <= most or len(x) < 2:
        raise DataError(f"{num_components} components of {x.shape[0]} points with {x.shape[1]} features",
                        hint=f"ask for 1 to {most} components; two points at least are needed")  # fmt: skip
    mean = x.mean(axis=0)
    _, s, directions = svd(x - mean)
    largest = np.abs(directions).argmax(axis=1)
    signs = np.where(directions[np.arange(len(directions)), largest] < 0, -1.0, 1.0)
    variances = s * s / (len(x) - 1)
    total = variances.sum()
    shares = variances / total if total > 0 else np.zeros_like(variances)
    c = num_components
    return Components(mean, (directions * signs[:, None])[:c], variances[:c], shares[:c])


def covariance_spectrum(x: Array) -> Array:
    """[D] descending: eigenvalues of the covariance matrix; the same numbers as the variances of the components."""
    centred = x - x.mean(axis=0)
    values, _ = eigen_symmetric(centred.T @ centred / (len(x) - 1))
    return values[::-1]

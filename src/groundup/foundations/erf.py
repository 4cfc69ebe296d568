"""The error function over arrays, which NumPy lacks: exact GELU and normal distributions need it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True)
def _erf_flat(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = math.erf(x[i])


def erf(x: np.ndarray) -> np.ndarray:
    """Of every element, in the dtype of x (float32 or float64)."""
    flat = x.ravel()
    out = np.empty_like(flat)
    _erf_flat(flat, out)
    return out.reshape(x.shape)

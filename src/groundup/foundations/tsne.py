"""t-SNE (van der Maaten and Hinton 2008): points on a plane so that near ones stay near, whatever becomes of far ones.

Affinities are Gaussian with a width for each point that makes its number of neighbours (the perplexity) the same; those on the plane
have Student's heavy tails; the divergence between both is lowered by gradient descent with momentum and a gain for each coordinate,
exaggerated at first. Exact: time N² for each step (1,000 points take seconds), where the Barnes-Hut tree would approximate. Starts
from the first two principal components, scaled small, so that the same data gives the same map.

Letters: N points, D features.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..core.errors import ConfigError, DataError
from .pca import fit_pca
from .sparse import Array

_SMALLEST = 1e-12
_SEARCH_STEPS = 200


@dataclass(frozen=True, eq=False)
class Embedding:
    places: Array
    """[N, 2]"""
    divergence: float
    """Kullback-Leibler, of the affinities on the plane from those of the data."""
    history: list[float]
    """The divergence every `report_every` steps, without exaggeration."""


@dataclass(frozen=True, kw_only=True)
class TSNE:
    perplexity: float = 30.0
    num_steps: int = 500
    exaggeration: float = 12.0
    """Affinities are multiplied by this for the first `exaggeration_steps`: clusters form before they find their places."""
    exaggeration_steps: int = 125
    learning_rate: float | None = None
    """null: N / exaggeration / 4, at least 50 (Belkina et al. 2019)."""
    report_every: int = 25

    def __post_init__(self) -> None:
        if self.perplexity < 1 or self.num_steps < 1:
            raise ConfigError(f"perplexity {self.perplexity} and num_steps {self.num_steps} must be at least 1")

    def fit(self, x: Array) -> Embedding:
        """x [N, D]"""
        n = len(x)
        if n < 4:
            raise DataError(f"a map needs at least 4 points, not {n}")
        affinities = joint_affinities(x, min(self.perplexity, (n - 1) / 3))
        rate = self.learning_rate or max(n / self.exaggeration / 4, 50.0)
        places = fit_pca(x, min(2, min(x.shape))).project(x)
        if places.shape[1] < 2:
            places = np.concatenate([places, np.zeros_like(places)], axis=1)
        spread = places[:, 0].std()
        places = places / (spread if spread > 0 else 1.0) * 1e-4
        step, gains = np.zeros_like(places), np.ones_like(places)
        history = []
        for number in range(self.num_steps):
            early = number < self.exaggeration_steps
            divergence, gradient = kl_gradient(affinities, places, self.exaggeration if early else 1.0)
            # A coordinate that keeps its direction speeds up, one that swings slows down (Jacobs 1988).
            gains = np.maximum(np.where(np.sign(step) != np.sign(gradient), gains + 0.2, gains * 0.8), 0.01)
            step = (0.5 if early else 0.8) * step - rate * gains * gradient
            places = places + step
            if number % self.report_every == 0:
                history.append(divergence)
        places = places - places.mean(axis=0)
        return Embedding(places, kl_gradient(affinities, places, 1.0)[0], history)


def joint_affinities(x: Array, perplexity: float) -> Array:
    """float64 [N, N], symmetric, sum 1, 0 on the diagonal: (p(j|i) + p(i|j)) / 2N."""
    conditional = _conditional(np.ascontiguousarray(x, np.float64), math.log(perplexity))
    joint = conditional + conditional.T
    made: Array = np.maximum(joint / joint.sum(), 0.0)
    return made


@njit(nogil=True, cache=True)
def _conditional(x, wanted_entropy):
    """Row i: exp(-beta_i d_ij²) over its sum, beta_i found by bisection so that the entropy is `wanted_entropy`."""
    n = x.shape[0]
    made = np.zeros((n, n))
    squares = np.empty(n)
    for i in range(n):
        nearest = np.inf
        for j in range(n):
            total = 0.0
            for d in range(x.shape[1]):
                total += (x[i, d] - x[j, d]) ** 2
            squares[j] = total
            if j != i:
                nearest = min(nearest, total)
        low, high, beta = 0.0, np.inf, 1.0
        for _ in range(_SEARCH_STEPS):
            mass, moment = 0.0, 0.0
            for j in range(n):
                if j == i:
                    continue
                part = math.exp(-beta * (squares[j] - nearest))
                made[i, j] = part
                mass += part
                moment += part * (squares[j] - nearest)
            entropy = math.log(mass) + beta * moment / mass
            if abs(entropy - wanted_entropy) < 1e-10:
                break
            if entropy > wanted_entropy:
                low = beta
                beta = beta * 2 if high == np.inf else (beta + high) / 2
            else:
                high = beta
                beta = (beta + low) / 2
        for j in range(n):
            made[i, j] /= mass
    return made


def kl_gradient(affinities: Array, places: Array, exaggeration: float) -> tuple[float, Array]:
    """(KL(P || Q), gradient [N, 2] of KL(exaggeration · P || Q)), Q the Student affinities of `places`."""
    divergence, gradient = _kl_gradient(affinities, np.ascontiguousarray(places), exaggeration)
    return float(divergence), gradient


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _kl_gradient(affinities, places, exaggeration):
    n = places.shape[0]
    total = 0.0
    for i in range(n):
        for j in range(i):
            a, b = places[i, 0] - places[j, 0], places[i, 1] - places[j, 1]
            total += 2.0 / (1.0 + a * a + b * b)
    gradient = np.zeros((n, 2))
    divergence = 0.0
    for i in range(n):
        for j in range(i):
            a, b = places[i, 0] - places[j, 0], places[i, 1] - places[j, 1]
            weight = 1.0 / (1.0 + a * a + b * b)
            p, q = affinities[i, j], weight / total
            pull = 4.0 * (exaggeration * p - q) * weight
            gradient[i, 0] += pull * a
            gradient[i, 1] += pull * b
            gradient[j, 0] -= pull * a
            gradient[j, 1] -= pull * b
            if p > _SMALLEST:
                divergence += 2.0 * p * math.log(p / q)
    return divergence, gradient


def trustworthiness(x: Array, places: Array, k: int = 10) -> float:
    """In 0 .. 1: how far the k neighbours on the map were neighbours in the data (Venna and Kaski 2001); 1: all were."""
    n = len(x)
    assert k < n / 2, (k, n)
    found: float = _trustworthiness(np.ascontiguousarray(x, np.float64), np.ascontiguousarray(places, np.float64), k)
    return 1.0 - found * 2.0 / (n * k * (2 * n - 3 * k - 1))


@njit(nogil=True, cache=True)
def _trustworthiness(x, places, k):
    """Sum over each point's neighbours on the map of how far beyond k their rank in the data is."""
    n = x.shape[0]
    total = 0.0
    in_data, on_map = np.empty(n), np.empty(n)
    for i in range(n):
        for j in range(n):
            in_data[j] = ((x[i] - x[j]) ** 2).sum()
            on_map[j] = ((places[i] - places[j]) ** 2).sum()
        in_data[i] = on_map[i] = -1.0
        near = np.argsort(on_map)
        rank = np.empty(n, np.int64)
        rank[np.argsort(in_data)] = np.arange(n)
        for j in near[1 : k + 1]:
            total += max(0, rank[j] - k)
    return total

"""Statistics of columns of numbers: moments, quantiles, ranks, correlation, histograms, and distributions fitted to them; Bayes' rule.

Quantiles interpolate between the two nearest values (method 7 of Hyndman and Fan 1996, NumPy's default), the standard deviation divides by
N - 1, skewness and excess kurtosis are the plain moment ratios (SciPy's defaults). Distributions are configs with density, cumulative
probability, draws, and a fit by maximum likelihood, each equal to SciPy's. Left out: weights, tests of hypotheses, multivariate ones.

Letters: N values, D columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .sparse import Array

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def mean(values: Array) -> float:
    return float(np.sum(values) / len(values))


def central_moment(values: Array, order: int) -> float:
    """Mean of (value - mean) to the power of `order`."""
    return mean((values - mean(values)) ** order)


def variance(values: Array) -> float:
    """Of a sample: the sum of squares over N - 1; nan for one value."""
    return central_moment(values, 2) * len(values) / (len(values) - 1) if len(values) > 1 else math.nan


def skewness(values: Array) -> float:
    """Third moment over the standard deviation cubed: above 0 where the tail is on the right. 0 where nothing varies."""
    second = central_moment(values, 2)
    return central_moment(values, 3) / second**1.5 if second > 0 else 0.0


def excess_kurtosis(values: Array) -> float:
    """Fourth moment over the variance squared, less 3: above 0 where tails are heavier than the normal's."""
    second = central_moment(values, 2)
    return central_moment(values, 4) / second**2 - 3.0 if second > 0 else 0.0


def quantile(values: Array, share: float) -> float:
    """The value that a `share` of the sorted values is below, between neighbours linearly."""
    ordered = np.sort(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


@dataclass(frozen=True, kw_only=True)
class Summary:
    count: int
    missing: int
    mean: float
    std: float
    minimum: float
    maximum: float
    quantiles: Mapping[float, float]
    skewness: float
    excess_kurtosis: float

    @property
    def median(self) -> float:
        return self.quantiles[0.5]


def summary(values: Array) -> Summary:
    """values float64 [N], NaN where missing; at least one is there."""
    present = values[~np.isnan(values)]
    return Summary(
        count=len(present),
        missing=len(values) - len(present),
        mean=mean(present),
        std=math.sqrt(variance(present)) if len(present) > 1 else 0.0,
        minimum=float(present.min()),
        maximum=float(present.max()),
        quantiles={share: quantile(present, share) for share in QUANTILES},
        skewness=skewness(present),
        excess_kurtosis=excess_kurtosis(present),
    )


def ranks(values: Array) -> Array:
    """1 for the smallest; equal values share the mean of their ranks. [N] -> float64 [N]"""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Array = (last - (counts - 1) / 2)[where]
    return shared


def correlation(x: Array, y: Array) -> float:
    """Pearson's, over the rows where both are there; nan where either does not vary."""
    both = ~(np.isnan(x) | np.isnan(y))
    a, b = x[both], y[both]
    if len(a) < 2:
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return max(-1.0, min(1.0, float(a @ b) / size)) if size > 0 else math.nan


def rank_correlation(x: Array, y: Array) -> float:
    """Spearman's: Pearson's of the ranks, so of any rising relation, straight or not."""
    both = ~(np.isnan(x) | np.isnan(y))
    return correlation(ranks(x[both]), ranks(y[both]))


def histogram(values: Array, *, max_bins: int = 60) -> tuple[Array, Array]:
    """(edges [bins + 1], counts [bins]). The width is that of Freedman and Diaconis (1981): 2 · interquartile range · N^(-1/3); a
    few whole numbers get a bin each.
    """
    low, high = float(values.min()), float(values.max())
    if low == high or (high - low < max_bins and (values == np.floor(values)).all()):
        counts = np.bincount(np.round(values - low).astype(np.int64))
        return np.arange(len(counts) + 1) + low - 0.5, counts
    width = 2 * (quantile(values, 0.75) - quantile(values, 0.25)) / len(values) ** (1 / 3)
    wanted = math.ceil((high - low) / width) if width > 0 else math.ceil(math.log2(len(values))) + 1
    bins = max(1, min(max_bins, wanted))
    place = np.minimum(((values - low) / (high - low) * bins).astype(np.int64), bins - 1)
    return np.linspace(low, high, bins + 1), np.bincount(place, minlength=bins)


def bayes(prior: Array, likelihood: Array) -> Array:
    """Posterior over hypotheses: prior [H] times likelihood of what was seen [H], over their sum."""
    joint = prior * likelihood
    posterior: Array = joint / joint.sum()
    return posterior


class Distribution(Protocol):
    """Of one number; discrete ones have a probability for `density`."""

    @property
    def mean(self) -> float: ...

    @property
    def variance(self) -> float: ...

    def log_density(self, x: Array) -> Array: ...

    def cumulative(self, x: Array) -> Array: ...

    def sample(self, count: int, draw: np.random.Generator) -> Array: ...


def _each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    return lambda x: np.array([function(float(v)) for v in np.ravel(x)]).reshape(np.shape(x))


_log_gamma = _each(math.lgamma)
_erf = _each(math.erf)


@dataclass(frozen=True)
class Normal:
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def fit(cls, values: Array) -> Normal:
        return cls(mean(values), math.sqrt(central_moment(values, 2)))

    @property
    def variance(self) -> float:
        return self.std**2

    def log_density(self, x: Array) -> Array:
        z = (x - self.mean) / self.std
        return -0.5 * z * z - math.log(self.std * math.sqrt(2 * math.pi))

    def cumulative(self, x: Array) -> Array:
        return 0.5 * (1 + _erf((np.asarray(x) - self.mean) / (self.std * math.sqrt(2))))

    def sample(self, count: int, draw: np.random.Generator) -> Array:
        """By Box and Muller (1958): a radius and an angle from two uniform numbers make two normal ones."""
        half = (count + 1) // 2
        radius = np.sqrt(-2 * np.log1p(-draw.random(half)))
        angle = 2 * np.pi * draw.random(half)
        both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return self.mean + self.std * both[:count]


@dataclass(frozen=True)
class LogNormal:
    """Its logarithm is normal."""

    log_mean: float = 0.0
    log_std: float = 1.0

    @classmethod
    def fit(cls, values: Array) -> LogNormal:
        of_log = Normal.fit(np.log(values))
        return cls(of_log.mean, of_log.std)

    @property
    def mean(self) -> float:
        return math.exp(self.log_mean + self.log_std**2 / 2)

    @property
    def variance(self) -> float:
        return math.expm1(self.log_std**2) * self.mean**2

    def log_density(self, x: Array) -> Array:
        logs = _log_or_less(x)
        inside = Normal(self.log_mean, self.log_std).log_density(np.where(np.isfinite(logs), logs, 0.0))
        return np.where(np.isfinite(logs), inside - np.where(np.isfinite(logs), logs, 0.0), -np.inf)

    def cumulative(self, x: Array) -> Array:
        return Normal(self.log_mean, self.log_std).cumulative(_log_or_less(x))

    def sample(self, count: int, draw: np.random.Generator) -> Array:
        return np.exp(Normal(self.log_mean, self.log_std).sample(count, draw))


@dataclass(frozen=True)
class Uniform:
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def fit(cls, values: Array) -> Uniform:
        return cls(float(values.min()), float(values.max()))

    @property
    def mean(self) -> float:
        return (self.low + self.high) / 2

    @property
    def variance(self) -> float:
        return (self.high - self.low) ** 2 / 12

    def log_density(self, x: Array) -> Array:
        inside = (x >= self.low) & (x <= self.high)
        return np.where(inside, -math.log(self.high - self.low), -np.inf)

    def cumulative(self, x: Array) -> Array:
        return np.clip((np.asarray(x) - self.low) / (self.high - self.low), 0.0, 1.0)

    def sample(self, count: int, draw: np.random.Generator) -> Array:
        return self.low + (self.high - self.low) * draw.random(count)


@dataclass(frozen=True)
class Exponential:
    """Waiting times of what happens at a constant rate."""

    mean: float = 1.0

    @classmethod
    def fit(cls, values: Array) -> Exponential:
        return cls(mean(values))

    @property
    def variance(self) -> float:
        return self.mean**2

    def log_density(self, x: Array) -> Array:
        return np.where(np.asarray(x) >= 0, -np.asarray(x) / self.mean - math.log(self.mean), -np.inf)

    def cumulative(self, x: Array) -> Array:
        return -np.expm1(-np.maximum(x, 0.0) / self.mean)

    def sample(self, count: int, draw: np.random.Generator) -> Array:
        """The inverse of the cumulative probability, of uniform numbers."""
        return -self.mean * np.log1p(-draw.random(count))


@dataclass(frozen=True)
class Poisson:
    """Counts of what happens independently at a constant rate."""

    mean: float = 1.0

    @classmethod
    def fit(cls, values: Array) -> Poisson:
        return cls(mean(values))

    @property
    def variance(self) -> float:
        return self.mean

    def log_density(self, x: Array) -> Array:
        counts = np.asarray(x, np.float64)
        possible = (counts >= 0) & (counts == np.floor(counts))
        safe = np.where(possible, counts, 0.0)
        return np.where(possible, safe * math.log(self.mean) - self.mean - _log_gamma(safe + 1), -np.inf)

    def cumulative(self, x: Array) -> Array:
        return _cumulative_of_counts(self, x)

    def sample(self, count: int, draw: np.random.Generator) -> Array:
        return _sample_counts(self, count, draw)


@dataclass(frozen=True)
class Binomial:
    """Successes among a number of independent trials; one trial is Bernoulli's distribution."""

    trials: int = 1
    chance: float = 0.5

    @property
    def mean(self) -> float:
        return self.trials * self.chance

    @property
    def variance(self) -> float:
        return self.trials * self.chance * (1 - self.chance)

    def log_density(self, x: Array) -> Array:
        k, n = np.asarray(x, np.float64), self.trials
        possible = (k >= 0) & (k <= n) & (k == np.floor(k))
        safe = np.where(possible, k, 0.0)
        ways = math.lgamma(n + 1) - _log_gamma(safe + 1) - _log_gamma(n - safe + 1)
        log_chance = ways + safe * math.log(self.chance) + (n - safe) * math.log1p(-self.chance)
        return np.where(possible, log_chance, -np.inf)

    def cumulative(self, x: Array) -> Array:
        return _cumulative_of_counts(self, x)

    def sample(self, count: int, draw: np.random.Generator) -> Array:
        return _sample_counts(self, count, draw)


def best_fit(values: Array) -> tuple[str, Distribution, dict[str, float]]:
    """(name, distribution, mean log-likelihood of each candidate) of the best of those that the values allow."""
    candidates: dict[str, Any] = {"normal": Normal, "uniform": Uniform}
    if values.min() >= 0:
        candidates["exponential"] = Exponential
    if values.min() > 0:
        candidates["log-normal"] = LogNormal
    if values.min() >= 0 and (values == np.floor(values)).all() and mean(values) < 100:
        candidates["Poisson"] = Poisson  # beyond, a normal distribution cannot be told from it
    fitted = {name: cls.fit(values) for name, cls in candidates.items()}
    scores = {name: mean(distribution.log_density(values)) for name, distribution in fitted.items()}
    best = max(scores, key=lambda name: scores[name])
    return best, fitted[best], scores


def _log_or_less(x: Array) -> Array:
    """log x; -inf where x is not above 0."""
    x = np.asarray(x, np.float64)
    logs: Array = np.log(x, out=np.full(x.shape, -np.inf), where=x > 0)
    return logs


def _table_of_counts(distribution: Poisson | Binomial) -> Array:
    """Cumulative probabilities of 0, 1, 2, ... to where nothing is left."""
    last = distribution.mean + 12 * math.sqrt(distribution.variance) + 30
    if isinstance(distribution, Binomial):
        last = min(last, distribution.trials)
    return np.cumsum(np.exp(distribution.log_density(np.arange(int(last) + 1))))


def _cumulative_of_counts(distribution: Poisson | Binomial, x: Array) -> Array:
    table = _table_of_counts(distribution)
    place = np.floor(np.asarray(x)).astype(np.int64)
    below: Array = np.where(place < 0, 0.0, table[np.clip(place, 0, len(table) - 1)])
    return below


def _sample_counts(distribution: Poisson | Binomial, count: int, draw: np.random.Generator) -> Array:
    table = _table_of_counts(distribution)
    found: Array = np.searchsorted(table, draw.random(count) * table[-1], side="right").astype(np.float64)
    return found


def correlation_matrix(columns: Sequence[Array]) -> Array:
    """[D, D] of Pearson's; nan where a column does not vary."""
    made = np.eye(len(columns))
    for i, x in enumerate(columns):
        for j in range(i):
            made[i, j] = made[j, i] = correlation(x, columns[j])
    return made

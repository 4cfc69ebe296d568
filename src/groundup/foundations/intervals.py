"""How sure a figure is: intervals for shares, means and ratios, and for the difference of two systems on the same questions.

Wilson's score interval for a share (Wilson 1927; it stays inside [0, 1] and is sound at 0 and n of n, where the textbook
interval has no width), the percentile bootstrap for anything else (Efron 1979), and the paired bootstrap for differences
(Efron and Tibshirani 1993, ch. 16; Koehn 2004 for language). All draws come from the seed given. Left out: corrections
for many comparisons, power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

CONFIDENCE = 0.95
SAMPLES = 4000
_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure, its interval, and the number of observations it rests on."""

    value: float
    low: float
    high: float
    count: int

    def plain(self) -> dict[str, Any]:
        return {
            "value": round(self.value, 6),
            "low": round(self.low, 6),
            "high": round(self.high, 6),
            "count": self.count,
        }


@dataclass(frozen=True, kw_only=True)
class Difference:
    """a - b on the same questions, its interval, and the two-sided p-value of there being none."""

    value: float
    low: float
    high: float
    p_value: float
    count: int

    def plain(self) -> dict[str, Any]:
        rounded = {name: round(getattr(self, name), 6) for name in ("value", "low", "high", "p_value")}
        return {**rounded, "count": self.count}


def wilson(successes: int, count: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Share of successes with Wilson's score interval. Raises ValueError unless 0 <= successes <= count, count > 0."""
    if count <= 0 or not 0 <= successes <= count:
        raise ValueError(f"{successes} successes of {count} is no share")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # At the ends the bound is exact; rounding would put it a hair inside.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == count else centre + half
    return Estimate(value=share, low=low, high=high, count=count)


def bootstrap_mean(
    values: Sequence[float], *, confidence: float = CONFIDENCE, samples: int = SAMPLES, seed: int = 0
) -> Estimate:
    """Mean with a percentile bootstrap interval."""
    return bootstrap_ratio(values, [1.0] * len(values), confidence=confidence, samples=samples, seed=seed)


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Estimate:
    """sum(numerators) / sum(denominators) with an interval from redrawing the pairs: bits per byte over documents, where
    the documents and not their bytes are the independent observations.
    """
    top, bottom = _vector(numerators), _vector(denominators)
    if len(top) != len(bottom):
        raise ValueError(f"{len(top)} numerators and {len(bottom)} denominators do not pair up")
    if len(top) == 0 or not bottom.sum() > 0:
        raise ValueError("a ratio needs at least one pair and denominators that sum to more than zero")
    ratios = _resampled(np.stack([top, bottom]), samples, seed)
    low, high = _percentiles(ratios[0] / ratios[1], confidence)
    return Estimate(value=float(top.sum() / bottom.sum()), low=low, high=high, count=len(top))


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Difference:
    """Mean of a - b where a[i] and b[i] are scores on question i. The p-value is that of the bootstrap under a shift of
    the differences to mean zero, with one added to both counts so that it is never exactly zero.
    """
    first, second = _vector(a), _vector(b)
    if len(first) != len(second) or len(first) == 0:
        raise ValueError(f"{len(first)} and {len(second)} scores do not pair up")
    differences = first - second
    mean = float(differences.mean())
    drawn = _resampled(differences[None], samples, seed)[0] / len(differences)
    low, high = _percentiles(drawn, confidence)
    # A difference of zero is reached by every draw; the tolerance keeps rounding from deciding ties.
    extreme = int((np.abs(drawn - mean) >= abs(mean) - 1e-12).sum())
    return Difference(value=mean, low=low, high=high, p_value=(extreme + 1) / (samples + 1), count=len(differences))


def _vector(values: Sequence[float]) -> np.ndarray:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError("scores must be a flat list of finite numbers")
    return vector


def _resampled(values: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """[R, N] -> [R, samples]: sums over redrawn columns, in blocks so that memory stays small."""
    rng = np.random.default_rng(seed)
    count = values.shape[1]
    block = max(1, _BLOCK_ELEMENTS // count)
    sums = [
        values[:, rng.integers(0, count, size=(min(block, samples - done), count))].sum(axis=2)
        for done in range(0, samples, block)
    ]
    return np.concatenate(sums, axis=1)


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)

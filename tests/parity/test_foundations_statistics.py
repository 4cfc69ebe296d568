"""Statistics and distributions against SciPy and NumPy, on fresh random columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from groundup.foundations import statistics as ours

pytestmark = pytest.mark.row("0.3")


def test_moments_and_quantiles(draw: np.random.Generator) -> None:
    x = draw.gamma(draw.uniform(0.5, 5), size=int(draw.integers(5, 200))) * 10.0 ** draw.integers(-3, 4)
    holes = np.append(x, [np.nan, np.nan])
    found = ours.summary(holes)
    assert (found.count, found.missing) == (len(x), 2)
    np.testing.assert_allclose(
        [found.mean, found.std, found.minimum, found.maximum, found.median, found.skewness, found.excess_kurtosis],
        [x.mean(), x.std(ddof=1), x.min(), x.max(), np.median(x), stats.skew(x), stats.kurtosis(x)],
        rtol=1e-9,
        atol=1e-9,
    )
    for share, value in found.quantiles.items():
        assert value == pytest.approx(np.quantile(x, share), rel=1e-12)


def test_a_column_that_does_not_vary() -> None:
    found = ours.summary(np.full(4, 7.0))
    assert (found.mean, found.std, found.skewness, found.excess_kurtosis) == (7.0, 0.0, 0.0, 0.0)
    assert ours.summary(np.array([3.0])).std == 0.0
    assert np.isnan(ours.correlation(np.full(4, 7.0), np.arange(4.0)))


def test_correlations(draw: np.random.Generator) -> None:
    x = draw.integers(0, 9, 60).astype(float)  # ties, for the ranks
    y = x**2 + draw.normal(size=60) * 8
    assert ours.correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    assert ours.rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    np.testing.assert_array_equal(ours.ranks(x), stats.rankdata(x))
    np.testing.assert_allclose(ours.correlation_matrix([x, y, -x]), np.corrcoef([x, y, -x]), atol=1e-12)
    x[3] = np.nan
    assert ours.correlation(x, y) == pytest.approx(np.corrcoef(np.delete(x, 3), np.delete(y, 3))[0, 1], abs=1e-12)


def test_histogram(draw: np.random.Generator) -> None:
    x = draw.normal(size=300)
    edges, counts = ours.histogram(x)
    np.testing.assert_allclose(edges, np.histogram_bin_edges(x, bins="fd"), rtol=1e-12)
    assert counts.sum() == 300
    # A value within rounding of an edge may be counted on either side of it.
    assert np.abs(counts - np.histogram(x, bins=edges)[0]).sum() <= 2
    whole = np.array([2.0, 5.0, 2.0, 4.0])
    edges, counts = ours.histogram(whole)
    assert edges.tolist() == [1.5, 2.5, 3.5, 4.5, 5.5] and counts.tolist() == [2, 0, 1, 1]
    assert ours.histogram(np.full(3, 0.5))[1].tolist() == [3]


def distributions(draw: np.random.Generator) -> list[tuple[Any, Any]]:
    mean, std, rate = draw.normal() * 5, draw.uniform(0.2, 4), draw.uniform(0.2, 12)
    trials, chance = int(draw.integers(1, 40)), draw.uniform(0.05, 0.95)
    return [
        (ours.Normal(mean, std), stats.norm(mean, std)),
        (ours.LogNormal(mean / 4, std / 4), stats.lognorm(std / 4, scale=np.exp(mean / 4))),
        (ours.Uniform(mean, mean + std), stats.uniform(mean, std)),
        (ours.Exponential(rate), stats.expon(scale=rate)),
        (ours.Poisson(rate), stats.poisson(rate)),
        (ours.Binomial(trials, chance), stats.binom(trials, chance)),
        (ours.Binomial(1, chance), stats.bernoulli(chance)),
    ]


def test_densities_and_cumulative_probabilities(draw: np.random.Generator) -> None:
    for mine, theirs in distributions(draw):
        discrete = isinstance(mine, (ours.Poisson, ours.Binomial))
        x = np.unique(theirs.rvs(40, random_state=1)).astype(float)
        x = np.concatenate([x, [-1.0, -0.5, 0.5]])
        with np.errstate(divide="ignore"):
            wanted = np.log(theirs.pmf(x)) if discrete else theirs.logpdf(x)
        np.testing.assert_allclose(mine.log_density(x), wanted, rtol=1e-9, atol=1e-9, err_msg=str(mine))
        np.testing.assert_allclose(mine.cumulative(x), theirs.cdf(x), rtol=1e-9, atol=1e-12, err_msg=str(mine))
        assert (mine.mean, mine.variance) == pytest.approx((theirs.mean(), theirs.var()), rel=1e-9)


def test_draws_follow_their_distribution() -> None:
    """With a seed of its own: a test of draws that is fresh each time fails once in so many runs."""
    draw = np.random.default_rng(5)
    for mine, theirs in distributions(draw):
        found = mine.sample(4000, draw)
        if isinstance(mine, (ours.Poisson, ours.Binomial)):
            values, counts = np.unique(found, return_counts=True)
            expected = theirs.pmf(values) * 4000
            np.testing.assert_array_less(np.abs(counts - expected), 5 * np.sqrt(expected) + 2, err_msg=str(mine))
        else:
            assert stats.kstest(found, theirs.cdf).pvalue > 0.001, mine


def test_the_best_fit_is_the_distribution_it_came_from() -> None:
    draw = np.random.default_rng(6)
    made = {"normal": draw.normal(-3, 2, 800), "log-normal": draw.lognormal(0, 0.7, 800), "Poisson": draw.poisson(4, 800),
            "exponential": draw.exponential(3, 800), "uniform": draw.uniform(-2, 5, 800)}  # fmt: skip
    for name, values in made.items():
        best, fitted, scores = ours.best_fit(np.asarray(values, np.float64))
        assert best == name and scores[best] == max(scores.values())
        assert fitted.mean == pytest.approx(np.mean(values), rel=0.06)


def test_bayes() -> None:
    # One in a hundred is ill; the test finds 90 % of them and errs on 5 % of the others.
    posterior = ours.bayes(np.array([0.99, 0.01]), np.array([0.05, 0.90]))
    assert posterior[1] == pytest.approx(0.009 / (0.009 + 0.0495))

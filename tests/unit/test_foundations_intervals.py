"""Intervals against values worked out by other means: published figures, exact sums, and coverage in simulation."""

from __future__ import annotations

import itertools
import math
import random
from statistics import NormalDist

import numpy as np
import pytest

from groundup.foundations.intervals import bootstrap_mean, bootstrap_ratio, paired_bootstrap, wilson

pytestmark = pytest.mark.row("11.6")


@pytest.mark.parametrize(
    "successes, count, low, high",
    [  # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3: the score interval without correction
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_has_the_published_values(successes: int, count: int, low: float, high: float) -> None:
    found = wilson(successes, count)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_wilson_bounds_are_where_the_score_test_just_rejects() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(200):
        count = rng.randint(1, 400)
        successes = rng.randint(0, count)
        confidence = rng.choice([0.8, 0.9, 0.95, 0.99])
        found = wilson(successes, count, confidence=confidence)
        z = NormalDist().inv_cdf(0.5 + confidence / 2)
        for bound in (found.low, found.high):
            if 0 < bound < 1:
                score = (found.value - bound) / math.sqrt(bound * (1 - bound) / count)
                assert abs(abs(score) - z) < 1e-8, (successes, count, confidence)
        mirrored = wilson(count - successes, count, confidence=confidence)
        assert math.isclose(mirrored.low, 1 - found.high, abs_tol=1e-12)
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_bootstrap_of_three_values_agrees_with_all_27_draws() -> None:
    values = [0.0, 1.0, 5.0]
    exact = sorted(sum(draw) / 3 for draw in itertools.product(values, repeat=3))
    found = bootstrap_mean(values, samples=200_000, confidence=0.8, seed=3)
    assert math.isclose(found.value, 2.0)
    # The 10th and 90th percentiles of the exact distribution are at its 3rd and 25th of 27 values.
    assert (found.low, found.high) == pytest.approx((exact[2], exact[24]))


def test_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    hits = sum(
        (found := bootstrap_mean(rng.normal(3.0, 1.0, size=60).tolist(), samples=800, seed=i)).low < 3.0 < found.high
        for i in range(300)
    )
    # 95 % of 300 is 285; a percentile interval at 60 values is a little short of it. Five standard deviations down: 262.
    assert 262 <= hits <= 299


def test_ratio_weighs_documents_by_their_size() -> None:
    found = bootstrap_ratio([10.0, 2.0], [10.0, 1.0])
    assert math.isclose(found.value, 12 / 11)
    assert (found.low, found.high) == (1.0, 2.0)  # both drawn the same


def test_ratio_is_the_same_whatever_the_unit() -> None:
    rng = np.random.default_rng(5)
    bits, sizes = rng.uniform(1, 9, 40).tolist(), rng.uniform(1, 9, 40).tolist()
    one = bootstrap_ratio(bits, sizes, seed=2)
    thousand = bootstrap_ratio([1000 * b for b in bits], sizes, seed=2)
    assert thousand.low == pytest.approx(1000 * one.low)
    assert one == bootstrap_ratio(bits, sizes, seed=2)
    assert one.low < one.value < one.high


def test_pairs_see_what_two_separate_intervals_do_not() -> None:
    rng = np.random.default_rng(7)
    hard = rng.uniform(0, 1, 80)
    a, b = (hard + 0.02 + rng.normal(0, 0.01, 80)).tolist(), hard.tolist()
    found = paired_bootstrap(a, b)
    assert found.low > 0 and found.p_value < 0.01
    apart_a, apart_b = bootstrap_mean(a), bootstrap_mean(b)
    assert apart_a.low < apart_b.high  # the unpaired intervals overlap
    back = paired_bootstrap(b, a)
    assert back.value == pytest.approx(-found.value)


def test_no_difference_is_no_finding() -> None:
    assert paired_bootstrap([0.0, 1.0, 1.0], [0.0, 1.0, 1.0]).p_value == 1.0
    rng = np.random.default_rng(13)
    p_values = [
        paired_bootstrap(rng.normal(size=50).tolist(), rng.normal(size=50).tolist(), samples=400, seed=i).p_value
        for i in range(200)
    ]
    assert 1 <= sum(p < 0.05 for p in p_values) <= 26  # 10 expected


@pytest.mark.parametrize("successes, count", [(1, 0), (-1, 5), (6, 5)])
def test_shares_that_are_none_are_refused(successes: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"{successes} successes of {count}"):
        wilson(successes, count)


def test_bad_scores_are_refused() -> None:
    for wrong in ([], [math.nan], [math.inf]):
        with pytest.raises(ValueError):
            bootstrap_mean(wrong)
    with pytest.raises(ValueError, match="do not pair"):
        paired_bootstrap([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="do not pair"):
        bootstrap_ratio([1.0], [1.0, 2.0])

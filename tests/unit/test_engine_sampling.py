"""Samplers: drawn frequencies are the computed distribution; draws depend on seed and position alone."""

from __future__ import annotations

import math

import pytest
import torch

from groundup.core.types import SamplingParams
from groundup.engine.sampling import RowSettings, SamplingPlan, invert, uniform


def row(**params: object) -> RowSettings:
    return RowSettings(SamplingParams(**params), seed=int(params.get("seed", 0) or 0), prompt_length=2)  # type: ignore[arg-type,call-overload]


@pytest.mark.row("5.5")
@pytest.mark.parametrize(
    "params", [{}, {"temperature": 0.6}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.1, "temperature": 1.5}]
)
def test_frequencies_match_the_distribution(params: dict[str, object]) -> None:
    torch.manual_seed(3)
    logits = torch.randn(1, 12) * 1.5
    plan = SamplingPlan([row(**params)])
    expected = plan.distribution(logits, [[1, 2]])[0]
    draws = 20_000
    counts = torch.zeros(12)
    chunk = 2_000
    for start in range(0, draws, chunk):
        rows = [row(**params, seed=17)] * chunk
        many = SamplingPlan(rows)
        ids = many.sample(logits.expand(chunk, -1), [[1, 2]] * chunk, list(range(start, start + chunk)))
        counts += torch.bincount(torch.tensor(ids), minlength=12)
    possible = expected > 0
    assert float(counts[~possible].sum()) == 0
    chi_square = float(((counts - draws * expected) ** 2 / (draws * expected))[possible].sum())
    freedom = int(possible.sum()) - 1
    # Mean and five standard deviations of the chi-square distribution; the seed is fixed.
    assert chi_square < freedom + 5 * math.sqrt(2 * freedom), (chi_square, freedom)


@pytest.mark.row("5.5")
def test_uniform_numbers_are_spread_and_depend_on_both_arguments() -> None:
    values = torch.tensor(
        [uniform(seed, position) for seed in range(100) for position in range(100)], dtype=torch.float64
    )
    assert float(values.min()) >= 0 and float(values.max()) < 1
    counts = torch.histc(values.float(), bins=50, min=0, max=1)
    assert float(((counts - 200) ** 2 / 200).sum()) < 49 + 5 * math.sqrt(98)
    assert values.unique().numel() == 10_000
    grid = values.view(100, 100) - 0.5
    assert abs(float((grid[:, 1:] * grid[:, :-1]).mean())) < 5 / 12 / 100
    assert uniform(-1, 0) != uniform(1, 0)


@pytest.mark.row("5.5")
def test_inversion_never_draws_what_is_impossible() -> None:
    probabilities = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]])
    for draw, expected in ((0.0, 1), (0.4999, 1), (0.5, 3), (1 - 2**-53, 3)):
        assert invert(probabilities, torch.tensor([draw], dtype=torch.float64)).tolist() == [expected]


@pytest.mark.row("5.5")
def test_rows_with_different_settings_do_not_touch_each_other() -> None:
    torch.manual_seed(0)
    settings = [
        {"temperature": 0.0}, {"temperature": 0.5, "top_k": 3}, {"top_p": 0.5}, {"min_p": 0.2},
        {"repetition_penalty": 1.5, "presence_penalty": 1.0}, {"logit_bias": {3: 5.0, 7: -100.0}},
    ]  # fmt: skip
    logits = torch.randn(len(settings), 40)
    history = [[i, i + 1, i + 2, i + 2] for i in range(len(settings))]
    rows = [row(**s, seed=9) for s in settings]
    together = SamplingPlan(rows)
    for i, one in enumerate(rows):
        alone = SamplingPlan([one])
        expected = alone.distribution(logits[i : i + 1], history[i : i + 1])
        if settings[i].get("temperature") != 0.0:
            torch.testing.assert_close(together.distribution(logits, history)[i : i + 1], expected)
        assert (
            together.sample(logits, history, [4] * len(rows))[i]
            == alone.sample(logits[i : i + 1], history[i : i + 1], [4])[0]
        )


@pytest.mark.row("5.5")
def test_a_wide_nucleus_is_exact_beyond_the_tokens_looked_at_first() -> None:
    torch.manual_seed(1)
    logits = torch.randn(3, 2000) * 0.1
    probabilities = SamplingPlan([row(top_p=p) for p in (0.9, 0.01, 1.0)]).distribution(logits, [[]] * 3)
    for kept, before, share in zip(probabilities, logits.softmax(-1), (0.9, 0.01, 1.0)):
        ordered = before.sort(descending=True).values.cumsum(0)
        wanted = int((ordered < share).sum()) + 1 if share < 1 else 2000
        assert int((kept > 0).sum()) == wanted

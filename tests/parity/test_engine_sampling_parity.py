"""Our filters and penalties against transformers' on fresh random logits."""

from __future__ import annotations

import random

import pytest
import torch

from groundup.core.types import SamplingParams
from groundup.engine.sampling import (
    CountPenalty,
    MinP,
    RepetitionPenalty,
    RowSettings,
    SamplingPlan,
    Temperature,
    TopK,
    TopP,
)

transformers = pytest.importorskip("transformers")


@pytest.fixture
def case():  # type: ignore[no-untyped-def]
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    generator = torch.Generator().manual_seed(seed)
    rng = random.Random(seed)
    size = rng.choice([30, 700, 5000])
    logits = torch.randn(4, size, generator=generator) * rng.choice([0.5, 2.0, 6.0])
    history = torch.randint(0, size, (4, 12), generator=generator)
    return rng, logits, history


@pytest.mark.row("5.5")
@pytest.mark.parametrize("trial", range(8))
def test_filters_equal_transformers(case, trial) -> None:  # type: ignore[no-untyped-def]
    rng, logits, history = case
    k, p, m, t, r = (
        rng.randint(1, 40),
        rng.uniform(0.05, 0.99),
        rng.uniform(0.01, 0.5),
        rng.uniform(0.2, 1.9),
        rng.uniform(0.5, 2),
    )
    pairs = [
        (TopK([k] * 4), transformers.TopKLogitsWarper(k)),
        (TopP([p] * 4), transformers.TopPLogitsWarper(p)),
        (MinP([m] * 4), transformers.MinPLogitsWarper(m)),
        (Temperature([t] * 4), transformers.TemperatureLogitsWarper(t)),
        (RepetitionPenalty([r] * 4), transformers.RepetitionPenaltyLogitsProcessor(r)),
    ]
    for ours, theirs in pairs:
        expected = theirs(history, logits.clone())
        got = ours(logits.clone(), history.tolist())
        torch.testing.assert_close(got, expected, msg=lambda text, theirs=theirs: f"{type(theirs).__name__}: {text}")


@pytest.mark.row("5.5")
@pytest.mark.parametrize("trial", range(4))
def test_the_whole_chain_equals_transformers(case, trial) -> None:  # type: ignore[no-untyped-def]
    _, logits, history = case
    params = SamplingParams(temperature=0.7, top_k=20, top_p=0.9, min_p=0.02, repetition_penalty=1.3)
    plan = SamplingPlan([RowSettings(params, seed=0, prompt_length=12)] * 4)
    chain = transformers.LogitsProcessorList(
        [
            transformers.RepetitionPenaltyLogitsProcessor(1.3),
            transformers.TemperatureLogitsWarper(0.7),
            transformers.TopKLogitsWarper(20),
            transformers.TopPLogitsWarper(0.9),
            transformers.MinPLogitsWarper(0.02),
        ]
    )
    expected = chain(history, logits.clone()).softmax(-1)
    torch.testing.assert_close(plan.distribution(logits, history.tolist()), expected)


@pytest.mark.row("5.5")
def test_count_penalties_are_those_of_the_openai_formula() -> None:
    logits = torch.zeros(1, 6)
    got = CountPenalty([0.5], [0.25], [2])(logits, [[0, 0, 1, 3, 3, 3]])
    # Prompt tokens do not count: id 0 stays as it is.
    assert got[0].tolist() == [0.0, -0.75, 0.0, -1.25, 0.0, 0.0]

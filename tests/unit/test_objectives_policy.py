"""Advantages by brute force, the clip by table, and REINFORCE against the expected gradient over every completion there is."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from groundup.core.config import parse
from groundup.core.errors import ConfigError, DataError
from groundup.objectives.policy import (
    GRPOConfig,
    PolicyConfig,
    PolicyObjective,
    PPOConfig,
    ReinforceConfig,
    RLOOConfig,
    RolloutConfig,
    Sample,
    assign_advantages,
    clipped_surrogate,
    generalised_advantages,
    group_advantages,
    value_loss,
)
from groundup.train.stage import TrainStage

pytestmark = pytest.mark.row("10.5")


@pytest.fixture(scope="module")
def seed() -> int:
    drawn = random.SystemRandom().randrange(2**31)
    print(f"seed {drawn}")
    return drawn


# ------------------------------------------------------------------------------------------------------------ advantages


@pytest.mark.row("10.3")
@pytest.mark.parametrize("number", range(20))
def test_generalised_advantages_are_the_double_sum(seed: int, number: int) -> None:
    rng = np.random.default_rng([seed, number])
    m = int(rng.integers(1, 12))
    rewards, values = rng.standard_normal(m), rng.standard_normal(m)
    discount, gae_lambda = float(rng.choice([0.0, 0.5, 0.99, 1.0])), float(rng.choice([0.0, 0.5, 0.95, 1.0]))
    last = float(rng.choice([0.0, 1.7]))
    ahead = [*values[1:], last]
    wanted = [
        sum((discount * gae_lambda) ** (u - t) * (rewards[u] + discount * ahead[u] - values[u]) for u in range(t, m))
        for t in range(m)
    ]
    advantages, returns = generalised_advantages(
        rewards, values, discount=discount, gae_lambda=gae_lambda, last_value=last
    )
    np.testing.assert_allclose(advantages, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(returns, wanted + values, rtol=1e-5, atol=1e-6)
    assert advantages.dtype == returns.dtype == np.float32


@pytest.mark.row("10.3")
def test_lambda_one_is_the_return_less_the_value_and_lambda_zero_the_surprise() -> None:
    rewards, values = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.25, 0.125])
    whole, returns = generalised_advantages(rewards, values, discount=1.0, gae_lambda=1.0)
    assert whole.tolist() == [6.5, 5.75, 3.875] and returns.tolist() == [7.0, 6.0, 4.0]
    one, _ = generalised_advantages(rewards, values, discount=0.5, gae_lambda=0.0)
    assert one.tolist() == [1 + 0.125 - 0.5, 2 + 0.0625 - 0.25, 4 - 0.125]


def by_loops(rewards: Sequence[float], groups: Sequence[int], baseline: str, scale: str) -> list[float]:
    made = []
    for i, (reward, group) in enumerate(zip(rewards, groups)):
        own = [r for r, g in zip(rewards, groups) if g == group]
        others = [r for j, (r, g) in enumerate(zip(rewards, groups)) if g == group and j != i]
        off = {"none": 0.0, "batch": sum(rewards) / len(rewards), "group": sum(own) / len(own)}
        off["others"] = sum(others) / len(others) if others else 0.0
        among = {"group": own, "batch": list(rewards), "none": []}[scale]
        spread = 0.0
        if len(among) > 1:
            middle = sum(among) / len(among)
            spread = (sum((r - middle) ** 2 for r in among) / (len(among) - 1)) ** 0.5
        made.append((reward - off[baseline]) / (1.0 if scale == "none" else spread + 1e-4))
    return made


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
@pytest.mark.parametrize("baseline", ["none", "batch", "group", "others"])
def test_group_advantages_are_the_loops(seed: int, baseline: Any, scale: Any) -> None:
    rng = np.random.default_rng([seed, len(baseline), len(scale)])
    for _ in range(10):
        groups = rng.integers(0, 5, rng.integers(1, 30))  # of unequal sizes, mixed up, some of one
        rewards = rng.choice([0.0, 0.5, 1.0, -2.0], len(groups)) + 0.01 * rng.standard_normal(len(groups))
        found = group_advantages(rewards, groups, baseline=baseline, scale=scale)
        np.testing.assert_allclose(found, by_loops(rewards, groups, baseline, scale), rtol=1e-5, atol=1e-5)


def test_a_group_of_one_and_a_group_without_a_difference() -> None:
    alone = np.array([0]), np.array([3])
    rewards = np.array([2.0])
    assert group_advantages(rewards, alone[0], baseline="group", scale="group").tolist() == [0.0]
    assert group_advantages(rewards, alone[0], baseline="group", scale="batch").tolist() == [0.0]
    assert group_advantages(rewards, alone[0], baseline="others").tolist() == [2.0]
    same, groups = np.full(6, 0.7), np.array([0, 0, 0, 1, 1, 1])
    for baseline, scale in itertools.product(("batch", "group", "others"), ("none", "group", "batch")):
        found = group_advantages(same, groups, baseline=baseline, scale=scale)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, 0.0, atol=1e-6)


# -------------------------------------------------------------------- the expected gradient over every completion there is

VOCAB, LONGEST, END = 3, 2, 2
COMPLETIONS = [(END,), *((a, b) for a in range(2) for b in range(VOCAB))]
"""Every completion of at most LONGEST tokens of which END is the last."""


class Bigrams(torch.nn.Module):
    """A policy small enough for every completion to be counted: logits of the next token by the last one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.table = torch.nn.Parameter(torch.randn(VOCAB + 1, VOCAB, dtype=torch.float64))

    def forward(self, ids: torch.Tensor, state: Any = None) -> Any:
        return SimpleNamespace(hidden=self.table[ids], head=lambda rows: rows)

    def probability(self, completion: Sequence[int]) -> torch.Tensor:
        logs = torch.log_softmax(self.table, dim=-1)
        return torch.exp(sum(logs[a, b] for a, b in zip((VOCAB, *completion), completion, strict=False)))


def reward_of(completion: Sequence[int]) -> float:
    return {(END,): 0.3, (0, END): 1.0, (1, 1): -0.5, (0, 1): 0.8}.get(tuple(completion), 0.1)


def sample_of(model: Bigrams, completion: Sequence[int], group: int = 0) -> Sample:
    logs = torch.log_softmax(model.table.detach(), dim=-1)
    each = [float(logs[a, b]) for a, b in zip((VOCAB, *completion), completion, strict=False)]
    return Sample(np.array([VOCAB, *completion]), 1, np.array(each, np.float32), reward_of(completion), group=group)


def expected_step(model: Bigrams, config: PolicyConfig, count: int) -> torch.Tensor:
    """The mean of the loss's gradient over every batch of `count` samples, each by its probability."""
    total = torch.zeros_like(model.table)
    for batch in itertools.product(COMPLETIONS, repeat=count):
        samples = [sample_of(model, completion) for completion in batch]
        assign_advantages(samples, config)
        objective = PolicyObjective(config)
        loss = objective.loss(model, objective.collate(samples)).loss
        (gradient,) = torch.autograd.grad(loss, [model.table])
        chance = torch.stack([model.probability(completion) for completion in batch]).prod().detach()
        total += chance * gradient
    return total


@pytest.mark.parametrize(
    ("config", "factor"),
    [
        (ReinforceConfig(baseline="none"), lambda n: 1.0),
        (ReinforceConfig(baseline="batch"), lambda n: 1 - 1 / n),
        (ReinforceConfig(baseline="group"), lambda n: 1 - 1 / n),
        (RLOOConfig(), lambda n: 1.0),
        (
            GRPOConfig(scale="none", aggregation="constant", rollout=RolloutConfig(max_tokens=LONGEST)),
            lambda n: (1 - 1 / n) / LONGEST,
        ),
    ],
    ids=["none", "batch", "group", "rloo", "dr. grpo"],
)
@pytest.mark.parametrize("count", [1, 3])
def test_the_expected_step_is_the_gradient_of_the_expected_reward(
    seed: int, config: PolicyConfig, factor: Any, count: int
) -> None:
    """A baseline does not change the direction; that of the other samples not even the length."""
    model = Bigrams(seed)
    chances = torch.stack([model.probability(c) for c in COMPLETIONS])
    assert chances.sum().item() == pytest.approx(1.0)
    (wanted,) = torch.autograd.grad(
        -(chances * torch.tensor([reward_of(c) for c in COMPLETIONS], dtype=torch.float64)).sum(), [model.table]
    )
    assert wanted.abs().max() > 1e-3
    torch.testing.assert_close(expected_step(model, config, count), factor(count) * wanted, rtol=1e-5, atol=1e-6)


def test_the_baseline_of_the_others_makes_the_step_steadier(seed: int) -> None:
    """Less variance is what a baseline is for: with rewards far from 0 it is many times less."""
    model, spread = Bigrams(seed), {}
    for name, config in (("none", ReinforceConfig(baseline="none")), ("others", RLOOConfig())):
        objective, total = PolicyObjective(config), 0.0
        for batch in itertools.product(COMPLETIONS, repeat=3):
            samples = [sample_of(model, completion) for completion in batch]
            for sample in samples:
                sample.reward += 10.0
            assign_advantages(samples, config)
            loss = objective.loss(model, objective.collate(samples)).loss
            (gradient,) = torch.autograd.grad(loss, [model.table])
            chance = torch.stack([model.probability(completion) for completion in batch]).prod().detach()
            total += float(chance) * float(gradient.square().sum())
        spread[name] = total
    assert spread["others"] < spread["none"] / 10


# ----------------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped", "gradient"),
    [  # low 0.2, high 0.5
        (1.0, 2.0, -2.0, 0, -2.0),
        (1.4, 2.0, -2.8, 0, -2.8),
        (1.6, 2.0, -3.0, 1, 0.0),  # already more likely than wanted
        (0.5, 2.0, -1.0, 0, -1.0),  # good, and too unlikely: no clip holds it back
        (0.5, -2.0, 1.6, 1, 0.0),
        (0.9, -2.0, 1.8, 0, 1.8),
        (1.6, -2.0, 3.2, 0, 3.2),  # bad, and too likely: the same
        (1.6, 0.0, 0.0, 0, 0.0),
    ],
)
def test_the_clip(ratio: float, advantage: float, loss: float, clipped: float, gradient: float) -> None:
    logprobs = torch.tensor([np.log(ratio) - 3.0], dtype=torch.float64, requires_grad=True)
    old, a = torch.tensor([-3.0], dtype=torch.float64), torch.tensor([advantage], dtype=torch.float64)
    made = clipped_surrogate(logprobs, old, a, low=0.2, high=0.5)
    assert made.loss.item() == pytest.approx(loss) and made.clipped.item() == clipped
    assert made.ratio.item() == pytest.approx(ratio)
    assert torch.autograd.grad(made.loss.sum(), [logprobs])[0].item() == pytest.approx(gradient)


@pytest.mark.row("10.3")
@pytest.mark.parametrize(
    ("value", "clip", "loss", "gradient"),
    [  # the critic said 1.0, it should have said 2.0
        (1.0, 0.2, 0.5, -1.0),
        (1.1, 0.2, 0.405, -0.9),
        (1.5, 0.2, 0.32, 0.0),  # beyond the clip there is nothing more to gain
        (1.5, 0.0, 0.125, -0.5),
        (0.5, 0.2, 1.125, -1.5),  # away from where it should be: the free error is the worse one
    ],
)
def test_the_value_loss(value: float, clip: float, loss: float, gradient: float) -> None:
    values = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    made = value_loss(values, torch.tensor([1.0]), torch.tensor([2.0]), clip)
    assert made.item() == pytest.approx(loss)
    assert torch.autograd.grad(made.sum(), [values])[0].item() == pytest.approx(gradient, abs=1e-6)


def test_ppo_pays_the_divergence_at_each_token_and_the_reward_at_the_last() -> None:
    config = PPOConfig(kl_coefficient=0.5, gae_lambda=1.0, whiten=False)
    sample = Sample(np.arange(5), 2, np.array([-1.0, -2.0, -3.0], np.float32), 4.0)
    sample.reference = np.array([-2.0, -2.0, -1.0], np.float32)
    sample.values = np.zeros(3, np.float32)
    assign_advantages([sample], config)
    assert sample.returns is not None
    assert (
        sample.returns.tolist() == sample.advantages.tolist() == [4.5, 5.0, 5.0]
    )  # -0.5 here, 0 there, 1 + 4 at the end


def test_an_entropy_term_moves_towards_uniform(seed: int) -> None:
    for config in (
        GRPOConfig(entropy_coefficient=0.1),
        ReinforceConfig(entropy_coefficient=0.1),
        RLOOConfig(entropy_coefficient=0.1),
    ):
        model, objective = Bigrams(seed), PolicyObjective(config)
        samples = [sample_of(model, completion) for completion in COMPLETIONS]
        for sample in samples:
            sample.reward = 1.0
        assign_advantages(samples, config)
        batch = objective.collate(samples)
        before = objective.loss(model, batch)
        if isinstance(config, RLOOConfig | GRPOConfig):
            assert before.metrics["policy_loss"].abs() < 1e-6  # type: ignore[union-attr]
        (gradient,) = torch.autograd.grad(before.loss, [model.table])
        with torch.no_grad():
            model.table -= 1.0 * gradient
        assert float(objective.loss(model, batch).metrics["entropy"]) > float(before.metrics["entropy"])


# ------------------------------------------------------------------------------------------------------------------ config


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"group_size": 0}, "rollout.group_size"),
        ({"max_tokens": 0}, "rollout.max_tokens"),
        ({"minibatches": 0}, "rollout.minibatches"),
        ({"epochs": -1}, "rollout.epochs"),
        ({"temperature": 0.0}, "rollout.temperature"),
        ({"top_p": 0.0}, "rollout.top_p"),
        ({"top_p": 1.5}, "rollout.top_p"),
        ({"resample": -1}, "rollout.resample"),
        ({"overlong": "drop"}, "rollout.overlong"),
        ({"group": 4}, "rollout.group"),
    ],
)
def test_a_wrong_rollout_is_named_by_its_path(fields: dict[str, Any], path: str) -> None:
    stage = {"data": "problems", "model": "start", "batch_size": 4, "objective": {"type": "grpo", "rollout": fields}}
    with pytest.raises(ConfigError) as caught:
        parse(TrainStage, stage, path="rl")
    assert caught.value.path == f"rl.objective.{path}"


@pytest.mark.parametrize(
    "objective",
    [
        {"type": "grpo", "clip_low": -0.1},
        {"type": "grpo", "clip_low": 1.5},
        {"type": "grpo", "clip_high": 0.0},
        {"type": "grpo", "kl_coefficient": -1.0},
        {"type": "rloo", "clip": 0.0},
        {"type": "rloo", "kl_coefficient": -0.5},
        {"type": "reinforce", "entropy_coefficient": -0.5},
        {"type": "ppo", "clip": 0.0},
        {"type": "ppo", "value_clip": -1.0},
        {"type": "ppo", "discount": 1.1},
        {"type": "ppo", "gae_lambda": -0.1},
        {"type": "ppo", "value_coefficient": -0.1},
    ],
    ids=str,
)
def test_a_wrong_number_of_a_method_is_named(objective: dict[str, Any]) -> None:
    stage = {"data": "problems", "model": "start", "batch_size": 4, "objective": objective}
    name = next(key for key in objective if key != "type")
    with pytest.raises(ConfigError, match=name) as caught:
        parse(TrainStage, stage, path="rl")
    assert caught.value.path == f"rl.objective.{name}"


def test_no_samples_are_no_batch() -> None:
    with pytest.raises(DataError, match="no samples"):
        PolicyObjective(GRPOConfig()).collate([])

"""Policies in the one loop: what the engine samples is what the trainer learns, and a killed run goes on bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.core.tracking import METRICS, read_lines
from groundup.objectives.policy import (
    GRPOConfig,
    PolicyConfig,
    PolicyObjective,
    PPOConfig,
    ReinforceConfig,
    RLOOConfig,
    RolloutConfig,
)
from groundup.train.rollout import _plain, _sample
from tiny import weights_bytes
from tiny_policy import policy_loop

SHORT = {"group_size": 4, "max_tokens": 6}
CONFIGS: list[Any] = [
    pytest.param(GRPOConfig(rollout=RolloutConfig(**SHORT), kl_coefficient=0.02), id="grpo"),
    pytest.param(
        GRPOConfig(
            rollout=RolloutConfig(**SHORT, minibatches=2, epochs=2, resample=1), aggregation="token", clip_high=0.28
        ),
        id="grpo several updates",
    ),
    pytest.param(RLOOConfig(rollout=RolloutConfig(**SHORT), kl_coefficient=0.02), id="rloo"),
    pytest.param(ReinforceConfig(rollout=RolloutConfig(**SHORT), entropy_coefficient=0.01), id="reinforce"),
    pytest.param(
        PPOConfig(rollout=RolloutConfig(group_size=1, max_tokens=6, minibatches=2, epochs=2, temperature=0.8)), id="ppo"
    ),
]


class Killed(BaseException):
    pass


@pytest.mark.row("10.5")
@pytest.mark.parametrize("config", CONFIGS)
def test_a_killed_run_goes_on_bit_for_bit(config: PolicyConfig, tmp_path: Path) -> None:
    whole = policy_loop(tmp_path / "whole", config, num_steps=8)
    whole.run()
    first = policy_loop(tmp_path / "cut", config, num_steps=8)
    step = first._one_step

    def killed_after_five() -> bool:
        if first.step == 5:
            raise Killed
        return step()

    first._one_step = killed_after_five  # type: ignore[method-assign]
    with pytest.raises(Killed):
        first.run()
    second = policy_loop(tmp_path / "cut", config, num_steps=8)
    second.run()
    assert weights_bytes(second) == weights_bytes(whole)
    for loop in (whole, first, second):
        loop.source.close()  # type: ignore[attr-defined]


@pytest.mark.row("10.5")
def test_the_engines_log_probabilities_are_the_trainers(tmp_path: Path) -> None:
    """After every update too: the weights are shared."""
    config = GRPOConfig(rollout=RolloutConfig(group_size=4, max_tokens=12))
    loop = policy_loop(tmp_path, config, num_steps=6, learning_rate=0.03)
    before = weights_bytes(loop)
    loop.run()
    assert weights_bytes(loop) != before
    gaps = [line["engine_gap"] for line in read_lines(tmp_path / METRICS) if "engine_gap" in line]
    assert len(gaps) == 6 and max(gaps) < 1e-4, gaps
    loop.source.close()  # type: ignore[attr-defined]


@pytest.mark.row("10.5")
@pytest.mark.parametrize("config", CONFIGS)
def test_micro_batches_add_up_to_the_batch(config: PolicyConfig, tmp_path: Path) -> None:
    loop = policy_loop(tmp_path, config, num_steps=1)
    samples = loop.source.take(0, 16)
    found = []
    for size in (16, 5):
        batches = [loop.objective.collate(samples[i : i + size]) for i in range(0, 16, size)]
        loss, _ = loop._gradients(batches)
        found.append((loss, [p.grad.clone() for p in loop.parameters if p.grad is not None]))
        loop._forget_gradients()
    (loss, grads), (parts_loss, parts) = found
    assert parts_loss == pytest.approx(loss, abs=1e-6)
    for a, b in zip(grads, parts, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-4)
    loop.source.close()  # type: ignore[attr-defined]


@pytest.mark.row("10.5")
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("config", CONFIGS)
def test_a_shared_prompt_changes_nothing(config: PolicyConfig, window: int | None, tmp_path: Path) -> None:
    """Samples that go on from one copy of their prompt: the same loss, metrics and gradients as a row for each."""
    config = replace(config, rollout=replace(config.rollout, group_size=4))
    loop = policy_loop(tmp_path, config, num_steps=1, sliding_window=window)
    samples = list(loop.source.take(0, 16))
    assert len({s.input_ids[: s.prompt_tokens].tobytes() for s in samples}) < 16
    samples[3].learned = False
    found = []
    for share in (False, True):
        objective = PolicyObjective(config, share_prompts=share)
        batch = objective.collate(samples)
        assert ("trunk_of" in batch.extras) is share
        output = objective.loss(loop.model, batch)
        output.loss.backward()
        metrics = {name: float(value) for name, value in output.metrics.items()}
        found.append((output.loss.item(), metrics, [p.grad.clone() for p in loop.parameters if p.grad is not None]))
        loop._forget_gradients()
    (loss, metrics, grads), (shared_loss, shared_metrics, shared) = found
    assert shared_loss == pytest.approx(loss, abs=1e-5)
    assert shared_metrics == pytest.approx(metrics, abs=1e-5)
    for a, b in zip(grads, shared, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)
    loop.source.close()  # type: ignore[attr-defined]


@pytest.mark.row("10.5")
@pytest.mark.parametrize("config", [c for c in CONFIGS if "ppo" not in str(c.id)])
def test_rewards_go_up(config: PolicyConfig, tmp_path: Path) -> None:
    loop = policy_loop(tmp_path, config, num_steps=40, learning_rate=0.02, batch_size=32)
    loop.run()
    rewards = [line["reward"] for line in read_lines(tmp_path / METRICS) if "reward" in line]
    assert np.mean(rewards[-5:]) > np.mean(rewards[:5]) + 0.2, (rewards[:5], rewards[-5:])
    loop.source.close()  # type: ignore[attr-defined]


@pytest.mark.row("10.3")
def test_ppo_learns_and_its_critic_follows(tmp_path: Path) -> None:
    config = PPOConfig(
        rollout=RolloutConfig(group_size=4, max_tokens=6, minibatches=2, epochs=2),
        kl_coefficient=0.0,
        value_coefficient=0.5,
    )
    loop = policy_loop(tmp_path, config, num_steps=120, learning_rate=0.01, batch_size=32)
    loop.run()
    lines = [line for line in read_lines(tmp_path / METRICS) if "reward" in line]
    assert np.mean([x["reward"] for x in lines[-5:]]) > np.mean([x["reward"] for x in lines[:5]]) + 0.2
    loop.source.close()  # type: ignore[attr-defined]


@pytest.mark.row("10.5")
def test_samples_survive_a_checkpoint_exactly(tmp_path: Path) -> None:
    config = PPOConfig(rollout=RolloutConfig(**SHORT, minibatches=1, epochs=2))
    loop = policy_loop(tmp_path, config, num_steps=1)
    for sample in loop.source.take(0, 16):
        import json

        again = _sample(json.loads(json.dumps(_plain(sample))))
        for name in ("input_ids", "logprobs", "advantages", "values", "returns"):
            ours, theirs = getattr(sample, name), getattr(again, name)
            assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes(), name
        assert (sample.reward, sample.group, sample.learned) == (again.reward, again.group, again.learned)
    loop.source.close()  # type: ignore[attr-defined]


@pytest.mark.row("10.5")
def test_samples_cut_off_can_be_left_out_of_the_loss() -> None:
    from groundup.objectives.policy import Sample

    def made(learned: bool) -> Sample:
        return Sample(
            np.arange(8), 3, np.full(5, -1.0, np.float32), 1.0, advantages=np.ones(5, np.float32), learned=learned
        )

    objective = PolicyObjective(GRPOConfig(aggregation="token"))
    assert objective.collate([made(True), made(False)]).weight == 5
    assert PolicyObjective(GRPOConfig()).collate([made(True), made(False)]).weight == 2

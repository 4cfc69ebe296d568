"""Samples of a live policy: what is left out, what is asked again, and the train stage with every policy method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.core.errors import ConfigError, TrainingError
from groundup.core.tracking import JsonlTracker
from groundup.core.types import Completion, TaskExample, Verdict
from groundup.engine.config import EngineConfig
from groundup.engine.engine import Engine
from groundup.models.decoder import Decoder
from groundup.objectives.policy import GRPOConfig, PolicyObjective, PPOConfig, RLOOConfig, RolloutConfig
from groundup.train.methods.policy import CheckedPolicyObjective
from groundup.train.rewards import RewardConfig, ShapedReward
from groundup.train.rollout import RolloutSource
from tiny_engine import EOS, ByteTokenizer, tiny_decoder
from tiny_policy import WriteTheLetter, policy_loop

pytestmark = pytest.mark.row("10.5")


class Ahead(Engine):
    """An engine whose weights are newer than those its samples are made with, as where rollouts lag behind."""

    def sync_weights(self, source: Any = None) -> int:
        return super().sync_weights(source) + 1


class Coin(WriteTheLetter):
    """Every third problem can be got right or wrong; at the others all answers earn the same."""

    asked: Counter[str]

    def __init__(self) -> None:
        self.asked = Counter()

    def examples(self) -> Iterator[TaskExample]:  # type: ignore[override]
        index = 0
        while True:  # a task without an end
            yield self.example(index)
            index += 1

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        self.asked[example.id] += 1
        told = int(example.id) % 3 == 0 and completion.token_ids[0] % 2 == 0
        return Verdict(score=float(told))


def source_of(
    tmp_path: Path, config: Any, *, policy: Decoder | None = None, problems: Any = None, engine: type[Engine] = Engine,
    played_by: Decoder | None = None, objective: Any = None, **over: Any,
) -> RolloutSource:  # fmt: skip
    torch.set_num_threads(1)
    policy = policy or tiny_decoder(std=0.1)
    return RolloutSource(
        open_engine=lambda: engine(
            played_by or policy, ByteTokenizer(), eos_ids=(EOS,),
            config=EngineConfig(inline=True, compile="never", max_batch_size=16),
        ),
        problems=problems or WriteTheLetter(), held_out=over.pop("held_out", None), reward=ShapedReward(RewardConfig()),
        objective=objective or PolicyObjective(config), policy=policy, seed=5,
        tracker=JsonlTracker(tmp_path, stage="rl"), **over,
    )  # fmt: skip


def rollout(**over: Any) -> RolloutConfig:
    return RolloutConfig(**{"group_size": 4, "max_tokens": 6, **over})


def test_samples_of_one_prompt_are_together(tmp_path: Path) -> None:
    source = source_of(tmp_path, GRPOConfig(rollout=rollout()))
    samples = source.take(0, 16)
    assert [s.group for s in samples] == sorted(s.group for s in samples)
    assert Counter(s.group for s in samples) == {0: 4, 1: 4, 2: 4, 3: 4}
    for group in range(4):
        prompts = {tuple(s.input_ids[: s.prompt_tokens]) for s in samples if s.group == group}
        assert prompts == {tuple(str(WriteTheLetter().example(group).prompt).encode())}
        assert abs(sum(float(s.advantages[0]) for s in samples if s.group == group)) < 1e-4
    assert all(len(s.logprobs) == s.completion_tokens == len(s.advantages) for s in samples)
    again = source_of(tmp_path, GRPOConfig(rollout=rollout())).take(0, 16)
    assert [s.input_ids.tolist() for s in again] == [s.input_ids.tolist() for s in samples]
    other = [s.input_ids.tolist() for s in source.take(1, 16)]
    assert other != [s.input_ids.tolist() for s in samples]
    source.close()


def test_cut_off_samples_are_left_out_where_that_is_asked(tmp_path: Path) -> None:
    for overlong in ("keep", "mask"):
        source = source_of(tmp_path, GRPOConfig(rollout=rollout(overlong=overlong)))
        samples = source.take(0, 16)
        cut = [s.completion_tokens == 6 and s.input_ids[-1] != EOS for s in samples]
        assert any(cut) and source.figures()["cut_off"] == pytest.approx(np.mean(cut))
        assert [s.learned for s in samples] == [overlong == "keep" or not c for c in cut]
        source.close()


def test_stale_samples_are_not_learned_from(tmp_path: Path) -> None:
    config = GRPOConfig(rollout=rollout())
    fresh, late = source_of(tmp_path, config), source_of(tmp_path, config, engine=Ahead)
    assert all(s.learned for s in fresh.take(0, 16)) and fresh.figures()["stale"] == 0
    samples = late.take(0, 16)
    assert not any(s.learned for s in samples) and late.figures()["stale"] == 1
    objective = PolicyObjective(config)
    loss = objective.loss(late.policy, objective.collate(samples)).loss
    assert loss.item() == 0
    for source in (fresh, late):
        source.close()


def test_groups_without_a_difference_are_asked_again(tmp_path: Path) -> None:
    """Two of three problems teach nothing: with enough attempts a rollout holds only those that do."""
    problems, plain = Coin(), Coin()
    config = GRPOConfig(rollout=rollout(resample=5))
    source = source_of(tmp_path, config, problems=problems)
    samples = source.take(0, 16)
    groups = [[s for s in samples if s.group == g] for g in sorted({s.group for s in samples})]
    assert len(groups) == 4 and all(len(g) == 4 for g in groups)
    assert all(len({s.reward for s in g}) == 2 for g in groups)
    assert len({tuple(g[0].input_ids[: g[0].prompt_tokens]) for g in groups}) > 1
    asked = sorted(map(int, problems.asked))
    assert 4 < len(asked) <= 24 and asked == list(range(len(asked))) and set(problems.asked.values()) == {4}
    assert 0.3 < source.figures()["uniform_groups"] < 1
    # The next rollout goes on with other problems.
    before = set(problems.asked)
    source.take(1, 16)
    assert set(problems.asked) - before and all(n == 4 for n in problems.asked.values())
    # Without it the groups are what they are.
    other = source_of(tmp_path, GRPOConfig(rollout=rollout()), problems=plain)
    assert len({s.group for s in other.take(0, 16)}) == 4 and len(plain.asked) == 4

    # And where no problem makes a difference, the last ones asked are taken.
    class Same(WriteTheLetter):
        def score(self, example: TaskExample, completion: Completion) -> Verdict:
            return Verdict(score=1.0)

    hopeless = source_of(tmp_path, GRPOConfig(rollout=rollout(resample=2)), problems=Same())
    samples = hopeless.take(0, 16)
    assert len(samples) == 16 and all(np.abs(s.advantages).max() < 1e-6 for s in samples)
    for each in (source, other, hopeless):
        each.close()


def test_a_task_without_an_end_is_held_out_too(tmp_path: Path) -> None:
    held_out = Coin()
    source = source_of(tmp_path, GRPOConfig(rollout=rollout()), held_out=held_out, held_out_problems=5)
    found = source.evaluate()
    assert set(found) == {"val_exact_match", "val_tokens", "val_cut_off"} and sum(held_out.asked.values()) == 5
    assert source_of(tmp_path, GRPOConfig(rollout=rollout())).evaluate() == {}
    source.close()


def test_a_batch_that_is_no_whole_number_of_groups_is_refused(tmp_path: Path) -> None:
    source = source_of(tmp_path, GRPOConfig(rollout=rollout(group_size=3)))
    with pytest.raises(ConfigError, match=r"16 samples.*groups of 3") as caught:
        source.take(0, 16)
    assert caught.value.path == "batch_size"


def test_minibatches_share_a_rollout_and_epochs_shuffle_it(tmp_path: Path) -> None:
    source = source_of(tmp_path, GRPOConfig(rollout=rollout(minibatches=2, epochs=2)))
    steps = [[id(s) for s in source.take(step, 8)] for step in range(4)]
    assert set(steps[0]) | set(steps[1]) == set(steps[2]) | set(steps[3]) and not set(steps[0]) & set(steps[1])
    assert set(steps[0]) != set(steps[2])
    assert not {id(s) for s in source.take(4, 8)} & set(steps[0] + steps[1])
    source.close()


@pytest.mark.parametrize(
    "config",
    [
        GRPOConfig(rollout=rollout(max_tokens=12)),
        GRPOConfig(rollout=rollout(max_tokens=12, temperature=0.8)),
        GRPOConfig(rollout=rollout(max_tokens=12, minibatches=1, epochs=2)),
        GRPOConfig(rollout=rollout(max_tokens=12, epochs=2, temperature=0.8)),
    ],
    ids=["one update", "cold", "several updates", "cold, several updates"],
)
def test_an_engine_with_other_weights_stops_the_run(tmp_path: Path, config: GRPOConfig) -> None:
    policy, other = tiny_decoder(seed=0, std=0.3), tiny_decoder(seed=1, std=0.3)
    for played_by in (policy, other):
        objective = CheckedPolicyObjective(config)
        source = source_of(tmp_path, config, policy=policy, played_by=played_by, objective=objective)
        if played_by is policy:
            objective.loss(policy, objective.collate(source.take(0, 8)))
        else:
            with pytest.raises(TrainingError, match="nats a token"):
                objective.loss(policy, objective.collate(source.take(0, 8)))
        source.close()


@pytest.mark.parametrize("config", [RLOOConfig, PPOConfig])
@pytest.mark.parametrize("updates", [1, 2])
def test_the_divergence_in_a_reward_is_of_one_temperature(tmp_path: Path, config: Any, updates: int) -> None:
    """A policy that is its own reference has none, whatever temperature it is read at."""
    torch.manual_seed(0)
    at = rollout(temperature=0.6, minibatches=1, epochs=updates)
    loop = policy_loop(tmp_path, config(rollout=at, kl_coefficient=0.5), num_steps=1)
    for sample in loop.source.take(0, 8):
        assert sample.reference is not None
        np.testing.assert_allclose(sample.logprobs, sample.reference, atol=2e-5)
    loop.source.close()  # type: ignore[attr-defined]


@pytest.mark.row("10.3")
def test_a_reward_models_score_is_weighed_and_told(tmp_path: Path) -> None:
    heard: list[Any] = []

    def scores(conversations: Any) -> list[float]:
        heard.extend(conversations)
        return [float(len(c[-1]["content"])) for c in conversations]

    config = GRPOConfig(rollout=rollout())
    with_it = source_of(tmp_path, config, rewarder=(scores, 0.25))
    without = source_of(tmp_path, config)
    earned, plain = with_it.take(0, 8), without.take(0, 8)
    for a, b in zip(earned, plain, strict=True):
        text = ByteTokenizer().decode([i for i in a.input_ids[a.prompt_tokens :].tolist() if i < EOS])
        assert a.input_ids.tolist() == b.input_ids.tolist()
        assert a.reward == pytest.approx(b.reward + 0.25 * len(text))
    assert [m["role"] for m in heard[0]] == ["user", "assistant"] and set(heard[0][0]["content"]) <= set("abcd")
    assert with_it.figures()["reward_model"] == pytest.approx(np.mean([len(c[-1]["content"]) for c in heard]))
    for source in (with_it, without):
        source.close()

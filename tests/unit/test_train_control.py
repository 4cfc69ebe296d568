"""Small control problems: the environments by hand, the methods by what they learn, a killed run by its bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.core.tracking import JsonlTracker
from groundup.train.control import ControlStage, EpisodeSource, control_loop
from groundup.train.environments import BanditConfig, CartPoleConfig, CliffConfig
from tiny import weights_bytes

pytestmark = pytest.mark.row("10.1")
RNG = np.random.default_rng


def loop(directory: Path, **fields: Any) -> Any:
    directory.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    return control_loop(ControlStage(**fields), directory / "checkpoints", 3, JsonlTracker(directory, stage="control"))


def test_the_pole_falls_as_its_equations_say() -> None:
    """One copy at a time, with the equations of motion written out once more (Barto et al. 1983, with Florian's sign)."""
    seed = int(RNG().integers(1 << 30))
    print(f"seed {seed}")
    rng = RNG(seed)
    environment = CartPoleConfig()
    states = rng.uniform(-0.2, 0.2, (50, 4))
    actions = rng.integers(0, 2, 50)
    after, rewards, ended = environment.step(states, actions, rng)
    for (x, dx, a, da), action, got in zip(states, actions, after, strict=True):
        force = 10.0 if action == 1 else -10.0
        inner = (-force - 0.1 * 0.5 * da * da * math.sin(a)) / 1.1
        top = 9.8 * math.sin(a) + math.cos(a) * inner
        acceleration = top / (0.5 * (4 / 3 - 0.1 * math.cos(a) ** 2 / 1.1))
        pull = (force + 0.1 * 0.5 * (da * da * math.sin(a) - acceleration * math.cos(a))) / 1.1
        wanted = [x + 0.02 * dx, dx + 0.02 * pull, a + 0.02 * da, da + 0.02 * acceleration]
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)
    assert (rewards == 1).all() and ended.tolist() == [bool(abs(s[2]) > math.radians(12)) for s in after]


def test_the_cliff_costs_and_sends_back() -> None:
    environment = CliffConfig(width=4, height=3)
    states = np.array([[0, 0], [0, 0], [3, 1], [1, 1], [0, 2]])
    after, rewards, ended = environment.step(states, np.array([0, 1, 2, 2, 0]), RNG(0))
    assert after.tolist() == [[0, 1], [0, 0], [3, 0], [0, 0], [0, 2]]
    assert rewards.tolist() == [-1, -100, -1, -100, -1]
    assert ended.tolist() == [False, False, True, False, False]
    assert environment.observe(after).sum(1).tolist() == [1.0] * 5


def test_the_bandit_pays_by_its_chances() -> None:
    environment = BanditConfig(chances=(0.0, 1.0, 0.3))
    actions = np.repeat([0, 1, 2], 4000)
    _, paid, ended = environment.step(environment.reset(RNG(0), 12000), actions, RNG(1))
    assert ended.all()
    assert paid.reshape(3, -1).mean(1) == pytest.approx([0.0, 1.0, 0.3], abs=0.03)


@pytest.mark.parametrize("method", ["reinforce", "actor_critic", "ppo"])
def test_each_method_learns_to_hold_the_pole(method: Any, tmp_path: Path) -> None:
    made = loop(tmp_path, environment=CartPoleConfig(max_steps=100), method=method, num_rollouts=40, episodes=16,
                lr=0.003 if method == "ppo" else 0.01)  # fmt: skip
    made.run()
    history = made.source.history
    assert np.mean(history[-3:]) > 2 * np.mean(history[:3]), history


def test_the_best_machine_is_found(tmp_path: Path) -> None:
    made = loop(tmp_path, environment=BanditConfig(), method="reinforce", num_rollouts=120, lr=0.01)
    made.run()
    policy = made.model.policy(torch.ones(1, 1)).softmax(-1)[0].detach()
    assert int(policy.argmax()) == 4 and float(policy[4]) > 0.8


@pytest.mark.parametrize("method", ["actor_critic", "ppo"])
def test_a_killed_run_goes_on_bit_for_bit(method: Any, tmp_path: Path) -> None:
    fields = {"environment": CartPoleConfig(max_steps=30), "method": method, "num_rollouts": 6, "episodes": 4}
    whole = loop(tmp_path / "whole", **fields)
    whole.run()
    first = loop(tmp_path / "cut", **fields)
    total = first.config.num_steps
    object.__setattr__(first.config, "checkpoint_every_steps", 1)
    step = first._one_step

    class Killed(BaseException):
        pass

    def killed() -> bool:
        if first.step == total // 2 + 1:
            raise Killed
        return bool(step())

    first._one_step = killed
    with pytest.raises(Killed):
        first.run()
    second = loop(tmp_path / "cut", **fields)
    second.run()
    assert weights_bytes(second) == weights_bytes(whole)
    assert isinstance(second.source, EpisodeSource) and second.source.history == whole.source.history

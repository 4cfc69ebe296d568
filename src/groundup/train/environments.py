"""Three small control problems in NumPy, many copies at once: where reinforcement learning can be seen whole.

An environment is a set of pure functions over arrays of states, so that an episode is a function of its random numbers and
actions. Nothing is drawn on a screen and nothing is learned here (groundup.train.control does that).

Letters: N copies, O numbers that are observed, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ..core.config import node
from ..core.errors import ConfigError


class Environment(Protocol):
    """N copies of one problem. `state` is [N, ...] and never changed in place."""

    @property
    def observation_size(self) -> int: ...

    @property
    def num_actions(self) -> int: ...

    @property
    def max_steps(self) -> int:
        """An episode is cut off after so many steps."""
        ...

    def reset(self, rng: np.random.Generator, copies: int) -> np.ndarray: ...

    def observe(self, state: np.ndarray) -> np.ndarray:
        """[N, O] float32"""
        ...

    def step(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """actions [N] -> (next state, rewards [N], ended [N] bool: no reward can follow)."""
        ...


@dataclass(frozen=True, kw_only=True)
class BanditConfig:
    """A row of slot machines, each with its own chance to pay 1 (Robbins 1952). One pull is an episode."""

    type: Literal["bandit"] = "bandit"
    chances: tuple[float, ...] = (0.1, 0.3, 0.5, 0.2, 0.8)

    def __post_init__(self) -> None:
        if len(self.chances) < 2 or not all(0 <= c <= 1 for c in self.chances):
            raise ConfigError(f"needs at least 2 chances from 0 to 1, not {self.chances}", path="chances")

    observation_size = 1
    max_steps = 1

    @property
    def num_actions(self) -> int:
        return len(self.chances)

    def reset(self, rng: np.random.Generator, copies: int) -> np.ndarray:
        return np.zeros((copies, 1))

    def observe(self, state: np.ndarray) -> np.ndarray:
        return np.ones((len(state), 1), np.float32)

    def step(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        paid = rng.random(len(state)) < np.asarray(self.chances)[actions]
        return state, paid.astype(np.float64), np.ones(len(state), bool)


@dataclass(frozen=True, kw_only=True)
class CliffConfig:
    """From one corner of a grid along a cliff to the other (Sutton and Barto 2018, example 6.6): every step costs 1, the cliff
    100 and the way back to the start. Actions: up, right, down, left.
    """

    type: Literal["cliff"] = "cliff"
    width: int = 8
    height: int = 4
    fall: float = 100.0
    max_steps: int = 60

    def __post_init__(self) -> None:
        if self.width < 3 or self.height < 2:
            raise ConfigError(f"a cliff needs at least 3 x 2 fields, not {self.width} x {self.height}", path="width")

    num_actions = 4

    @property
    def observation_size(self) -> int:
        return self.width * self.height

    def reset(self, rng: np.random.Generator, copies: int) -> np.ndarray:
        return np.tile(np.array([0, 0]), (copies, 1))

    def observe(self, state: np.ndarray) -> np.ndarray:
        seen = np.zeros((len(state), self.observation_size), np.float32)
        seen[np.arange(len(state)), state[:, 1] * self.width + state[:, 0]] = 1.0
        return seen

    def step(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        moved = state + np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])[actions]
        moved = np.clip(moved, 0, [self.width - 1, self.height - 1])
        fell = (moved[:, 1] == 0) & (moved[:, 0] > 0) & (moved[:, 0] < self.width - 1)
        arrived = (moved[:, 1] == 0) & (moved[:, 0] == self.width - 1)
        rewards = np.where(fell, -self.fall, -1.0)
        return np.where(fell[:, None], 0, moved), rewards, arrived


@dataclass(frozen=True, kw_only=True)
class CartPoleConfig:
    """A pole on a cart that is pushed left or right (Barto, Sutton and Anderson 1983, appendix): 1 for every step that it stands.
    Constants and the Euler step of 0.02 s are theirs; an episode ends at 12 degrees or 2.4 metres.
    """

    type: Literal["cartpole"] = "cartpole"
    max_steps: int = 200

    observation_size = 4
    num_actions = 2

    def reset(self, rng: np.random.Generator, copies: int) -> np.ndarray:
        return rng.uniform(-0.05, 0.05, (copies, 4))

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Place (m), speed (m/s), angle (rad), turning (rad/s)."""
        return state.astype(np.float32)

    def step(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        gravity, cart, pole, half, push, seconds = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
        place, speed, angle, turning = state.T
        force = np.where(actions == 1, push, -push)
        sine, cosine = np.sin(angle), np.cos(angle)
        mass = cart + pole
        shared = (force + pole * half * turning**2 * sine) / mass
        twist = (gravity * sine - cosine * shared) / (half * (4.0 / 3.0 - pole * cosine**2 / mass))
        pull = shared - pole * half * twist * cosine / mass
        after = np.stack(
            [place + seconds * speed, speed + seconds * pull, angle + seconds * turning, turning + seconds * twist],
            axis=1,
        )
        fell = (np.abs(after[:, 0]) > 2.4) | (np.abs(after[:, 2]) > 12 * np.pi / 180)
        return after, np.ones(len(state)), fell


EnvironmentNode = node(BanditConfig, CliffConfig, CartPoleConfig)

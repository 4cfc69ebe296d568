"""What a sample earns: the task's verdict, and what else is wanted or punished.

A task judges right and wrong (groundup.core.protocols.Task); shaping is here, so that an evaluation never sees it. A reward is
what the policy will find a way to, not what was meant: `believe: mention` is here to show that (recipes/reward_hacking.yaml).
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..core.config import Use, load_user_part, node
from ..core.errors import ConfigError, TrainingError
from ..core.types import Completion, TaskExample, Verdict


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    type: Literal["verdict"] = "verdict"
    right: float = 1.0
    """Times the verdict's score."""
    format: float = 0.0
    """Earned where the verdict's details say that a final answer was given (`format`), right or wrong."""
    believe: Literal["judge", "mention"] = "judge"
    """mention: full score where the right answer stands anywhere in the text, final answer or not: a judge that can be fooled."""
    length_penalty: float = 0.0
    """Taken off for every token beyond `free_tokens`."""
    free_tokens: int = 0
    cut_off: float = 0.0
    """Added to a sample that max_tokens cut off; negative punishes it (DAPO, section 3.4)."""
    reward_model: float = 0.0
    """Times the score of the stage's reward model."""


RewardNode = node(RewardConfig)


class Reward(Protocol):
    """A number for one sample. The user's own: a class whose objects can be called like this."""

    def __call__(self, example: TaskExample, completion: Completion, verdict: Verdict) -> float: ...


class ShapedReward:
    def __init__(self, config: RewardConfig) -> None:
        self.config = config

    def __call__(self, example: TaskExample, completion: Completion, verdict: Verdict) -> float:
        config = self.config
        score = verdict.score if config.believe == "judge" else float(mentions(completion.text, str(example.answer)))
        reward = config.right * score
        if config.format:
            reward += config.format * float(verdict.details.get("format", 0.0))
        if config.length_penalty:
            reward -= config.length_penalty * max(0, len(completion.token_ids) - config.free_tokens)
        if completion.finish_reason == "length":
            reward += config.cut_off
        return reward


def mentions(text: str, answer: str) -> bool:
    """Does the answer stand somewhere in the text, as a word or number of its own?"""
    return re.search(rf"(?<![\w.]){re.escape(answer)}(?![\w]|\.\d)", text) is not None


def build_reward(config: RewardConfig | Use) -> Reward:
    if isinstance(config, Use):
        hint = "a reward is a class with __call__(self, example, completion, verdict) -> float"
        try:
            made: Any = load_user_part(config)(**config.args)
        except TypeError as error:
            raise ConfigError(f"{config.use} cannot be made: {error}", path="reward", hint=hint) from error
        if not callable(made):
            raise ConfigError(f"{config.use} cannot be called", path="reward", hint=hint)
        own: Reward = made
        return own
    return ShapedReward(config)


def rewards_of(
    reward: Reward, examples: Sequence[TaskExample], completions: Sequence[Completion], verdicts: Sequence[Verdict]
) -> list[float]:
    """A number for each sample. TrainingError names the problem whose reward is none: one such number would spoil all weights."""
    made = []
    for example, completion, verdict in zip(examples, completions, verdicts, strict=True):
        earned: Any = reward(example, completion, verdict)
        if not isinstance(earned, numbers.Real) or not math.isfinite(earned):
            raise TrainingError(f"the reward of problem {example.id!r} is {earned!r}; it must be a finite number",
                                hint=f"the answer was {completion.text!r:.200}")  # fmt: skip
        made.append(float(earned))
    return made

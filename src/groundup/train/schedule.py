"""Learning-rate schedules as pure functions of progress: multiplier in [0, 1] for step s of S.

Warm-up is linear from 1/warm-up steps. cosine (Loshchilov and Hutter 2017), linear, wsd (warm-up, stable, decay; Hu et al. 2024,
MiniCPM), inverse_sqrt (Vaswani et al. 2017, section 5.3), step (a factor after every interval, as Zaremba et al. 2014 after every
epoch from some epoch on), constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..core.config import Use, node, user_function
from ..core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    type: Literal["schedule"] = "schedule"
    shape: Literal["cosine", "linear", "wsd", "inverse_sqrt", "step", "constant"] = "cosine"
    warmup_fraction: float = 0.02
    """Share of all steps spent warming up (at least one step, unless 0)."""
    decay_fraction: float = 0.3
    """wsd: share of all steps, at the end, spent decaying linearly."""
    final: float = 0.1
    """cosine, linear, wsd: multiplier at the last step."""
    num_intervals: int = 10
    """step: equal parts that the run is cut into (its epochs, say)."""
    constant_intervals: int = 1
    """step: parts before the first change."""
    decay: float = 0.5
    """step: factor of each later part."""

    def __post_init__(self) -> None:
        for name in ("num_intervals", "constant_intervals"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)


ScheduleNode = node(ScheduleConfig)

Schedule = Callable[[int, int], float]
"""(step, num_steps) -> multiplier"""


def warmup_steps(config: ScheduleConfig, num_steps: int) -> int:
    """At least one, unless there is no warm-up at all."""
    return max(1, round(config.warmup_fraction * num_steps)) if config.warmup_fraction > 0 else 0


def multiplier(config: ScheduleConfig, step: int, num_steps: int) -> float:
    """Multiplier of the learning rate for step 0 .. num_steps - 1."""
    warmup = warmup_steps(config, num_steps)
    if step < warmup:
        return (step + 1) / warmup
    last = max(num_steps - 1, warmup)
    progress = min(1.0, (step - warmup) / max(1, last - warmup))
    match config.shape:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 + (config.final - 1.0) * progress
        case "cosine":
            return config.final + (1.0 - config.final) * 0.5 * (1.0 + math.cos(math.pi * progress))
        case "inverse_sqrt":
            return math.sqrt(max(1, warmup) / (step + 1))
        case "step":
            interval = step * config.num_intervals // num_steps
            return config.decay ** max(0, interval + 1 - config.constant_intervals)
        case "wsd":
            start = num_steps - max(1, round(config.decay_fraction * num_steps))
            if step < start:
                return 1.0
            share = (step - start + 1) / (num_steps - start)
            return 1.0 + (config.final - 1.0) * share
    raise AssertionError(config.shape)


def build_schedule(config: ScheduleConfig | Use) -> Schedule:
    """A user's schedule is a function of step and num_steps; it may ask for warmup_steps and final too, which are those of the
    schedule that it takes the place of."""
    if isinstance(config, ScheduleConfig):
        return lambda step, num_steps: multiplier(config, step, num_steps)
    replaced = ScheduleConfig(**config.replaces)
    own = user_function(config, ("step", "num_steps", "warmup_steps", "final"))

    def made(step: int, num_steps: int) -> float:
        return float(
            own(step=step, num_steps=num_steps, warmup_steps=warmup_steps(replaced, num_steps), final=replaced.final)
        )

    try:
        values = [made(step, 10) for step in range(10)]
    except Exception as error:
        raise ConfigError(
            f"{config.use} must be a function of step and num_steps that gives a number: {error}"
        ) from error
    wrong = next((value for value in values if not math.isfinite(value) or value < 0), None)
    if wrong is not None:
        raise ConfigError(
            f"{config.use} gave {wrong} for a step of 10, not a multiplier of the learning rate (0 or more)"
        )
    return made

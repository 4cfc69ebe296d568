"""Learning-rate schedules as pure functions of progress: multiplier in [0, 1] for step s of S.

Warm-up is linear from 1/warm-up steps. cosine (Loshchilov and Hutter 2017), linear, wsd (warm-up, stable, decay; Hu et al. 2024,
MiniCPM), constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..core.config import Use, load_user_part, node
from ..core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    type: Literal["schedule"] = "schedule"
    shape: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    warmup_fraction: float = 0.02
    """Share of all steps spent warming up (at least one step, unless 0)."""
    decay_fraction: float = 0.3
    """wsd: share of all steps, at the end, spent decaying linearly."""
    final: float = 0.1
    """Multiplier at the last step."""


ScheduleNode = node(ScheduleConfig)

Schedule = Callable[[int, int], float]
"""(step, num_steps) -> multiplier"""


def multiplier(config: ScheduleConfig, step: int, num_steps: int) -> float:
    """Multiplier of the learning rate for step 0 .. num_steps - 1."""
    warmup = max(1, round(config.warmup_fraction * num_steps)) if config.warmup_fraction > 0 else 0
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
        case "wsd":
            start = num_steps - max(1, round(config.decay_fraction * num_steps))
            if step < start:
                return 1.0
            share = (step - start + 1) / (num_steps - start)
            return 1.0 + (config.final - 1.0) * share
    raise AssertionError(config.shape)


def build_schedule(config: ScheduleConfig | Use) -> Schedule:
    """A user's schedule is a function (step, num_steps) -> multiplier."""
    if isinstance(config, ScheduleConfig):
        return lambda step, num_steps: multiplier(config, step, num_steps)
    made: Schedule = load_user_part(config)
    try:
        value = float(made(0, 10))
    except Exception as error:
        raise ConfigError(f"{config.use} must be a function (step, num_steps) -> number: {error}") from error
    if not math.isfinite(value):
        raise ConfigError(f"{config.use}(0, 10) gave {value}, not a finite multiplier")
    return made

"""Schedules beside torch.optim.lr_scheduler's, step by step, on random lengths; the inverse square root beside its paper's formula."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from groundup.core.errors import ConfigError
from groundup.train.schedule import ScheduleConfig, multiplier


@pytest.fixture(autouse=True)
def seed() -> int:
    value = int.from_bytes(os.urandom(4), "little")
    print("seed", value)
    random.seed(value)
    return value


def walk(config: ScheduleConfig, num_steps: int, theirs: Callable[[torch.optim.Optimizer], Any]) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = theirs(optimizer)
    for step in range(num_steps):
        assert multiplier(config, step, num_steps) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9), step
        optimizer.step()
        scheduler.step()


@pytest.mark.row("1.3")
def test_linear() -> None:
    steps, final = random.randrange(2, 200), random.uniform(0.01, 0.9)
    walk(
        ScheduleConfig(shape="linear", warmup_fraction=0, final=final),
        steps,
        lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=final, total_iters=steps - 1),
    )


@pytest.mark.row("1.3")
@pytest.mark.parametrize("shape", ["constant", "cosine"])
def test_warm_up_and_then(shape: Any) -> None:
    warmup = random.randrange(2, 30)
    steps = warmup * random.randrange(2, 10)
    final = random.uniform(0.01, 0.9)

    def theirs(optimizer: torch.optim.Optimizer) -> Any:
        rising = lr_scheduler.LinearLR(optimizer, start_factor=1 / warmup, end_factor=1.0, total_iters=warmup - 1)
        rest: Any = lr_scheduler.ConstantLR(optimizer, factor=1.0)
        if shape == "cosine":
            rest = lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - 1 - warmup, eta_min=final)
        return lr_scheduler.SequentialLR(optimizer, [rising, rest], milestones=[warmup])

    walk(ScheduleConfig(shape=shape, warmup_fraction=warmup / steps, final=final), steps, theirs)


@pytest.mark.row("1.3")
def test_a_factor_after_every_interval() -> None:
    length, intervals, decay = random.randrange(1, 20), random.randrange(1, 12), random.uniform(0.3, 0.99)
    config = ScheduleConfig(shape="step", warmup_fraction=0, num_intervals=intervals, decay=decay)
    walk(config, length * intervals, lambda o: lr_scheduler.StepLR(o, step_size=length, gamma=decay))
    constant = random.randrange(1, intervals + 1)
    later = ScheduleConfig(
        shape="step", warmup_fraction=0, num_intervals=intervals, decay=decay, constant_intervals=constant
    )
    marks = [length * i for i in range(constant, intervals)]
    walk(later, length * intervals, lambda o: lr_scheduler.MultiStepLR(o, milestones=marks, gamma=decay))
    with pytest.raises(ConfigError, match="at least 1"):
        ScheduleConfig(num_intervals=0)


@pytest.mark.row("1.3")
def test_inverse_square_root_is_the_papers() -> None:
    """min(s^-0.5, s warmup^-1.5) over its peak, warmup^-0.5, s from 1."""
    warmup = random.randrange(1, 50)
    steps = warmup * random.randrange(2, 20)
    config = ScheduleConfig(shape="inverse_sqrt", warmup_fraction=warmup / steps)
    for step in range(steps):
        s = step + 1
        assert multiplier(config, step, steps) == pytest.approx(min(s**-0.5, s * warmup**-1.5) * warmup**0.5), step

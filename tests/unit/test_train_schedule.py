"""Learning-rate schedules: bounds, ends, and agreement with torch where it has them."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from groundup.train.schedule import ScheduleConfig, multiplier


@pytest.mark.row("1.3")
@pytest.mark.parametrize("shape", ["cosine", "linear", "wsd", "constant"])
@pytest.mark.parametrize("num_steps", [1, 2, 10, 1000])
def test_bounds_and_ends(shape, num_steps: int) -> None:
    config = ScheduleConfig(shape=shape, warmup_fraction=0.1, final=0.05)
    values = [multiplier(config, s, num_steps) for s in range(num_steps)]
    assert all(0 < v <= 1 for v in values)
    if num_steps >= 10:
        assert max(values) == pytest.approx(1)
        assert values[0] == pytest.approx(1 / max(1, round(0.1 * num_steps)))
        assert values[-1] == pytest.approx(1 if shape == "constant" else 0.05)
        after = values[round(0.1 * num_steps) :]
        assert all(a >= b - 1e-12 for a, b in itertools.pairwise(after))


@pytest.mark.row("1.3")
def test_cosine_equals_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=99, eta_min=0.1)
    config = ScheduleConfig(shape="cosine", warmup_fraction=0.0, final=0.1)
    for step in range(100):
        assert multiplier(config, step, 100) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        theirs.step()
    assert math.isclose(multiplier(config, 99, 100), 0.1, abs_tol=1e-9)

"""What the loop can be asked beside its task: clipping by value, float16 with a loss scale, early stopping, running statistics."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from groundup.core.errors import TrainingError
from groundup.core.tracking import JsonlTracker
from groundup.nn.protocols import Batch, LossOutput
from groundup.train.checkpoint import Checkpoints
from groundup.train.early_stopping import EarlyStoppingConfig
from groundup.train.loop import Interrupted, Loop, LoopConfig
from groundup.train.loss_scale import LossScaler
from groundup.train.optim import build_optimizer
from groundup.train.optim.build import SGDConfig
from groundup.train.schedule import ScheduleConfig, build_schedule
from groundup.train.settings import Settings


class Numbers:
    """Points of a noisy line; the same for the same step."""

    def take(self, step: int, count: int) -> Sequence[Any]:
        rng = np.random.default_rng([7, step])
        x = rng.normal(size=(count, 4)).astype(np.float32)
        return list(zip(x, (x @ np.array([1.0, -2.0, 0.5, 0.0]) + rng.normal(size=count)).astype(np.float32)))

    def figures(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None: ...


class Squares:
    """Mean squared error times `factor`; sends this process a signal at batch `stop_at`."""

    def __init__(self, factor: float = 1.0, stop_at: int = -1) -> None:
        self.factor, self.stop_at, self.seen = factor, stop_at, 0

    def collate(self, examples: Sequence[Any]) -> Batch:
        self.seen += 1
        if self.seen == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        x, y = (torch.from_numpy(np.stack(column)) for column in zip(*examples))
        places = torch.zeros(len(x), 1, dtype=torch.long)
        return Batch(places, places, extras={"x": x, "y": y}, count=len(x))

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        error = model(batch.extras["x"]).float().squeeze(1) - batch.extras["y"]
        return LossOutput(error.square().mean() * self.factor)


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))


def loop_in(
    directory: Path, *, objective: Any = None, settings: Any = None, evaluate: Any = None, **options: Any
) -> Loop:
    model = network()
    given = {"num_steps": 40, "batch_size": 8, "micro_batch_size": 8, "log_every_steps": 1, "checkpoint_every_steps": 5}
    plain = {"dtype": "float32", "threads": 1, "compile": False, "step_seconds": 0.0, "measured": {}}
    directory.mkdir(exist_ok=True)
    return Loop(
        model,
        objective or Squares(),
        Numbers(),
        build_optimizer(SGDConfig(lr=0.05, momentum=0.9), model),
        build_schedule(ScheduleConfig(warmup_fraction=0)),
        LoopConfig(**{**given, **options}),
        Settings(**{**plain, **(settings or {})}),
        Checkpoints(directory / "checkpoints", JsonlTracker(directory)),
        evaluate=evaluate,
    )


def held_out(loop: Loop) -> float:
    loop.model.eval()
    with torch.no_grad():
        return float(Squares().loss(loop.model, Squares().collate(Numbers().take(10**6, 256))).loss)


def tensors(loop: Loop) -> dict[str, bytes]:
    return {name: t.numpy().tobytes() for name, t in loop.model.state_dict().items()}


@pytest.mark.row("1.3")
def test_clipping_by_value_limits_every_number(tmp_path: Path) -> None:
    loop = loop_in(tmp_path, objective=Squares(1e3), max_grad_norm=0.0, max_grad_value=0.01)
    seen: list[float] = []
    step = loop.optimizers[0].step
    parameters = loop.parameters
    loop.optimizers[0].step = lambda: (seen.append(max(float(p.grad.abs().max()) for p in parameters)), step())  # type: ignore[method-assign,assign,union-attr]
    loop.run()
    assert len(seen) == 40 and max(seen) <= 0.01 * (1 + 1e-6) and min(seen) == pytest.approx(0.01)


@pytest.mark.row("1.4")
@pytest.mark.parametrize("stop_at", [12, 23])
def test_early_stopping_ends_with_the_best_weights_killed_or_not(tmp_path: Path, stop_at: int) -> None:
    best: dict[str, bytes] = {}

    def evaluate(model: nn.Module) -> dict[str, float]:
        """Better until step 16, worse from then on: as if held-out data had been learned by heart."""
        at = evaluating.step
        if at == 16:
            best.update({name: t.numpy().tobytes() for name, t in model.state_dict().items()})
        return {"val_loss": abs(at - 16) + 1.0}

    options: dict[str, Any] = {
        "evaluate": evaluate,
        "evaluate_every_steps": 4,
        "early_stopping": EarlyStoppingConfig(patience=3),
    }
    evaluating = whole = loop_in(tmp_path / "whole", **options)
    result = whole.run()
    assert result.step == 28 and whole.best.step == 16
    assert tensors(whole) == best, "weights and running statistics of the best evaluation"
    part = tmp_path / "part"
    evaluating = loop_in(part, objective=Squares(stop_at=stop_at), **options)
    with pytest.raises(Interrupted):
        evaluating.run()
    evaluating = resumed = loop_in(part, **options)
    assert resumed.run().step == 28
    assert tensors(resumed) == tensors(whole)


@pytest.mark.row("1.4")
def test_early_stopping_on_a_figure_that_is_not_there_says_so(tmp_path: Path) -> None:
    loop = loop_in(tmp_path, evaluate=lambda model: {"val_loss": 1.0}, evaluate_every_steps=2,
                   early_stopping=EarlyStoppingConfig(metric="val_acuracy"))  # fmt: skip
    with pytest.raises(TrainingError, match="val_acuracy"):
        loop.run()


@pytest.mark.row("1.4")
def test_running_statistics_and_dropout_resume_bit_for_bit(tmp_path: Path) -> None:
    whole = loop_in(tmp_path / "whole")
    whole.run()
    with pytest.raises(Interrupted):
        loop_in(tmp_path / "part", objective=Squares(stop_at=18)).run()
    resumed = loop_in(tmp_path / "part")
    resumed.run()
    assert tensors(resumed) == tensors(whole)
    assert "1.running_mean" in tensors(whole)


@pytest.mark.row("1.6")
def test_the_scale_backs_off_grows_and_leaves_overflows_out() -> None:
    scaler = LossScaler(1024.0, growth_steps=3)
    assert scaler.overflowed(float("inf")) and scaler.scale == 512
    assert scaler.overflowed(float("nan")) and scaler.scale == 256
    assert [scaler.overflowed(1.0) for _ in range(3)] == [False] * 3 and scaler.scale == 512
    scaler.overflowed(1.0)
    assert scaler.overflowed(float("inf")) and scaler.scale == 256, "an overflow starts the count again"
    assert [scaler.overflowed(1.0) for _ in range(2)] == [False] * 2 and scaler.scale == 256
    off = LossScaler(0.0)
    assert off.factor == 1 and not off.overflowed(float("inf"))


@pytest.mark.row("1.6")
def test_float16_with_a_scale_learns_what_float32_learns_and_resumes(tmp_path: Path) -> None:
    half = {"dtype": "float16", "loss_scale": 2.0**40}  # far too large: the first steps overflow
    whole = loop_in(tmp_path / "half", settings=half)
    result = whole.run()
    events = [json.loads(line) for line in (tmp_path / "half" / "events.log").read_text().splitlines()]
    left_out = [e for e in events if "overflowed" in e["message"]]
    assert result.step == 40 and result.skipped == len(left_out) >= 10
    assert not [e for e in events if "rolled" in e["kind"]], "an overflow is no fault of the run"
    assert whole.scaler.scale == 2.0**40 / 2 ** len(left_out)
    plain = loop_in(tmp_path / "float")
    plain.run()
    assert held_out(whole) == pytest.approx(held_out(plain), rel=0.5) and held_out(whole) < 0.6 * held_out(
        loop_in(tmp_path / "new")
    )
    with pytest.raises(Interrupted):
        loop_in(tmp_path / "part", objective=Squares(stop_at=25), settings=half).run()
    resumed = loop_in(tmp_path / "part", settings=half)
    resumed.run()
    assert tensors(resumed) == tensors(whole) and resumed.scaler.scale == whole.scaler.scale


@pytest.mark.row("1.6")
def test_small_gradients_vanish_in_float16_without_a_scale_and_not_with_one(tmp_path: Path) -> None:
    """Gradients of 1e-8 are below float16's smallest number (6e-8)."""
    first = {}
    for name, scale in (("without", 0.0), ("with", 65536.0)):
        loop = loop_in(tmp_path / name, objective=Squares(1e-8), settings={"dtype": "float16", "loss_scale": scale})
        loop.model.eval()
        loop._gradients(loop._batches())
        loop.scaler.unscale(loop.parameters)
        first[name] = loop.model[0].weight.grad  # type: ignore[index]
    exact = loop_in(tmp_path / "exact", objective=Squares(1e-8))
    exact.model.eval()
    exact._gradients(exact._batches())
    wanted = exact.model[0].weight.grad  # type: ignore[index]
    assert not first["without"].any() and wanted.any()
    torch.testing.assert_close(first["with"], wanted, rtol=0.05, atol=float(wanted.abs().max()) * 0.01)

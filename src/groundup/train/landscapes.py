"""Every optimizer's path on functions of two variables (stage `landscapes`): what its rule does, where it can be seen.

Each optimizer gets, on each landscape, the learning rate of `learning_rates` with which it settles within the tolerance in the fewest steps,
or ends lowest if it never does; so none is beaten by a bad setting. Beside them, gradient descent at step sizes around 2 / (largest
curvature), where it stops converging (Nesterov 2004, theorem 2.1.14). Left out: Muon, whose rule is for matrices; noise in the gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ..core.config import Use
from ..core.errors import ConfigError
from ..core.exhibits import Plot, Series, Table, plain
from ..core.recipe import StageContext
from ..foundations.landscapes import LANDSCAPES, Landscape, looks_convex
from ..foundations.optimise import SGD, descend
from .optim.build import (
    AdamConfig,
    LionConfig,
    OptimizerConfig,
    OptimizerNode,
    RMSpropConfig,
    SGDConfig,
    build_optimizer,
)

_GRID = 48
_FLOOR = 1e-8
"""What is nearer to the least value is drawn here: a logarithm has no zero."""


def _standard() -> dict[str, Any]:
    return {
        "gradient descent": SGDConfig(),
        "momentum": SGDConfig(momentum=0.9),
        "Nesterov": SGDConfig(momentum=0.9, nesterov=True),
        "RMSprop": RMSpropConfig(),
        "Adam": AdamConfig(),
        "Lion": LionConfig(),
    }


@dataclass(frozen=True, kw_only=True)
class LandscapesStage:
    landscapes: tuple[str, ...] = tuple(LANDSCAPES)
    optimizers: dict[str, OptimizerNode] = field(default_factory=_standard)
    """Name -> optimizer; its lr is replaced by the best of learning_rates."""
    learning_rates: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    num_steps: int = 500
    tolerance: float = 0.001
    """Above the least value: reached or not."""
    type: Literal["landscapes"] = "landscapes"
    kind = "landscapes"

    def __post_init__(self) -> None:
        unknown = [name for name in self.landscapes if name not in LANDSCAPES]
        if unknown:
            raise ConfigError(f"no landscape {unknown[0]!r}; known: {', '.join(LANDSCAPES)}", path="landscapes")
        for name, least in (("landscapes", 1), ("optimizers", 1), ("learning_rates", 1)):
            if len(getattr(self, name)) < least:
                raise ConfigError("must not be empty", path=name)
        if self.num_steps < 1 or self.tolerance <= 0:
            raise ConfigError("num_steps must be at least 1 and tolerance above 0", path="num_steps")

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        rng = np.random.default_rng(context.seed)
        rows, facts, pictures, reached = [], [], [], {}
        walks: dict[str, dict[str, Walk]] = {}
        for name in self.landscapes:
            landscape = LANDSCAPES[name]
            context.progress.say(f"  {name}: {landscape.difficulty}")
            walks[name] = {n: self._best(landscape, config) for n, config in self.optimizers.items()}
            convex = looks_convex(landscape.value, landscape.window, rng)
            facts.append(
                [name, landscape.difficulty, "yes" if convex else "no", len(landscape.minima), landscape.least]
            )
            pictures += [_contours(landscape, walks[name]), _values(landscape, walks[name])]
        for optimizer in self.optimizers:
            found = [walks[name][optimizer] for name in self.landscapes]
            rows.append([optimizer, *(_settled(walk.above, self.tolerance) for walk in found)])
            reached[optimizer] = sum(step is not None for step in rows[-1][1:])
        lrs = [[o, *(walks[name][o].lr for name in self.landscapes)] for o in self.optimizers]
        steps_table = Table(
            title=f"Steps until the value stays within {self.tolerance:g} of the least",
            columns=["optimizer", *self.landscapes],
            rows=rows,
            sentence=f"At its best of {len(self.learning_rates)} learning rates; a dash: not in {self.num_steps} steps.",
        )
        return {
            "reached": reached,
            "steps": {row[0]: dict(zip(self.landscapes, row[1:], strict=True)) for row in rows},
            "exhibits": plain(
                steps_table,
                Table(title="The learning rate that did it", columns=["optimizer", *self.landscapes], rows=lrs),
                Table(title="The landscapes", columns=["landscape", "difficulty", "convex", "minima", "least value"], rows=facts,
                      sentence="Convex: between any two points the function lies below the straight line; one way down leads to the bottom.",
                      ),
                *pictures,
                _step_sizes(),
            ),
        }  # fmt: skip

    def _best(self, landscape: Landscape, config: OptimizerConfig | Use) -> Walk:
        found = [walk(landscape, config, lr, self.num_steps) for lr in self.learning_rates]

        def rank(one: Walk) -> tuple[int, float]:
            step = _settled(one.above, self.tolerance)
            return self.num_steps + 1 if step is None else step, float(one.above[-1])

        return min(found, key=rank)


@dataclass(frozen=True, slots=True)
class Walk:
    path: np.ndarray
    """[steps + 1, 2]"""
    above: np.ndarray
    """[steps + 1] value less the least one; infinite from where the numbers ran away."""
    lr: float


def walk(landscape: Landscape, config: OptimizerConfig | Use, lr: float, steps: int) -> Walk:
    """An optimizer of groundup.train.optim on a point of two numbers."""
    model = nn.Module()
    model.point = nn.Parameter(torch.tensor(landscape.start, dtype=torch.float64))
    optimizers = build_optimizer(_with_lr(config, lr), model)
    point = model.point.data.numpy()  # shares its memory
    path = np.empty((steps + 1, 2))
    path[0], last = point, steps
    for step in range(1, steps + 1):
        model.point.grad = torch.from_numpy(landscape.gradient(point))
        for optimizer in optimizers:
            optimizer.step()
        if not np.all(np.abs(point) < 1e4):
            path[step:], last = path[step - 1], step - 1
            break
        path[step] = point
    above = landscape.value(path) - landscape.least
    above[last + 1 :] = np.inf
    return Walk(path, above, lr)


def _with_lr(config: OptimizerConfig | Use, lr: float) -> OptimizerConfig | Use:
    return replace(config, args={**config.args, "lr": lr}) if isinstance(config, Use) else replace(config, lr=lr)


def _settled(above: np.ndarray, tolerance: float) -> int | None:
    """The step from which on it stays within the tolerance; None if it does not. (To pass through it once is luck.)"""
    outside = np.flatnonzero(above > tolerance)
    step = int(outside[-1]) + 1 if len(outside) else 0
    return step if step < len(above) else None


def _drawn(steps: int) -> np.ndarray:
    """The first steps one by one, later ones farther apart."""
    return np.unique(np.geomspace(1, steps, 120).astype(np.int64)) - 1


def _contours(landscape: Landscape, walks: Mapping[str, Walk]) -> Plot:
    x, y, values = landscape.grid(_GRID)
    low, high = np.array(landscape.window[0::2]), np.array(landscape.window[1::2])
    series = []
    for name, found in walks.items():
        inside = np.all((found.path >= low) & (found.path <= high), axis=1)
        outside = np.flatnonzero(~inside)
        path = found.path[: outside[0]] if len(outside) else found.path
        shown = path[_drawn(len(path))]
        series.append(Series(name=name, x=shown[:, 0].tolist(), y=shown[:, 1].tolist()))
    return Plot(
        title=landscape.name.replace("_", "-"),
        kind="contours",
        sentence=f"{landscape.difficulty.capitalize()}. Lines of equal height, equally far apart in the logarithm; each path ends where "
        "it leaves the picture.",
        matrix=np.log10(values - landscape.least + 0.01).tolist(),
        x=x.tolist(),
        y=y.tolist(),
        series=series,
        x_label="x",
        y_label="y",
    )


def _values(landscape: Landscape, walks: Mapping[str, Walk]) -> Plot:
    series = []
    for name, found in walks.items():
        steps = _drawn(int(np.isfinite(found.above).sum()))
        series.append(Series(name=name, x=steps.tolist(), y=np.maximum(found.above[steps], _FLOOR).tolist()))
    return Plot(
        title=f"{landscape.name.replace('_', '-')}: height above the least value",
        kind="lines",
        series=series,
        x_label="step",
        y_label="height",
        log_y=True,
    )


def _step_sizes() -> Plot:
    """Gradient descent on the ill-conditioned bowl, its largest curvature 100."""
    landscape, steps = LANDSCAPES["ill_conditioned"], 60
    series = []
    for share in (0.1, 0.5, 0.95, 1.0, 1.05):
        lr = share * 2 / 100
        path = descend(landscape.gradient, landscape.start, partial(SGD, lr=lr), steps)
        heights = np.clip(landscape.value(path), _FLOOR, 1e6)
        series.append(Series(name=f"{share:g}", x=list(range(steps + 1)), y=heights.tolist()))
    return Plot(
        title="Step size and curvature",
        kind="lines",
        sentence="Gradient descent on the ill-conditioned bowl, step sizes as shares of 2 / (largest curvature): below 1 it goes down, at 1 it "
        "swings for ever in the steepest direction, beyond it runs away; meanwhile the flat direction wants a longer step.",
        series=series,
        x_label="step",
        y_label="height",
        log_y=True,
    )

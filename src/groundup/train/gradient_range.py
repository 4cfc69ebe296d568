"""Stage `gradient_range`: how small the gradients of a trained network are, and what float16 makes of them with and without a loss scale.

float16's smallest number is 2^-24 and its largest 65,504; what is smaller becomes 0, what is larger Inf. The stage takes the network
that a stage `fit` made and one batch of its data, and compares the gradients of all weights in float32 with those through float16 at
many loss scales (Micikevicius et al. 2018, figure 3, shows the same of a network for speech).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ..core.artifact import write_json
from ..core.errors import ConfigError
from ..core.exhibits import Plot, Series, Table, plain
from ..core.recipe import StageContext
from ..data.images import read_images
from ..nn.protocols import Batch
from ..objectives.networks import Example, LabelObjective
from .networks.predictor import load_network

SMALLEST = -24
"""float16's smallest number above 0, as a power of 2."""


@dataclass(frozen=True, kw_only=True)
class GradientRangeStage:
    data: str = "data"
    """An `images` stage."""
    network: str = "network"
    """A stage `fit` on it that labels pictures."""
    batch_size: int = 128
    highest_scale: int = 30
    """The loss scales 2^0, 2^2, ... up to 2^this are tried."""
    type: Literal["gradient_range"] = "gradient_range"
    kind = "comparison"

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.highest_scale < 0:
            raise ConfigError("must be at least 1", path="batch_size" if self.batch_size < 1 else "highest_scale")

    def inputs(self) -> Sequence[str]:
        return (self.data, self.network)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        predictor = load_network(context.inputs[self.network])
        if not predictor.labels or predictor.facts.input != "image":
            raise ConfigError(f"the stage {self.network!r} does not label pictures", path=f"{context.name}.network")
        images, labels = read_images(context.inputs[self.data], "train")
        chosen = np.random.default_rng(context.seed).permutation(len(images))[: self.batch_size]
        batch = LabelObjective(texts=False).collate([Example(images[i], int(labels[i])) for i in chosen])
        exact = gradients(predictor.model, batch, None)
        sizes = np.log2(np.abs(exact[exact != 0]))
        powers, lost, overflowed, errors = [], [], [], []
        for power in range(0, self.highest_scale + 1, 2):
            half = gradients(predictor.model, batch, 2.0**power)
            finite = np.isfinite(half)
            powers.append(power)
            lost.append(float(((half == 0) & (exact != 0)).sum() / max(1, (exact != 0).sum())))
            overflowed.append(float(1 - finite.mean()))
            errors.append(float(np.linalg.norm(half - exact) / np.linalg.norm(exact)) if finite.all() else math.inf)
        rows = list(zip(powers, lost, overflowed, (None if e == math.inf else e for e in errors), strict=True))
        write_json(context.directory / "scales.json", rows)
        counts, edges = np.histogram(sizes, bins=np.arange(np.floor(sizes.min()), np.ceil(sizes.max()) + 1))
        top = float(counts.max() / counts.sum())
        best = min(range(len(powers)), key=lambda i: (overflowed[i] > 0, lost[i], powers[i]))
        return {
            "vanished_without_scale": lost[0],
            "vanished_at_best_scale": lost[best],
            "best_scale_log2": powers[best],
            "exhibits": plain(
                Plot(
                    title="How small the gradients are",
                    kind="steps",
                    series=[
                        Series(name="gradients", x=(edges[:-1] + 0.5).tolist(), y=(counts / counts.sum()).tolist()),
                        Series(name="float16's smallest", x=[SMALLEST, SMALLEST], y=[0.0, top]),
                    ],
                    x_label="power of 2",
                    y_label="share of the gradients",
                    sentence="Of all weights, in float32, for one batch. What lies left of float16's smallest number is 0 in it.",
                ),
                Plot(
                    title="What is lost at each loss scale",
                    kind="lines",
                    series=[
                        Series(name="became 0", x=powers, y=lost),
                        Series(name="became Inf or NaN", x=powers, y=overflowed),
                    ],
                    x_label="loss scale, power of 2",
                    y_label="share of the gradients",
                    sentence="Scaled too little they vanish, too much they overflow; in between is the place for a loss scale.",
                ),
                Table(
                    title="Gradients through float16",
                    columns=["loss scale, 2^", "became 0", "became Inf or NaN", "relative error of the whole gradient"],
                    rows=rows,
                ),
            ),
        }


def gradients(model: nn.Module, batch: Batch, loss_scale: float | None) -> np.ndarray:
    """float64 [all weights], divided by the scale again; loss_scale None: in float32. The model is left as it was."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    objective = LabelObjective(texts=False)
    with torch.autocast("cpu", dtype=torch.float16, enabled=loss_scale is not None):
        loss = objective.loss(model.eval(), batch).loss
    made = torch.autograd.grad(loss * (loss_scale or 1.0), parameters)
    return torch.cat([g.double().flatten() for g in made]).numpy() / (loss_scale or 1.0)

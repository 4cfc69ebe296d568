"""What depth does to signals and gradients under different initial weights (stage `init_study`).

A stack of fully connected layers as it is before any training: the size of what goes forward and of the gradients that come
back, layer by layer. Where each layer multiplies both by a factor, its power with the depth vanishes or explodes; the schemes
choose the factor 1. A residual stack has another trouble, growth with every addition, and another remedy, scaling by depth. Left out:
training (the recipe does it beside), norms, convolutions.

Sources: Glorot and Bengio 2010; He et al. 2015; Saxe et al. 2014; Hanin and Rolnick 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..core.exhibits import Plot, Series, Table, plain
from ..core.recipe import StageContext
from ..nn.init import GAINS, Scheme, initialise_weight
from ..nn.linear import Linear

SCHEMES: dict[str, tuple[Scheme, float | None]] = {
    "too small": ("he_normal", 0.3),
    "too large": ("he_normal", 3.0),
    "Xavier": ("xavier_normal", 1.0),
    "He": ("he_normal", None),
    "orthogonal": ("orthogonal", None),
}
"""Name -> (scheme, gain); None is the gain of the activation."""
_FUNCTIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": nn.functional.silu}
_STEADY = 50.0
"""A change over the whole depth by more than this is called vanishing or exploding."""
_SMALLEST, _LARGEST = 1e-200, 1e200


@dataclass(frozen=True, kw_only=True)
class InitStudyStage:
    num_layers: int = 50
    hidden_size: int = 256
    batch_size: int = 64
    activations: tuple[Literal["relu", "tanh", "sigmoid", "silu"], ...] = ("relu", "tanh", "sigmoid")
    type: Literal["init_study"] = "init_study"
    kind = "init_study"

    def __post_init__(self) -> None:
        for name, least in (("num_layers", 2), ("hidden_size", 2), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"must be at least {least}, not {getattr(self, name)}", path=name)
        if not self.activations:
            raise ConfigError("must not be empty", path="activations")

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        rows: list[list[Any]] = []
        pictures: list[Plot] = []
        figures: dict[str, str] = {}
        studies = [(activation, False, SCHEMES) for activation in self.activations]
        for activation, residual, schemes in [
            *studies,
            ("relu", True, {"He": SCHEMES["He"], "He, depth-scaled": SCHEMES["He"]}),
        ]:
            found = {}
            for name, (scheme, gain) in schemes.items():
                generator = torch.Generator().manual_seed(context.seed)
                gain = GAINS.get(activation, 1.0) if gain is None else gain
                scaled = self.num_layers if "depth-scaled" in name else 0
                found[name] = signals(self, activation, scheme, gain, residual, scaled, generator)
                forward, backward = found[name][0][-1] / found[name][0][0], found[name][1][0] / found[name][1][-1]
                stack = f"residual, {activation}" if residual else activation
                figures[f"{stack}: {name}"] = diagnosis(forward, backward)
                rows.append([stack, name, forward, backward, figures[f"{stack}: {name}"]])
            pictures += _pictures(f"residual stack, {activation}" if residual else activation, found)
        table = Table(
            title=f"{self.num_layers} layers of {self.hidden_size}, before any training",
            columns=[
                "stack",
                "initial weights",
                "signal: last layer / first",
                "gradient: first layer / last",
                "diagnosis",
            ],
            rows=rows,
            sentence=f"Root mean squares. A change by more than {_STEADY:g} times over the whole depth is named.",
        )
        return {"diagnosis": figures, "exhibits": plain(table, *pictures)}


def signals(
    stage: InitStudyStage,
    activation: str,
    scheme: Scheme,
    gain: float,
    residual: bool,
    num_residuals: int,
    generator: torch.Generator,
) -> tuple[list[float], list[float]]:
    """Root mean square of each layer's output, and of the gradient with respect to it, first layer to last."""
    function = _FUNCTIONS[activation]
    layers = []
    for _ in range(stage.num_layers):
        layer = Linear(stage.hidden_size, stage.hidden_size, bias=False)
        initialise_weight(layer.weight.data, scheme, gain=gain, num_residuals=num_residuals, generator=generator)
        layers.append(layer.double())  # what vanishes is to be seen, not rounded to zero
    x = torch.randn(stage.batch_size, stage.hidden_size, generator=generator, dtype=torch.float64)
    outputs = []
    for layer in layers:
        x = x + function(layer(x)) if residual else function(layer(x))
        outputs.append(x)
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    gradients = torch.autograd.grad((x * direction).mean(), outputs)
    return [_size(output.detach()) for output in outputs], [_size(gradient) for gradient in gradients]


def _size(x: Tensor) -> float:
    return min(max(float(x.square().mean().sqrt()), _SMALLEST), _LARGEST)


def diagnosis(forward: float, backward: float) -> str:
    """forward: last signal / first. backward: first gradient / last. What each says by itself."""
    said = [
        f"{what} {'vanishes' if ratio < 1 else 'explodes'}"
        for what, ratio in (("the signal", forward), ("the gradient", backward))
        if not 1 / _STEADY <= ratio <= _STEADY
    ]
    return " and ".join(said) or "steady"


def _pictures(title: str, found: Mapping[str, tuple[list[float], list[float]]]) -> list[Plot]:
    made = []
    for number, what in enumerate(("size of the signal", "size of the gradient")):
        series = [Series(name=name, x=list(range(1, len(v[number]) + 1)), y=v[number]) for name, v in found.items()]
        made.append(
            Plot(
                title=f"{title}: {what}",
                kind="lines",
                series=series,
                x_label="layer",
                y_label="root mean square",
                log_y=True,
            )
        )
    return made

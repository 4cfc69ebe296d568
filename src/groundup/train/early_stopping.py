"""Early stopping: end when held-out figures have not become better for a while, and go back to the weights that were best.

The best weights are part of every checkpoint, so that a killed run ends with the same ones (Prechelt 1998, "Early stopping - but when?",
describes the family; this is its plainest member, a number of evaluations without a better one).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError, TrainingError
from .checkpoint import kept_tensors


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig:
    metric: str = "val_loss"
    """Figure of the evaluations that is watched."""
    better: Literal["lower", "higher"] = "lower"
    patience: int = 5
    """Evaluations in a row without a better one that end the run; 0: the run goes to its end, and the best weights are kept."""
    min_change: float = 0.0
    """Better by no more than this is not better."""

    def __post_init__(self) -> None:
        if self.patience < 0:
            raise ConfigError(f"must be at least 0, not {self.patience}", path="patience")


class BestWeights:
    """What the evaluations have shown so far. Without a config it keeps nothing and never ends a run."""

    def __init__(self, config: EarlyStoppingConfig | None) -> None:
        self.config = config
        self.value, self.step, self.waited = math.inf, 0, 0
        self.tensors: dict[str, Tensor] = {}

    def see(self, step: int, figures: Mapping[str, float], model: nn.Module) -> None:
        if self.config is None:
            return
        if self.config.metric not in figures:
            raise TrainingError(
                f"early stopping watches {self.config.metric!r}, which the evaluation does not give",
                hint=f"it gives {', '.join(figures) or 'nothing: is there held-out data?'}",
            )
        value = figures[self.config.metric] * (1 if self.config.better == "lower" else -1)
        if value < self.value - self.config.min_change:
            self.value, self.step, self.waited = value, step, 0
            self.tensors = {name: tensor.detach().clone() for name, tensor in kept_tensors(model).items()}
        else:
            self.waited += 1

    @property
    def finished(self) -> bool:
        return self.config is not None and 0 < self.config.patience <= self.waited

    def use(self, model: nn.Module) -> None:
        """Put the best weights into the model, if there are any."""
        own = kept_tensors(model)
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                own[name].copy_(tensor)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value if math.isfinite(self.value) else None, "step": self.step, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.value = math.inf if state["value"] is None else state["value"]
        self.step, self.waited = state["step"], state["waited"]
        self.tensors = dict(tensors)

"""Keeps bad updates away from the weights: NaN, Inf, and gradient spikes.

A bad step is skipped: its batch is passed over and the weights stay as they were. After `patience` bad steps in a row
the run goes back to its last checkpoint and on with the batches that follow (PaLM, section 5.1, did the same by hand). A
spike is a gradient norm far above the recent ones; published runs clip it, and so does the loop, but one beyond
`spike_ratio` times the recent median carries no signal worth keeping.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, TypeAlias

Decision: TypeAlias = Literal["apply", "skip", "roll back"]


@dataclass(frozen=True, kw_only=True)
class StabilityConfig:
    patience: int = 3
    """Bad steps in a row before going back to the last checkpoint."""
    max_rollbacks: int = 5
    """Rollbacks without a new checkpoint in between before the run stops with an error."""
    spike_ratio: float = 50.0
    """Skip a step whose gradient norm is this many times the median of the last 64; 0 turns it off."""
    warmup_steps: int = 64
    """Steps before spikes are judged."""


class StabilityGuard:
    def __init__(self, config: StabilityConfig) -> None:
        self.config = config
        self.norms: deque[float] = deque(maxlen=64)
        self.bad_in_a_row = 0
        self.rollbacks = 0

    def judge(self, loss: float, grad_norm: float) -> tuple[Decision, str]:
        """What to do with a step, and why."""
        reason = self._fault(loss, grad_norm)
        if not reason:
            self.bad_in_a_row = 0
            self.norms.append(grad_norm)
            return "apply", ""
        self.bad_in_a_row += 1
        if self.bad_in_a_row >= self.config.patience:
            self.bad_in_a_row = 0
            self.rollbacks += 1
            return "roll back", reason
        return "skip", reason

    def _fault(self, loss: float, grad_norm: float) -> str:
        if not math.isfinite(loss):
            return f"loss is {loss}"
        if not math.isfinite(grad_norm):
            return f"gradient norm is {grad_norm}"
        if self.config.spike_ratio > 0 and len(self.norms) >= self.config.warmup_steps:
            usual = median(self.norms)
            if grad_norm > self.config.spike_ratio * usual:
                return f"gradient norm {grad_norm:.3g} is {grad_norm / usual:.0f} times the recent median"
        return ""

    @property
    def hopeless(self) -> bool:
        return self.rollbacks > self.config.max_rollbacks

    def state_dict(self) -> dict[str, Any]:
        return {"norms": list(self.norms), "bad": self.bad_in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.norms = deque(state["norms"], maxlen=64)
        self.bad_in_a_row = state["bad"]

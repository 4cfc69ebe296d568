"""Loss scaling for float16: multiply the loss, divide the gradients (Micikevicius et al. 2018, "Mixed precision training", section 3.2).

float16 has no number between 0 and 6e-8, and gradients of activations are often smaller: they vanish. Scaled up they do not, until
some overflow. So the scale is found by trying: a step with an Inf or NaN is left out and the scale halved; after `growth_steps` good
steps it is doubled. bfloat16 has float32's range and needs none of this.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

START = 65536.0
"""The scale to begin with: too large is found out within a few steps, too small only slowly."""
GROWTH_STEPS = 200
SMALLEST = 2.0**-14
"""Below this the gradients themselves are at fault."""


class LossScaler:
    """scale 0: off; gradients are left as they are and nothing is ever an overflow."""

    def __init__(self, scale: float, *, growth_steps: int = GROWTH_STEPS) -> None:
        self.scale, self.growth_steps, self.good_steps = scale, growth_steps, 0

    @property
    def factor(self) -> float:
        """What the loss is multiplied by."""
        return self.scale or 1.0

    def unscale(self, parameters: Iterable[nn.Parameter]) -> None:
        grads = [p.grad for p in parameters if p.grad is not None]
        if self.scale and grads:
            torch._foreach_mul_(grads, 1 / self.scale)

    def overflowed(self, grad_norm: float) -> bool:
        """Whether to leave the step out. Counts it, and finds the next scale."""
        if not self.scale:
            return False
        if not math.isfinite(grad_norm) and self.scale > SMALLEST:
            self.scale, self.good_steps = self.scale / 2, 0
            return True
        self.good_steps += 1
        if self.good_steps >= self.growth_steps:
            self.scale, self.good_steps = self.scale * 2, 0
        return False

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self.scale, "good_steps": self.good_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scale, self.good_steps = state["scale"], state["good_steps"]

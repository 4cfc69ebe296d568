"""RMSprop: each gradient divided by the root of a running mean of its squares (Hinton 2012, lecture 6e).

Centred, the mean of the gradient is taken from it first, so that the divisor is a standard deviation (Graves 2013, section 3.1).
Weight decay is an L2 penalty, as in plain descent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class RMSprop(torch.optim.Optimizer):
    """State of a parameter: `square`, and `mean` (centred) and `momentum` where they are asked for."""

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-2,
        decay: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centred: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "decay": decay, "eps": eps, "momentum": momentum, "centred": centred}
        super().__init__(params, {**defaults, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            names = ["square", *(["mean"] if group["centred"] else []), *(["momentum"] if group["momentum"] else [])]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state |= {name: torch.zeros_like(p) for name in names}
                grad = p.grad.add(p, alpha=group["weight_decay"]) if group["weight_decay"] else p.grad
                state["square"].mul_(group["decay"]).addcmul_(grad, grad, value=1 - group["decay"])
                variance = state["square"]
                if group["centred"]:
                    state["mean"].lerp_(grad, 1 - group["decay"])
                    variance = variance.addcmul(state["mean"], state["mean"], value=-1)
                step = grad / variance.sqrt().add_(group["eps"])
                if group["momentum"]:
                    step = state["momentum"].mul_(group["momentum"]).add_(step)
                p.add_(step, alpha=-group["lr"])

"""Stochastic gradient descent: plain, with momentum (Polyak 1964), with Nesterov's look-ahead (Sutskever et al. 2013).

Momentum adds up gradients, m <- momentum m + g, and the step is lr m; Nesterov's is lr (g + momentum m), the gradient where the
momentum is about to lead. Weight decay is the gradient of weight_decay/2 |p|^2, an L2 penalty: without momentum the same as shrinking
the weights, with it not. Left out: dampening, and steps that maximise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class SGD(torch.optim.Optimizer):
    """State of a parameter: `momentum`, where there is any."""

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 0.1,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            momentum = group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                step = p.grad
                if group["weight_decay"]:
                    step = step.add(p, alpha=group["weight_decay"])
                if momentum:
                    state = self.state[p]
                    if not state:
                        state["momentum"] = torch.zeros_like(p)
                    state["momentum"].mul_(momentum).add_(step)
                    step = step.add(state["momentum"], alpha=momentum) if group["nesterov"] else state["momentum"]
                p.add_(step, alpha=-group["lr"])

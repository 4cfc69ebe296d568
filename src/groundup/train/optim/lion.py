"""Lion: the sign of a momentum, every weight moved by the same amount (Chen et al. 2023, "Symbolic discovery of optimization
algorithms", algorithm 2).

The momentum that is remembered follows more slowly (the second beta) than the one whose sign is taken (the first). A step is longer than
Adam's usual one, so the paper's learning rates are a third to a tenth of Adam's, its weight decay as many times larger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Lion(torch.optim.Optimizer):
    """State of a parameter: `momentum`."""

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                direction = state["momentum"].lerp(p.grad, 1 - beta1).sign_()
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
                state["momentum"].lerp_(p.grad, 1 - beta2)

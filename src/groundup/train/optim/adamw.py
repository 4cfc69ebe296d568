"""Adam (Kingma and Ba 2015, algorithm 1) and AdamW, Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

`update` is the algorithm as the papers write it. `step` runs PyTorch's one-pass kernel of the same update where it exists
(CPU and CUDA, same dtypes throughout); a test holds the two, and torch.optim's classes, equal. The two differ in weight decay alone:
AdamW shrinks the weights, Adam adds the decay to the gradient, where it is divided by the root of the variance like the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class AdamW(torch.optim.Optimizer):
    """State of a parameter: `step`, `mean`, `variance`."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        one_pass: bool = True,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.one_pass = one_pass

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                state = self.state[p]
                if not state:
                    state["step"] = torch.zeros(())
                    state["mean"] = torch.zeros_like(p)
                    state["variance"] = torch.zeros_like(p)
            if self.one_pass:
                self._one_pass(group, params)
            else:
                for p in params:
                    assert p.grad is not None
                    update(p, p.grad, self.state[p], group, decoupled=self.decoupled)

    def _one_pass(self, group: dict[str, Any], params: list[Tensor]) -> None:
        states = [self.state[p] for p in params]
        if not params:
            return
        steps = [s["step"] for s in states]
        torch._foreach_add_(steps, 1)
        kernel = torch._fused_adamw_ if self.decoupled else torch._fused_adam_
        kernel(
            params,
            [p.grad for p in params if p.grad is not None],
            [s["mean"] for s in states],
            [s["variance"] for s in states],
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


class Adam(AdamW):
    """Weight decay is an L2 penalty."""

    decoupled = False


def update(p: Tensor, grad: Tensor, state: dict[str, Tensor], group: dict[str, Any], *, decoupled: bool = True) -> None:
    """One step for one parameter, in place."""
    beta1, beta2 = group["betas"]
    state["step"] += 1
    step = float(state["step"])
    if decoupled:
        p.mul_(1 - group["lr"] * group["weight_decay"])
    elif group["weight_decay"]:
        grad = grad.add(p, alpha=group["weight_decay"])
    state["mean"].lerp_(grad, 1 - beta1)
    state["variance"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    mean = state["mean"] / (1 - beta1**step)
    deviation = (state["variance"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
    p.addcdiv_(mean, deviation, value=-group["lr"])

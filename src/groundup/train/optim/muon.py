"""Muon: momentum, orthogonalised (Jordan et al. 2024), for the weight matrices between embedding and head.

The update is U V^T of the momentum's singular value decomposition, found by five steps of a quintic Newton-Schulz iteration;
it is scaled by 0.2 sqrt(max(rows, columns)) so that its size matches AdamW's and one learning rate serves both (Liu et al.
2025, "Muon is scalable", section 2.2). Matrices of equal shape (or its transpose) are stacked and go through the iteration together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Jordan et al.: the steepest slope at zero for which singular values end within about [0.7, 1.2]."""


def orthogonalise(matrices: Tensor, *, steps: int = 5, dtype: torch.dtype | None = torch.bfloat16) -> Tensor:
    """Approximately U V^T of each matrix of [..., m, n]; singular values end near 1. Computed in `dtype`."""
    a, b, c = COEFFICIENTS
    x = matrices.to(dtype or matrices.dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True).to(x.dtype) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.mT if tall else x).to(matrices.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """For 2-D parameters only."""

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.1,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[tuple[int, int, torch.device], list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[(min(p.shape), max(p.shape), p.device)].append(p)
            for params in shapes.values():
                self._step_together(group, params)

    def _step_together(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Matrices of one shape, or its transpose: the iteration does not mind which side is longer."""
        directions = []
        for p in params:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            assert p.grad is not None
            state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            nesterov = group["nesterov"]
            direction = p.grad.lerp(state["momentum"], group["momentum"]) if nesterov else state["momentum"]
            directions.append(direction.mT if p.shape[0] > p.shape[1] else direction)
        updates = orthogonalise(torch.stack(directions), dtype=self.dtype)
        scale = 0.2 * max(params[0].shape) ** 0.5
        for p, change in zip(params, updates, strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(change.mT if p.shape[0] > p.shape[1] else change, alpha=-group["lr"] * scale)

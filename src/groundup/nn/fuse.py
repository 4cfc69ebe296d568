"""Several linear maps of one input as one matrix: fewer, larger products when a model decodes.

The weights of the maps become views of the one matrix, so nothing is stored twice and a change of either is a change of
both: a model can be trained and sampled from in turns. Used only where no gradient is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FusedLinear:
    """x -> (a(x), b(x), ...) for linears a, b, ... of one input size, dtype and device, all with a bias or all without."""

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        self.linears = tuple(linears)
        self.sizes = [linear.out_features for linear in linears]
        self.weight = torch.cat([linear.weight.detach() for linear in linears])
        biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
        self.bias = torch.cat(biases) if biases else None
        for linear, rows in zip(linears, torch.split(self.weight, self.sizes), strict=True):
            linear.weight.data = rows
        if self.bias is not None:
            for linear, rows in zip(linears, torch.split(self.bias, self.sizes), strict=True):
                linear.bias.data = rows
        self._places = self._addresses()

    def _addresses(self) -> list[int]:
        return [p.data_ptr() for linear in self.linears for p in (linear.weight, linear.bias) if p is not None]

    def stands_for(self, linears: Sequence[nn.Module]) -> bool:
        """Is the one matrix still what `linears` hold? Not after a move to another dtype or device, nor with adapters
        around them, nor while gradients are wanted or a graph is being traced.
        """
        return (
            not torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and all(mine is theirs for mine, theirs in zip(self.linears, linears, strict=True))
            and self._addresses() == self._places
        )

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        parts: tuple[Tensor, ...] = torch.split(F.linear(x, self.weight, self.bias), self.sizes, dim=-1)
        return parts


@dataclass(frozen=True)
class FuseProjections:
    """ModelTransform: q, k, v of every attention into one matrix, gate and up of every gated network into another."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Changes `model` in place and returns it; its parameters keep their names, shapes and values."""
        from .ffn import Gated
        from .mixers.attention import Attention

        for module in model.modules():
            if isinstance(module, Attention):
                module.fused = _fuse((module.q_proj, module.k_proj, module.v_proj))
            elif isinstance(module, Gated):
                module.fused = _fuse((module.gate_proj, module.up_proj))
        return model


def _fuse(linears: Sequence[nn.Module]) -> FusedLinear | None:
    plain = [linear for linear in linears if type(linear) is nn.Linear]
    same = len({(p.weight.dtype, p.weight.device, p.bias is None) for p in plain}) == 1
    return FusedLinear(plain) if len(plain) == len(linears) and same else None

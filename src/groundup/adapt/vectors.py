"""The small adapters of one linear layer: IA3 (Liu et al. 2022) and bottlenecks (Houlsby et al. 2019, Pfeiffer et al. 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import ModelError
from ..nn.ffn import ACTIVATIONS
from .configs import BottleneckConfig
from .linear import AdaptedLinear, LinearAdapter
from .low_rank import adapter_dtype

_SMALLEST_SCALE = 1e-6
"""An IA3 entry below this wipes out a row or column of the weight; dividing by it again gives noise."""


class IA3(LinearAdapter):
    """ia3_l [in] if it scales the input, [out] if the output."""

    def __init__(self, layer: AdaptedLinear, *, feedforward: bool) -> None:
        super().__init__()
        self.scales_input = feedforward
        like = layer.weight if layer.weight is not None else layer.bias
        size = layer.in_features if feedforward else layer.out_features
        device = None if like is None else like.device
        self.ia3_l = nn.Parameter(torch.ones(size, dtype=adapter_dtype(like), device=device))

    def before(self, x: Tensor) -> Tensor:
        return x * self.ia3_l.to(x.dtype) if self.scales_input else x

    def after(self, x: Tensor, y: Tensor, layer: AdaptedLinear) -> Tensor:
        return y if self.scales_input else y * self.ia3_l.to(y.dtype)

    @torch.no_grad()
    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        scale = self.ia3_l.to(weight.dtype)
        if self.scales_input:
            return weight * scale, bias, scale
        return weight * scale[:, None], None if bias is None else bias * scale, scale

    @torch.no_grad()
    def unmerged(self, weight: Tensor, bias: Tensor | None, kept: Tensor | None) -> tuple[Tensor, Tensor | None]:
        assert kept is not None
        if float(kept.abs().min()) < _SMALLEST_SCALE:
            raise ModelError(
                f"an IA3 vector has an entry of {float(kept.abs().min()):.1e}, which cannot be divided out again",
                hint="load the base model again",
            )
        if self.scales_input:
            return weight / kept, bias
        return weight / kept[:, None], None if bias is None else bias / kept


class Bottleneck(LinearAdapter):
    """y + up(activation(down(y))) on the output y; `up` begins at zero, so the layer begins as it was."""

    def __init__(self, layer: AdaptedLinear, config: BottleneckConfig) -> None:
        super().__init__()
        like = layer.weight if layer.weight is not None else layer.bias
        dtype, size = adapter_dtype(like), config.bottleneck_size
        device = None if like is None else like.device
        self.activation = config.activation
        self.down = nn.Linear(layer.out_features, size, dtype=dtype, device=device)
        self.up = nn.Linear(size, layer.out_features, dtype=dtype, device=device)

    def draw(self, generator: torch.Generator) -> None:
        bound = self.down.in_features**-0.5
        with torch.no_grad():
            self.down.weight.copy_(torch.empty(self.down.weight.shape).uniform_(-bound, bound, generator=generator))
            for zero in (self.down.bias, self.up.weight, self.up.bias):
                zero.zero_()

    def after(self, x: Tensor, y: Tensor, layer: AdaptedLinear) -> Tensor:
        kind = y.dtype
        inner = ACTIVATIONS[self.activation](F.linear(y, self.down.weight.to(kind), self.down.bias.to(kind)))
        return y + F.linear(inner, self.up.weight.to(kind), self.up.bias.to(kind)).to(kind)

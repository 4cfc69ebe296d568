"""Normalisation over the hidden dimension: LayerNorm (Ba et al. 2016) and RMSNorm (Zhang and Sennrich 2019).

Both compute in float32 whatever the input is, as every published family does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class RMSNormConfig:
    type: Literal["rmsnorm"] = "rmsnorm"
    eps: float = 1e-6
    """Added to the mean square before the root."""
    unit_offset: bool = False
    """Scale by 1 + weight, weight starting at zero (Gemma)."""
    scale_in_float: bool = False
    """Multiply by the weight before going back to the input's dtype (Gemma, OLMo-2); Llama multiplies after."""


@dataclass(frozen=True, kw_only=True)
class LayerNormConfig:
    type: Literal["layernorm"] = "layernorm"
    eps: float = 1e-5
    bias: bool = True


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last dimension."""

    def __init__(self, size: int, config: RMSNormConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.zeros(size) if config.unit_offset else torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        size, eps = (x.shape[-1],), self.config.eps
        if self.config.unit_offset:
            # 1 + weight has no exact bfloat16, so the whole is done in float32.
            return F.rms_norm(x.float(), size, 1.0 + self.weight.float(), eps).to(x.dtype)
        weight = self.weight.to(x.dtype)
        if self.config.scale_in_float or x.dtype == torch.float32:
            return F.rms_norm(x, size, weight, eps)  # computes in float32 inside, rounds once
        return F.rms_norm(x, size, None, eps) * weight


class LayerNorm(nn.Module):
    def __init__(self, size: int, config: LayerNormConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if config.bias else None

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.layer_norm(x, (x.shape[-1],), self.weight.to(x.dtype), bias, self.config.eps)

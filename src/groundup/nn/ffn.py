"""Feed-forward networks of a block: the plain two-layer one and the gated one (GLU variants, Shazeer 2020)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from .linear import Linear

Activation: TypeAlias = Literal["relu", "relu2", "gelu", "gelu_tanh", "silu"]


def _relu2(x: Tensor) -> Tensor:
    return F.relu(x).square()


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": _relu2,
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": F.silu,
}


@dataclass(frozen=True, kw_only=True)
class MLPConfig:
    """down(activation(up(x)))"""

    type: Literal["mlp"] = "mlp"
    intermediate_size: int
    activation: Activation = "gelu_tanh"
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class GatedConfig:
    """down(activation(gate(x)) * up(x)): SwiGLU with silu, GeGLU with gelu."""

    type: Literal["gated"] = "gated"
    intermediate_size: int
    activation: Activation = "silu"
    bias: bool = False


class MLP(nn.Module):
    def __init__(self, hidden_size: int, config: MLPConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up_proj = Linear(hidden_size, config.intermediate_size, bias=config.bias)
        self.down_proj = Linear(config.intermediate_size, hidden_size, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down_proj(self.activation(self.up_proj(x)))
        return y


class Gated(nn.Module):
    def __init__(self, hidden_size: int, config: GatedConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.gate_proj = Linear(hidden_size, config.intermediate_size, bias=config.bias)
        self.up_proj = Linear(hidden_size, config.intermediate_size, bias=config.bias)
        self.down_proj = Linear(config.intermediate_size, hidden_size, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        y: Tensor = self.down_proj(self.activation(gate) * up)
        return y

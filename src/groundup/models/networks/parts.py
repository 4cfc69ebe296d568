"""Pieces that the small networks share: activations and normalisations by name."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...nn.norm import LayerNorm, LayerNormConfig, RMSNorm, RMSNormConfig

Activation: TypeAlias = Literal["relu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu"]
NormName: TypeAlias = Literal["none", "batch", "layer", "rms"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


def activation(name: Activation) -> nn.Module:
    return _ACTIVATIONS[name]()


def vector_norm(name: NormName, size: int) -> list[nn.Module]:
    """Over [..., size]; nothing for none."""
    match name:
        case "batch":
            return [nn.BatchNorm1d(size)]
        case "layer":
            return [LayerNorm(size, LayerNormConfig())]
        case "rms":
            return [RMSNorm(size, RMSNormConfig())]
    return []


def image_norm(name: NormName, channels: int) -> list[nn.Module]:
    """Over [B, channels, H, W]: batch normalises each channel over the batch, layer and rms all of one picture together."""
    match name:
        case "batch":
            return [nn.BatchNorm2d(channels)]
        case "layer":
            return [nn.GroupNorm(1, channels)]
        case "rms":
            return [PictureRMSNorm(channels)]
    return []


class PictureRMSNorm(nn.Module):
    """x / rms(x) over channels, height and width, with a weight for each channel."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[1:], None, self.eps) * self.weight[:, None, None]

"""How a token knows where it stands: rotary embedding (Su et al. 2021) inside attention, learned vectors added to the
input (GPT-2), or nothing.

Letters: B batch, H heads, T positions, N head size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..core.config import node


@dataclass(frozen=True, kw_only=True)
class LinearScaling:
    """Position interpolation (Chen et al. 2023): positions divided by factor."""

    type: Literal["linear"] = "linear"
    factor: float


@dataclass(frozen=True, kw_only=True)
class Llama3Scaling:
    """Llama 3.1's rule: long wavelengths divided by factor, short ones kept, those between blended."""

    type: Literal["llama3"] = "llama3"
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    type: Literal["rope"] = "rope"
    rope_theta: float = 10000.0
    partial_rotary_factor: float = 1.0
    """Share of each head that is rotated, from the front."""
    scaling: node(LinearScaling, Llama3Scaling) | None = None  # type: ignore[valid-type]


@dataclass(frozen=True, kw_only=True)
class NoPositionConfig:
    type: Literal["none"] = "none"


class Rope(nn.Module):
    """Rotates pairs (i, i + N/2) of each head by position * theta^(-2i/N): the half-split layout of Hugging Face."""

    cos: Tensor
    sin: Tensor

    def __init__(self, head_dim: int, config: RopeConfig) -> None:
        super().__init__()
        self.config = config
        self.rotated = int(head_dim * config.partial_rotary_factor) // 2 * 2
        self.name = f"rope {head_dim} {config}"
        self.reset()

    def reset(self) -> None:
        """Forget the table; `prepare` makes it again."""
        self.register_buffer("cos", torch.empty(0, device="cpu"), persistent=False)
        self.register_buffer("sin", torch.empty(0, device="cpu"), persistent=False)

    def prepare(self, num_positions: int) -> None:
        """Make the table long enough; called by the model outside of compiled code."""
        if self.cos.shape[0] >= num_positions:
            return
        length = max(num_positions, 2 * self.cos.shape[0], 64)
        angles = torch.outer(torch.arange(length).double(), rope_frequencies(self.rotated, self.config))
        angles = torch.cat((angles, angles), dim=-1)
        device = self.cos.device
        sign = torch.ones(self.rotated, dtype=torch.float64)
        sign[: self.rotated // 2] = -1.0
        self.cos, self.sin = angles.cos().float().to(device), (angles.sin() * sign).float().to(device)

    def forward(self, q: Tensor, k: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor]:
        """q [B, H, T, N], k [B, K, T, N]; positions [B, T], None for 0 .. T-1."""
        cos, sin = self.turns(positions, q.shape[2], q.dtype)
        return self.rotate(q, cos, sin), self.rotate(k, cos, sin)

    def turns(self, positions: Tensor | None, num_tokens: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(cos, sin) of a call's positions, equal for all layers: [T, N] or [B, 1, T, N]."""
        if positions is None:
            return self.cos[:num_tokens].to(dtype), self.sin[:num_tokens].to(dtype)
        return self.cos[positions][:, None].to(dtype), self.sin[positions][:, None].to(dtype)

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x [B, H, T, N]. The table's sine has its first half negated, so turning the halves round is all that is left."""
        size = self.rotated
        turned = x if size == x.shape[-1] else x[..., :size]
        turned = turned * cos + torch.roll(turned, size // 2, dims=-1) * sin
        return turned if size == x.shape[-1] else torch.cat((turned, x[..., size:]), dim=-1)


def rope_frequencies(size: int, config: RopeConfig) -> Tensor:
    """[size / 2] float64 radians per position."""
    exponents = torch.arange(0, size, 2).double() / size
    frequencies = 1.0 / torch.tensor(config.rope_theta, dtype=torch.float64) ** exponents
    match config.scaling:
        case None:
            return frequencies
        case LinearScaling(factor=factor):
            return frequencies / factor
        case Llama3Scaling() as s:
            turns = s.original_max_position_embeddings * frequencies / (2 * math.pi)
            blend = ((turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor)).clamp(0, 1)
            return frequencies * blend + frequencies / s.factor * (1 - blend)
    raise AssertionError(config.scaling)


class NoPosition(nn.Module):
    def prepare(self, num_positions: int) -> None: ...

    def forward(self, q: Tensor, k: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor]:
        return q, k

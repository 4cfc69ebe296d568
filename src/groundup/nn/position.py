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

    def __init__(self, head_dim: int, config: RopeConfig) -> None:
        super().__init__()
        self.config = config
        self.rotated = int(head_dim * config.partial_rotary_factor) // 2 * 2
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
        self.cos, self.sin = angles.cos().float().to(device), angles.sin().float().to(device)

    def forward(self, q: Tensor, k: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor]:
        """q [B, H, T, N], k [B, K, T, N]; positions [B, T], None for 0 .. T-1."""
        if positions is None:
            cos, sin = self.cos[: q.shape[2]], self.sin[: q.shape[2]]
        else:
            cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        cos, sin = cos.to(q.dtype), sin.to(q.dtype)
        return self._rotate(q, cos, sin), self._rotate(k, cos, sin)

    def _rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        half = self.rotated // 2
        turned = x if self.rotated == x.shape[-1] else x[..., : self.rotated]
        mirrored = torch.cat((-turned[..., half:], turned[..., :half]), dim=-1)
        turned = turned * cos + mirrored * sin
        if self.rotated == x.shape[-1]:
            return turned
        return torch.cat((turned, x[..., self.rotated :]), dim=-1)


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

"""Attention from one sequence into another (Vaswani et al. 2017, section 3.2.3): queries from the decoder, keys and values from
what an encoder made of the source. Keys and values are made once for a source and read at every step.

Left out: grouped heads and positions, which the encoder's states already carry.

Letters: B batch, T query positions, S source positions, D hidden, M width of the source's states, H heads, N head size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..linear import Linear
from .attention import attend


class CrossAttention(nn.Module):
    def __init__(self, hidden_size: int, num_heads: int, *, memory_size: int | None = None, bias: bool = True) -> None:
        """memory_size: M; None is hidden_size."""
        super().__init__()
        memory_size = memory_size or hidden_size
        self.num_heads = num_heads
        self.head_dim = hidden_size // num_heads
        self.scale = self.head_dim**-0.5
        self.q_proj = Linear(hidden_size, hidden_size, bias=bias)
        self.k_proj = Linear(memory_size, hidden_size, bias=bias)
        self.v_proj = Linear(memory_size, hidden_size, bias=bias)
        self.o_proj = Linear(hidden_size, hidden_size, bias=bias)

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """memory [B, S, M] -> keys and values, each [B, H, S, N]"""
        return self._heads(self.k_proj(memory)), self._heads(self.v_proj(memory))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, D]; mask [B, 1, 1, S] bool, true where there is a source -> y [B, T, D]"""
        y = attend(self._heads(self.q_proj(x)), keys, values, mask=mask, scale=self.scale, softcap=None)
        made: Tensor = self.o_proj(y.transpose(1, 2).flatten(2))
        return made

    def weights(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Where each position looks, [B, T, S]: the mean over the heads; rows sum to one."""
        scores = self._heads(self.q_proj(x)) @ keys.transpose(-1, -2) * self.scale
        return torch.softmax(scores.float().masked_fill(~mask, -math.inf), dim=-1).mean(1)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, self.head_dim).transpose(1, 2)

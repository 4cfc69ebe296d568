"""Sequences that go on from shared beginnings: eight samples of one prompt need the prompt's keys and values once, also in training.

G trunks of P tokens (padded behind) and B branches of M tokens (padded behind) are laid end to end in one row of G P + B M tokens, so
that every product with weights is made once for all; only attention takes them apart again. Positions of a branch go on where
its trunk ends. Left out: branches of branches, mixers that are not attention.

Letters: H heads, K kv heads, N head size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .mixers.attention import Attention
    from .state import SequenceState


@dataclass(frozen=True, slots=True)
class Branches:
    """Where the trunks and branches of a row sit."""

    trunk_lengths: Tensor
    """[G] real tokens of each trunk."""
    trunk_tokens: int
    """P"""
    trunk_of: Tensor
    """[B] which trunk each branch goes on from."""
    branch_tokens: int
    """M"""

    @property
    def cut(self) -> int:
        """Tokens of all trunks together."""
        return len(self.trunk_lengths) * self.trunk_tokens

    def positions(self) -> Tensor:
        """[1, G P + B M]"""
        trunks = torch.arange(self.trunk_tokens).repeat(len(self.trunk_lengths))
        branches = self.trunk_lengths[self.trunk_of][:, None] + torch.arange(self.branch_tokens)
        return torch.cat([trunks, branches.flatten()])[None]

    def bias(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """[B, 1, M, P + M] to be added to a branch's scores: its trunk's tokens, then its own up to itself."""
        lengths = self.trunk_lengths[self.trunk_of][:, None]
        trunk, own = torch.arange(self.trunk_tokens), torch.arange(self.branch_tokens)
        places = torch.cat([trunk.expand(len(lengths), -1), lengths + own], dim=1)[:, None]
        queries = (lengths + own)[:, :, None]
        real = torch.cat([trunk < lengths, torch.ones(len(lengths), len(own), dtype=torch.bool)], dim=1)[:, None]
        distance = queries - places
        seen = real & (distance >= 0)
        if window is not None:
            seen &= distance < window
        return torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, -math.inf)[:, None]


def attend_branches(layer: Attention, q: Tensor, k: Tensor, v: Tensor, sequence: SequenceState) -> Tensor:
    """q [1, H, T, N], k and v [1, K, T, N] with T = G P + B M -> [1, H, T, N]"""
    from .mixers.attention import attend, causal_mask

    branches = sequence.branches
    assert branches is not None
    window, cap, cut = layer.config.sliding_window, layer.config.logit_softcap, branches.cut

    def rows(x: Tensor, num_tokens: int) -> Tensor:
        """[1, H, rows * tokens, N] -> [rows, H, tokens, N]"""
        return x[0].view(x.shape[1], -1, num_tokens, x.shape[3]).transpose(0, 1)

    def flat(x: Tensor) -> Tensor:
        return x.transpose(0, 1).reshape(1, x.shape[1], -1, x.shape[3])

    own_q, own_k, own_v = (rows(x[:, :, cut:], branches.branch_tokens) for x in (q, k, v))
    trunk_q, trunk_k, trunk_v = (rows(x[:, :, :cut], branches.trunk_tokens) for x in (q, k, v))
    narrow = window is not None and branches.trunk_tokens > window
    mask = causal_mask(branches.trunk_tokens, window, q.device) if narrow else None
    of_trunks = attend(trunk_q, trunk_k, trunk_v, mask=mask, scale=layer.scale, softcap=cap)
    keys = torch.cat([trunk_k[branches.trunk_of], own_k], dim=2)
    values = torch.cat([trunk_v[branches.trunk_of], own_v], dim=2)
    bias = sequence.once(("branches", window, q.dtype), lambda: branches.bias(window, q.dtype))
    of_branches = attend(own_q, keys, values, mask=bias, scale=layer.scale, softcap=cap)
    return torch.cat([flat(of_trunks), flat(of_branches)], dim=2)

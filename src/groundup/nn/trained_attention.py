"""Softmax attention with its gradient written out, for training in bfloat16 on a CPU.

PyTorch's fused kernel keeps no [T, S] weights and computes them again in its backward pass; on a CPU without matrix tiles that
costs more than it saves at the lengths small models train at. Keeping the weights and using plain batched products, forward and
backward together take, in ms on two cores (batch x heads x T x N, fused against this): 12x4x64x32 4.9 and 0.9; 16x6x256x64 45 and
17; 8x4x512x64 53 and 26; 4x4x1024x64 55 and 74. In float32 the fused kernel wins everywhere, so it stays.

With P = softmax(Q K^T s + bias) and Y = P V:
    dV = P^T dY;  dP = dY V^T;  dS = P * (dP - rowsum(dY * Y));  dQ = dS K s;  dK = dS^T Q s
(Dao et al. 2022, FlashAttention, appendix B.2).

Letters: B batch, H heads, K kv heads, G = H / K, T positions, N head size.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

MAX_TOKENS = 768
"""Above about this length the fused kernel is faster again, and the weights begin to be large."""


def fits(q: Tensor, k: Tensor) -> bool:
    """Is this a call that `attend_trained` is for?"""
    return (
        q.dtype == torch.bfloat16
        and q.device.type == "cpu"
        and torch.is_grad_enabled()
        and q.requires_grad
        and max(q.shape[2], k.shape[2]) <= MAX_TOKENS
    )


def attend_trained(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """q [B, H, T, N], k and v [B, K, S, N] -> [B, H, T, N]. mask as for `attend`; None is causal, for T = S (in attention to another
    sequence T may be the longer one)."""
    length = q.shape[2]
    if mask is None:
        bias = torch.full((length, length), -math.inf, dtype=q.dtype).triu(1)
    elif mask.dtype == torch.bool:
        bias = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -math.inf)
    else:
        bias = mask.to(q.dtype)
    return _Attention.apply(q, k, v, bias, scale)  # type: ignore[no-any-return,no-untyped-call]


class _Attention(torch.autograd.Function):
    """The G query heads of a kv head are laid one after the other as if they were more queries: no copy of the keys."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float) -> Tensor:
        batch, heads, length, size = q.shape
        kv_heads = k.shape[1]
        with torch.autocast("cpu", enabled=False):
            grouped = (q * scale).reshape(batch, kv_heads, -1, size)
            weights = grouped @ k.mT
            weights.view(batch, heads, length, k.shape[2]).add_(bias)
            weights = torch.softmax(weights, dim=-1)
            y = weights @ v
        ctx.save_for_backward(grouped, k, v, weights, y)
        ctx.scale = scale
        return y.view(batch, heads, length, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        grouped, k, v, weights, y = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            shape, dy = dy.shape, dy.reshape(y.shape)
            dv = weights.mT @ dy
            ds = dy @ v.mT
            ds.sub_((dy * y).sum(-1, keepdim=True)).mul_(weights)
            dq = (ds @ k).mul_(ctx.scale)
            dk = ds.mT @ grouped  # grouped has the scale in it
        return dq.view(shape), dk, dv, None, None

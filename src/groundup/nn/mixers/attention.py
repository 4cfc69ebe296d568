"""Softmax attention (Vaswani et al. 2017) with grouped key-value heads (Ainslie et al. 2023).

Covers what the families need: biases, QK-norm per head (Qwen3) or over the whole projection (OLMo-2), sliding window
(Mistral, Gemma 2), logit soft-capping and a fixed query scale (Gemma 2). `attend` is PyTorch's fused kernel where it can be
and `attend_explained` the same thing written out; a test holds them equal.

Letters: B batch, T query positions, S key positions, D hidden, H heads, K kv heads, N head size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.config import Use, node
from ..branches import attend_branches
from ..linear import Linear
from ..norm import RMSNorm, RMSNormConfig
from ..position import NoPosition, NoPositionConfig, Rope, RopeConfig
from ..state import KeyValues, LayerState, Memory, SequenceState
from ..trained_attention import attend_trained, fits


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    type: Literal["attention"] = "attention"
    num_attention_heads: int
    num_key_value_heads: int | None = None
    """None: as many as num_attention_heads; 1 is multi-query attention."""
    head_dim: int | None = None
    """None: hidden_size / num_attention_heads."""
    position: node(RopeConfig, NoPositionConfig) = RopeConfig()  # type: ignore[valid-type]
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: Literal["none", "head", "full"] = "none"
    """RMSNorm of queries and keys: over each head, or over all heads together, before the rotation."""
    qk_norm_eps: float = 1e-6
    sliding_window: int | None = None
    """A query sees itself and the sliding_window - 1 tokens before it."""
    logit_softcap: float | None = None
    """Scores become cap * tanh(score / cap)."""
    query_scale: float | None = None
    """Scores are multiplied by query_scale ** -0.5; None: head_dim."""


class Attention(nn.Module):
    def __init__(self, hidden_size: int, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.num_kv_heads = config.num_key_value_heads or self.num_heads
        self.head_dim = config.head_dim or hidden_size // self.num_heads
        self.scale = (config.query_scale or self.head_dim) ** -0.5
        query_size, kv_size = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        self.q_proj = Linear(hidden_size, query_size, bias=config.qkv_bias)
        self.k_proj = Linear(hidden_size, kv_size, bias=config.qkv_bias)
        self.v_proj = Linear(hidden_size, kv_size, bias=config.qkv_bias)
        self.o_proj = Linear(query_size, hidden_size, bias=config.output_bias)
        self.q_norm: nn.Module = nn.Identity()
        self.k_norm: nn.Module = nn.Identity()
        if config.qk_norm != "none":
            norm = RMSNormConfig(eps=config.qk_norm_eps, scale_in_float=config.qk_norm == "full")
            per_head = config.qk_norm == "head"
            self.q_norm = RMSNorm(self.head_dim if per_head else query_size, norm)
            self.k_norm = RMSNorm(self.head_dim if per_head else kv_size, norm)
        self.position = _build_position(config.position, self.head_dim)

    def init_memory(self, rows: int, *, dtype: torch.dtype, device: torch.device) -> Memory:
        return KeyValues(rows, self.num_kv_heads, self.head_dim, dtype=dtype, device=device)

    def forward(self, x: Tensor, state: LayerState | None = None) -> tuple[Tensor, LayerState | None]:
        """x [B, T, D] -> (y [B, T, D], state)"""
        q, k, v = self.project(x)
        sequence = None if state is None else state.sequence
        q, k = self.turn(q, k, sequence)
        if sequence is not None and sequence.branches is not None:
            y = attend_branches(self, q, k, v, sequence)
            return self.o_proj(y.transpose(1, 2).flatten(2)), state
        if state is not None and isinstance(state.memory, KeyValues):
            k, v = state.memory.append(k, v, state.sequence)
        num_queries, num_keys, window = q.shape[2], k.shape[2], self.config.sliding_window
        if sequence is not None:
            mask = sequence.bias(num_queries, num_keys, window, score_dtype(q))
        else:
            mask = causal_mask(num_queries, window, x.device) if window and num_keys > window else None
        y = attend(q, k, v, mask=mask, scale=self.scale, softcap=self.config.logit_softcap)
        return self.o_proj(y.transpose(1, 2).flatten(2)), state

    def turn(self, q: Tensor, k: Tensor, sequence: SequenceState | None) -> tuple[Tensor, Tensor]:
        """Positions put into q and k; the cosines of a call are made once for all layers."""
        rope = self.position
        if sequence is None or not isinstance(rope, Rope):
            turned: tuple[Tensor, Tensor] = rope(q, k, None if sequence is None else sequence.positions)
            return turned
        cos, sin = sequence.once((rope.name, q.dtype), lambda: rope.turns(sequence.positions, q.shape[2], q.dtype))
        return rope.rotate(q, cos, sin), rope.rotate(k, cos, sin)

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three projections, [B, T, H N] and twice [B, T, K N]; a place of its own for those that share work (adapt/)."""
        return self.q_proj(x), self.k_proj(x), self.v_proj(x)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q [B, H, T, N], k and v [B, K, T, N]"""
        q, k, v = self.inputs(x)
        if self.config.qk_norm == "full":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (t.view(*t.shape[:-1], -1, self.head_dim) for t in (q, k, v))
        if self.config.qk_norm == "head":
            q, k = self.q_norm(q), self.k_norm(k)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


def _build_position(config: RopeConfig | NoPositionConfig | Use, head_dim: int) -> nn.Module:
    match config:
        case RopeConfig():
            return Rope(head_dim, config)
        case NoPositionConfig():
            return NoPosition()
        case Use():
            from ..build import build_position

            return build_position(config, head_dim)
    raise AssertionError(config)


def causal_mask(num_tokens: int, window: int | None, device: torch.device) -> Tensor:
    """[T, T] bool: may query t see key s?"""
    order = torch.arange(num_tokens, device=device)
    distance = order[:, None] - order
    seen = distance >= 0
    return seen if window is None else seen & (distance < window)


def score_dtype(q: Tensor) -> torch.dtype:
    """What `attend` computes in: the queries' own dtype, but at least float32 for one query a row on the CPU.

    There the fused kernel is slow in bfloat16 (torch 2.13, 8 heads of 64, 512 keys, one thread: 464 us, and 126 us with
    queries, keys and values turned into float32 on the way, 64 us with keys and values kept in float32).
    """
    one = q.shape[2] == 1 and q.device.type == "cpu"
    return torch.promote_types(q.dtype, torch.float32) if one else q.dtype


def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    """softmax(q k^T scale, masked) v -> [B, H, T, N] in q's dtype.

    q [B, H, T, N]; k, v [B, K, S, N] of any dtype. mask broadcasts to [B, 1, T, S]: bool (may see), or numbers to be added
    to the scores. mask None: causal if T = S, everything visible if T = 1. Soft-capping has no fused kernel.
    """
    dtype = score_dtype(q)
    k, v = k.to(dtype), v.to(dtype)
    if softcap is not None:
        return attend_explained(q.to(dtype), k, v, mask=mask, scale=scale, softcap=softcap).to(q.dtype)
    if q.shape[2] == 1:
        return _attend_one(q.to(dtype), k, v, mask, scale).to(q.dtype)
    if fits(q, k):
        return attend_trained(q, k, v, mask, scale)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )


def _attend_one(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """One query a row. Each (row, kv head) becomes a row of its own whose G query heads look at one set of keys, so that
    grouped heads cost no copy of the keys; `enable_gqa` makes one (8 heads over 4, 512 keys: 415 us).
    """
    rows, heads, kv_heads = q.shape[0], q.shape[1], k.shape[1]
    groups = heads // kv_heads
    if groups > 1:
        q = q.reshape(rows * kv_heads, groups, 1, -1)
        k = k.flatten(0, 1)[:, None].expand(-1, groups, -1, -1)
        v = v.flatten(0, 1)[:, None].expand(-1, groups, -1, -1)
        if mask is not None:
            mask = mask.expand(rows, kv_heads, 1, -1).reshape(rows * kv_heads, 1, 1, -1)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return y.reshape(rows, heads, 1, -1)


def attend_explained(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None, scale: float, softcap: float | None
) -> Tensor:
    """The same, step by step, with the [B, H, T, S] scores in memory. q, k, v of one dtype."""
    batch, heads, num_queries, size = q.shape
    kv_heads = k.shape[1]
    # The G query heads of a kv head are laid one after the other as if they were more queries: no copy of the keys.
    grouped = q.reshape(batch, kv_heads, -1, size)
    scores = (grouped @ k.transpose(-1, -2) * scale).view(batch, heads, num_queries, -1)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is None and num_queries > 1:
        mask = causal_mask(num_queries, None, q.device)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    wide = torch.promote_types(q.dtype, torch.float32)
    weights = torch.softmax(scores.to(wide), dim=-1).to(q.dtype)
    return (weights.view(batch, kv_heads, -1, k.shape[2]) @ v).view(batch, heads, num_queries, size)

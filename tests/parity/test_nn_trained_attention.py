"""Attention with its gradient written out, against PyTorch's, value and gradients, for every kind of mask."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F

from groundup.nn.mixers.attention import attend, causal_mask
from groundup.nn.trained_attention import MAX_TOKENS, fits


@pytest.mark.row("5.4")
@pytest.mark.parametrize("kind", ["causal", "window", "documents", "bias"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_values_and_gradients(kind: str, groups: int) -> None:
    seed = random.randrange(2**31)
    print("seed", seed)
    torch.manual_seed(seed)
    batch, kv_heads, length, size = 2, random.choice([1, 2, 3]), random.choice([3, 17, 64]), random.choice([8, 32])
    shapes = [(batch, kv_heads * groups, length, size), *[(batch, kv_heads, length, size)] * 2]
    exact = [torch.randn(shape).bfloat16().float().requires_grad_() for shape in shapes]
    ours = [t.detach().bfloat16().requires_grad_() for t in exact]
    causal = causal_mask(length, None, torch.device("cpu"))
    mask: torch.Tensor | None = None
    seen = causal[None, None]
    if kind == "window":
        mask = seen = causal_mask(length, 3, torch.device("cpu"))[None, None]
    elif kind != "causal":
        documents = torch.randint(0, 3, (batch, length)).sort(dim=1).values
        seen = (documents[:, :, None] == documents[:, None, :])[:, None] & causal
        mask = seen if kind == "documents" else torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))
    assert fits(ours[0], ours[1])
    scale = size**-0.5
    made = attend(*ours, mask=mask, scale=scale, softcap=None)
    wanted = F.scaled_dot_product_attention(*exact, attn_mask=seen, scale=scale, enable_gqa=True)
    torch.testing.assert_close(made.float(), wanted, rtol=0.03, atol=0.03)
    change = torch.randn_like(wanted)
    made.backward(change.bfloat16())
    wanted.backward(change)
    # Together: with one key to see, the queries' gradient is nothing but rounding.
    ours_grad = torch.cat([t.grad.float().flatten() for t in ours if t.grad is not None])
    exact_grad = torch.cat([t.grad.flatten() for t in exact if t.grad is not None])
    error = (ours_grad - exact_grad).norm() / exact_grad.norm()
    assert error < 0.02, f"relative error {error:.3f}"


def test_only_where_it_is_faster() -> None:
    q = torch.zeros(1, 1, 8, 8, dtype=torch.bfloat16, requires_grad=True)
    assert fits(q, q) and not fits(q.float(), q.float()) and not fits(q.detach(), q.detach())
    with torch.no_grad():
        assert not fits(q, q)
    long = torch.zeros(1, 1, MAX_TOKENS + 1, 8, dtype=torch.bfloat16, requires_grad=True)
    assert not fits(long, long)

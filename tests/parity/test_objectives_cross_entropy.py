"""The compiled loss over a vocabulary against torch's own, and against the blocks that it stands in for."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from groundup.nn.linear import as_numpy
from groundup.nn.protocols import IGNORE
from groundup.objectives.cross_entropy_kernel import loss_and_gradient


@pytest.mark.row("1.2")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradient_equal_torch(dtype: torch.dtype) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed)
    torch.manual_seed(seed)
    rows, vocab = 1 + seed % 40, 2 + seed % 997
    logits = (torch.randn(rows, vocab) * 4).to(dtype)
    targets = torch.randint(0, vocab, (rows,))
    targets[torch.rand(rows) < 0.2] = IGNORE
    leaf = logits.double().requires_grad_()
    wanted = F.cross_entropy(leaf, targets, ignore_index=IGNORE, reduction="sum")
    wanted.backward()
    gradient = torch.empty_like(logits)
    nats, right = loss_and_gradient(as_numpy(logits), targets.numpy(), IGNORE, as_numpy(gradient), True)
    assert nats == pytest.approx(float(wanted.detach()), rel=2e-6, abs=1e-5)
    assert leaf.grad is not None
    close = 1e-6 if dtype is torch.float32 else 2**-8
    torch.testing.assert_close(gradient.double(), leaf.grad, rtol=close, atol=close)
    best = (logits == logits.amax(1, keepdim=True)).double()
    share = best / best.sum(1, keepdim=True)
    known = targets != IGNORE
    assert right == pytest.approx(float(share[known, targets[known]].sum()))
    untouched = np.zeros((0, vocab), as_numpy(logits).dtype)
    assert loss_and_gradient(as_numpy(logits), targets.numpy(), IGNORE, untouched, False) == (nats, right)

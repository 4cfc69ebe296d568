"""Optimizers against torch.optim, and Muon's iteration against the singular value decomposition."""

from __future__ import annotations

import random

import pytest
import torch

from groundup.train.optim import AdamW, Muon, orthogonalise


@pytest.mark.row("1.3")
@pytest.mark.parametrize("one_pass", [True, False])
def test_adamw_equals_torch(one_pass: bool) -> None:
    seed = random.randrange(2**31)
    print("seed", seed)
    torch.manual_seed(seed)
    shapes = [(7, 5), (11,), (3, 2, 4)]
    ours = [torch.nn.Parameter(torch.randn(s)) for s in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    lr, decay = 10 ** random.uniform(-4, -1), random.choice([0.0, 0.1])
    mine = AdamW(ours, lr=lr, betas=(0.9, 0.95), weight_decay=decay, one_pass=one_pass)
    reference = torch.optim.AdamW(theirs, lr=lr, betas=(0.9, 0.95), weight_decay=decay)
    for _ in range(20):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=1e-6)


@pytest.mark.row("1.3")
@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8), (3, 16, 12)])
def test_orthogonalise_keeps_directions_and_flattens_values(shape: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    matrix = torch.randn(shape)
    made = orthogonalise(matrix, dtype=torch.float32)
    u, _s, vt = torch.linalg.svd(matrix, full_matrices=False)
    seen = u.mT @ made @ vt.mT  # diagonal where directions are kept
    diagonal = torch.diagonal(seen, dim1=-2, dim2=-1)
    assert ((diagonal > 0.3) & (diagonal < 1.4)).all(), diagonal
    off = seen - torch.diag_embed(diagonal)
    assert off.abs().max() < 1e-3


@pytest.mark.row("1.3")
def test_muon_together_is_muon_one_by_one() -> None:
    torch.manual_seed(4)
    shapes = [(6, 10), (6, 10), (10, 6)]
    ours = [torch.nn.Parameter(torch.randn(s)) for s in shapes]
    alone = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    together = Muon(ours, lr=0.02, dtype=torch.float32)
    separate = [Muon([p], lr=0.02, dtype=torch.float32) for p in alone]
    for _ in range(5):
        for a, b in zip(ours, alone, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        together.step()
        for optimizer in separate:
            optimizer.step()
    for a, b in zip(ours, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.row("1.3")
def test_muon_matches_torch_where_torch_has_it() -> None:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    torch.manual_seed(5)
    a = torch.nn.Parameter(torch.randn(12, 20))
    b = torch.nn.Parameter(a.detach().clone())
    ours = Muon([a], lr=0.01, weight_decay=0.1)
    theirs = torch.optim.Muon([b], lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        a.grad = torch.randn_like(a)
        b.grad = a.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(a, b, rtol=0.03, atol=0.003)  # the iteration runs in bfloat16

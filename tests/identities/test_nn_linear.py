"""Both ways to a float32 product are one function: values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from groundup.nn import linear as module
from groundup.nn.linear import Linear, linear, product


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every maker's processor, where oneDNN is there at all."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(module, "other_products_are_faster", lambda: True)


@pytest.mark.row("1.2")
@pytest.mark.parametrize("seed", range(4))
def test_values_and_gradients_are_those_of_torch(other: None, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = torch.randint(1, 40, (3,), generator=generator).tolist()
    outputs = [7, 64, 300, 3000][seed]
    x = torch.randn(*[64, *size[:1]], size[1], generator=generator).requires_grad_()
    weight = torch.randn(outputs, size[1], generator=generator).requires_grad_()
    bias = torch.randn(outputs, generator=generator).requires_grad_() if seed % 2 else None
    above = torch.randn(*x.shape[:-1], outputs, generator=generator)
    leaves = [x, weight] if bias is None else [x, weight, bias]
    ours = linear(x, weight, bias)
    assert "_Linear" in type(ours.grad_fn).__name__
    found = torch.autograd.grad(ours, leaves, above)
    plain = F.linear(x, weight, bias)
    wanted = torch.autograd.grad(plain, leaves, above)
    torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=1e-4)


@pytest.mark.row("1.2")
def test_only_what_is_asked_for_gets_a_gradient(other: None) -> None:
    layer = Linear(8, 16)
    layer.weight.requires_grad_(False)
    x = torch.randn(100, 8, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None and x.grad is not None and layer.bias.grad is not None
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(100, 8), atol=1e-5, rtol=1e-5)


@pytest.mark.row("1.2")
def test_transposed_views_and_other_dtypes(other: None) -> None:
    x, weight = torch.randn(100, 8), torch.randn(8, 16)
    torch.testing.assert_close(product(x, weight.t()), x @ weight, atol=1e-5, rtol=1e-5)
    for dtype in (torch.float64, torch.bfloat16):
        made = linear(x.to(dtype).requires_grad_(), weight.t().to(dtype))
        assert made.dtype is dtype and "_Linear" not in type(made.grad_fn).__name__
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x.requires_grad_(), weight.t()).dtype is torch.bfloat16
    with torch.no_grad():
        assert linear(x, weight.t()).grad_fn is None

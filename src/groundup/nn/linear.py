"""Matrix products with weights. `Linear` is torch's own, with another way to the float32 product where that is much faster.

PyTorch's float32 product on a CPU is MKL's, which on processors of other makers than Intel leaves half of the vector units idle: on two
cores of an AMD EPYC with AVX-512, [5632, 256] x [256, 688] runs at 166 GFLOP/s there and at 390 through oneDNN, which torch
carries too; the gradient of the input at 163 and 387, of the weight at 165 and 180 to 330. bfloat16 goes through oneDNN anyway. Used
while gradients are recorded only, so that nothing changes for inference.

Letters: M rows, K inputs, N outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FEWEST_ROWS = 64
"""With fewer rows recording the call takes longer than what it saves."""


class Linear(nn.Linear):
    """nn.Linear, [..., K] -> [..., N]."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., K], weight [N, K], bias [N] -> [..., N], like F.linear."""
    if (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and x.numel() >= _FEWEST_ROWS * x.shape[-1]
        and _suits(x, weight)
    ):
        made: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return made
    return F.linear(x, weight, bias)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same of [M, K] for code that writes its own gradient, or needs none; the weight may be a transposed view."""
    if not _suits(x, weight):
        return F.linear(x, weight, bias)
    made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return made


def weight_gradient(gradient: Tensor, rows: Tensor) -> Tensor:
    """gradient [M, N] of the products of rows [M, K] with a weight -> that of the weight, [N, K]."""
    # The way round in which the result has fewer columns than rows is up to three times as fast as the other.
    if gradient.shape[1] > rows.shape[1]:
        return product(rows.t(), gradient.t()).t()
    return product(gradient.t(), rows.t())


def repeated_product(weight: Tensor, num_rows: int) -> Callable[[Tensor], Tensor]:
    """x [num_rows, K] -> x weight^T [num_rows, N], for code without autograd that multiplies by one weight many times: it is brought
    into oneDNN's own order once, which at 20 rows takes a third off every product.
    """
    fast = _suits(weight, weight) or (weight.dtype is torch.bfloat16 and weight.device.type == "cpu")
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (fast and there and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")):
        return lambda x: F.linear(x, weight)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), num_rows)

    def times(x: Tensor) -> Tensor:
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
        return made

    return times


def as_numpy(tensor: Tensor) -> Any:
    """As compiled loops see it: bfloat16 as its 16 bits."""
    tensor = tensor.detach()
    return tensor.view(torch.uint16).numpy() if tensor.dtype is torch.bfloat16 else tensor.numpy()


def _suits(x: Tensor, weight: Tensor) -> bool:
    return (
        x.dtype is torch.float32
        and weight.dtype is torch.float32
        and x.device.type == "cpu"
        and other_products_are_faster()
    )


@cache
def other_products_are_faster() -> bool:
    """Is this a processor that MKL does not serve well, and is oneDNN there? Decided by the maker's name, not by timing, so that
    a resumed run computes with the same function.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    except OSError:
        return False


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        ctx.save_for_backward(rows, weight)
        ctx.shape, ctx.has_bias = x.shape, bias is not None
        return product(rows, weight, bias).view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        rows, weight = ctx.saved_tensors
        gradient = gradient.reshape(-1, weight.shape[0])
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = product(gradient, weight.t()).view(ctx.shape)
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(gradient, rows)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            of_bias = gradient.sum(0)
        return of_x, of_weight, of_bias

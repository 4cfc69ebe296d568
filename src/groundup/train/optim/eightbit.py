"""AdamW whose two moments are kept in 8 bits a number: block-wise dynamic quantisation (Dettmers et al. 2021, "8-bit optimizers via
block-wise quantization").

A moment is cut into blocks of 256 or 2,048 numbers. Each block is divided by its largest magnitude (a float32) and each
quotient replaced by the number of the nearest of 256 values in [-1, 1] (for the variance in [0, 1]). The values lie densest
near zero: the leading zeros of the code are a decimal exponent, the bits behind its first 1 a linear fraction (section 1.3), so
magnitudes seven orders apart keep some precision. A step takes one block's worth of moments to float32, updates, and quantises
them again. A state of 8 bytes a parameter becomes 2 and 2 x 4 / block.

As in the paper, small tensors stay in float32. One departure: a variance that is not zero never becomes zero, but the smallest
value there is. Beside a mean that kept its value, a zero under the root would make a step 1 / eps times too long (Li et al.
2023, "Memory efficient optimizers with 4-bit states", section 4.1, on what they call the zero-point problem). Left out:
quantised states of other optimizers, paging, stochastic rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...core.errors import ConfigError
from .adamw import update

SMALLEST = 4096
"""Tensors with fewer numbers keep 32-bit states: the paper's own limit."""
_STEP_NUMBERS = 1 << 20
"""How many numbers are in float32 at once: 12 MB for a moment, its code and its update, whatever the tensor's size."""


@cache
def dynamic_map(*, signed: bool) -> Tensor:
    """[256] float32, rising: the values that codes stand for, in (-1, 1] (signed) or [0, 1].

    With i zeros after the sign before the first 1, the exponent is 10^(i - 6); the bits left are a linear fraction of [0.1, 1],
    each value the middle of its interval. Signed codes have a bit less for the fraction. 0 and 1 are added.
    """
    exponents = 7
    values = [0.0, 1.0]
    for i in range(exponents):
        bits = i if signed else i + 1
        edges = torch.linspace(0.1, 1.0, 2**bits + 1, dtype=torch.float64)
        middles = (edges[1:] + edges[:-1]) / 2 * 10.0 ** (i - exponents + 1)
        values += middles.tolist()
        if signed:
            values += (-middles).tolist()
    made = torch.tensor(sorted(values), dtype=torch.float32)
    assert len(made) == 256, len(made)
    return made


def quantise(x: Tensor, *, block: int, signed: bool) -> tuple[Tensor, Tensor]:
    """x of any shape -> codes [n] uint8 and the largest magnitude of each block [ceil(n / block)] float32, n = x.numel().

    Each number becomes the nearest value of the map; unsigned ones above 0 at least the smallest above 0. A block of zeros
    has the scale 0 and comes back as zeros.
    """
    flat = x.detach().flatten().float()
    n = flat.numel()
    blocks = -(-n // block)
    padded = flat if n == blocks * block else torch.cat([flat, flat.new_zeros(blocks * block - n)])
    rows = padded.view(blocks, block)
    scale = rows.abs().amax(1)
    shares = rows / torch.where(scale > 0, scale, 1.0)[:, None]
    table = dynamic_map(signed=signed).to(x.device)
    borders = (table[1:] + table[:-1]) / 2
    codes = torch.bucketize(shares.flatten()[:n], borders).to(torch.uint8)
    return codes if signed else torch.maximum(codes, (flat > 0).to(torch.uint8)), scale


def dequantise(codes: Tensor, scale: Tensor, *, block: int, signed: bool) -> Tensor:
    """codes [n] uint8, scale [ceil(n / block)] -> [n] float32."""
    table = dynamic_map(signed=signed).to(codes.device)
    return table[codes.int()] * scale.repeat_interleave(block)[: codes.numel()]


class AdamW8bit(torch.optim.Optimizer):
    """The update is AdamW's own (adamw.update); only what is remembered between steps is rounded.

    State of a large parameter of n numbers: `step`, `mean` and `variance` [n] uint8, `mean_scale` and `variance_scale`
    [ceil(n / block)] float32. Of a small one: AdamW's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        block: int = 256,
        smallest: int = SMALLEST,
    ) -> None:
        if block < 1:
            raise ConfigError(f"must be at least 1, not {block}", path="block_size")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.block = block
        self.smallest = smallest

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    self._begin(p, state)
                if state["mean"].dtype is torch.uint8:
                    self._step_large(p, state, group)
                else:
                    update(p, p.grad, state, group)

    def _begin(self, p: Tensor, state: dict[str, Tensor]) -> None:
        state["step"] = torch.zeros(())
        if p.numel() < self.smallest:
            state["mean"], state["variance"] = torch.zeros_like(p), torch.zeros_like(p)
            return
        blocks = -(-p.numel() // self.block)
        for name, signed in (("mean", True), ("variance", False)):
            zero = int((dynamic_map(signed=signed) == 0).nonzero())
            state[name] = torch.full((p.numel(),), zero, dtype=torch.uint8, device=p.device)
            state[f"{name}_scale"] = torch.zeros(blocks, device=p.device)

    def _step_large(self, p: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        """The update, some blocks at a time, so that no float32 copy of a whole state is ever made."""
        assert p.grad is not None
        contiguous = p.is_contiguous()
        numbers = p.view(-1) if contiguous else p.flatten()
        grads = p.grad.flatten()
        size = max(1, _STEP_NUMBERS // self.block) * self.block
        before = state["step"].clone()
        for start in range(0, numbers.numel(), size):
            stop = min(start + size, numbers.numel())
            blocks = slice(start // self.block, -(-stop // self.block))
            part = {"step": before.clone()}
            for name, signed in (("mean", True), ("variance", False)):
                codes, scale = state[name][start:stop], state[f"{name}_scale"][blocks]
                part[name] = dequantise(codes, scale, block=self.block, signed=signed)
            here = numbers[start:stop]
            exact = here if here.dtype is torch.float32 else here.float()
            update(exact, grads[start:stop].float(), part, group)
            if exact is not here:
                here.copy_(exact)
            for name, signed in (("mean", True), ("variance", False)):
                codes, scale = quantise(part[name], block=self.block, signed=signed)
                state[name][start:stop] = codes
                state[f"{name}_scale"][blocks] = scale
            state["step"].copy_(part["step"])
        if not contiguous:
            p.copy_(numbers.view(p.shape))

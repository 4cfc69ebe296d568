"""LoRA, rsLoRA and DoRA beside linear layers, with one gradient written out for layers that share an input.

For layers i with y_i = x W_i^T + b_i + s_i h_i B_i^T and h_i = x A_i^T, one product makes all h_i, and in the backward pass

    dB_i = s_i dy_i^T h_i;  dh_i = s_i dy_i B_i;  dA = dh^T x;  dx = dh A + sum_i dy_i W_i

with every sum added inside a product. Nothing is kept but x and h, the frozen weights get no gradient, and where x needs none
(the first layer, above the frozen embedding) dx is not made. DoRA takes the same products without the bias, then scales rows.

Left out: dropout inside the shared product; with dropout each layer runs as plain operations.

Letters: M rows (batch and positions), D in, O out, r rank, R = sum of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..nn.linear import product
from .linear import AdaptedLinear, LinearAdapter
from .selection import Selection


class LoRA(LinearAdapter):
    """lora_A [r, in], lora_B [out, r]; with DoRA lora_magnitude_vector [out]."""

    def __init__(
        self,
        layer: AdaptedLinear,
        *,
        r: int,
        alpha: float,
        scaling: float,
        dropout: float,
        use_dora: bool,
        lora_A: nn.Parameter | None = None,
    ) -> None:
        """lora_A: one to share with other layers of the same input; None makes one, zero until `draw`."""
        super().__init__()
        like = layer.weight if layer.weight is not None else layer.bias
        dtype, device = adapter_dtype(like), layer.nf4.codes.device if layer.nf4 is not None else None
        if device is None:
            assert like is not None
            device = like.device
        self.r, self.alpha, self.scaling, self.dropout = r, alpha, scaling, dropout
        self.lora_A = lora_A if lora_A is not None else nn.Parameter(
            torch.zeros(r, layer.in_features, dtype=dtype, device=device)
        )  # fmt: skip
        self.lora_B = nn.Parameter(torch.zeros(layer.out_features, r, dtype=dtype, device=device))
        self.lora_magnitude_vector: nn.Parameter | None = None
        if use_dora:
            # B begins at zero: the lengths are the frozen weight's own.
            weight = layer.base_weight(layer.dtype).detach().to(dtype)
            self.lora_magnitude_vector = nn.Parameter(torch.linalg.vector_norm(weight, dim=1))

    def draw(self, init: str, generator: torch.Generator) -> None:
        """Begin A afresh; B stays zero."""
        with torch.no_grad():
            fresh = torch.empty(self.lora_A.shape)
            if init == "gaussian":
                fresh.normal_(0.0, 1.0 / self.r, generator=generator)
            else:
                bound = 1.0 / math.sqrt(self.lora_A.shape[1])
                fresh.uniform_(-bound, bound, generator=generator)
            self.lora_A.copy_(fresh)

    def lengths(self, weight: Tensor) -> Tensor:
        """[out]: |W + s B A| of each row, by which DoRA divides; treated as a constant (section 4.3 of the paper).

        |w + s b A|^2 = |w|^2 + 2 s b . (w A^T) + s^2 b (A A^T) b^T needs no [out, in] matrix of its own.
        """
        with torch.no_grad(), torch.autocast(weight.device.type, enabled=False):
            dtype = torch.promote_types(self.lora_A.dtype, torch.float32)
            a, b, w = self.lora_A.to(dtype), self.lora_B.to(dtype) * self.scaling, weight.to(dtype)
            square = w.square().sum(1) + 2 * (b * (w @ a.T)).sum(1) + ((b @ (a @ a.T)) * b).sum(1)
            return square.clamp_(min=0.0).sqrt_()

    def row_scale(self, layer: AdaptedLinear) -> Tensor:
        """[out]: m / |W + s B A|"""
        assert self.lora_magnitude_vector is not None
        return self.lora_magnitude_vector / self.lengths(layer.base_weight(layer.dtype))

    def finish(self, y: Tensor, layer: AdaptedLinear) -> Tensor:
        """DoRA's last step, on a y without bias."""
        if self.lora_magnitude_vector is None:
            return y
        y = y * self.row_scale(layer).to(y.dtype)
        return y if layer.bias is None else y + layer.bias.to(y.dtype)

    def after(self, x: Tensor, y: Tensor, layer: AdaptedLinear) -> Tensor:
        if self.dropout and self.training:
            x = F.dropout(x, self.dropout)
        a, b = self.lora_A.to(x.dtype), self.lora_B.to(x.dtype)
        low = F.linear(F.linear(x, a), b) * self.scaling
        if self.lora_magnitude_vector is None:
            return y + low
        if layer.bias is not None:
            y = y - layer.bias.to(y.dtype)
        return self.finish(y + low, layer)

    def forward(self, x: Tensor, layer: AdaptedLinear) -> Tensor:
        """The whole layer with this adapter, all rows."""
        if not self.fits(layer):
            return super().forward(x, layer)
        return _shared(x, [(layer, self)])[0]

    def fits(self, layer: AdaptedLinear) -> bool:
        """May the written gradient be used? A compiler makes its own from plain operations."""
        return layer.frozen and not (self.dropout and self.training) and not torch.compiler.is_compiling()

    @torch.no_grad()
    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        moved = weight + self.scaling * (self.lora_B.to(weight.dtype) @ self.lora_A.to(weight.dtype))
        if self.lora_magnitude_vector is None:
            return moved, bias, None
        scale = self.lora_magnitude_vector.to(weight.dtype) / torch.linalg.vector_norm(moved, dim=1)
        return moved * scale[:, None], bias, scale

    @torch.no_grad()
    def unmerged(self, weight: Tensor, bias: Tensor | None, kept: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if kept is not None:
            weight = weight / kept[:, None]
        return weight - self.scaling * (self.lora_B.to(weight.dtype) @ self.lora_A.to(weight.dtype)), bias


def adapter_dtype(like: Tensor | None) -> torch.dtype:
    """Adapters are trained in float32 at least: a step of theirs is lost in bfloat16."""
    return torch.float32 if like is None else torch.promote_types(like.dtype, torch.float32)


def together(x: Tensor, layers: Sequence[nn.Module], selection: Selection) -> list[Tensor]:
    """`[layer(x) for layer in layers]`, with one shared product where the chosen adapter is a LoRA on all or some of them."""
    chosen = selection.chosen
    if not isinstance(chosen, str):
        return [layer(x) for layer in layers]
    shared: list[tuple[AdaptedLinear, LoRA]] = []
    for layer in layers:
        if isinstance(layer, AdaptedLinear) and chosen in layer.adapters:
            adapter = layer.adapters[chosen]
            if isinstance(adapter, LoRA) and adapter.fits(layer):
                shared.append((layer, adapter))
    made = dict(zip([id(layer) for layer, _ in shared], _shared(x, shared))) if shared else {}
    return [made[id(layer)] if id(layer) in made else layer(x) for layer in layers]


def _shared(x: Tensor, pairs: list[tuple[AdaptedLinear, LoRA]]) -> list[Tensor]:
    unique = list({id(lora.lora_A): lora.lora_A for _, lora in pairs}.values())
    place = {id(a): i for i, a in enumerate(unique)}
    uses = tuple(place[id(lora.lora_A)] for _, lora in pairs)
    layers = tuple(layer for layer, _ in pairs)
    dtype = layers[0].compute_dtype(x)
    biases = [None if lora.lora_magnitude_vector is not None else layer.bias for layer, lora in pairs]
    made = _LowRank.apply(  # type: ignore[no-untyped-call]
        x, dtype, layers, biases, tuple(lora.scaling for _, lora in pairs), uses, len(unique),
        *unique, *(lora.lora_B for _, lora in pairs),
    )  # fmt: skip
    return [lora.finish(y, layer) for y, (layer, lora) in zip(made, pairs)]


class _LowRank(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dtype: torch.dtype,
        layers: tuple[AdaptedLinear, ...],
        biases: list[Tensor | None],
        scalings: tuple[float, ...],
        uses: tuple[int, ...],
        num_a: int,
        *matrices: Tensor,
    ) -> tuple[Tensor, ...]:
        all_a, all_b = matrices[:num_a], matrices[num_a:]
        with torch.autocast(x.device.type, enabled=False):
            flat = x.reshape(-1, x.shape[-1]).to(dtype)
            stacked = (all_a[0] if num_a == 1 else torch.cat(all_a)).to(dtype)
            h = flat @ stacked.T
            parts = torch.split(h, [a.shape[0] for a in all_a], dim=1)
            made = []
            for layer, bias, scaling, use, b in zip(layers, biases, scalings, uses, all_b):
                weight = layer.base_weight(dtype)
                y = product(flat, weight, None if bias is None else bias.to(dtype))
                y.addmm_(parts[use], b.to(dtype).T, alpha=scaling)
                made.append(y.view(*x.shape[:-1], -1))
        ctx.save_for_backward(flat, h, *matrices)
        ctx.layers, ctx.scalings, ctx.uses, ctx.num_a = layers, scalings, uses, num_a
        ctx.like = x.shape, x.dtype, dtype
        return tuple(made)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        flat, h, *matrices = ctx.saved_tensors
        all_a, all_b = matrices[: ctx.num_a], matrices[ctx.num_a :]
        shape, given, dtype = ctx.like
        with torch.autocast(flat.device.type, enabled=False):
            ranks = [a.shape[0] for a in all_a]
            parts = h.split(ranks, dim=1)
            rows = [g.reshape(flat.shape[0], -1).to(dtype) for g in gradients]
            d_b: list[Tensor] = []
            d_h: dict[int, Tensor] = {}
            for g, b, scaling, use in zip(rows, all_b, ctx.scalings, ctx.uses):
                d_b.append((g.T @ parts[use]).to(b.dtype).mul_(scaling))
                piece = (g @ b.to(dtype)).mul_(scaling)
                d_h[use] = d_h[use].add_(piece) if use in d_h else piece
            joined = d_h[0] if ctx.num_a == 1 else torch.cat([d_h[i] for i in range(ctx.num_a)], dim=1)
            d_a = [d.to(a.dtype) for d, a in zip((joined.T @ flat).split(ranks), all_a)]
            d_x = None
            if ctx.needs_input_grad[0]:
                d_x = joined @ (all_a[0] if ctx.num_a == 1 else torch.cat(all_a)).to(dtype)
                for g, layer in zip(rows, ctx.layers):
                    d_x += product(g, layer.base_weight(dtype).t())
                d_x = d_x.view(shape).to(given)
        return (d_x, None, None, None, None, None, None, *d_a, *d_b)

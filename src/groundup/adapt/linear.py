"""A linear layer with adapters beside its frozen weight, chosen by name for each row of a batch.

The layer takes over the weight and bias of the `nn.Linear` that it replaces, under the same names. The product with the frozen
weight is made once for all rows; each adapter then works on its rows only.

Letters: B rows, T positions, M = B T.
"""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from ..nn.linear import Linear, linear
from .nf4 import NF4Weight
from .selection import Rows, Selection


class LinearAdapter(nn.Module):
    """What is trained beside one linear layer.

    `after` sees the layer's input as it was given, and what the frozen weight (and bias) made of `before(input)`.
    """

    scales_input = False
    """Does `before` do anything?"""

    def before(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., in]"""
        return x

    def after(self, x: Tensor, y: Tensor, layer: AdaptedLinear) -> Tensor:
        """x [..., in], y [..., out] -> [..., out]"""
        return y

    def forward(self, x: Tensor, layer: AdaptedLinear) -> Tensor:
        """The whole layer with this adapter, all rows."""
        return self.after(x, layer.linear(self.before(x)), layer)

    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Weight, bias (float32) with the adapter in them, and what `unmerged` needs; ModelError where it cannot be done."""
        raise ModelError(f"a {type(self).__name__} adapter is no linear map of its input and cannot be merged into a weight",
                         hint="save_adapter keeps it beside the model")  # fmt: skip

    def unmerged(self, weight: Tensor, bias: Tensor | None, kept: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The inverse of `merged`."""
        raise NotImplementedError


class Named(nn.Module):
    """Modules by name. Unlike nn.ModuleDict it allows the names of its own methods ("train", "keys")."""

    def __setitem__(self, name: str, module: nn.Module) -> None:
        self._modules[name] = module

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __len__(self) -> int:
        return len(self._modules)

    def items(self) -> ItemsView[str, Any]:
        return self._modules.items()


class AdaptedLinear(nn.Module):
    """`weight` [out, in], or `nf4` in its place; `bias` [out] or None; `adapters` by name."""

    def __init__(self, linear: nn.Linear, selection: Selection) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight: nn.Parameter | None = linear.get_parameter("weight")
        self.bias: nn.Parameter | None = linear.bias
        self.nf4: NF4Weight | None = None
        self.adapters = Named()
        self.selection = selection
        self._cast: tuple[Any, Tensor] | None = None
        self.training = linear.training

    def quantize(self, *, double_quantize: bool) -> None:
        """Keep the weight in 4 bits from now on."""
        if self.weight is not None:
            self.nf4 = NF4Weight(self.weight, double_quantize=double_quantize)
            self.weight = None
            self._cast = None

    def dequantize(self) -> nn.Parameter:
        """The weight as a parameter again."""
        if self.nf4 is not None:
            self.weight = nn.Parameter(self.nf4.dequantize(), requires_grad=False)
            self.nf4 = None
        assert self.weight is not None
        return self.weight

    @property
    def frozen(self) -> bool:
        return self.weight is None or not self.weight.requires_grad

    def compute_dtype(self, x: Tensor) -> torch.dtype:
        """What products of this layer are made in: autocast's, else the weight's."""
        kind = x.device.type
        if torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
            return torch.get_autocast_dtype(kind)
        return x.dtype if self.weight is None else self.weight.dtype

    def base_weight(self, dtype: torch.dtype) -> Tensor:
        """[out, in] in `dtype`. A frozen weight that is kept in another dtype is turned once, not at every step."""
        if self.nf4 is not None:
            return self.nf4.dequantize(dtype)
        weight = self.weight
        assert weight is not None
        if weight.dtype == dtype or weight.requires_grad:
            return weight
        # A tensor made in inference mode has no version, and a compiler places the cast itself.
        if weight.is_inference() or torch.is_inference_mode_enabled() or torch.compiler.is_compiling():
            return weight.to(dtype)
        key = (weight.data_ptr(), weight._version, dtype)
        if self._cast is None or self._cast[0] != key:
            self._cast = (key, weight.detach().to(dtype))
        return self._cast[1]

    @property
    def dtype(self) -> torch.dtype:
        """The weight's own, or what it was before 4 bits."""
        if self.nf4 is not None:
            return self.nf4.dtype
        assert self.weight is not None
        return self.weight.dtype

    def linear(self, x: Tensor) -> Tensor:
        """The frozen layer alone: [..., in] -> [..., out]"""
        return linear(x, self.base_weight(self.compute_dtype(x)), self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, in] -> [B, T, out]"""
        chosen = self.selection.chosen
        if isinstance(chosen, Rows):
            return self._by_rows(x, chosen)
        if chosen is None or chosen not in self.adapters:
            return self.linear(x)
        y: Tensor = self.adapters[chosen](x, self)
        return y

    def _by_rows(self, x: Tensor, chosen: Rows) -> Tensor:
        if x.shape[0] != len(chosen.names):
            raise ModelError(
                f"adapters were selected for {len(chosen.names)} rows, but this layer was given {x.shape[0]}",
                hint="a part that folds other dimensions into the rows can be served one adapter at a time",
            )
        groups = [(self.adapters[name], rows) for name, rows in chosen.groups if name in self.adapters]
        scaled = x
        for adapter, rows in groups:
            if adapter.scales_input:
                scaled = scaled.index_copy(0, rows, adapter.before(x[rows]))
        y = self.linear(scaled)
        for adapter, rows in groups:
            y = y.index_copy(0, rows, adapter.after(x[rows], y[rows], self).to(y.dtype))
        return y

    def __deepcopy__(self, memo: dict[int, Any]) -> AdaptedLinear:
        import copy

        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__dict__ = {k: copy.deepcopy(v, memo) for k, v in self.__dict__.items() if k != "_cast"}
        made._cast = None
        return made

    def plain(self) -> nn.Linear:
        """An `nn.Linear` with the same weight and bias, the adapters left behind."""
        weight = self.dequantize()
        with torch.device("meta"):
            made = Linear(self.in_features, self.out_features, bias=self.bias is not None)
        made.weight = weight
        made.register_parameter("bias", self.bias)
        return made.train(self.training)

"""Adapters into the weights, and out of them again.

LoRA, rsLoRA, DoRA and IA3 are linear maps and merge exactly; bottlenecks, prefixes and prompts do not. A 4-bit weight is turned
back first, and stays what it became. Sums are made in float32 (float64 for float64 weights) and rounded once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import ModelError
from ..models.decoder import Decoder
from .attach import adapted_layers, adapters_of, check_name, detach
from .linear import AdaptedLinear


@torch.no_grad()
def merge(model: Decoder, name: str, *, keep: bool = False) -> Decoder:
    """Add adapter `name` to the weights it stands beside (in place); returns the model.

    By default all adapters are then taken off: a plain Decoder that `save_model` writes. With keep=True they stay, nothing else
    can be selected, and `unmerge` undoes it to rounding. Raises ModelError for adapters that no weight can hold.
    """
    shared = adapters_of(model)
    check_name(shared, name)
    if shared.merged is not None:
        raise ModelError(f"the adapter {shared.merged!r} is merged already", hint="unmerge it first")
    if name in shared.virtual:
        raise ModelError(f"the virtual tokens of {name!r} are no part of a weight and cannot be merged",
                         hint="save_adapter keeps them beside the model")  # fmt: skip
    layers = [(path, layer) for path, layer in adapted_layers(model) if name in layer.adapters]
    if keep and any(layer.nf4 is not None for _, layer in layers):
        raise ModelError("a 4-bit weight cannot take an adapter in and give it back", hint="merge without keep")
    made = [(path, layer, *layer.adapters[name].merged(*_wide(layer))) for path, layer in layers]
    for path, layer, weight, bias, kept in made:
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(f"merging {name!r} into {path} gives numbers that are not finite",
                             hint="the adapter is damaged or its training diverged")  # fmt: skip
        if kept is not None:
            shared.kept[path] = kept
        _store(layer, weight, bias)
    shared.selection.made_from.clear()
    if not keep:
        return detach(model)
    shared.merged = name
    shared.selection.chosen = None
    return model


@torch.no_grad()
def unmerge(model: Decoder, name: str) -> Decoder:
    """Undo `merge(model, name, keep=True)` to rounding, and select the adapter again."""
    shared = adapters_of(model)
    check_name(shared, name)
    if shared.merged != name:
        raise ModelError(f"the adapter {name!r} is not merged", hint="merge(model, name, keep=True) first")
    layers = [(path, layer) for path, layer in adapted_layers(model) if name in layer.adapters]
    made = [(layer, *layer.adapters[name].unmerged(*_wide(layer), shared.kept.get(path))) for path, layer in layers]
    for layer, weight, bias in made:
        _store(layer, weight, bias)
    shared.merged = None
    shared.kept.clear()
    shared.selection.made_from.clear()
    shared.selection.chosen = name
    return model


def _wide(layer: AdaptedLinear) -> tuple[Tensor, Tensor | None]:
    if layer.nf4 is not None:
        weight = layer.nf4.dequantize(torch.float32)
    else:
        assert layer.weight is not None
        weight = layer.weight.detach()
    dtype = torch.promote_types(weight.dtype, torch.float32)
    return weight.to(dtype), None if layer.bias is None else layer.bias.detach().to(dtype)


def _store(layer: AdaptedLinear, weight: Tensor, bias: Tensor | None) -> None:
    target = layer.dequantize()
    target.copy_(weight)
    if bias is not None and layer.bias is not None:
        layer.bias.copy_(bias)

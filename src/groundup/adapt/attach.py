"""Adapters put on a model, chosen, and taken off: `apply`, `select`, `remove`.

A model with adapters is the same `Decoder` object: its projections are `AdaptedLinear`s that hold the frozen weights and every
adapter by name, and `adapters` holds what they share. Without adapters again it is exactly what it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..core.config import did_you_mean
from ..core.errors import ConfigError, ModelError
from ..models.decoder import Decoder
from ..nn.ffn import Gated
from ..nn.mixers.attention import Attention
from .configs import AdapterConfig, BottleneckConfig, IA3Config, LoRAConfig, PrefixConfig, PromptConfig
from .gated import AdaptedGated
from .linear import AdaptedLinear, Named
from .low_rank import LoRA
from .selection import Names, Rows, Selection, rows_of
from .targets import Target, matches, resolve
from .vectors import IA3, Bottleneck
from .virtual import AdaptedAttention, Prefix, Prompt, ShiftedPositions, prepare_virtual

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ATTRIBUTE = "adapters"

ModuleType = TypeVar("ModuleType", bound=nn.Module)


class AdapterSet(nn.Module):
    """What the adapters of one model share: `configs` by name, the `selection`, modules of virtual tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.configs: dict[str, AdapterConfig] = {}
        self.selection = Selection()
        self.virtual = Named()
        self.merged: str | None = None
        """The adapter that is now in the weights (see merge.py)."""
        self.kept: dict[str, Tensor] = {}
        """What taking it out again needs, by projection."""
        self.handle: Any = None

    def begin(self, model: Decoder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before every forward pass of the model."""
        ids = args[0] if args else kwargs["input_ids"]
        state = args[1] if len(args) > 1 else kwargs.get("state")
        self.selection.check_rows(ids.shape[0])
        longest = prepare_virtual(model, self.virtual, self.selection) if len(self.virtual) else 0
        if longest:
            stored = 0 if state is None else state.stored
            model.prepare_positions(stored + ids.shape[1] + longest)


@dataclass(frozen=True, kw_only=True)
class AdapterTransform:
    """`apply` as a `groundup.nn.protocols.ModelTransform`."""

    config: AdapterConfig
    name: str = "default"
    seed: int = 0

    def apply(self, model: nn.Module) -> nn.Module:
        if not isinstance(model, Decoder):
            raise ModelError(f"adapters are put on a Decoder, not on a {type(model).__name__}",
                             hint="give the decoder inside it")  # fmt: skip
        return apply(self.config, model, name=self.name, seed=self.seed)


def apply(config: AdapterConfig, model: Decoder, *, name: str = "default", seed: int = 0) -> Decoder:
    """Put a fresh adapter on `model` (in place), freeze all else, and select it for every row; returns the model.

    At first an adapter changes nothing, but prefix and prompt tuning, whose virtual tokens are seen at once. `seed` draws its
    parameters. Raises ModelError if the name is taken or no good, ConfigError for targets the model does not have.
    """
    shared = install(config, model, name, torch.Generator().manual_seed(seed))
    train_only(model, name)
    shared.selection.chosen = name
    return model


def install(config: AdapterConfig, model: Decoder, name: str, generator: torch.Generator) -> AdapterSet:
    """`apply` without freezing and selecting; the model is unchanged if it raises."""
    shared = _set_of(model)
    if shared is not None and name in shared.configs:
        raise ModelError(f"this model has an adapter called {name!r} already",
                         hint="choose another name, or remove(model, name) first")  # fmt: skip
    if not _NAME.fullmatch(name):
        raise ModelError(f"an adapter's name is letters, digits, - and _, not {name!r}")
    if shared is not None and shared.merged is not None:
        raise ModelError(f"the adapter {shared.merged!r} is merged into the weights", hint="unmerge it first")
    match config:
        case LoRAConfig():
            targets = resolve(model, config.target_modules)
            _check_patterns(config, targets)
            shared = _attach(model)
            _add_lora(config, model, shared, name, targets, generator)
        case IA3Config():
            targets = resolve(model, config.target_modules)
            inputs = config.feedforward_modules
            scaled = [t.projection.name for t in resolve(model, inputs, path="feedforward_modules")] if inputs else []
            shared = _attach(model)
            for target in targets:
                layer = adapted(model, target.projection.name, shared)
                layer.adapters[name] = IA3(layer, feedforward=target.projection.name in scaled)
        case BottleneckConfig():
            targets = resolve(model, ("o_proj", "down_proj") if config.placement == "houlsby" else ("down_proj",))
            shared = _attach(model)
            for target in targets:
                layer = adapted(model, target.projection.name, shared)
                bottleneck = Bottleneck(layer, config)
                bottleneck.draw(generator)
                layer.adapters[name] = bottleneck
        case PrefixConfig():
            prefix = Prefix(model, config)
            prefix.draw(generator)
            shared = _attach(model)
            shared.virtual[name] = prefix
        case PromptConfig():
            prompt = Prompt(model, config)
            prompt.draw(model, config, generator)
            shared = _attach(model)
            shared.virtual[name] = prompt
        case _:
            raise ConfigError(f"{type(config).__name__} is not an adapter")
    shared.configs[name] = config
    shared.training = model.training
    for part in adapter_modules(model, name):
        part.train(model.training)
    return shared


def _check_patterns(config: LoRAConfig, targets: Sequence[Target]) -> None:
    for path, patterns in (("rank_pattern", config.rank_pattern), ("alpha_pattern", config.alpha_pattern)):
        for pattern in patterns:
            if not any(_fits(pattern, target) for target in targets):
                raise ConfigError(f"{pattern!r} matches none of the adapted layers", path=path)


def _fits(pattern: str, target: Target) -> bool:
    return matches(pattern, target.projection.name) or matches(pattern, target.projection.file)


def _add_lora(
    config: LoRAConfig,
    model: Decoder,
    shared: AdapterSet,
    name: str,
    targets: Sequence[Target],
    generator: torch.Generator,
) -> None:
    shared_a: dict[str, nn.Parameter] = {}
    for target in targets:
        layer = adapted(model, target.projection.name, shared)
        if config.quantize == "nf4":
            layer.quantize(double_quantize=config.double_quantize)
        r = next((r for key, r in config.rank_pattern.items() if _fits(key, target)), config.r)
        alpha = next((a for key, a in config.alpha_pattern.items() if _fits(key, target)), config.lora_alpha)
        file = target.projection.file
        lora = LoRA(
            layer, r=r, alpha=alpha, scaling=config.scaling(r, alpha), dropout=config.lora_dropout,
            use_dora=config.use_dora, lora_A=shared_a.get(file) if target.whole else None,
        )  # fmt: skip
        if not target.whole or file not in shared_a:
            lora.draw(config.init_lora_weights, generator)
        shared_a[file] = lora.lora_A
        layer.adapters[name] = lora


def _set_of(model: Decoder) -> AdapterSet | None:
    found = model._modules.get(_ATTRIBUTE)
    return found if isinstance(found, AdapterSet) else None


def adapters_of(model: Decoder) -> AdapterSet:
    """The model's adapters; ModelError if it has none."""
    found = _set_of(model)
    if found is None:
        raise ModelError(
            "this model has no adapters", hint="apply(config, model) or load_adapter(model, directory) first"
        )
    return found


def adapter_names(model: Decoder) -> list[str]:
    """Names of the model's adapters, oldest first; empty for a plain model."""
    found = _set_of(model)
    return [] if found is None else list(found.configs)


def _attach(model: Decoder) -> AdapterSet:
    """The model's set, made if there is none."""
    shared = _set_of(model)
    if shared is not None:
        return shared
    shared = AdapterSet()
    model.add_module(_ATTRIBUTE, shared)
    shared.handle = model.register_forward_pre_hook(shared.begin, with_kwargs=True)
    for number, block in enumerate(model.blocks):
        if type(block.mixer) is Attention:
            block.mixer = _as(AdaptedAttention, block.mixer)
            block.mixer.selection, block.mixer.layer_index = shared.selection, number
        if type(block.ffn) is Gated:
            block.ffn = _as(AdaptedGated, block.ffn)
            block.ffn.selection = shared.selection
    if isinstance(model.embed_positions, nn.Embedding):
        model.embed_positions = ShiftedPositions(model.embed_positions, shared.selection)  # type: ignore[assignment]
    return shared


def _as(kind: type[ModuleType], module: nn.Module) -> ModuleType:
    """A `kind` that has taken over the parts of `module`."""
    made = kind.__new__(kind)
    made.__dict__ = dict(module.__dict__)
    return made


def detach(model: Decoder) -> Decoder:
    """Take all adapters off; every parameter may be trained again."""
    shared = adapters_of(model)
    for name, module in list(adapted_layers(model)):
        _put(model, name, module.plain())
    for block in model.blocks:
        if type(block.mixer) is AdaptedAttention:
            block.mixer = _without(Attention, block.mixer)
        if type(block.ffn) is AdaptedGated:
            block.ffn = _without(Gated, block.ffn)
    if isinstance(model.embed_positions, ShiftedPositions):
        model.embed_positions = model.embed_positions.plain()
    shared.handle.remove()
    del model._modules[_ATTRIBUTE]
    return model.requires_grad_(True)


def _without(kind: type[ModuleType], module: nn.Module) -> ModuleType:
    made = _as(kind, module)
    for extra in ("selection", "layer_index"):
        made.__dict__.pop(extra, None)
    return made


def remove(model: Decoder, name: str) -> Decoder:
    """Take one adapter off; the last one leaves a plain model (a 4-bit weight becomes what it was, as far as 4 bits hold it)."""
    shared = adapters_of(model)
    check_name(shared, name)
    if shared.merged == name:
        raise ModelError(f"the adapter {name!r} is merged into the weights", hint="unmerge it first")
    del shared.configs[name]
    shared.selection.virtual.pop(name, None)
    shared.selection.made_from.pop(name, None)
    if name in shared.virtual:
        del shared.virtual[name]
    for _, layer in adapted_layers(model):
        if name in layer.adapters:
            del layer.adapters[name]
    chosen = shared.selection.chosen
    if chosen == name or (isinstance(chosen, Rows) and name in chosen.names):
        shared.selection.chosen = None
    return model if shared.configs else detach(model)


def check_name(shared: AdapterSet, name: str) -> None:
    if name not in shared.configs:
        raise ModelError(f"this model has no adapter called {name!r}", hint=did_you_mean(name, list(shared.configs)))


def adapted_layers(model: Decoder) -> Iterator[tuple[str, AdaptedLinear]]:
    for name, module in model.named_modules():
        if isinstance(module, AdaptedLinear):
            yield name, module


def adapted(model: Decoder, name: str, shared: AdapterSet) -> AdaptedLinear:
    """The projection called `name`, as an `AdaptedLinear` from now on."""
    module = model.get_submodule(name)
    if isinstance(module, nn.Linear):
        module = AdaptedLinear(module, shared.selection)
        _put(model, name, module)
    assert isinstance(module, AdaptedLinear)
    return module


def _put(model: Decoder, name: str, module: nn.Module) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(path), leaf, module)


def adapter_modules(model: Decoder, name: str) -> Iterator[nn.Module]:
    """The parts of one adapter."""
    shared = adapters_of(model)
    check_name(shared, name)
    if name in shared.virtual:
        yield shared.virtual[name]
    for _, layer in adapted_layers(model):
        if name in layer.adapters:
            yield layer.adapters[name]


def train_only(model: Decoder, name: str) -> None:
    """Only the parameters of one adapter get gradients."""
    model.requires_grad_(False)
    for part in adapter_modules(model, name):
        part.requires_grad_(True)


def trainable_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Named parameters that get gradients, shared ones once."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


@contextmanager
def select(model: Decoder, names: Names) -> Iterator[None]:
    """Inside, rows go through the adapters `names`: one for all rows, or one name (or None: the base model) per row.

    The base model is reached exactly: with None for every row no bit differs from the model without adapters. Raises
    ModelError for an unknown name, and while an adapter is merged into the weights.
    """
    shared = adapters_of(model)
    chosen = rows_of(names)
    for name in (chosen,) if isinstance(chosen, str) else () if chosen is None else (n for n, _ in chosen.groups):
        check_name(shared, name)
    if shared.merged is not None:
        raise ModelError(f"the adapter {shared.merged!r} is merged into the weights: no row can go without it",
                         hint="unmerge it first, to choose row by row")  # fmt: skip
    before, shared.selection.chosen = shared.selection.chosen, chosen
    try:
        yield
    finally:
        shared.selection.chosen = before

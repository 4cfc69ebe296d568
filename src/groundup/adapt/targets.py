"""Which projections an adapter's names mean, and what those projections are called in the family's own files.

A family may keep several of our projections in one matrix (GPT-2's `c_attn`: queries, keys, values). An adapter of the whole
matrix has one A for all of them, which ours then share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from ..core.config import did_you_mean
from ..core.errors import ConfigError
from ..models.decoder import Decoder
from ..models.families import write_config
from .configs import Targets
from .linear import AdaptedLinear


@dataclass(frozen=True, slots=True)
class Projection:
    """One linear layer of a block."""

    name: str
    """Ours, such as blocks.0.mixer.q_proj."""
    file: str
    """The module of the family's files that holds it, such as model.layers.0.self_attn.q_proj."""
    siblings: tuple[str, ...]
    """Ours, in order, that the file keeps in one matrix; (name,) where it is alone."""
    transposed: bool
    """The file's weight is [in, out]."""


def projections(model: Decoder) -> dict[str, Projection]:
    """Our name -> projection, in the model's order."""
    _, family = write_config(model.config)
    found: dict[str, Projection] = {}
    if family is not None:
        for entry in family.entries(model.config):
            ours = tuple(name.removesuffix(".weight") for name in entry.ours)
            if entry.file.endswith(".weight"):
                for name in ours:
                    found[name] = Projection(name, entry.file.removesuffix(".weight"), ours, entry.transposed)
    made = {}
    for name in linear_names(model):
        made[name] = found.get(name) or Projection(name, name, (name,), False)
    return made


def linear_names(model: Decoder) -> Iterator[str]:
    """Names of the linear layers inside the blocks, plain or adapted."""
    for name, module in model.blocks.named_modules(prefix="blocks"):
        inside = ".adapters" in name
        if isinstance(module, (nn.Linear, AdaptedLinear)) and not inside:
            yield name


def matches(pattern: str, name: str) -> bool:
    """Is `pattern` the name, or the end of it from a dot on?"""
    return name == pattern or name.endswith("." + pattern)


@dataclass(frozen=True, slots=True)
class Target:
    projection: Projection
    whole: bool
    """Meant together with its siblings."""


def resolve(model: Decoder, targets: Targets, *, path: str = "target_modules") -> list[Target]:
    """The projections that `targets` mean, in the model's order. ConfigError names a target that matches nothing."""
    every = projections(model)
    if targets == "all-linear":
        return [Target(p, len(p.siblings) > 1) for p in every.values()]
    found: dict[str, Target] = {}
    for pattern in targets:
        by_file = [p for p in every.values() if matches(pattern, p.file)]
        by_name = [p for p in every.values() if matches(pattern, p.name)]
        if not by_file and not by_name:
            known = sorted({p.name.rpartition(".")[2] for p in every.values()}
                           | {p.file.rpartition(".")[2] for p in every.values()})  # fmt: skip
            raise ConfigError(f"{pattern!r} matches no linear layer of this model's blocks", path=path,
                              hint=did_you_mean(pattern, known) + f" (known: {', '.join(known)}, all-linear)")  # fmt: skip
        for p in by_name:
            found.setdefault(p.name, Target(p, False))
        for p in by_file:
            found[p.name] = Target(p, len(p.siblings) > 1)
    return [found[name] for name in every if name in found]

"""Which parameter gets which optimizer, learning rate and decay.

Matrices inside blocks go to Muon (or AdamW); embeddings and the head to AdamW; vectors (norms, biases) to AdamW without
weight decay. Every group keeps its `base_lr`; the loop multiplies it by the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ...core.config import Use, load_user_part, node
from ...core.errors import ConfigError
from .adamw import AdamW
from .eightbit import AdamW8bit
from .muon import Muon


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    type: Literal["adamw", "muon", "adamw8bit"] = "adamw"
    lr: float = 1e-3
    """Peak learning rate, of matrices."""
    embedding_lr: float | None = None
    """Of embeddings and the head; None: lr."""
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    """Decoupled; of matrices and embeddings, never of vectors."""
    momentum: float = 0.95
    """Muon's."""


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(OptimizerConfig):
    type: Literal["adamw"] = "adamw"


@dataclass(frozen=True, kw_only=True)
class MuonConfig(OptimizerConfig):
    """Muon for matrices inside blocks, AdamW for the rest."""

    type: Literal["muon"] = "muon"


@dataclass(frozen=True, kw_only=True)
class AdamW8bitConfig(OptimizerConfig):
    """AdamW with moments of 8 bits a number: a quarter of the memory of its states."""

    type: Literal["adamw8bit"] = "adamw8bit"
    block_size: Literal[256, 2048] = 256
    """Numbers that share a scale; the paper used 2,048, later work 256: an outlier spoils fewer neighbours."""
    eight_bit_embeddings: bool = True
    """False keeps the states of embeddings and heads in 32 bits, which the paper found steadier for language models."""


OptimizerNode = node(AdamWConfig, MuonConfig, AdamW8bitConfig)


_TABLES = ("embed", "lm_head", "score.", "qa_outputs.")
"""Matrices with a row for each word or label: outside the blocks, so not Muon's."""


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Trainable parameters by their role: matrices, embeddings (and heads), vectors. Tied ones are counted once."""
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "embeddings": [], "vectors": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.dim() < 2:
            groups["vectors"].append(parameter)
        elif any(part in name for part in _TABLES):
            groups["embeddings"].append(parameter)
        else:
            groups["matrices"].append(parameter)
    return groups


def build_optimizer(config: OptimizerConfig | Use, model: nn.Module) -> list[torch.optim.Optimizer]:
    """The optimizers of a model, stepped in order. A user's is a torch.optim.Optimizer class given the groups."""
    roles = parameter_groups(model)
    if isinstance(config, Use):
        return [_user_optimizer(config, roles)]
    embedding_lr = config.embedding_lr if config.embedding_lr is not None else config.lr
    adam_groups: list[dict[str, Any]] = [
        {"params": roles["embeddings"], "lr": embedding_lr, "weight_decay": config.weight_decay},
        {"params": roles["vectors"], "lr": config.lr, "weight_decay": 0.0},
    ]
    muon = config.type == "muon" and [p for p in roles["matrices"] if p.dim() == 2]
    if not muon:
        adam_groups.append({"params": roles["matrices"], "lr": config.lr, "weight_decay": config.weight_decay})
    optimizers: list[torch.optim.Optimizer] = []
    adam_groups = [g for g in adam_groups if g["params"]]
    if isinstance(config, AdamW8bitConfig):
        exact = [] if config.eight_bit_embeddings else [g for g in adam_groups if g["params"] is roles["embeddings"]]
        rounded = [g for g in adam_groups if not any(g is other for other in exact)]
        if rounded:
            optimizers.append(AdamW8bit(rounded, betas=config.betas, eps=config.eps, block=config.block_size))
        adam_groups = exact
    if adam_groups:
        optimizers.append(AdamW(adam_groups, betas=config.betas, eps=config.eps))
    if muon:
        optimizers.append(Muon(muon, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay))
    return _remember_lr(optimizers)


def _user_optimizer(use: Use, roles: dict[str, list[nn.Parameter]]) -> torch.optim.Optimizer:
    cls = load_user_part(use)
    lr = use.args.get("lr", use.replaces.get("lr", 1e-3))
    args = {**use.args, "lr": lr}
    try:
        made = cls([{"params": params} for params in roles.values() if params], **args)
    except TypeError as error:
        raise ConfigError(f"{use.use} cannot be made: {error}",
                          hint="class Mine(torch.optim.Optimizer): __init__(self, params, lr)") from error  # fmt: skip
    if not isinstance(made, torch.optim.Optimizer):
        raise ConfigError(f"{use.use} is not a torch.optim.Optimizer")
    return _remember_lr([made])[0]


def _remember_lr(optimizers: list[torch.optim.Optimizer]) -> list[torch.optim.Optimizer]:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers

"""Which parameter gets which optimizer, learning rate and decay.

One optimizer has them all, but for Muon, which has the matrices inside blocks and leaves the rest to AdamW. Vectors (norms,
biases) have no weight decay. Every group keeps its `base_lr`; the loop multiplies it by the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ...core.config import Use, load_user_part, node
from ...core.errors import ConfigError
from .adamw import Adam, AdamW
from .eightbit import AdamW8bit
from .lion import Lion
from .muon import Muon
from .rmsprop import RMSprop
from .sgd import SGD


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """What all optimizers have."""

    type: Literal["sgd", "rmsprop", "adam", "adamw", "lion", "muon", "adamw8bit"] = "adamw"
    lr: float = 1e-3
    """Peak learning rate, of matrices."""
    embedding_lr: float | None = None
    """Of embeddings and the head; None: lr."""
    weight_decay: float = 0.0
    """Of matrices and embeddings, never of vectors. Decoupled (adamw, lion, muon, adamw8bit) or an L2 penalty (sgd, rmsprop, adam)."""

    @property
    def states(self) -> int:
        """Numbers remembered for each parameter between steps."""
        return 2


@dataclass(frozen=True, kw_only=True)
class SGDConfig(OptimizerConfig):
    """Gradient descent, with momentum if wanted."""

    type: Literal["sgd"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def states(self) -> int:
        return int(self.momentum > 0)


@dataclass(frozen=True, kw_only=True)
class RMSpropConfig(OptimizerConfig):
    type: Literal["rmsprop"] = "rmsprop"
    decay: float = 0.99
    """Of the running mean of squares."""
    eps: float = 1e-8
    momentum: float = 0.0
    centred: bool = False
    """Divide by the standard deviation instead of the root mean square."""

    @property
    def states(self) -> int:
        return 1 + int(self.momentum > 0) + int(self.centred)


@dataclass(frozen=True, kw_only=True)
class AdamConfig(OptimizerConfig):
    """Weight decay as an L2 penalty; for decoupled decay: adamw."""

    type: Literal["adam"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(OptimizerConfig):
    type: Literal["adamw"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1


@dataclass(frozen=True, kw_only=True)
class LionConfig(OptimizerConfig):
    """The sign of a momentum; a learning rate of a third to a tenth of Adam's."""

    type: Literal["lion"] = "lion"
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)

    @property
    def states(self) -> int:
        return 1


@dataclass(frozen=True, kw_only=True)
class MuonConfig(OptimizerConfig):
    """Muon for matrices inside blocks, AdamW for the rest."""

    type: Literal["muon"] = "muon"
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's, like eps."""
    eps: float = 1e-8
    weight_decay: float = 0.1
    momentum: float = 0.95


@dataclass(frozen=True, kw_only=True)
class AdamW8bitConfig(OptimizerConfig):
    """AdamW with moments of 8 bits a number: a quarter of the memory of its states."""

    type: Literal["adamw8bit"] = "adamw8bit"
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    block_size: Literal[256, 2048] = 256
    """Numbers that share a scale; the paper used 2,048, later work 256: an outlier spoils fewer neighbours."""
    eight_bit_embeddings: bool = True
    """False keeps the states of embeddings and heads in 32 bits, which the paper found steadier for language models."""


OptimizerNode = node(SGDConfig, RMSpropConfig, AdamConfig, AdamWConfig, LionConfig, MuonConfig, AdamW8bitConfig)


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
    optimizers: list[torch.optim.Optimizer] = []
    muon: list[nn.Parameter] = []
    if isinstance(config, MuonConfig):
        muon = [p for p in roles["matrices"] if p.dim() == 2]
        roles = roles | {"matrices": [p for p in roles["matrices"] if p.dim() != 2]}
    embedding_lr = config.embedding_lr if config.embedding_lr is not None else config.lr
    lrs = {"embeddings": embedding_lr, "vectors": config.lr, "matrices": config.lr}
    groups: dict[str, dict[str, Any]] = {
        role: {"params": roles[role], "lr": lr, "weight_decay": 0.0 if role == "vectors" else config.weight_decay}
        for role, lr in lrs.items()
        if roles[role]
    }
    if isinstance(config, AdamW8bitConfig) and not config.eight_bit_embeddings and "embeddings" in groups:
        exact = [groups.pop("embeddings")]
        optimizers.append(AdamW(exact, betas=config.betas, eps=config.eps))
    if groups:
        optimizers.insert(0, _over(config, list(groups.values())))
    if muon:
        assert isinstance(config, MuonConfig)
        optimizers.append(Muon(muon, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay))
    return _remember_lr(optimizers)


def _over(config: OptimizerConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    match config:
        case SGDConfig():
            return SGD(groups, momentum=config.momentum, nesterov=config.nesterov)
        case RMSpropConfig():
            return RMSprop(groups, decay=config.decay, eps=config.eps, momentum=config.momentum, centred=config.centred)
        case LionConfig():
            return Lion(groups, betas=config.betas)
        case AdamConfig():
            return Adam(groups, betas=config.betas, eps=config.eps)
        case AdamW8bitConfig():
            return AdamW8bit(groups, betas=config.betas, eps=config.eps, block=config.block_size)
        case AdamWConfig() | MuonConfig():
            return AdamW(groups, betas=config.betas, eps=config.eps)
    raise AssertionError(config.type)


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

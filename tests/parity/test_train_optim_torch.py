"""Every optimizer beside torch.optim's on random parameters, gradients and settings; Lion beside its paper's formula."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup.train.optim import SGD, Adam, AdamW, Lion, RMSprop, build_optimizer
from groundup.train.optim.build import (
    AdamConfig,
    AdamWConfig,
    LionConfig,
    MuonConfig,
    OptimizerConfig,
    RMSpropConfig,
    SGDConfig,
)

SHAPES = ((7, 5), (11,), (3, 2, 4), (2, 3, 3, 3))


def walk(ours: Any, theirs: Callable[[list[nn.Parameter]], Any], steps: int = 25) -> None:
    """Both over the same gradients, which now and then are absent."""
    a = [nn.Parameter(torch.randn(s, dtype=torch.float64)) for s in SHAPES]
    b = [nn.Parameter(p.detach().clone()) for p in a]
    mine, reference = ours(a), theirs(b)
    for _ in range(steps):
        for p, q in zip(a, b, strict=True):
            p.grad = torch.randn_like(p) if random.random() < 0.9 else None
            q.grad = None if p.grad is None else p.grad.clone()
        mine.step()
        reference.step()
    for p, q in zip(a, b, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-11)


@pytest.fixture(autouse=True)
def seed() -> int:
    value = int.from_bytes(os.urandom(4), "little")
    print("seed", value)
    random.seed(value)
    torch.manual_seed(value)
    return value


def drawn_lr() -> float:
    return float(10 ** random.uniform(-4, -1))


@pytest.mark.row("1.3")
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_momentum_and_nesterov(momentum: float, nesterov: bool, decay: float) -> None:
    given = {"lr": drawn_lr(), "momentum": momentum, "nesterov": nesterov, "weight_decay": decay}
    walk(lambda p: SGD(p, **given), lambda p: torch.optim.SGD(p, **given))


@pytest.mark.row("1.3")
@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("centred", [False, True])
def test_rmsprop(momentum: float, centred: bool) -> None:
    given = {"lr": drawn_lr(), "momentum": momentum, "eps": 1e-6, "weight_decay": random.choice([0.0, 0.05])}
    decay = random.uniform(0.8, 0.99)
    walk(
        lambda p: RMSprop(p, decay=decay, centred=centred, **given),
        lambda p: torch.optim.RMSprop(p, alpha=decay, centered=centred, **given),
    )


@pytest.mark.row("1.3")
@pytest.mark.parametrize("one_pass", [True, False])
@pytest.mark.parametrize(("ours", "theirs"), [(Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)])
def test_adam_with_both_decays(ours: Any, theirs: Any, one_pass: bool) -> None:
    given = {"lr": drawn_lr(), "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": random.choice([0.0, 0.1])}
    walk(lambda p: ours(p, one_pass=one_pass, **given), lambda p: theirs(p, **given))


class LionOfThePaper:
    """Algorithm 2, a line of it a line here."""

    def __init__(self, params: list[nn.Parameter], lr: float, beta1: float, beta2: float, decay: float) -> None:
        self.params, self.lr, self.beta1, self.beta2, self.decay = params, lr, beta1, beta2, decay
        self.m: list[Tensor] = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self) -> None:
        for i, theta in enumerate(self.params):
            if theta.grad is None:
                continue
            g = theta.grad
            c = self.beta1 * self.m[i] + (1 - self.beta1) * g
            theta.copy_(theta - self.lr * (torch.sign(c) + self.decay * theta))
            self.m[i] = self.beta2 * self.m[i] + (1 - self.beta2) * g


@pytest.mark.row("1.3")
def test_lion() -> None:
    lr, decay = drawn_lr(), random.choice([0.0, 0.3])
    beta1, beta2 = random.uniform(0.8, 0.95), random.uniform(0.95, 0.999)
    walk(
        lambda p: Lion(p, lr=lr, betas=(beta1, beta2), weight_decay=decay),
        lambda p: LionOfThePaper(p, lr, beta1, beta2, decay),
    )


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.conv = nn.Conv2d(1, 2, 3)
        self.out = nn.Linear(4, 3)


@pytest.mark.row("1.3")
@pytest.mark.parametrize(
    "config",
    [
        SGDConfig(momentum=0.9, weight_decay=0.1),
        RMSpropConfig(weight_decay=0.1),
        AdamConfig(weight_decay=0.1),
        AdamWConfig(embedding_lr=0.5),
        LionConfig(weight_decay=0.1),
        MuonConfig(embedding_lr=0.5),
    ],
)
def test_every_parameter_is_stepped_once_and_vectors_do_not_decay(config: OptimizerConfig) -> None:
    model = Small()
    optimizers = build_optimizer(config, model)
    groups = [g for o in optimizers for g in o.param_groups]
    stepped = [id(p) for g in groups for p in g["params"]]
    assert sorted(stepped) == sorted(id(p) for p in model.parameters())
    for group in groups:
        assert group["base_lr"] == group["lr"]
        for p in group["params"]:
            assert (group["weight_decay"] == 0) == (p.dim() < 2)
            embeds = p is model.embed.weight and config.embedding_lr is not None
            assert group["lr"] == (config.embedding_lr if embeds else config.lr)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for optimizer in optimizers:
        optimizer.step()
    assert all(not torch.equal(p, before[n]) for n, p in model.named_parameters())
    if not isinstance(config, MuonConfig):
        held = sum(t.numel() for o in optimizers for s in o.state.values() for n, t in s.items() if n != "step")
        assert held == config.states * sum(p.numel() for p in model.parameters())

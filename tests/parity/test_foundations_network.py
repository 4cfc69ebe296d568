"""Layers, losses, optimizers and initial weights in NumPy, equal to PyTorch's; landscapes' gradients equal to differences."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from groundup.foundations import network as own
from groundup.foundations.autograd import Tensor, cross_entropy
from groundup.foundations.landscapes import LANDSCAPES, looks_convex
from groundup.foundations.network import Layer, Sequential
from groundup.foundations.optimise import SGD, Adam, descend


def fresh_rng() -> np.random.Generator:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    torch.manual_seed(seed)
    return np.random.default_rng(seed)


def as_float64(layer: Layer) -> Layer:
    """Parameters in float64, so that differences are not rounding."""
    for _, p in layer.named_parameters():
        p.data = p.data.astype(np.float64)
    return layer


LAYERS: dict[str, tuple[Callable[[np.random.Generator], Layer], Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda r: own.Linear(5, 3, r), lambda: nn.Linear(5, 3), (4, 5)),
    "conv": (
        lambda r: own.Conv2d(2, 3, 3, r, stride=2, padding=1),
        lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1),
        (2, 2, 6, 7),
    ),
    "layer_norm": (lambda r: own.LayerNorm(6), lambda: nn.LayerNorm(6), (3, 2, 6)),
    "rms_norm": (lambda r: own.RMSNorm(6), lambda: nn.RMSNorm(6, eps=1e-6), (3, 2, 6)),
    "batch_norm_rows": (lambda r: own.BatchNorm(4), lambda: nn.BatchNorm1d(4), (6, 4)),
    "batch_norm_images": (lambda r: own.BatchNorm(3), lambda: nn.BatchNorm2d(3), (2, 3, 4, 5)),
    "max_pool": (lambda r: own.MaxPool2d(2), lambda: nn.MaxPool2d(2), (2, 3, 5, 6)),
    "flatten": (lambda r: own.Flatten(), lambda: nn.Flatten(), (2, 3, 4)),
    "stack": (
        lambda r: Sequential(own.Linear(5, 8, r), own.Activation("gelu"), own.LayerNorm(8), own.Linear(8, 2, r)),
        lambda: nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2)),
        (7, 5),
    ),
}


@pytest.mark.row("1.2")
@pytest.mark.row("1.4")
@pytest.mark.parametrize("name", LAYERS)
def test_layers_equal_torch(name: str) -> None:
    """Values, gradients of inputs and parameters, keys and shapes of the weights; norms also after training steps, in prediction."""
    rng = fresh_rng()
    make, make_peer, shape = LAYERS[name]
    layer, peer = as_float64(make(rng)), make_peer().double()
    assert {n: p.data.shape for n, p in layer.named_parameters()} == {
        n: tuple(p.shape) for n, p in peer.named_parameters()
    }
    with torch.no_grad():
        for (_, mine), (_, theirs) in zip(layer.named_parameters(), peer.named_parameters(), strict=True):
            mine.data = rng.standard_normal(mine.shape)
            theirs.copy_(torch.tensor(mine.data))
    for training in (True, True, False):
        layer.train(training)
        peer.train(training)
        data = rng.standard_normal(shape)
        x, theirs_x = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
        out, wanted = layer(x), peer(theirs_x)
        tolerance = {"rtol": 1e-9, "atol": 1e-10} if "batch" not in name or training else {"rtol": 1e-5, "atol": 1e-6}
        np.testing.assert_allclose(out.data, wanted.detach().numpy(), **tolerance)  # running statistics are float32
        weights = rng.standard_normal(out.shape)
        for p in [p for _, p in layer.named_parameters()]:
            p.grad = None
        peer.zero_grad()
        out.backward(weights)
        wanted.backward(torch.tensor(weights))
        for (n, mine), (_, theirs) in zip(
            [("input", x), *layer.named_parameters()], [("input", theirs_x), *peer.named_parameters()], strict=True
        ):
            assert mine.grad is not None and theirs.grad is not None
            np.testing.assert_allclose(mine.grad, theirs.grad.numpy(), err_msg=n, **tolerance)


@pytest.mark.row("1.2")
@pytest.mark.parametrize("name", own.ACTIVATIONS)
def test_activations_equal_torch(name: str) -> None:
    rng = fresh_rng()
    peers: dict[str, Any] = {
        "relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu, "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "linear": lambda x: x,
    }  # fmt: skip
    x = 3 * rng.standard_normal((50, 4))
    np.testing.assert_allclose(
        own.Activation(name)(Tensor(x)).data, peers[name](torch.tensor(x)).numpy(), rtol=1e-10, atol=1e-12
    )
    if name in ("relu", "tanh", "sigmoid", "linear"):
        assert own.GAINS.get(name, 1.0) == pytest.approx(nn.init.calculate_gain(name))


@pytest.mark.row("1.2")
def test_embedding_and_losses() -> None:
    rng = fresh_rng()
    table = own.Embedding(9, 4, rng)
    ids = rng.integers(0, 9, (2, 5))
    peer = torch.tensor(table.weight.data, requires_grad=True)
    table(ids).sum().backward()
    F.embedding(torch.tensor(ids), peer).sum().backward()
    assert peer.grad is not None
    np.testing.assert_allclose(table.weight.grad, peer.grad.numpy())
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 3))
    assert own.mean_squared_error(Tensor(x), y).item() == pytest.approx(
        F.mse_loss(torch.tensor(x), torch.tensor(y)).item()
    )


@pytest.mark.row("1.4")
def test_dropout_keeps_the_mean_and_is_off_in_prediction() -> None:
    rng = fresh_rng()
    layer = own.Dropout(0.3, rng)
    x = Tensor(np.ones((400, 500), np.float32))
    out = layer(x).data
    assert set(np.unique(out)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    assert abs((out == 0).mean() - 0.3) < 0.01 and abs(out.mean() - 1) < 0.02
    layer.train(False)
    assert layer(x) is x


@pytest.mark.row("1.3")
@pytest.mark.row("0.4")
@pytest.mark.parametrize(
    ("make", "make_peer"),
    [
        (lambda p: SGD(p, lr=0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
        (lambda p: SGD(p, lr=0.05, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
        (
            lambda p: SGD(p, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
            lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
        ),
        (lambda p: Adam(p, lr=0.05), lambda p: torch.optim.Adam(p, lr=0.05)),
        (
            lambda p: Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
            lambda p: torch.optim.AdamW(p, lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        ),
    ],
    ids=["plain", "momentum", "nesterov", "adam", "adamw"],
)  # fmt: skip
def test_optimizers_equal_torch(make: Any, make_peer: Any) -> None:
    rng = fresh_rng()
    start = [rng.standard_normal((3, 2)), rng.standard_normal(4)]
    mine, theirs = [s.copy() for s in start], [torch.tensor(s.copy()) for s in start]
    ours, peer = make(mine), make_peer(theirs)
    for _ in range(20):
        grads = [rng.standard_normal(s.shape) for s in start]
        kept = [g.copy() for g in grads]
        ours.step(grads)
        for p, g in zip(theirs, kept, strict=True):
            p.grad = torch.tensor(g)
        peer.step()
        for g, k in zip(grads, kept, strict=True):
            np.testing.assert_array_equal(g, k)  # gradients are not changed
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.row("1.2")
def test_training_steps_equal_torch() -> None:
    """Loss, gradients and Adam together: the same convolutional network after ten steps."""
    rng = fresh_rng()
    mine = Sequential(
        own.Conv2d(1, 4, 3, rng, padding=1), own.Activation("tanh"), own.MaxPool2d(2), own.Flatten(), own.Linear(16, 3, rng)
    )  # fmt: skip
    peer = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    peer.load_state_dict({name: torch.tensor(value.copy()) for name, value in mine.state_dict().items()})
    as_float64(mine)
    peer.double()
    tensors = [p for _, p in mine.named_parameters()]
    ours, theirs = Adam([p.data for p in tensors], lr=0.01), torch.optim.Adam(peer.parameters(), lr=0.01)
    for _ in range(10):
        x, y = rng.standard_normal((8, 1, 4, 4)), rng.integers(0, 3, 8)
        for p in tensors:
            p.grad = None
        loss = cross_entropy(mine(Tensor(x)), y, label_smoothing=0.1)
        loss.backward()
        ours.step([p.grad for p in tensors if p.grad is not None])
        theirs.zero_grad()
        wanted = F.cross_entropy(peer(torch.tensor(x)), torch.tensor(y), label_smoothing=0.1)
        wanted.backward()
        theirs.step()
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-7)
    for a, (_, b) in zip(tensors, peer.named_parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.row("1.5")
def test_initial_weights_have_the_sizes_of_their_formulas() -> None:
    rng = fresh_rng()
    for shape in ((300, 500), (64, 32, 5, 5)):
        fan_in, fan_out = own.fans(shape)
        assert (fan_in, fan_out) == nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
        xavier, he = own.xavier_uniform(rng, shape, 2.0), own.he_normal(rng, shape)
        assert xavier.var() == pytest.approx(4 * 2 / (fan_in + fan_out), rel=0.03)
        assert np.abs(xavier).max() <= 2 * np.sqrt(6 / (fan_in + fan_out))
        assert he.var() == pytest.approx(2 / fan_in, rel=0.04)
        made = own.orthogonal(rng, shape, 1.5).reshape(shape[0], -1)
        np.testing.assert_allclose(made @ made.T, 2.25 * np.eye(shape[0]), atol=1e-10)
    tall = own.orthogonal(rng, (7, 3))
    np.testing.assert_allclose(tall.T @ tall, np.eye(3), atol=1e-12)


@pytest.mark.row("0.4")
@pytest.mark.parametrize("name", LANDSCAPES)
def test_landscapes_gradients_minima_and_convexity(name: str) -> None:
    rng = fresh_rng()
    landscape = LANDSCAPES[name]
    low, high = np.array(landscape.window[0::2]), np.array(landscape.window[1::2])
    points = rng.uniform(low, high, (20, 2))
    step = 1e-6
    for axis in (0, 1):
        shift = step * np.eye(2)[axis]
        slope = (landscape.value(points + shift) - landscape.value(points - shift)) / (2 * step)
        np.testing.assert_allclose(landscape.gradient(points)[:, axis], slope, rtol=1e-5, atol=1e-3)
    for minimum in landscape.minima:
        assert np.all(low <= np.array(minimum)) and np.all(np.array(minimum) <= high)
        assert abs(landscape.value(np.array(minimum)) - landscape.least) < 1e-9
        np.testing.assert_allclose(landscape.gradient(np.array(minimum)), 0, atol=1e-4)
    assert np.all(landscape.value(points) >= landscape.least - 1e-12)
    assert looks_convex(landscape.value, landscape.window, rng) == (name in ("quadratic", "ill_conditioned"))


@pytest.mark.row("0.4")
def test_descent_converges_below_two_over_curvature_and_not_beyond() -> None:
    bowl = LANDSCAPES["ill_conditioned"]
    below = descend(bowl.gradient, bowl.start, lambda p: SGD(p, lr=0.0198), 2000)
    beyond = descend(bowl.gradient, bowl.start, lambda p: SGD(p, lr=0.0202), 2000)
    assert bowl.value(below[-1]) < 1e-9 < 1.0 < bowl.value(beyond[-1])
    assert below.shape == (2001, 2) and np.all(np.isfinite(beyond))

"""Training steps of our own autograd in NumPy against PyTorch's, the same network, weights, batch and optimizer, one thread each.

    python benchmarks/autograd.py [--rounds 15] [--steps 40] [--batch 64] [--model mlp|cnn] [--json]

The networks are those of recipes/digits.yaml at MNIST's size: a perceptron 784-256-128-10, or a convolutional network (16 and 32 channels).
A step is forward, backward and Adam, as each library does it. Before anything is timed the losses, and the gradients of every
parameter, are compared in float32. The figure is how many times PyTorch's step time ours takes.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from measure import emit, interleave, machine_line, table
from torch import nn

from groundup.foundations.autograd import Tensor, cross_entropy
from groundup.foundations.optimise import Adam
from groundup.train.fit_numpy import NumpyCNNConfig, NumpyMLPConfig

LR = 0.001


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=40, help="of each round")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--model", choices=("mlp", "cnn"), default="mlp")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((given.batch, 1, 28, 28)).astype(np.float32)
    labels = rng.integers(0, 10, given.batch)

    config = NumpyMLPConfig() if given.model == "mlp" else NumpyCNNConfig()
    own = config.build((1, 28, 28), 10, np.random.default_rng(1))
    peer = _peer(given.model)
    peer.load_state_dict({name: torch.tensor(value.copy()) for name, value in own.state_dict().items()})
    tensors = [p for _, p in own.named_parameters()]
    ours, theirs = Adam([p.data for p in tensors], lr=LR), torch.optim.Adam(peer.parameters(), lr=LR)
    torch_images, torch_labels = torch.tensor(images), torch.tensor(labels)

    def own_step() -> float:
        for p in tensors:
            p.grad = None
        loss = cross_entropy(own(Tensor(images)), labels)
        loss.backward()
        ours.step([p.grad for p in tensors])
        return loss.item()

    def peer_step() -> float:
        theirs.zero_grad()
        loss = F.cross_entropy(peer(torch_images), torch_labels)
        loss.backward()
        theirs.step()
        return loss.item()

    losses = own_step(), peer_step()
    worst = 0.0
    for mine, other in zip(tensors, peer.parameters(), strict=True):
        assert mine.grad is not None and other.grad is not None
        scale = float(other.grad.abs().max())
        worst = max(worst, float(np.abs(mine.grad - other.grad.numpy()).max()) / scale)
    if abs(losses[0] - losses[1]) > 1e-5 * abs(losses[1]) or worst > 1e-4:
        raise SystemExit(f"not the same: losses {losses}, gradients apart by {worst:.2g} of the largest")

    def many(step: object) -> object:
        return lambda: [step() for _ in range(given.steps)]  # type: ignore[operator]

    found = interleave({"ours, NumPy": many(own_step), "PyTorch": many(peer_step)}, given.rounds, warm_up=1)  # type: ignore[dict-item]
    times = 1 / found.ratio("ours, NumPy", "PyTorch")
    rows = [
        [name, 1000 * t.median / given.steps, 1000 * t.best / given.steps, t.spread]
        for name, t in found.timings.items()
    ]
    text = "\n".join([
        machine_line("numpy", "torch"),
        f"{given.model}, {sum(p.data.size for p in tensors):,} parameters, batches of {given.batch}, one thread each; "
        f"losses equal to {abs(losses[0] - losses[1]):.1g}, gradients to {worst:.1g} of the largest",
        table(["step", "median ms", "best ms", "spread"], rows),
        f"our step takes {times:.2f} times as long as PyTorch's",
    ])  # fmt: skip
    emit(
        {"times_as_long": times, "losses": losses, "gradients_apart": worst, **found.as_json()},
        text,
        as_json=given.json,
    )


def _peer(model: str) -> nn.Module:
    if model == "mlp":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
        )
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


if __name__ == "__main__":
    main()

"""Gradient descent, momentum, Nesterov and Adam over plain arrays, and the path of any of them down a function.

The update is written out for arrays that change in place, so that the networks of `network.py` and the functions of `landscapes.py`
share it. The optimizers of PyTorch models are in groundup.train.optim. Left out: second-order steps, line search (see lbfgs.py).

Sources: Polyak 1964; Nesterov 1983, in the form of Sutskever et al. 2013 as PyTorch writes it; Kingma and Ba 2015, algorithm 1;
Loshchilov and Hutter 2019 for the decoupled decay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


class SGD:
    """v = momentum v + g; w -= lr v, or lr (g + momentum v) with nesterov."""

    def __init__(
        self,
        parameters: Sequence[np.ndarray],
        *,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters, self.lr = list(parameters), lr
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self._velocity = [np.zeros_like(p) for p in self.parameters]

    @property
    def state(self) -> list[np.ndarray]:
        """What it remembers of earlier steps, to be kept and put back in place."""
        return self._velocity

    def step(self, grads: Sequence[np.ndarray]) -> None:
        for p, g, v in zip(self.parameters, grads, self._velocity, strict=True):
            if self.weight_decay:
                g = g + self.weight_decay * p
            if self.momentum:
                v *= self.momentum
                v += g
                g = g + self.momentum * v if self.nesterov else v
            p -= self.lr * g


class Adam:
    """Steps of about lr in every coordinate: the mean of past gradients over the root of the mean of their squares."""

    def __init__(
        self,
        parameters: Sequence[np.ndarray],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """weight_decay is decoupled (AdamW)."""
        self.parameters, self.lr = list(parameters), lr
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self._steps = np.zeros(1, np.int64)
        self._mean = [np.zeros_like(p) for p in self.parameters]
        self._square = [np.zeros_like(p) for p in self.parameters]

    @property
    def state(self) -> list[np.ndarray]:
        """What it remembers of earlier steps, to be kept and put back in place."""
        return [self._steps, *self._mean, *self._square]

    def step(self, grads: Sequence[np.ndarray]) -> None:
        self._steps += 1
        b1, b2 = self.betas
        mean_scale, square_scale = (
            1 - b1 ** int(self._steps[0]),
            1 - b2 ** int(self._steps[0]),
        )  # both averages begin at zero
        for p, g, m, s in zip(self.parameters, grads, self._mean, self._square, strict=True):
            if self.weight_decay:
                p *= 1 - self.lr * self.weight_decay
            m *= b1
            m += (1 - b1) * g
            s *= b2
            s += (1 - b2) * (g * g)
            root = np.sqrt(s)
            root *= 1 / np.sqrt(square_scale)
            root += self.eps
            np.divide(m, root, out=root)
            root *= self.lr / mean_scale
            p -= root


def descend(
    gradient: Callable[[np.ndarray], np.ndarray],
    start: Sequence[float],
    make: Callable[[list[np.ndarray]], SGD | Adam],
    steps: int,
) -> np.ndarray:
    """The path [steps + 1, D] of an optimizer from `start`. It ends early, repeating its last point, where numbers run away."""
    point = np.array(start, np.float64)
    optimizer = make([point])
    path = np.empty((steps + 1, len(point)))
    path[0] = point
    for step in range(1, steps + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            optimizer.step([gradient(point)])
        if not np.all(np.abs(point) < 1e6):
            path[step:] = path[step - 1]
            break
        path[step] = point
    return path

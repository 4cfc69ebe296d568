"""Layers, losses and initial weights on the autograd of this package: networks small enough to train in NumPy.

Names, shapes, defaults and the keys of `state_dict` are PyTorch's, so that weights go either way. Left out: recurrent and attention
layers (groundup.nn has them), devices, half precision.

Sources: Glorot and Bengio 2010 (Xavier); He et al. 2015; Saxe et al. 2014 (orthogonal); Ioffe and Szegedy 2015 (batch norm); Ba et al.
2016 (layer norm); Zhang and Sennrich 2019 (RMSNorm); Srivastava et al. 2014 (dropout).

Letters: N rows, C channels, H and W height and width, K the side of a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import autograd as ag
from .autograd import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": ag.relu,
    "tanh": ag.tanh,
    "sigmoid": ag.sigmoid,
    "silu": ag.silu,
    "gelu": ag.gelu,
    "gelu_tanh": lambda x: ag.gelu(x, approximate="tanh"),
    "linear": lambda x: x,
}
GAINS = {"relu": math.sqrt(2), "tanh": 5 / 3, "silu": math.sqrt(2), "gelu": math.sqrt(2), "gelu_tanh": math.sqrt(2)}
"""By which initial weights are multiplied so that an activation hands on the variance that came in; 1 for the others. Those of relu
and tanh are PyTorch's calculate_gain; the smooth relatives of relu take relu's."""


# --- initial weights


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """How many numbers one output is made of, and how many outputs one number goes into: of [out, in] and [O, C, K, K]."""
    seen = math.prod(shape[2:])
    return shape[1] * seen, shape[0] * seen


def xavier_uniform(rng: np.random.Generator, shape: Sequence[int], gain: float = 1.0) -> np.ndarray:
    """Variance gain^2 * 2 / (fan in + fan out): a compromise between forward and backward."""
    bound = gain * math.sqrt(6 / sum(fans(shape)))
    return rng.uniform(-bound, bound, shape)


def he_normal(rng: np.random.Generator, shape: Sequence[int], gain: float = math.sqrt(2)) -> np.ndarray:
    """Variance gain^2 / fan in: what goes forward keeps its size."""
    return rng.normal(0, gain / math.sqrt(fans(shape)[0]), shape)


def orthogonal(rng: np.random.Generator, shape: Sequence[int], gain: float = 1.0) -> np.ndarray:
    """Rows (or columns, the fewer) that are orthonormal times gain: no direction shrinks or grows. Uniform over such matrices."""
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))  # without it QR's own choice of signs makes some matrices likelier (Mezzadri 2007)
    return gain * (q if rows >= columns else q.T).reshape(shape)


INITIALISERS: dict[str, Callable[..., np.ndarray]] = {
    "xavier": xavier_uniform, "he": he_normal, "orthogonal": orthogonal,
}  # fmt: skip


# --- layers


class Layer:
    """A part with parameters of its own and of the parts in its attributes."""

    training = True

    def __call__(self, x: Any) -> Tensor:
        raise NotImplementedError

    def parts(self) -> Iterator[tuple[str, Layer]]:
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value
            elif isinstance(value, list):
                yield from ((str(i), part) for i, part in enumerate(value) if isinstance(part, Layer))

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                yield name, value
        for name, part in self.parts():
            yield from ((f"{name}.{inner}", value) for inner, value in part.named_parameters())

    def buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Arrays that are kept but not learned."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                yield name, value
        for name, part in self.parts():
            yield from ((f"{name}.{inner}", value) for inner, value in part.buffers())

    def state_dict(self) -> dict[str, np.ndarray]:
        return {**{name: p.data for name, p in self.named_parameters()}, **dict(self.buffers())}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Copies in place. ValueError names what is missing, too much, or of another shape."""
        own = self.state_dict()
        if own.keys() != state.keys():
            raise ValueError(f"weights do not fit: {', '.join(sorted(own.keys() ^ state.keys()))}")
        for name, array in own.items():
            if array.shape != state[name].shape:
                raise ValueError(f"{name} has shape {state[name].shape}, not {array.shape}")
            array[...] = state[name]

    def train(self, mode: bool = True) -> None:
        self.training = mode
        for _, part in self.parts():
            part.train(mode)


def parameter(data: np.ndarray) -> Tensor:
    return Tensor(data.astype(np.float32), requires_grad=True)


class Linear(Layer):
    """x [..., in] -> [..., out]"""

    def __init__(
        self, inputs: int, outputs: int, rng: np.random.Generator, *, init: str = "xavier", gain: float = 1.0
    ) -> None:
        self.weight = parameter(INITIALISERS[init](rng, (outputs, inputs), gain))
        self.bias = parameter(np.zeros(outputs))

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


class Conv2d(Layer):
    """x [N, C, H, W] -> [N, out, ., .]"""

    def __init__(
        self, inputs: int, outputs: int, size: int, rng: np.random.Generator, *,
        stride: int = 1, padding: int = 0, init: str = "he", gain: float = math.sqrt(2),
    ) -> None:  # fmt: skip
        self.stride, self.padding = stride, padding
        self.weight = parameter(INITIALISERS[init](rng, (outputs, inputs, size, size), gain))
        self.bias = parameter(np.zeros(outputs))

    def __call__(self, x: Tensor) -> Tensor:
        return ag.conv2d(x, self.weight, stride=self.stride, padding=self.padding) + self.bias.reshape(-1, 1, 1)


class MaxPool2d(Layer):
    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, x: Tensor) -> Tensor:
        return ag.max_pool2d(x, self.size)


class Flatten(Layer):
    """[N, ...] -> [N, rest]"""

    def __call__(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1)


class Embedding(Layer):
    """Whole numbers [...] -> [..., size]"""

    def __init__(self, count: int, size: int, rng: np.random.Generator) -> None:
        self.weight = parameter(rng.standard_normal((count, size)))

    def __call__(self, x: np.ndarray) -> Tensor:
        return ag.embedding(self.weight, x)


class Activation(Layer):
    def __init__(self, name: str) -> None:
        self.function = ACTIVATIONS[name]

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x)


class Dropout(Layer):
    """While training each number is zero with probability p, and the others are larger by 1 / (1 - p)."""

    def __init__(self, p: float, rng: np.random.Generator) -> None:
        self.p, self.rng = p, rng

    def __call__(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = self.rng.random(x.shape, np.float32) >= self.p
        return x * Tensor(kept / np.asarray(1 - self.p, x.data.dtype))


class LayerNorm(Layer):
    """Mean 0 and variance 1 over the last axis, then a scale and a shift for each place."""

    def __init__(self, size: int, *, eps: float = 1e-5) -> None:
        self.eps = eps
        self.weight, self.bias = parameter(np.ones(size)), parameter(np.zeros(size))

    def __call__(self, x: Tensor) -> Tensor:
        apart = x - x.mean(-1, keepdims=True)
        return apart / ag.sqrt((apart * apart).mean(-1, keepdims=True) + self.eps) * self.weight + self.bias


class RMSNorm(Layer):
    """Mean square 1 over the last axis, then a scale for each place."""

    def __init__(self, size: int, *, eps: float = 1e-6) -> None:
        self.eps = eps
        self.weight = parameter(np.ones(size))

    def __call__(self, x: Tensor) -> Tensor:
        return x / ag.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weight


class BatchNorm(Layer):
    """Mean 0 and variance 1 of each feature [N, C] or channel [N, C, H, W] over the batch; over what was seen while training, when not."""

    def __init__(self, size: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = parameter(np.ones(size)), parameter(np.zeros(size))
        self.running_mean, self.running_var = np.zeros(size, np.float32), np.ones(size, np.float32)

    def __call__(self, x: Tensor) -> Tensor:
        axes, shape = ((0,), (-1,)) if x.ndim == 2 else ((0, 2, 3), (-1, 1, 1))
        weight, bias = self.weight.reshape(*shape), self.bias.reshape(*shape)
        if not self.training:
            scale = weight * Tensor(1 / np.sqrt(self.running_var.reshape(shape) + self.eps))
            return (x - Tensor(self.running_mean.reshape(shape))) * scale + bias
        mean = x.mean(axes, keepdims=True)
        apart = x - mean
        var = (apart * apart).mean(axes, keepdims=True)
        count = x.data.size // len(self.running_mean)
        for kept, new in ((self.running_mean, mean.data), (self.running_var, var.data * (count / max(1, count - 1)))):
            kept += self.momentum * (new.reshape(-1) - kept)
        return apart / ag.sqrt(var + self.eps) * weight + bias


class Sequential(Layer):
    def __init__(self, *layers: Layer) -> None:
        self.layers = list(layers)

    def __call__(self, x: Any) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        made: Tensor = x
        return made


# --- losses


def mean_squared_error(x: Tensor, targets: np.ndarray) -> Tensor:
    apart = x - Tensor(targets)
    return (apart * apart).mean()

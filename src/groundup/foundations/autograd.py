"""Reverse-mode automatic differentiation over NumPy arrays: one file, to be read in one sitting.

A `Tensor` is an array that remembers what it was made of. Every operation computes its result, and keeps a function that turns
the gradient of the result into the gradients of its operands (the vector-Jacobian product). `backward` orders the graph so that
a tensor comes after everything that used it (a topological order, reversed), and runs these functions once each, adding up
where a tensor was used more than once.

    w = Tensor(np.ones(3), requires_grad=True)
    loss = ((w * 2 - 1) ** 2).mean()
    loss.backward()
    w.grad                       # array([1.33, 1.33, 1.33])

Broadcasting is NumPy's; its gradient is the sum over what was broadcast (`_summed_to`). Names and meanings of arguments are NumPy's
where NumPy has the operation, PyTorch's where it has not. Left out: second derivatives, changes in place, views of one memory,
devices, groups and dilation of convolutions.

Sources: Linnainmaa 1970; Baydin et al. 2018, "Automatic differentiation in machine learning: a survey", section 3.2; PyTorch's
documentation for what the operations mean.

Letters: N images, C channels, O output channels, H and W height and width, K the side of a kernel, V classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Vjp: TypeAlias = Callable[[Array], Sequence["Array | None"]]
"""Gradient of the result -> gradient of each operand; None for one that is not asked for."""
Axis: TypeAlias = int | tuple[int, ...] | None

_recording: ContextVar[bool] = ContextVar("recording", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """What is computed inside remembers nothing: for predictions, and for what is to be taken as constant."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


class Tensor:
    """An array with a gradient. `grad` is filled by `backward`, and added to until it is set to None. It is not to be
    changed in place: two leaves may share one array.
    """

    __slots__ = ("_parents", "_vjp", "data", "grad", "requires_grad")
    __array_ufunc__ = None  # array + Tensor asks Tensor.__radd__ instead of going through the elements

    def __init__(self, data: Any, *, requires_grad: bool = False) -> None:
        self.data: Array = np.asarray(data)
        if self.data.dtype.kind != "f":
            self.data = self.data.astype(np.float64)
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self._parents: tuple[Tensor, ...] = ()
        self._vjp: Vjp | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    def __repr__(self) -> str:
        return f"Tensor({self.data!r}{', requires_grad=True' if self.requires_grad else ''})"

    def item(self) -> float:
        return float(self.data.item())

    def detach(self) -> Tensor:
        """The same numbers, as a constant."""
        return Tensor(self.data)

    def backward(self, grad: Array | None = None) -> None:
        """Add d self / d leaf (times `grad`, which a scalar does not need) to the `grad` of every leaf that requires it.

        The graph is let go of on the way: a second backward through the same operations finds nothing.
        """
        if not self.requires_grad:
            raise ValueError("backward of a tensor that no tensor with requires_grad=True went into")
        if grad is None:
            if self.data.size != 1:
                raise ValueError(
                    f"backward of a tensor of shape {self.shape} needs the gradient of each of its elements"
                )
            grad = np.ones_like(self.data)
        grads: dict[int, Array] = {id(self): grad}
        for node in reversed(_topological_order(self)):
            found = grads.pop(id(node))
            if node._vjp is None:
                node.grad = found if node.grad is None else node.grad + found
                continue
            for parent, part in zip(node._parents, node._vjp(found), strict=True):
                if part is not None and parent.requires_grad:
                    before = grads.get(id(parent))
                    grads[id(parent)] = part if before is None else before + part
            node._parents, node._vjp = (), _spent

    # --- operators

    def __add__(self, other: Any) -> Tensor:
        a, b = self, _tensor(other, self)
        return _made(a.data + b.data, (a, b), lambda g: (_summed_to(g, a.shape), _summed_to(g, b.shape)))

    def __sub__(self, other: Any) -> Tensor:
        a, b = self, _tensor(other, self)
        return _made(a.data - b.data, (a, b), lambda g: (_summed_to(g, a.shape), _summed_to(-g, b.shape)))

    def __mul__(self, other: Any) -> Tensor:
        a, b = self, _tensor(other, self)

        def vjp(g: Array) -> Sequence[Array | None]:
            return (
                _summed_to(g * b.data, a.shape) if a.requires_grad else None,
                _summed_to(g * a.data, b.shape) if b.requires_grad else None,
            )

        return _made(a.data * b.data, (a, b), vjp)

    def __truediv__(self, other: Any) -> Tensor:
        a, b = self, _tensor(other, self)
        out = a.data / b.data

        def vjp(g: Array) -> Sequence[Array | None]:
            share = g / b.data
            return _summed_to(share, a.shape), _summed_to(-share * out, b.shape) if b.requires_grad else None

        return _made(out, (a, b), vjp)

    def __pow__(self, other: Any) -> Tensor:
        a, b = self, _tensor(other, self)
        out = a.data**b.data

        def vjp(g: Array) -> Sequence[Array | None]:
            of_base = _summed_to(g * b.data * a.data ** (b.data - 1), a.shape) if a.requires_grad else None
            if not b.requires_grad:
                return of_base, None
            logs = np.log(np.where(a.data > 0, a.data, 1.0))  # 0^b stays 0 whatever a positive b is
            return of_base, _summed_to(g * out * logs, b.shape)

        return _made(out, (a, b), vjp)

    def __neg__(self) -> Tensor:
        return _made(-self.data, (self,), lambda g: (-g,))

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Tensor:
        return _tensor(other, self).__sub__(self)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _tensor(other, self).__truediv__(self)

    def __matmul__(self, other: Tensor) -> Tensor:
        return matmul(self, other)

    # --- shapes

    def reshape(self, *shape: int) -> Tensor:
        return _made(self.data.reshape(shape), (self,), lambda g: (g.reshape(self.shape),))

    def transpose(self, *axes: int) -> Tensor:
        """Axes in a new order; without any, all reversed."""
        order = axes or tuple(range(self.ndim))[::-1]
        return _made(self.data.transpose(order), (self,), lambda g: (g.transpose(np.argsort(order)),))

    @property
    def T(self) -> Tensor:
        return self.transpose()

    def __getitem__(self, index: Any) -> Tensor:
        """Slices, numbers, and arrays of numbers or of truth values. An element that is taken twice gets both gradients."""

        taken_once = all(isinstance(i, (int, slice)) or i is None or i is ... for i in _as_tuple(index))

        def vjp(g: Array) -> Sequence[Array]:
            whole = np.zeros_like(self.data)
            if taken_once:
                whole[index] = g
            else:
                np.add.at(whole, index, g)
            return (whole,)

        return _made(self.data[index], (self,), vjp)

    # --- reductions

    def sum(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        out = self.data.sum(axis=axis, keepdims=keepdims)
        return _made(out, (self,), lambda g: (np.broadcast_to(_expanded(g, axis, keepdims), self.shape),))

    def mean(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        out = self.data.mean(axis=axis, keepdims=keepdims)
        count = self.data.size // max(1, out.size)
        return _made(out, (self,), lambda g: (np.broadcast_to(_expanded(g / count, axis, keepdims), self.shape),))

    def var(self, axis: Axis = None, *, keepdims: bool = False, correction: int = 0) -> Tensor:
        """Mean squared distance from the mean; correction: 1 divides by one less (the unbiased estimate)."""
        apart = self - self.mean(axis, keepdims=True)
        squares = (apart * apart).sum(axis, keepdims=keepdims)
        return squares / (self.data.size // max(1, squares.data.size) - correction)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """Equal largest elements share the gradient, as in torch.amax."""
        out = self.data.max(axis=axis, keepdims=keepdims)

        def vjp(g: Array) -> Sequence[Array]:
            best = self.data == _expanded(out, axis, keepdims)
            return (best * (_expanded(g, axis, keepdims) / best.sum(axis=axis, keepdims=True)),)

        return _made(out, (self,), vjp)


# --- how the graph is made and walked


def _made(data: Array, parents: tuple[Tensor, ...], vjp: Vjp) -> Tensor:
    """The result of an operation. It remembers how it was made only if one of its operands requires a gradient."""
    out = Tensor(data)
    if _recording.get() and any(parent.requires_grad for parent in parents):
        out.requires_grad, out._parents, out._vjp = True, parents, vjp
    return out


def _spent(grad: Array) -> Sequence[Array]:
    raise ValueError("this graph was walked by backward before; compute the result again")


def _topological_order(root: Tensor) -> list[Tensor]:
    """Everything `root` was made of that requires a gradient, operands before results. A stack of its own: graphs are deeper
    than Python's.
    """
    order: list[Tensor] = []
    seen: set[int] = set()
    stack: list[tuple[Tensor, bool]] = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in node._parents if parent.requires_grad)
    return order


def _as_tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _tensor(value: Any, like: Tensor) -> Tensor:
    """Numbers take the dtype of what they are combined with, so that 2 * x keeps float32."""
    return value if isinstance(value, Tensor) else Tensor(np.asarray(value, like.data.dtype))


def _summed_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an operand of `shape` that was broadcast: summed over the axes that it did not have."""
    if grad.shape == shape:
        return grad
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    summed: Array = grad.sum(axis=tuple(i for i, n in enumerate(shape) if n != grad.shape[i]), keepdims=True)
    return summed


def _expanded(reduced: Array, axis: Axis, keepdims: bool) -> Array:
    """With the axes of a reduction back, of length 1; without an axis it is a scalar, which broadcasts as it is."""
    return reduced if keepdims or axis is None else np.expand_dims(reduced, axis)


# --- products


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Of matrices, stacks of them (broadcast) and vectors, as np.matmul."""
    left = a.data[None, :] if a.ndim == 1 else a.data
    right = b.data[:, None] if b.ndim == 1 else b.data
    full = left @ right
    out = full.squeeze(tuple(axis for axis, vector in ((-2, a.ndim == 1), (-1, b.ndim == 1)) if vector))

    def vjp(g: Array) -> Sequence[Array | None]:
        g = g.reshape(full.shape)
        of_left = _summed_to(g @ right.swapaxes(-1, -2), left.shape).reshape(a.shape) if a.requires_grad else None
        of_right = _summed_to(left.swapaxes(-1, -2) @ g, right.shape).reshape(b.shape) if b.requires_grad else None
        return of_left, of_right

    return _made(out, (a, b), vjp)


def embedding(table: Tensor, ids: Array) -> Tensor:
    """Rows of table [V, D] by whole numbers ids [...]: [..., D]."""
    return table[ids]


# --- element by element


def exp(x: Tensor) -> Tensor:
    out = np.exp(x.data)
    return _made(out, (x,), lambda g: (g * out,))


def log(x: Tensor) -> Tensor:
    return _made(np.log(x.data), (x,), lambda g: (g / x.data,))


def sqrt(x: Tensor) -> Tensor:
    out = np.sqrt(x.data)
    return _made(out, (x,), lambda g: (g / (2 * out),))


def tanh(x: Tensor) -> Tensor:
    out = np.tanh(x.data)
    return _made(out, (x,), lambda g: (g * (1 - out * out),))


def _logistic(x: Array) -> Array:
    return 0.5 * np.tanh(0.5 * x) + 0.5  # the same as 1 / (1 + exp(-x)), and cannot overflow


def sigmoid(x: Tensor) -> Tensor:
    out = _logistic(x.data)
    return _made(out, (x,), lambda g: (g * out * (1 - out),))


def relu(x: Tensor) -> Tensor:
    return _made(np.maximum(x.data, 0), (x,), lambda g: (g * (x.data > 0),))


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), or swish."""
    gate = _logistic(x.data)
    return _made(x.data * gate, (x,), lambda g: (g * gate * (1 + x.data * (1 - gate)),))


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x; approximate="tanh": GPT-2's formula (Hendrycks and Gimpel 2016)."""
    z = x.data
    if approximate == "tanh":
        scale = float(np.sqrt(2 / np.pi))
        t = np.tanh(scale * (z + 0.044715 * z * z * z))
        inner = scale * (1 + 3 * 0.044715 * z * z)
        return _made(0.5 * z * (1 + t), (x,), lambda g: (g * (0.5 * (1 + t) + 0.5 * z * (1 - t * t) * inner),))
    from .erf import erf

    below = 0.5 * (1 + erf(z * float(np.sqrt(0.5))))
    return _made(z * below, (x,), lambda g: (g * (below + z * np.exp(-0.5 * z * z) * float(1 / np.sqrt(2 * np.pi))),))


def where(condition: Array, a: Tensor, b: Tensor) -> Tensor:
    out = np.where(condition, a.data, b.data)
    return _made(
        out, (a, b), lambda g: (_summed_to(g * condition, a.shape), _summed_to(g * np.logical_not(condition), b.shape))
    )


# --- over an axis


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    out = np.exp(x.data - x.data.max(axis=axis, keepdims=True))  # the largest becomes exp(0): no overflow
    out /= out.sum(axis=axis, keepdims=True)
    return _made(out, (x,), lambda g: (out * (g - (g * out).sum(axis=axis, keepdims=True)),))


def _log_softmax(x: Array, axis: int) -> Array:
    apart = x - x.max(axis=axis, keepdims=True)
    made: Array = apart - np.log(np.exp(apart).sum(axis=axis, keepdims=True))
    return made


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    out = _log_softmax(x.data, axis)
    return _made(out, (x,), lambda g: (g - np.exp(out) * g.sum(axis=axis, keepdims=True),))


def cross_entropy(logits: Tensor, targets: Array, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean of -log softmax(logits)[target]: logits [..., V], targets whole numbers [...].

    label_smoothing: that share of the target is spread evenly over all V classes (Szegedy et al. 2016). One operation, because its
    gradient is simple: (softmax - target) / number of targets.
    """
    logprobs = _log_softmax(logits.data, -1)
    width = logprobs.shape[-1]
    count = max(1, targets.size)
    rows, wanted = logprobs.reshape(-1, width), targets.reshape(-1)
    places = np.arange(targets.size)
    loss = -(1 - label_smoothing) * rows[places, wanted].sum() - label_smoothing * rows.sum() / width

    def vjp(g: Array) -> Sequence[Array]:
        apart = np.exp(rows)
        apart[places, wanted] -= 1 - label_smoothing
        apart -= label_smoothing / width
        return ((apart * (g / count)).reshape(logits.shape),)

    return _made(np.asarray(loss / count, logits.data.dtype), (logits,), vjp)


# --- joining and images


def concatenate(parts: Sequence[Tensor], axis: int = 0) -> Tensor:
    ends = np.cumsum([part.shape[axis] for part in parts])[:-1]
    out = np.concatenate([part.data for part in parts], axis=axis)
    return _made(out, tuple(parts), lambda g: np.split(g, ends, axis=axis))


def pad(x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """Zeros before and after, for each axis."""
    inside = tuple(slice(before, before + size) for (before, _), size in zip(widths, x.shape, strict=True))
    return _made(np.pad(x.data, widths), (x,), lambda g: (g[inside],))


def _window(i: int, j: int, rows: int, columns: int, stride: int) -> tuple[Any, ...]:
    """What the place (i, j) of a kernel sees of [N, C, H, W] while the kernel moves over it: [N, C, rows, columns]."""
    return ..., slice(i, i + stride * (rows - 1) + 1, stride), slice(j, j + stride * (columns - 1) + 1, stride)


def conv2d(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Cross-correlation of x [N, C, H, W] with weight [O, C, K, K]: [N, O, rows, columns].

    As one matrix product: the C K K numbers that each place of the output sees become a column ("im2col", Chellapilla et al. 2006).
    """
    if padding:
        x = pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (n, channels, height, width), (out_channels, _, kh, kw) = x.shape, weight.shape
    rows, cols = (height - kh) // stride + 1, (width - kw) // stride + 1
    columns = np.empty((channels, kh, kw, n, rows, cols), x.data.dtype)
    for i in range(kh):
        for j in range(kw):
            columns[:, i, j] = x.data[_window(i, j, rows, cols, stride)].swapaxes(0, 1)
    flat = columns.reshape(channels * kh * kw, -1)
    kernel = weight.data.reshape(out_channels, -1)
    out = (kernel @ flat).reshape(out_channels, n, rows, cols).swapaxes(0, 1)

    def vjp(g: Array) -> Sequence[Array | None]:
        g = g.swapaxes(0, 1).reshape(out_channels, -1)
        of_weight = (g @ flat.T).reshape(weight.shape) if weight.requires_grad else None
        if not x.requires_grad:
            return None, of_weight
        back = (kernel.T @ g).reshape(columns.shape)
        of_x = np.zeros_like(x.data)
        for i in range(kh):
            for j in range(kw):
                of_x[_window(i, j, rows, cols, stride)] += back[:, i, j].swapaxes(0, 1)
        return of_x, of_weight

    return _made(out, (x, weight), vjp)


def max_pool2d(x: Tensor, size: int, *, stride: int | None = None) -> Tensor:
    """Largest of each size x size window of x [N, C, H, W]. Of equal ones the first gets the gradient, as in PyTorch."""
    stride = stride or size
    rows, cols = (x.shape[2] - size) // stride + 1, (x.shape[3] - size) // stride + 1
    places = [_window(i, j, rows, cols, stride) for i in range(size) for j in range(size)]
    out = x.data[places[0]].copy()
    for place in places[1:]:
        np.maximum(out, x.data[place], out=out)

    def vjp(g: Array) -> Sequence[Array]:
        of_x = np.zeros_like(x.data)
        taken = np.zeros(out.shape, bool)
        for place in places:
            first = (x.data[place] == out) & ~taken
            of_x[place] += first * g
            taken |= first
        return (of_x,)

    return _made(out, (x,), vjp)

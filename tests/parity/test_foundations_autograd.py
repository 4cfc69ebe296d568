"""Autograd: values and gradients equal to PyTorch's and to differences, on graphs that hypothesis makes and op by op."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundup.foundations import autograd as ag
from groundup.foundations.autograd import Tensor

pytestmark = [pytest.mark.row("1.1"), pytest.mark.row("1.2")]
NEAR = {"rtol": 1e-9, "atol": 1e-10}

UNARY: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[torch.Tensor], torch.Tensor]]] = {
    "neg": (lambda x: -x, lambda x: -x),
    "exp": (lambda x: ag.exp(ag.tanh(x)), lambda x: x.tanh().exp()),
    "log": (lambda x: ag.log(x * x + 0.5), lambda x: (x * x + 0.5).log()),
    "sqrt": (lambda x: ag.sqrt(x * x + 0.5), lambda x: (x * x + 0.5).sqrt()),
    "tanh": (ag.tanh, torch.tanh),
    "sigmoid": (ag.sigmoid, torch.sigmoid),
    "relu": (ag.relu, torch.relu),
    "silu": (ag.silu, F.silu),
    "gelu": (ag.gelu, F.gelu),
    "gelu_tanh": (lambda x: ag.gelu(x, approximate="tanh"), lambda x: F.gelu(x, approximate="tanh")),
    "square": (lambda x: x**2, lambda x: x**2),
    "cube_of_number": (lambda x: 3 - 2 * x**3 / 7, lambda x: 3 - 2 * x**3 / 7),
    "base": (lambda x: Tensor(1.5) ** ag.tanh(x), lambda x: 1.5 ** x.tanh()),
    "reciprocal": (lambda x: 1 / (x * x + 1), lambda x: 1 / (x * x + 1)),
    "flat": (lambda x: x.reshape(-1), lambda x: x.reshape(-1)),
    "reversed": (lambda x: x.transpose(), lambda x: x.permute(tuple(range(x.ndim)[::-1]))),
    "sum": (lambda x: x.sum(), lambda x: x.sum()),
    "mean": (lambda x: x.mean(), lambda x: x.mean()),
    "where": (lambda x: ag.where(x.data > 0.1, x, x * x), lambda x: torch.where(x > 0.1, x, x * x)),
}
EVERY_SECOND: Callable[[Any, int], Any] = lambda x, d: x[(slice(None),) * d + (slice(None, None, 2),)]  # noqa: E731
WITH_AXIS: dict[str, tuple[Callable[[Tensor, int], Tensor], Callable[[torch.Tensor, int], torch.Tensor]]] = {
    "softmax": (ag.softmax, lambda x, d: x.softmax(d)),
    "log_softmax": (ag.log_softmax, lambda x, d: x.log_softmax(d)),
    "sum": (lambda x, d: x.sum(d), lambda x, d: x.sum(d)),
    "mean_kept": (lambda x, d: x.mean(d, keepdims=True), lambda x, d: x.mean(d, keepdim=True)),
    "max": (lambda x, d: x.max(d), lambda x, d: x.amax(d)),
    "max_kept": (lambda x, d: x.max(d, keepdims=True), lambda x, d: x.amax(d, keepdim=True)),
    "var": (lambda x, d: x.var(d), lambda x, d: x.var(d, correction=0)),
    "joined": (lambda x, d: ag.concatenate([x, x * 2, x], d), lambda x, d: torch.cat([x, x * 2, x], d)),
    "padded": (
        lambda x, d: ag.pad(x, [(1, 2) if i == d else (0, 0) for i in range(x.ndim)]),
        lambda x, d: torch.cat([torch.zeros_like(x.narrow(d, 0, 1)), x, *[torch.zeros_like(x.narrow(d, 0, 1))] * 2], d),
    ),
    "first": (lambda x, d: x[(slice(None),) * d + (0,)], lambda x, d: x.select(d, 0)),
    "every_second": (EVERY_SECOND, EVERY_SECOND),
    "rows_twice": (
        lambda x, d: x[(slice(None),) * d + (np.array([0, x.shape[d] - 1, 0]),)],
        lambda x, d: x.index_select(d, torch.tensor([0, x.shape[d] - 1, 0])),
    ),
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (b * b + 0.7),
    "pow": lambda a, b: (a * a + 0.5) ** b,
}
STEP = st.tuples(
    st.sampled_from(["unary"] * 3 + ["axis"] * 3 + ["binary"] * 3 + ["matmul"]), *[st.integers(0, 1000)] * 4
)


def leaves_of(shape: list[int], masks: list[int], seed: int) -> list[np.ndarray]:
    """Leaves that broadcast to `shape`: some leading axes dropped, some of length 1."""
    rng = np.random.default_rng(seed)
    made = []
    for mask in masks:
        dropped = mask % (len(shape) + 1)
        kept = [1 if mask >> (4 + i) & 1 else n for i, n in enumerate(shape[dropped:])]
        made.append(rng.uniform(-2, 2, kept))
    return made


def run(program: list[tuple[Any, ...]], values: list[Any], *, ours: bool) -> Any:
    """The same program over either library: a scalar."""
    side = 0 if ours else 1
    for kind, which, first, second, axis in program:
        a, b = values[first % len(values)], values[second % len(values)]
        if kind == "matmul" and a.ndim >= 2:
            made = a @ a.transpose(*range(a.ndim - 2), a.ndim - 1, a.ndim - 2) if ours else a @ a.mT
        elif kind == "binary" and fits(a.shape, b.shape):
            made = BINARY[sorted(BINARY)[which % len(BINARY)]](a, (ag.tanh(b) if ours else b.tanh()))
        elif kind == "axis" and a.ndim:
            made = WITH_AXIS[sorted(WITH_AXIS)[which % len(WITH_AXIS)]][side](a, axis % a.ndim)
        else:
            made = UNARY[sorted(UNARY)[which % len(UNARY)]][side](a)
        size = max(made.shape, default=1)
        if size > 60:
            made = made.mean()
        # Keeps numbers where differences can be taken; the same decision on both sides.
        values = [*values, (ag.tanh(made * 0.3) if ours else (made * 0.3).tanh())]
    total: Any = values[-1].sum()
    for value in values[:-1]:
        total = total + (value * 0.5).mean()
    return total


def fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        return False
    return True


@settings(max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    masks=st.lists(st.integers(0, 255), min_size=2, max_size=4),
    program=st.lists(STEP, min_size=1, max_size=9),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_graphs_equal_torch_and_differences(
    shape: list[int], masks: list[int], program: list[tuple[Any, ...]], seed: int
) -> None:
    arrays = leaves_of(shape, masks, seed)
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    mine, peer = run(program, list(ours), ours=True), run(program, list(theirs), ours=False)
    np.testing.assert_allclose(mine.data, peer.detach().numpy(), **NEAR)
    mine.backward()
    peer.backward()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None and b.grad is not None and a.grad.shape == a.shape
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-8, atol=1e-9)
    rng = np.random.default_rng(seed)
    for a in ours:
        place = tuple(int(rng.integers(n)) for n in a.shape)
        assert a.grad is not None
        assert_is_slope(lambda: run(program, list(ours), ours=True).item(), a.data, place, float(a.grad[place]))


def assert_is_slope(value: Callable[[], float], array: np.ndarray, place: tuple[int, ...], grad: float) -> None:
    """Central differences; where the function has a corner at this very place the differences of the two sides disagree."""
    step, kept, middle = 1e-5, float(array[place]), value()
    array[place] = kept + step
    above = value()
    array[place] = kept - step
    below = value()
    array[place] = kept
    left, right = (middle - below) / step, (above - middle) / step
    if abs(left - right) < 1e-2 * max(1.0, abs(grad)):
        assert abs((above - below) / (2 * step) - grad) < 1e-5 * max(1.0, abs(grad)) + abs(left - right) / 4


def fresh_rng() -> np.random.Generator:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    return np.random.default_rng(seed)


def compare(
    ours: Callable[..., Tensor], theirs: Callable[..., torch.Tensor], arrays: list[np.ndarray], *, slopes: int = 2
) -> None:
    rng = np.random.default_rng(0)
    mine = [Tensor(a, requires_grad=True) for a in arrays]
    peers = [torch.tensor(a, requires_grad=True) for a in arrays]
    out, wanted = ours(*mine), theirs(*peers)
    assert out.shape == tuple(wanted.shape)
    np.testing.assert_allclose(out.data, wanted.detach().numpy(), **NEAR)
    weights = rng.standard_normal(out.shape)
    out.backward(weights)
    wanted.backward(torch.tensor(weights))
    for a, b in zip(mine, peers, strict=True):
        assert a.grad is not None and b.grad is not None and a.grad.shape == a.shape
        np.testing.assert_allclose(a.grad, b.grad.numpy(), **NEAR)
        for _ in range(slopes):
            place = tuple(int(rng.integers(n)) for n in a.shape)
            assert_is_slope(lambda: float((ours(*mine).data * weights).sum()), a.data, place, float(a.grad[place]))  # fmt: skip


@pytest.mark.parametrize("trial", range(6))
def test_convolution_and_pooling(trial: int) -> None:
    rng = fresh_rng()
    n, c, o, k, stride, padding = (int(rng.integers(1, 4)) for _ in range(6))
    size = k + int(rng.integers(0, 6))
    images, kernel = rng.standard_normal((n, c, size, size + 1)), rng.standard_normal((o, c, k, k))
    compare(
        lambda x, w: ag.conv2d(x, w, stride=stride, padding=padding - 1),
        lambda x, w: F.conv2d(x, w, stride=stride, padding=padding - 1),
        [images, kernel],
    )
    compare(
        lambda x: ag.max_pool2d(x, k, stride=stride), lambda x: F.max_pool2d(x, k, stride=stride), [images.round(1)],
        slopes=0,  # rounded: equal ones within a window, where there is no slope
    )  # fmt: skip
    compare(lambda x: ag.max_pool2d(x, k), lambda x: F.max_pool2d(x, k), [images])


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 1, 2, 3), (5, 3, 2)), ((2, 3), (4, 3, 2)),
                                    ((3,), (4, 3, 2)), ((4, 2, 3), (3,))])  # fmt: skip
def test_matmul_of_every_shape(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    rng = fresh_rng()
    compare(ag.matmul, torch.matmul, [rng.standard_normal(shape) for shape in shapes])


def test_embedding_and_cross_entropy() -> None:
    rng = fresh_rng()
    ids = rng.integers(0, 5, (3, 4))
    compare(lambda w: ag.embedding(w, ids), lambda w: F.embedding(torch.tensor(ids), w), [rng.standard_normal((5, 2))])
    for smoothing in (0.0, 0.1, 0.7):
        compare(
            lambda x, s=smoothing: ag.cross_entropy(x, ids, label_smoothing=s),
            lambda x, s=smoothing: F.cross_entropy(x.reshape(-1, 5), torch.tensor(ids).reshape(-1), label_smoothing=s),
            [10 * rng.standard_normal((3, 4, 5))],
        )


def test_masks_and_pairs_of_places_are_indices() -> None:
    rng = fresh_rng()
    x = rng.standard_normal((4, 5))
    mask = x > 0
    compare(lambda a: a[mask], lambda a: a[torch.tensor(mask)], [x])
    rows, columns = rng.integers(0, 4, 6), rng.integers(0, 5, 6)
    compare(lambda a: a[rows, columns], lambda a: a[torch.tensor(rows), torch.tensor(columns)], [x])
    compare(lambda a: a[None, 1:, ..., 0], lambda a: a[None, 1:, ..., 0], [x])


def test_extreme_numbers_stay_numbers() -> None:
    x = np.array([-1e4, -800.0, -30.0, 0.0, 30.0, 800.0, 1e4])
    for ours, theirs in ((ag.sigmoid, torch.sigmoid), (ag.silu, F.silu), (ag.tanh, torch.tanh), (ag.softmax, lambda x: x.softmax(-1)),
                         (ag.gelu, F.gelu), (ag.log_softmax, lambda x: x.log_softmax(-1))):  # fmt: skip
        compare(ours, theirs, [x], slopes=0)


def test_float32_stays_float32() -> None:
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    out = ((2 * x - 1) / 3 + ag.gelu(x) ** 2).mean()
    out.backward()
    assert out.data.dtype == np.float32 and x.grad is not None and x.grad.dtype == np.float32


def test_a_deep_graph_and_a_tensor_used_often() -> None:
    x = Tensor(np.array(1.0), requires_grad=True)
    y = x
    for _ in range(5000):
        y = y + x
    y.backward()
    assert x.grad == 5001


def test_no_grad_and_errors() -> None:
    x = Tensor(np.ones(3), requires_grad=True)
    with ag.no_grad():
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad and not (x.detach() * 2).requires_grad
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        (x * 2).backward()
    with pytest.raises(ValueError, match="requires_grad"):
        Tensor(np.ones(())).backward()
    y = (x * 2).sum()
    y.backward()
    y2 = y
    with pytest.raises(ValueError, match="walked"):
        y2.backward()


def test_gradients_add_up_until_cleared() -> None:
    x = Tensor(np.ones(3), requires_grad=True)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad, [5, 5, 5])

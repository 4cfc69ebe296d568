"""Recurrent layers against torch.nn's on random shapes and weights: outputs, states and gradients, by the equations and fused."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup.nn.mixers.rnn import GATES, Recurrent

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def fresh_seed() -> int:
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed)
    random.seed(seed)
    torch.manual_seed(seed)
    return seed


def torch_twin(ours: Recurrent, input_size: int) -> Any:
    """torch's module with the same weights; its two biases are ours and zero, but where the GRU needs both."""
    theirs = CELLS[ours.cell](
        input_size, ours.hidden_size, ours.num_layers, bidirectional=ours.num_directions == 2, batch_first=True
    ).to(ours.layers[0].weight_ih.dtype)
    with torch.no_grad():
        for number, layer in enumerate(ours.layers):
            level, direction = divmod(number, ours.num_directions)
            end = f"_l{level}" + ("_reverse" if direction else "")
            getattr(theirs, "weight_ih" + end).copy_(layer.weight_ih)
            getattr(theirs, "weight_hh" + end).copy_(layer.weight_hh)
            getattr(theirs, "bias_ih" + end).copy_(layer.bias)
            getattr(theirs, "bias_hh" + end).zero_()
            if layer.bias_n is not None:
                getattr(theirs, "bias_hh" + end)[2 * ours.hidden_size :] = layer.bias_n
    return theirs


def random_case(cell: str, *, dtype: torch.dtype) -> tuple[Recurrent, Any, Tensor, tuple[Tensor, ...]]:
    inputs, hidden = random.randint(1, 40), random.randint(1, 40)
    layers, both = random.randint(1, 3), random.random() < 0.5
    ours = Recurrent(inputs, hidden, layers, cell, both).to(dtype)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.uniform_(-1, 1).div_(hidden**0.5)  # larger, and rounding grows from step to step
    batch, steps = random.randint(1, 9), random.randint(1, 12)
    x = torch.randn(batch, steps, inputs, dtype=dtype)
    state = tuple(
        torch.randn(layers * (1 + both), batch, hidden, dtype=dtype) for _ in range(2 if cell == "lstm" else 1)
    )
    return ours, torch_twin(ours, inputs), x, state


def everything(module: Any, x: Tensor, state: tuple[Tensor, ...], weights: list[Tensor]) -> list[Tensor]:
    """Output, last state, and the gradients of a loss that hangs on both, of input, first state and weights."""
    x = x.clone().requires_grad_()
    begun = tuple(part.clone().requires_grad_() for part in state)
    given: Any = begun if isinstance(module, (Recurrent, nn.LSTM)) else begun[0]
    y, ended = module(x, given)
    ended = ended if isinstance(ended, tuple) else (ended,)
    loss = sum((part * weight).sum() for part, weight in zip((y, *ended), weights, strict=True))
    module.zero_grad()
    loss.backward()  # type: ignore[union-attr]
    parameters = dict(module.named_parameters())
    if isinstance(module, Recurrent):
        grads = [
            parameters[f"layers.{i}.{n}"].grad
            for i in range(len(module.layers))
            for n in ("weight_ih", "weight_hh", "bias")
        ]
    else:
        ends = [f"_l{i}{e}" for i in range(module.num_layers) for e in ("", "_reverse")[: 1 + module.bidirectional]]
        grads = [parameters[n + end].grad for end in ends for n in ("weight_ih", "weight_hh", "bias_ih")]
    return [y.detach(), *(part.detach() for part in ended), x.grad, *(part.grad for part in begun), *grads]  # type: ignore[list-item]


@pytest.mark.row("2.3")
@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize("fused", [False, True])
def test_layers_equal_torch(cell: str, fused: bool) -> None:
    fresh_seed()
    for _ in range(6):
        dtype = torch.float32 if fused else torch.float64
        ours, theirs, x, state = random_case(cell, dtype=dtype)
        for layer in ours.layers:
            layer.fused = fused  # type: ignore[assignment]
        with torch.no_grad():
            y, ended = ours(x, state)
        weights = [torch.randn_like(part) for part in (y, *ended)]
        found, wanted = everything(ours, x, state, weights), everything(theirs, x, state, weights)
        for mine, reference in zip(found, wanted, strict=True):
            scale = float(reference.abs().max()) + 1e-3
            close = 2e-5 if fused else 1e-12
            torch.testing.assert_close(mine, reference, rtol=0, atol=close * max(1.0, scale))


@pytest.mark.row("2.3")
def test_the_gradient_of_the_gru_s_inner_bias_equals_torch() -> None:
    fresh_seed()
    ours, theirs, x, state = random_case("gru", dtype=torch.float32)
    ours(x, state)[0].square().sum().backward()
    theirs(x, state[0])[0].square().sum().backward()
    wanted = theirs.bias_hh_l0.grad[2 * ours.hidden_size :]
    torch.testing.assert_close(ours.layers[0].bias_n.grad, wanted, rtol=1e-4, atol=1e-4)  # type: ignore[union-attr, arg-type]


@pytest.mark.row("2.3")
@pytest.mark.parametrize("cell", list(CELLS))
def test_lengths_equal_torch_s_packed_sequences(cell: str) -> None:
    fresh_seed()
    ours, theirs, x, state = random_case(cell, dtype=torch.float32)
    lengths = torch.randint(1, x.shape[1] + 1, (x.shape[0],))
    lengths[0] = x.shape[1]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, ended = ours(x, state, lengths)
    made, last = theirs(packed, state if cell == "lstm" else state[0])
    wanted, _ = nn.utils.rnn.pad_packed_sequence(made, batch_first=True)
    torch.testing.assert_close(y, wanted, rtol=0, atol=2e-5)
    for mine, reference in zip(ended, last if cell == "lstm" else (last,), strict=True):
        torch.testing.assert_close(mine, reference, rtol=0, atol=5e-5)


@pytest.mark.row("2.3")
@pytest.mark.parametrize("cell", list(CELLS))
def test_bfloat16_stays_near_float32(cell: str) -> None:
    """What is remembered is float32, so rounding does not add up along the steps."""
    fresh_seed()
    ours = Recurrent(32, 48, 1, cell)  # type: ignore[arg-type]
    x = torch.randn(8, 60, 32)
    exact, _ = ours(x)
    exact = exact.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded, _ = ours(x)
    assert rounded.dtype is torch.bfloat16
    assert float((rounded.detach().float() - exact).abs().mean()) < 0.006
    ours(x)[0].square().sum().backward()
    grads = [p.grad.clone() for p in ours.parameters()]  # type: ignore[union-attr]
    ours.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours(x)[0].float().square().sum().backward()
    for got, wanted in zip((p.grad for p in ours.parameters()), grads, strict=True):
        assert float((got - wanted).norm() / wanted.norm()) < 0.05  # type: ignore[operator]


@pytest.mark.row("2.3")
def test_gates_are_counted_as_torch_counts_them() -> None:
    for cell, module in CELLS.items():
        assert module(3, 5).weight_ih_l0.shape == (GATES[cell] * 5, 3)

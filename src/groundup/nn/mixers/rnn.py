"""Recurrent layers: simple (Elman 1990), LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000) and GRU (Cho et
al. 2014, with the reset gate behind the matrix, as cuDNN has it), stacked, in one direction or two.

`reference` is the equations, a step at a time. Training and reading on a CPU go another way to the same numbers: the input's part of all
steps is one matrix product, a step multiplies by the recurrent weights and goes through its gates in one compiled pass
(rnn_kernels.py), and the gradient is written by hand, so that the weights' gradients are one product over all steps too. In bfloat16
what is remembered (an LSTM's c, the others' h) stays float32. Dropout may be locked: one mask for all steps of a call (Gal and
Ghahramani 2016); the recurrent weights may be dropped too (Merity et al. 2018).

Left out: peepholes, projections inside a layer (LSTMP), layer normalisation; a gradient that goes through the fused path twice.

Letters: B batch, T steps, I inputs, H hidden, G gates (LSTM 4: i f g o; GRU 3: r z n; simple 1), L layers, N directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..linear import as_numpy, product, repeated_product, weight_gradient
from ..state import SequenceState

Cell = Literal["rnn", "lstm", "gru"]
State = tuple[Tensor, ...]
"""(h, c) of an LSTM, (h,) of the others."""

GATES: dict[str, int] = {"rnn": 1, "lstm": 4, "gru": 3}
PARTS: dict[str, int] = {"rnn": 1, "lstm": 2, "gru": 1}
"""Tensors of a state."""
_FEW_STEPS = 4
"""With fewer, bringing the weights into another order takes longer than it saves."""


def step(cell: str, projected: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """One step of the equations. projected [B, G H]: the input's part, with its bias; weight [G H, H]; bias [H]: GRU only."""
    h = state[0]
    recurrent = F.linear(h, weight)
    match cell:
        case "rnn":
            return (torch.tanh(projected + recurrent),)
        case "lstm":
            i, f, g, o = (projected + recurrent).chunk(4, dim=-1)
            c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c
        case _:
            assert bias is not None
            size = h.shape[-1]
            r, z = torch.sigmoid(projected[:, : 2 * size] + recurrent[:, : 2 * size]).chunk(2, dim=-1)
            n = torch.tanh(projected[:, 2 * size :] + r * (recurrent[:, 2 * size :] + bias))
            return ((1 - z) * n + z * h,)


def reference(
    cell: str, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, bias_n: Tensor | None, state: State
) -> State:
    """x [T, B, I] -> every tensor of the state after each step, [T, B, H]."""
    projected = F.linear(x, weight_ih, bias)
    seen = []
    for t in range(x.shape[0]):
        state = step(cell, projected[t], state, weight_hh, bias_n)
        seen.append(state)
    return tuple(torch.stack(part) for part in zip(*seen))


def fused(
    cell: str, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, bias_n: Tensor | None, state: State
) -> State:
    """The same; everything of one dtype, float32 or bfloat16, but an LSTM's c, which is float32."""
    hidden, remembered = _Recurrence.apply(cell, x, weight_ih, weight_hh, bias, bias_n, *state)  # type: ignore[no-untyped-call]
    return (hidden, remembered) if cell == "lstm" else (hidden,)


class _Recurrence(torch.autograd.Function):
    """-> hidden [T, B, H], remembered [T, B, H] float32 (for the LSTM; without a gradient for the others)."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        bias_n: Tensor | None,
        h: Tensor,
        c: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        from . import rnn_kernels as kernels

        steps, batch, inputs = x.shape
        size = weight_hh.shape[1]
        projected = product(x.reshape(steps * batch, inputs), weight_ih, bias).view(steps, batch, -1)
        gates = torch.empty(steps, batch, {"rnn": 0, "lstm": 4, "gru": 4}[cell] * size)
        hidden = x.new_empty(steps + 1, batch, size)
        remembered = torch.empty(steps + 1, batch, size)
        hidden[0] = h
        remembered[0] = h if c is None else c
        times = repeated_product(weight_hh, batch) if steps >= _FEW_STEPS else lambda row: product(row, weight_hh)
        p, g, m, out = as_numpy(projected), gates.numpy(), remembered.numpy(), as_numpy(hidden)
        before = hidden.unbind(0)
        if cell == "gru":
            assert bias_n is not None
            added = bias_n.float().numpy()
            for t in range(steps):
                kernels.gru_forward(t, p, as_numpy(times(before[t])), added, g, m, out)
        else:
            run = kernels.lstm_forward if cell == "lstm" else kernels.rnn_forward
            for t in range(steps):
                run(t, p, as_numpy(times(before[t])), g, m, out)
        ctx.cell = cell
        ctx.save_for_backward(x, weight_ih, weight_hh, gates, hidden, remembered)
        ctx.set_materialize_grads(False)
        kept = remembered[1:]
        if cell != "lstm":
            ctx.mark_non_differentiable(kept)
        return hidden[1:], kept

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: Tensor | None, of_remembered: Tensor | None) -> Any:
        from . import rnn_kernels as kernels

        x, weight_ih, weight_hh, gates, hidden, remembered = ctx.saved_tensors
        cell, (steps, batch, inputs), size = ctx.cell, x.shape, weight_hh.shape[1]
        run = {"rnn": kernels.rnn_backward, "lstm": kernels.lstm_backward, "gru": kernels.gru_backward}[cell]
        above = torch.zeros_like(hidden[1:]) if above is None else above.to(x.dtype).contiguous()
        d_sums = x.new_empty(steps, batch, GATES[cell] * size)
        d_recurrent = torch.empty_like(d_sums) if cell == "gru" else d_sums
        later, carry = x.new_zeros(batch, size), torch.zeros(batch, size)
        turned = weight_hh.t()
        times = repeated_product(turned, batch) if steps >= _FEW_STEPS else lambda row: product(row, turned)
        g, m, out, a = gates.numpy(), remembered.numpy(), as_numpy(hidden), as_numpy(above)
        d, e, dc = as_numpy(d_sums), as_numpy(d_recurrent), carry.numpy()
        rows = d_recurrent.unbind(0)
        for t in reversed(range(steps)):
            if of_remembered is not None:
                carry += of_remembered[t]
            run(t, g, m, out, a, as_numpy(later), dc, d, e)
            later = times(rows[t])
        d_h = later if cell != "gru" else later + carry.to(later.dtype)
        d_c = carry if cell == "lstm" else None
        flat, flat_recurrent = d_sums.view(steps * batch, -1), d_recurrent.view(steps * batch, -1)
        d_x = product(flat, weight_ih.t()).view(x.shape) if ctx.needs_input_grad[1] else None
        d_ih = weight_gradient(flat, x.reshape(steps * batch, inputs)) if ctx.needs_input_grad[2] else None
        d_hh = (
            weight_gradient(flat_recurrent, hidden[:-1].reshape(steps * batch, size))
            if ctx.needs_input_grad[3]
            else None
        )
        d_bias_n = _column_sums(flat_recurrent[:, 2 * size :]) if cell == "gru" else None
        given = (None, d_x, d_ih, d_hh, _column_sums(flat), d_bias_n, d_h)
        return (*given, d_c) if cell == "lstm" else given


def _column_sums(rows: Tensor) -> Tensor:
    return rows.sum(0, dtype=torch.float32).to(rows.dtype)


class RecurrentLayer(nn.Module):
    """One layer in one direction, with torch's shapes and order of gates; the two biases that torch adds up are one here."""

    def __init__(self, input_size: int, hidden_size: int, cell: Cell = "lstm", *, weight_dropout: float = 0.0) -> None:
        super().__init__()
        self.cell, self.hidden_size, self.weight_dropout = cell, hidden_size, weight_dropout
        self.weight_ih = nn.Parameter(torch.empty(GATES[cell] * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(GATES[cell] * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(GATES[cell] * hidden_size))
        self.bias_n = nn.Parameter(torch.empty(hidden_size)) if cell == "gru" else None
        """Inside the reset gate, with the recurrent part of the new state."""
        self.fused = True
        self.initialise()

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None = None, bound: float | None = None) -> None:
        """Weights uniform within `bound` (None: 1 / sqrt(H), torch's own); biases 0, but 1 for an LSTM's forget gate, so that it begins by
        remembering (Jozefowicz et al. 2015)."""
        bound = bound or 1 / math.sqrt(self.hidden_size)
        for weight in (self.weight_ih, self.weight_hh):
            weight.uniform_(-bound, bound, generator=generator)
        self.bias.zero_()
        if self.bias_n is not None:
            self.bias_n.zero_()
        if self.cell == "lstm":
            self.bias[self.hidden_size : 2 * self.hidden_size] = 1.0

    def forward(self, x: Tensor, state: State) -> State:
        """x [T, B, I], state [B, H] each -> the state after each step, [T, B, H] each."""
        weight_hh = F.dropout(self.weight_hh, self.weight_dropout, self.training)
        given: list[Any] = [x, self.weight_ih, weight_hh, self.bias, self.bias_n]
        h, *c = state
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            given = [None if part is None else part.to(dtype) for part in given]
        x = given[0]
        if not self.fused or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16):
            with torch.autocast(x.device.type, enabled=False):
                w_ih, w_hh, bias, bias_n = given[1:]
                return reference(self.cell, x, w_ih, w_hh, bias, bias_n, tuple(part.to(x.dtype) for part in state))
        made: State = _whole(self.cell, *given, (h.to(x.dtype), *(part.float() for part in c)))
        return made


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _whole(cell: str, *given: Any) -> State:
    """Outside of any compiled graph, which would unroll the steps."""
    return fused(cell, *given)


class Recurrent(nn.Module):
    """Layers on top of each other, in one direction or two: [B, T, I] -> [B, T, H N]."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        cell: Cell = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
        *,
        locked: bool = False,
        weight_dropout: float = 0.0,
    ) -> None:
        """dropout: between layers. locked: one mask for all steps. weight_dropout: of the recurrent weights, once a call."""
        super().__init__()
        self.hidden_size, self.num_layers, self.cell, self.dropout = hidden_size, num_layers, cell, dropout
        self.num_directions = 2 if bidirectional else 1
        self.output_size = hidden_size * self.num_directions
        sizes = [input_size, *[self.output_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(
            RecurrentLayer(size, hidden_size, cell, weight_dropout=weight_dropout)
            for size in sizes
            for _ in range(self.num_directions)
        )
        """Layer by layer, forward before backward."""
        self.drop = Dropout(dropout, locked=locked)

    def initialise(self, generator: torch.Generator | None = None, bound: float | None = None) -> Recurrent:
        for layer in self.layers:
            layer.initialise(generator, bound)  # type: ignore[operator]
        return self

    def init_state(self, batch_size: int) -> State:
        """[L N, B, H] zeros each, float32."""
        like = self.layers[0].weight_hh
        shape = (len(self.layers), batch_size, self.hidden_size)
        dtype = torch.float64 if like.dtype is torch.float64 else torch.float32
        return tuple(torch.zeros(shape, dtype=dtype, device=like.device) for _ in range(PARTS[self.cell]))  # type: ignore[arg-type]

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """x [B, T, I] -> (y [B, T, H N], state), each tensor of a state [L N, B, H] as in torch. lengths [B]: positions from a row's
        length on are not there: y is 0 for them, the state is that after the last one that is, and the way back begins there.
        """
        state = self.init_state(x.shape[0]) if state is None else state
        y = x.transpose(0, 1)
        ends: list[State] = []
        for level in range(self.num_layers):
            if level:
                y = self.drop(y)
            made = []
            for direction in range(self.num_directions):
                number = level * self.num_directions + direction
                given = _turned(y, lengths) if direction else y
                seen: State = self.layers[number](given, tuple(part[number] for part in state))
                ends.append(tuple(_last(part, lengths) for part in seen))
                made.append(_turned(seen[0], lengths) if direction else seen[0])
            y = made[0] if len(made) == 1 else torch.cat(made, dim=-1)
            if lengths is not None:
                there = torch.arange(y.shape[0], device=y.device)[:, None] < lengths
                y = y * there[:, :, None]
        return y.transpose(0, 1), tuple(torch.stack(part) for part in zip(*ends))


def _turned(x: Tensor, lengths: Tensor | None) -> Tensor:
    """[T, B, I], each row back to front within its length; its own inverse there."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(x.shape[0], device=x.device)[:, None]
    index = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.gather(0, index[:, :, None].expand(-1, -1, x.shape[2]))


def _last(seen: Tensor, lengths: Tensor | None) -> Tensor:
    """[T, B, H] -> [B, H]"""
    if lengths is None:
        return seen[-1]
    return seen[lengths - 1, torch.arange(seen.shape[1], device=seen.device)]


class Dropout(nn.Module):
    """[T, B, D]; locked: what is dropped at one step is dropped at all."""

    def __init__(self, p: float, *, locked: bool = False) -> None:
        super().__init__()
        self.p, self.locked = p, locked

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.p):
            return x
        if not self.locked:
            return F.dropout(x, self.p)
        return x * F.dropout(x.new_ones(1, *x.shape[1:]), self.p)


class RecurrentMemory:
    """What one layer carries from call to call, [R, parts, H] float32: a `groundup.nn.state.Memory`.

    It stands where its row has come to and nowhere else, so a row cannot go back.
    """

    rewinds = False

    def __init__(self, rows: int, cell: str, hidden_size: int, *, device: torch.device) -> None:
        self.values = torch.zeros(rows, PARTS[cell], hidden_size, device=device)

    def read(self, state: SequenceState) -> State:
        """[B, H] each; zeros for rows that begin."""
        going = (state.lengths > 0).to(self.values.dtype)[:, None, None]
        return tuple((self.values[state.rows] * going).unbind(1))

    def write(self, state: SequenceState, parts: Sequence[Tensor]) -> None:
        self.values[state.rows] = torch.stack([part.detach().float() for part in parts], dim=1)

    def copy(self, sources: Sequence[int], targets: Sequence[int], num_tokens: int) -> None:
        self.values[list(targets)] = self.values[list(sources)]

    def move(self, source: int, target: int) -> None:
        self.values[target] = self.values[source]

    def restart(self, num_tokens: int) -> None:
        self.values.zero_()

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

"""What a sequence carries from one call of a model to the next: an argument, never a global.

`SequenceState` says where the tokens of a call sit (rows, lengths, documents) and is shared by all layers; each layer has a
`Memory` of its own kind (keys and values, a recurrent state, past inputs), so a hybrid is a list of different memories
under one state. Memories are pools of rows: the engine lets sequences come and go by moving rows, and a mixer asks its
memory only to append or to read and write, so pages can replace rows without any mixer knowing.

Letters: B batch rows of a call, R rows of the pool, T query positions, S key positions, D hidden, K kv heads, N head size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .branches import Branches

_GROW_TOKENS = 256
"""Memories grow by this many positions at least: rare enough to be free, small enough not to waste."""


class Memory(Protocol):
    """What one layer remembers of R sequences.

    A row whose length in the `SequenceState` is 0 starts afresh, whatever the memory held for it before: that is how an engine
    gives a row to the next sequence. A recurrent memory must look at the lengths for it; keys and values need not.
    """

    rewinds: bool
    """Is what was put in behind a row's length as if it had never been? Then prompts of one call may be padded at their end,
    and tokens taken back, by counting them out of the length. Keys and values can; a recurrent state cannot."""

    def copy(self, sources: Sequence[int], targets: Sequence[int], num_tokens: int) -> None:
        """Rows `targets` become equal to rows `sources`, as far as the first `num_tokens` tokens go. No row is in both."""
        ...

    def move(self, source: int, target: int) -> None:
        """Row `source` takes the place of row `target`."""
        ...

    def restart(self, num_tokens: int) -> None:
        """Forget all rows, and have room for exactly `num_tokens` tokens a row where room is counted in tokens: what a step
        computes is then the same to the last bit whatever was done before."""
        ...

    @property
    def nbytes(self) -> int: ...


class KeyValues:
    """Keys and values of past positions, [R, K, capacity, N] each."""

    rewinds = True

    def __init__(self, rows: int, num_heads: int, head_dim: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self.keys = torch.zeros(rows, num_heads, 0, head_dim, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)

    def append(self, k: Tensor, v: Tensor, state: SequenceState) -> tuple[Tensor, Tensor]:
        """Store k, v [B, K, T, N] behind what each row has; return all keys and values [B, K, S, N] of those rows."""
        new, end = k.shape[2], state.stored + k.shape[2]
        self.reserve(end)
        rows = state.rows
        if state.uniform:
            self.keys[rows, :, state.stored : end] = k.to(self.keys.dtype)
            self.values[rows, :, state.stored : end] = v.to(self.values.dtype)
            if state.stored == 0:
                return k, v
        elif new == 1:
            index = state.once("rows", lambda: torch.arange(rows.start, rows.stop, device=k.device))
            self.keys[index, :, state.lengths] = k[:, :, 0].to(self.keys.dtype)
            self.values[index, :, state.lengths] = v[:, :, 0].to(self.values.dtype)
        else:
            for b, start in enumerate(state.lengths.tolist()):
                self.keys[rows.start + b, :, start : start + new] = k[b].to(self.keys.dtype)
                self.values[rows.start + b, :, start : start + new] = v[b].to(self.values.dtype)
        return self.keys[rows, :, :end], self.values[rows, :, :end]

    def reserve(self, needed: int) -> None:
        """Make room for `needed` positions a row."""
        rows, heads, have, size = self.keys.shape
        if needed <= have:
            return
        capacity = max(needed, have * 3 // 2, _GROW_TOKENS)
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = torch.zeros(rows, heads, capacity, size, dtype=old.dtype, device=old.device)
            new[:, :, :have] = old
            setattr(self, name, new)

    def copy(self, sources: Sequence[int], targets: Sequence[int], num_tokens: int) -> None:
        for pool in (self.keys, self.values):
            for source, target in zip(sources, targets):
                pool[target, :, :num_tokens] = pool[source, :, :num_tokens]

    def move(self, source: int, target: int) -> None:
        self.copy((source,), (target,), self.keys.shape[2])

    def restart(self, num_tokens: int) -> None:
        # Old numbers are finite and masked, so a pool of the right size stays as it is.
        if self.keys.shape[2] != num_tokens:
            rows, heads, _, size = self.keys.shape
            self.keys = self.keys.new_zeros(rows, heads, num_tokens, size)
            self.values = torch.zeros_like(self.keys)

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class PastInputs:
    """The inputs a mixer has seen, [R, capacity, D]; see `Replay`."""

    rewinds = True

    def __init__(self, rows: int, hidden_size: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self.inputs = torch.zeros(rows, 0, hidden_size, dtype=dtype, device=device)

    def append(self, x: Tensor, state: SequenceState) -> Tensor:
        """Store x [B, T, D]; return all inputs [B, S, D]."""
        end = state.stored + x.shape[1]
        if end > self.inputs.shape[1]:
            rows, have, size = self.inputs.shape
            grown = torch.zeros(
                rows, max(end, have * 3 // 2, _GROW_TOKENS), size, dtype=self.inputs.dtype, device=x.device
            )
            grown[:, :have] = self.inputs
            self.inputs = grown
        for b, start in enumerate(state.lengths.tolist()):
            self.inputs[state.rows.start + b, start : start + x.shape[1]] = x[b].to(self.inputs.dtype)
        return self.inputs[state.rows, :end]

    def copy(self, sources: Sequence[int], targets: Sequence[int], num_tokens: int) -> None:
        for source, target in zip(sources, targets):
            self.inputs[target, :num_tokens] = self.inputs[source, :num_tokens]

    def move(self, source: int, target: int) -> None:
        self.copy((source,), (target,), self.inputs.shape[1])

    def restart(self, num_tokens: int) -> None:
        if self.inputs.shape[1] != num_tokens:
            rows, _, size = self.inputs.shape
            self.inputs = self.inputs.new_zeros(rows, num_tokens, size)

    @property
    def nbytes(self) -> int:
        return self.inputs.nbytes


class SequenceState:
    """Where the B rows of a call sit in the memories, how many tokens each already has, and masks made from that once
    for all layers.
    """

    def __init__(
        self,
        memories: Sequence[Memory | None],
        lengths: Tensor,
        *,
        rows: slice | None = None,
        documents: Tensor | None = None,
        uniform_length: int | None = None,
        branches: Branches | None = None,
    ) -> None:
        """lengths [B] int64: tokens each row already has. rows: which rows of the memories (default the first B).
        documents [B, T]: for packed training rows. branches: for samples that share their prompts. uniform_length: the value, if
        all lengths are known to be equal.
        """
        self.memories = memories
        self.lengths = lengths
        self.rows = rows if rows is not None else slice(0, lengths.shape[0])
        self.documents = documents
        self.branches = branches
        if uniform_length is not None:
            self.stored, self.uniform = uniform_length, True
        else:
            values = lengths.tolist()
            self.stored = max(values, default=0)
            self.uniform = all(v == self.stored for v in values)
        self.positions: Tensor = lengths[:, None]
        self._made: dict[Hashable, Any] = {}

    @classmethod
    def for_documents(cls, documents: Tensor, num_layers: int) -> SequenceState:
        """A training state without memory: attention stays inside each document, positions start at 0 in each.

        documents [B, T]: equal numbers belong together and must be adjacent.
        """
        return cls(
            [None] * num_layers,
            torch.zeros(documents.shape[0], dtype=torch.long, device=documents.device),
            documents=documents,
            uniform_length=0,
        )

    @classmethod
    def for_branches(cls, branches: Branches, num_layers: int) -> SequenceState:
        """A training state without memory, for one row that `branches` describes (attention layers only)."""
        return cls([None] * num_layers, torch.zeros(1, dtype=torch.long), branches=branches, uniform_length=0)

    def enter(self, num_new: int) -> None:
        """Called once by the model at the start of a call with T = num_new: sets `positions` [B, T]."""
        steps = torch.arange(num_new, device=self.lengths.device)
        if self.branches is not None:
            self.positions = self.branches.positions()
        elif self.documents is None:
            self.positions = self.lengths[:, None] + steps
        else:
            starts = torch.ones_like(self.documents, dtype=torch.bool)
            starts[:, 1:] = self.documents[:, 1:] != self.documents[:, :-1]
            first = torch.where(starts, steps, 0).cummax(dim=1).values
            self.positions = steps - first
        self._made.clear()

    def advanced(self, num_new: int) -> SequenceState:
        """The state after a call with T = num_new."""
        return SequenceState(
            self.memories,
            self.lengths + num_new,
            rows=self.rows,
            uniform_length=self.stored + num_new if self.uniform else None,
        )

    def layer(self, index: int) -> LayerState:
        return LayerState(self, self.memories[index])

    def mask(self, num_queries: int, num_keys: int, window: int | None) -> Tensor | None:
        """Which keys each query may see, [B, 1, T, S] bool; None where plain causal order says it all.

        window: a query sees itself and the window - 1 positions before it.
        """
        narrow = window is not None and num_keys > window
        key = ("mask", num_queries, num_keys, window if narrow else None)
        made: Tensor | None = self.once(key, lambda: self._make_mask(num_queries, num_keys, window if narrow else None))
        return made

    def bias(self, num_queries: int, num_keys: int, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """`mask` as what is added to scores: 0 where seen, -inf where not. The fused kernels would make it in every layer."""
        mask = self.mask(num_queries, num_keys, window)
        if mask is None:
            return None
        key = ("bias", num_queries, num_keys, window, dtype)
        made: Tensor = self.once(
            key, lambda: torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -math.inf)
        )
        return made

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made at the first asking in this call and kept for the other layers."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _make_mask(self, num_queries: int, num_keys: int, window: int | None) -> Tensor | None:
        if self.documents is not None:
            order = torch.arange(num_queries, device=self.lengths.device)
            seen = (order[:, None] >= order) & (self.documents[:, :, None] == self.documents[:, None, :])
            if window is not None:
                seen = seen & (order[:, None] - order < window)
            return seen[:, None]
        if self.uniform and window is None and (self.stored == 0 or num_queries == 1):
            return None
        queries = self.lengths[:, None] + torch.arange(num_queries, device=self.lengths.device)
        keys = torch.arange(num_keys, device=self.lengths.device)
        distance = queries[:, :, None] - keys
        seen = distance >= 0
        if window is not None:
            seen = seen & (distance < window)
        return seen[:, None]

    @property
    def nbytes(self) -> int:
        return sum(m.nbytes for m in self.memories if m is not None)


@dataclass(slots=True)
class LayerState:
    """One layer's view of the state: the shared part and its own memory."""

    sequence: SequenceState
    memory: Memory | None


class Replay(nn.Module):
    """Gives any causal mixer a memory, by keeping its past inputs and running it over all of them again.

    Exact for every mixer that is causal, at the price of repeated work; it is what makes a learner's own mixer, written for
    training only, generate in the engine.
    """

    def __init__(self, mixer: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.mixer = mixer
        self.hidden_size = hidden_size

    def init_memory(self, rows: int, *, dtype: torch.dtype, device: torch.device) -> Memory:
        return PastInputs(rows, self.hidden_size, dtype=dtype, device=device)

    def forward(self, x: Tensor, state: LayerState | None = None) -> tuple[Tensor, LayerState | None]:
        if state is None or not isinstance(state.memory, PastInputs):
            y, _ = self.mixer(x)
            return y, state
        sequence = state.sequence
        y, _ = self.mixer(state.memory.append(x, sequence).to(x.dtype))
        index = sequence.positions[:, :, None].expand(-1, -1, y.shape[-1])
        return y.gather(1, index), state

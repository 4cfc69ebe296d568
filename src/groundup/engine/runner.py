"""Calls the model for rows of a memory pool. The one place of the engine that knows what a model's call looks like.

Prompts of one call may differ in length where every memory can forget what stands behind a row's end (`Memory.rewinds`); a
recurrent state has no position that a mask could hide, and its prompts are read together only where they are equally long.

Letters: B rows of a call, R rows of the pool, T new tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..nn.protocols import LMOutput
from ..nn.state import Memory, SequenceState


class Decoding(Protocol):
    """What the engine asks of a model: a `groundup.models.decoder.Decoder`, or another module with these."""

    def __call__(self, input_ids: Tensor, state: SequenceState | None = None) -> LMOutput: ...

    def init_memories(self, rows: int, *, dtype: torch.dtype | None = None) -> list[Memory]: ...

    def modules(self) -> Iterator[nn.Module]: ...


@dataclass(frozen=True, slots=True)
class Stems:
    """Rows that begin alike: the first `tokens[b]` tokens of row b of a call are also those of row `rows[b]` of the pool."""

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]


class OneToken(Protocol):
    """A faster way to the logits of one more token a row, over the same memories."""

    def __call__(
        self,
        memories: Sequence[Memory],
        ids: Sequence[int],
        lengths: Sequence[int],
        first_row: int,
        stems: Stems | None = None,
    ) -> Tensor: ...

    def accepts(self, memories: Sequence[Memory]) -> bool: ...

    def refresh(self) -> None: ...

    def enter_thread(self) -> None: ...


class ModelRunner:
    """Runs the module itself, and one-token steps through `one_token` where there is one.

    The rows of a call may be any slice of the pool; a row whose length is 0 begins a new sequence.
    """

    def __init__(
        self,
        model: Decoding,
        rows: int,
        *,
        one_token: OneToken | None = None,
        choose: Callable[[Sequence[str | None]], AbstractContextManager[None]] = lambda rows: nullcontext(),
        default_adapter: str | None = None,
    ) -> None:
        """choose: gives each row of the calls inside it its adapter. default_adapter: that of scoring."""
        self.model = model
        self.choose = choose
        self.default_adapter = default_adapter
        self.rows = rows
        self.memories = model.init_memories(rows)
        self.one_token = one_token if one_token is not None and one_token.accepts(self.memories) else None

    def enter_thread(self) -> None:
        """Called once by the thread that will call `step`."""
        if self.one_token is not None:
            self.one_token.enter_thread()

    def reset(self) -> None:
        """Forget everything: after a failure, and when the weights change."""
        if self.one_token is not None:
            self.one_token.refresh()
        self.memories = self.model.init_memories(self.rows)

    def restart(self, num_tokens: int) -> None:
        """Forget everything, with room for exactly `num_tokens` a row."""
        for memory in self.memories:
            memory.restart(num_tokens)

    @property
    def rewinds(self) -> bool:
        """May prompts of one call differ in length?"""
        return all(memory.rewinds for memory in self.memories)

    def copy(self, sources: Sequence[int], targets: Sequence[int], num_tokens: int) -> None:
        """Rows `targets` become rows `sources`, of which the longest holds `num_tokens`."""
        for memory in self.memories:
            memory.copy(sources, targets, num_tokens)

    @property
    def nbytes(self) -> int:
        return sum(memory.nbytes for memory in self.memories)

    def step(
        self,
        ids: Sequence[Sequence[int]],
        lengths: Sequence[int],
        first_row: int,
        *,
        logits: bool,
        stems: Stems | None = None,
        adapters: Sequence[str | None] = (),
    ) -> Tensor | None:
        """Feed ids [B][<= T] behind `lengths` [B] tokens of the rows from `first_row` on.

        Returns float32 logits [B, V] of each row's last id, or None if they are not wanted. Rows of less than T ids are
        padded (only where `rewinds`). stems: what a fast step may use.
        adapters: the adapter of each row; () is the base for all. The fast step is for the base alone.
        """
        if logits and self.one_token is not None and not any(adapters) and all(len(row) == 1 for row in ids):
            return self.one_token(self.memories, [row[0] for row in ids], lengths, first_row, stems)
        with self.choose(adapters), evaluating(self.model), torch.no_grad():
            state = SequenceState(
                self.memories,
                torch.tensor(lengths, dtype=torch.long),
                rows=slice(first_row, first_row + len(ids)),
                uniform_length=lengths[0] if lengths.count(lengths[0]) == len(lengths) else None,
            )
            widths = [len(row) for row in ids]
            widest = max(widths)
            if min(widths) == widest:
                output = self.model(torch.tensor(ids, dtype=torch.long), state)
                return output.head(output.hidden[:, -1]).float() if logits else None
            padded = [[*row, *([0] * (widest - len(row)))] for row in ids]
            output = self.model(torch.tensor(padded, dtype=torch.long), state)
            last = output.hidden[torch.arange(len(ids)), torch.tensor(widths) - 1]
            return output.head(last).float() if logits else None

    def full(self, ids: Tensor, pick: Callable[[LMOutput], Tensor]) -> Tensor:
        """A forward pass without memory over ids [B, T], for scoring."""
        with self.choose((self.default_adapter,)), evaluating(self.model), torch.no_grad():
            return pick(self.model(ids))


@contextmanager
def evaluating(model: Decoding) -> Iterator[None]:
    """Dropout and the like off for one call, even while a training loop owns the same modules."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True

"""Calls the model for rows of a memory pool. The one place of the engine that knows what a model's call looks like.

Prompts of one call have equal lengths and are never padded, so the memories may be of any kind: a recurrent state has no
position that a mask could hide.

Letters: B rows of a call, R rows of the pool, T new tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from ..nn.protocols import LMOutput
from ..nn.state import Memory, SequenceState


class Decoding(Protocol):
    """What the engine asks of a model: a `groundup.models.decoder.Decoder`, or another module with these."""

    def __call__(self, input_ids: Tensor, state: SequenceState | None = None) -> LMOutput: ...

    def init_memories(self, rows: int, *, dtype: torch.dtype | None = None) -> list[Memory]: ...

    def modules(self) -> Iterator[nn.Module]: ...


class ModelRunner:
    """Runs the module itself. `rows` of the pool may be any slice; a row whose length is 0 begins a new sequence."""

    def __init__(self, model: Decoding, rows: int) -> None:
        self.model = model
        self.rows = rows
        self.memories = model.init_memories(rows)

    def reset(self) -> None:
        """Forget everything: after a failure, and when the weights change."""
        self.memories = self.model.init_memories(self.rows)

    def move(self, source: int, target: int) -> None:
        for memory in self.memories:
            memory.move(source, target)

    @property
    def nbytes(self) -> int:
        return sum(memory.nbytes for memory in self.memories)

    def step(
        self, ids: Sequence[Sequence[int]], lengths: Sequence[int], first_row: int, *, logits: bool
    ) -> Tensor | None:
        """Feed ids [B][T] behind `lengths` [B] tokens of the rows from `first_row` on.

        Returns float32 logits [B, V] of the last position, or None if they are not wanted.
        """
        with evaluating(self.model), torch.no_grad():
            state = SequenceState(
                self.memories,
                torch.tensor(lengths, dtype=torch.long),
                rows=slice(first_row, first_row + len(ids)),
                uniform_length=lengths[0] if lengths.count(lengths[0]) == len(lengths) else None,
            )
            output = self.model(torch.tensor(ids, dtype=torch.long), state)
            return output.head(output.hidden[:, -1]).float() if logits else None

    def full(self, ids: Tensor, pick: Callable[[LMOutput], Tensor]) -> Tensor:
        """A forward pass without memory over ids [B, T], for scoring."""
        with evaluating(self.model), torch.no_grad():
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

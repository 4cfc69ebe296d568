"""The joints at the level of tensors, one page. Structural; see docs/decisions/0002-joints.md for the reasons.

Letters: B batch, T query positions, S key positions, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .state import LayerState, Memory, SequenceState

IGNORE = -100
"""Target value that no loss counts (PyTorch's own default)."""


@dataclass(slots=True)
class LMOutput:
    """What a language model returns. Logits are made on demand: a loss may go through the vocabulary in chunks, and the
    engine asks for one position a row only.
    """

    hidden: Tensor
    """[B, T, D], after the final norm."""
    head: Callable[[Tensor], Tensor]
    """[..., D] -> [..., V]."""
    state: SequenceState | None = None
    """Advanced by the T tokens of this call; None if the call had none."""
    aux_loss: Tensor | None = None
    """Scalar to be added to the loss (load balancing of experts)."""

    @property
    def logits(self) -> Tensor:
        """[B, T, V]"""
        return self.head(self.hidden)


class LanguageModel(Protocol):
    """A network from ids to next-token logits: decoder, recurrent, hybrid. In practice an `nn.Module`."""

    def __call__(self, input_ids: Tensor, state: SequenceState | None = None) -> LMOutput:
        """input_ids [B, T]. Without a state: T tokens from position 0, causal."""
        ...

    def init_state(self, batch_size: int, *, dtype: torch.dtype | None = None) -> SequenceState:
        """An empty state of `batch_size` rows, on the model's device."""
        ...


class Mixer(Protocol):
    """The part of a block in which positions see each other: attention, a recurrence, a convolution."""

    def __call__(self, x: Tensor, state: LayerState | None = None) -> tuple[Tensor, LayerState | None]:
        """x [B, T, D] -> (y [B, T, D], state). Position t must not see t+1."""
        ...

    def init_memory(self, rows: int, *, dtype: torch.dtype, device: torch.device) -> Memory:
        """What this layer remembers of `rows` sequences between calls."""
        ...


@dataclass(slots=True)
class Batch:
    """Examples as tensors. `targets` are already shifted: targets[b, t] is what should follow input_ids[b, t]."""

    input_ids: Tensor
    """[B, T] int64"""
    targets: Tensor
    """[B, T] int64, IGNORE where nothing is to be learned."""
    documents: Tensor | None = None
    """[B, T] int64: number of the document each position belongs to; attention stays inside one. None: one a row."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """What an objective needs beside: reference log-probs, advantages, old log-probs, ..."""
    count: int | None = None
    """How many things the loss is a mean over, where these are not the targets: sequences, pairs."""

    @property
    def weight(self) -> int:
        """What the loss is a mean over; accumulation over micro-batches is exact with it."""
        return int((self.targets != IGNORE).sum()) if self.count is None else self.count

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            self.input_ids.to(device),
            self.targets.to(device),
            None if self.documents is None else self.documents.to(device),
            {name: value.to(device) for name, value in self.extras.items()},
            self.count,
        )


@dataclass(slots=True)
class LossOutput:
    loss: Tensor
    """Scalar: mean over the batch's weight. The loop multiplies by weight / total weight when it accumulates."""
    metrics: Mapping[str, float | Tensor] = field(default_factory=dict)
    """Figures to log; tensors are detached scalars."""


class Objective(Protocol):
    """Collate and loss as one object: a training method. An example is whatever its data source yields."""

    def collate(self, examples: Sequence[Any]) -> Batch: ...

    def loss(self, model: Any, batch: Batch) -> LossOutput: ...


class ExampleSource(Protocol):
    """Where the loop's examples come from: token windows, chat examples, or rollouts of the model being trained.

    `take(step, count)` must be a function of the arguments and of `state_dict` alone, so that a resumed run sees the same
    examples. A source of rollouts holds a Generator whose weights are the model's own and calls it here.
    """

    def take(self, step: int, count: int) -> Sequence[Any]: ...

    def figures(self) -> Mapping[str, float]:
        """What is worth logging of the examples last taken (rewards, lengths); {} if nothing is."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Sampler(Protocol):
    """One decoding rule: logits [B, V] -> logits [B, V]; `history` holds the ids so far of each row."""

    def __call__(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor: ...


class ModelTransform(Protocol):
    """Model -> model: adapters, quantisation, pruning, fusing for inference."""

    def apply(self, model: nn.Module) -> nn.Module: ...

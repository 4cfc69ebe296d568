"""Next tokens along unbroken streams: truncated back-propagation through time (Williams and Peng 1990), for models with a memory.

Row b of a step goes on where row b of the step before it ended, with what the model then remembered; gradients stop at the border, as
memories do not carry any. The text is cut into as many streams as a step has rows. Every epoch begins its streams at another
place of the text, seen as a ring, with empty memories, so that the borders of windows fall elsewhere each time.

What is carried is part of the source's state, hence of every checkpoint: a killed run goes on bit for bit.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from ..nn.protocols import Batch, LossOutput
from ..nn.state import Memory, SequenceState
from .causal import CausalConfig, CausalLM, next_token_loss, stack

_HEAD_ROWS = 1024
"""Positions whose logits are made at a time where text is scored."""


@dataclass(frozen=True, kw_only=True)
class StreamConfig(CausalConfig):
    type: Literal["stream"] = "stream"  # type: ignore[assignment]


class Tokens(Protocol):
    """A text as ids, such as token shards."""

    @property
    def num_tokens(self) -> int: ...

    def tokens(self, start: int, stop: int) -> np.ndarray: ...


class Remembering(Protocol):
    """A model whose memories are a tensor `values` each, a row a sequence."""

    def init_memories(self, rows: int, *, dtype: torch.dtype | None = None) -> list[Memory]: ...


@dataclass(slots=True)
class StreamWindow:
    """The next piece of one stream."""

    ids: np.ndarray
    """int64 [T + 1]"""
    row: int
    begins: bool
    """Nothing of this row comes before it."""


class Carried:
    """What the model remembers of every row between two steps."""

    def __init__(self, model: Remembering, rows: int) -> None:
        self.memories: Sequence[Any] = model.init_memories(rows)

    def state(self, first: int, begins: Sequence[bool]) -> SequenceState:
        """For rows from `first` on; those that begin have nothing to remember. (A memory asks only whether a length is 0.)"""
        lengths = torch.tensor([0 if fresh else 1 for fresh in begins], device=self.memories[0].values.device)
        return SequenceState(self.memories, lengths, rows=slice(first, first + len(begins)))

    def state_dict(self) -> list[str]:
        """The bytes of each memory, written as text."""
        return [base64.b64encode(memory.values.cpu().numpy().tobytes()).decode() for memory in self.memories]

    def load_state_dict(self, state: Sequence[str]) -> None:
        for memory, written in zip(self.memories, state, strict=True):
            values: Tensor = memory.values
            like = values.cpu().numpy()
            read = np.frombuffer(base64.b64decode(written), like.dtype).reshape(like.shape)
            values.copy_(torch.from_numpy(read.copy()))


class StreamSource:
    """groundup.nn.protocols.ExampleSource: one `StreamWindow` a row."""

    def __init__(self, text: Tokens, carried: Carried, *, rows: int, context_tokens: int, seed: int) -> None:
        """Raises DataError when the text has not enough tokens for one window a row."""
        self.text, self.carried, self.rows = text, carried, rows
        self.context_tokens, self.seed = context_tokens, seed
        self.stream_tokens = text.num_tokens // rows
        self.steps = self.stream_tokens // context_tokens
        """Of one epoch."""
        if self.steps < 1:
            raise DataError(
                f"the split has {text.num_tokens:,} tokens; {rows} streams of at least {context_tokens} need {rows * context_tokens:,}",
                hint="use more text, a smaller batch_size or a shorter context_tokens",
            )

    def take(self, step: int, count: int) -> Sequence[StreamWindow]:
        assert count == self.rows, (count, self.rows)
        epoch, place = divmod(step, self.steps)
        first = int(np.random.default_rng([self.seed, epoch]).integers(self.text.num_tokens))
        begin = first + place * self.context_tokens
        return [
            StreamWindow(self._read(begin + row * self.stream_tokens), row, begins=place == 0) for row in range(count)
        ]

    def _read(self, start: int) -> np.ndarray:
        size, wanted = self.text.num_tokens, self.context_tokens + 1
        start %= size
        ids = self.text.tokens(start, min(size, start + wanted))
        return ids if len(ids) == wanted else np.concatenate([ids, self.text.tokens(0, wanted - len(ids))])

    def figures(self) -> Mapping[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"carried": self.carried.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.carried.load_state_dict(state["carried"])


class StreamLM:
    """groundup.nn.protocols.Objective over StreamWindows. A step of training reads what the rows remember and writes it anew."""

    def __init__(self, carried: Carried, config: CausalConfig = StreamConfig()) -> None:
        self.carried, self.config = carried, config

    def collate(self, examples: Sequence[StreamWindow]) -> Batch:
        batch = CausalLM(self.config).collate([window.ids for window in examples])
        where = {"first": torch.tensor(examples[0].row), "begins": torch.tensor(examples[0].begins)}
        return Batch(batch.input_ids, batch.targets, extras=where)

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        first, begins = int(batch.extras["first"]), bool(batch.extras["begins"])
        state = self.carried.state(first, [begins] * len(batch.input_ids))
        config = self.config
        made = next_token_loss(
            model,
            batch,
            state=state,
            chunk_tokens=config.chunk_tokens,
            z_loss=config.z_loss,
            label_smoothing=config.label_smoothing,
        )
        if not torch.isfinite(made.loss):
            # The loop will refuse this step; what made it must not be there at the next one.
            for memory in self.carried.memories:
                memory.restart(0)
        return made


def stream_nats(
    model: Any, ids: np.ndarray, *, readers: int, lead_windows: int, window_tokens: int
) -> tuple[float, int]:
    """(sum of -ln p, number) of ids[1:], each after all that is before it, as far back as a memory keeps it.

    `readers` go through a part of the text each, at once; all but the first begin `lead_windows` before their part with an empty
    memory, and what they read there is not counted.
    """
    total = len(ids) - 1
    part = -(-total // readers)
    carried = Carried(model, readers)
    nats, count = 0.0, 0
    starts = np.arange(readers)[:, None] * part
    for number in range(-lead_windows, -(-part // window_tokens)):
        offset = number * window_tokens
        places = starts + np.arange(offset, min(offset + window_tokens, part) + 1)
        fresh = (number == -lead_windows) | (places[:, 0] <= 0)
        rows = stack(ids[places.clip(0, total)])
        output = model(rows[:, :-1], carried.state(0, fresh.tolist()))
        known = torch.from_numpy((places[:, :-1] >= starts) & (places[:, 1:] <= total))
        hidden, targets = output.hidden[known], rows[:, 1:][known]
        for some, wanted in zip(torch.split(hidden, _HEAD_ROWS), torch.split(targets, _HEAD_ROWS)):
            nats += float(torch.nn.functional.cross_entropy(output.head(some).float(), wanted, reduction="sum"))
            count += len(wanted)
    return nats, count

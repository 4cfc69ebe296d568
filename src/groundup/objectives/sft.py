"""Supervised fine-tuning on conversations: only what the assistant wrote is learned.

`encode_chat` makes one example of a conversation; `SFT.collate` puts examples into rows, padded, or packed so that several share
a row and none sees another (positions start at 0 in each, attention stays inside). Left out: preference losses.

Letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ..core.errors import ConfigError, DataError, TokenizerError
from ..core.protocols import Tokenizer
from ..core.types import Message
from ..nn.protocols import IGNORE, Batch, LossOutput
from ..tokenizers.chat_ids import encode_rendered, render_chat
from ..tokenizers.chat_template import ChatTemplate
from .causal import next_token_loss

PADDING = -1
"""The document number of padding: real ones count from 0 in each row."""


@dataclass(frozen=True, slots=True)
class ChatExample:
    """One conversation as ids, and which of them are learned."""

    input_ids: np.ndarray
    """[n] integers"""
    mask: np.ndarray
    """[n] bool"""

    @property
    def positions(self) -> int:
        """Places it takes in a row: every id but the last is an input."""
        return max(len(self.input_ids) - 1, 0)

    @property
    def weight(self) -> int:
        """Targets it has; the first id can be none."""
        return int(self.mask[1:].sum())


@dataclass(frozen=True, kw_only=True)
class SFTConfig:
    type: Literal["sft"] = "sft"
    context_tokens: int = 1024
    """Positions of a row."""
    packing: bool = True
    """Put several conversations into a row; False: one a row."""
    fixed_shape: bool = False
    """Rows are always context_tokens wide, so that a compiled model is compiled once."""
    pad_multiple_tokens: int = 64
    """Else rows are as wide as the longest, rounded up to a multiple of this."""
    learn: Literal["assistant", "all"] = "assistant"
    z_loss: float = 0.0
    label_smoothing: float = 0.0
    chunk_tokens: int | None = None
    """Positions whose logits are made at a time; 0: all; None: decided by their size."""

    def __post_init__(self) -> None:
        for name in ("context_tokens", "pad_multiple_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)


class SFT:
    """groundup.nn.protocols.Objective over ChatExamples, or over rows of them made by `pack`."""

    def __init__(self, config: SFTConfig = SFTConfig(), *, pad_id: int = 0) -> None:
        self.config = config
        self.pad_id = pad_id
        """Any valid id: padding is neither seen nor learned."""

    def collate(self, examples: Sequence[ChatExample | Sequence[ChatExample]]) -> Batch:
        """[B, T]: one row for each list of examples; single examples are packed by size, or one a row without packing."""
        singles = [e for e in examples if isinstance(e, ChatExample)]
        rows = [list(e) for e in examples if not isinstance(e, ChatExample)]
        if self.config.packing:
            rows += pack(singles, self.config.context_tokens)
        else:
            rows += [[e] for e in singles]
        used = [sum(e.positions for e in row) for row in rows]
        if max(used, default=0) > self.config.context_tokens:
            raise DataError(
                f"a row of {max(used)} positions does not fit context_tokens = {self.config.context_tokens}",
                hint="give encode_chat max_tokens = context_tokens + 1, or raise context_tokens",
            )
        width = self._width(max(used, default=1))
        ids = np.full((len(rows), width), self.pad_id, np.int64)
        targets = np.full((len(rows), width), IGNORE, np.int64)
        documents = np.full((len(rows), width), PADDING, np.int64)
        for r, row in enumerate(rows):
            at = 0
            for number, example in enumerate(row):
                n = example.positions
                learned = example.mask[1:] if self.config.learn == "assistant" else np.True_
                ids[r, at : at + n] = example.input_ids[:-1]
                targets[r, at : at + n] = np.where(learned, example.input_ids[1:], IGNORE)
                documents[r, at : at + n] = number
                at += n
        shared = any(len(row) > 1 for row in rows)
        return Batch(
            torch.from_numpy(ids),
            torch.from_numpy(targets),
            # Padding stands behind what a causal model has seen, so a row of one conversation needs no mask.
            torch.from_numpy(documents) if shared or self.config.packing else None,
        )

    def _width(self, longest: int) -> int:
        if self.config.fixed_shape:
            return self.config.context_tokens
        multiple = self.config.pad_multiple_tokens
        return min(-(-max(longest, 1) // multiple) * multiple, self.config.context_tokens)

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        return next_token_loss(
            model,
            batch,
            chunk_tokens=self.config.chunk_tokens,
            z_loss=self.config.z_loss,
            label_smoothing=self.config.label_smoothing,
        )


def pack(examples: Sequence[ChatExample], context_tokens: int) -> list[list[ChatExample]]:
    """Rows of at most context_tokens positions: the longest first, each into the first row that has room (first-fit
    decreasing, never more than 11/9 of the fewest rows + 1; Johnson 1973). Deterministic. An example that is too long gets
    a row of its own.
    """
    rows: list[list[ChatExample]] = []
    room: list[int] = []
    for example in sorted(examples, key=lambda e: -e.positions):
        place = next((r for r, free in enumerate(room) if free >= example.positions), None)
        if place is None:
            rows.append([example])
            room.append(context_tokens - example.positions)
        else:
            rows[place].append(example)
            room[place] -= example.positions
    return rows


def encode_chat(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    template: ChatTemplate,
    *,
    max_tokens: int | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **variables: Any,
) -> ChatExample:
    """A conversation as ids (control tokens only where the template writes them, see `tokenizers.chat_ids`), with those learned
    that hold any character the assistant wrote.

    Longer than max_tokens: the end is cut off, so what is kept was written with all that came before it; whether targets
    are left is `weight`. Raises TokenizerError where the ids do not spell the text, for then no character can be placed.
    """
    rendered = render_chat(template, tokenizer, messages, learned=True, tools=tools, **variables)
    ids = encode_rendered(tokenizer, rendered)
    mask = token_mask(rendered.text, rendered.spans, [tokenizer.token_bytes(i) for i in ids])
    return ChatExample(np.asarray(ids, np.int32)[:max_tokens], mask[:max_tokens])


def token_mask(text: str, spans: Sequence[tuple[int, int]], pieces: Sequence[bytes]) -> np.ndarray:
    """[n] bool: which of the n pieces that spell `text` in UTF-8 hold a character of the spans [start, end)."""
    starts, ends, at = piece_places(text, pieces)
    mask = np.zeros(len(pieces), bool)
    for start, end in spans:
        assert 0 <= start <= end <= len(text), (start, end, len(text))
        first, last = (start, end) if at is None else (at[start], at[end])
        if first < last:
            mask |= (ends > first) & (starts < last)
    return mask


def piece_places(text: str, pieces: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """First byte and byte after the last of each of the n pieces that spell `text` in UTF-8, [n] both; and the byte at which
    each character begins, [len(text) + 1], or None where characters are bytes. TokenizerError if they do not spell it.
    """
    encoded = text.encode("utf-8")
    if b"".join(pieces) != encoded:
        raise TokenizerError(
            f"the {len(pieces)} tokens do not spell the {len(text)} characters they were made of, so the loss cannot be placed",
            hint="use a tokenizer without normalisation (byte-level BPE)",
        )
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    starts = ends - [len(piece) for piece in pieces]
    at = None if len(encoded) == len(text) else np.cumsum([0, *(len(char.encode("utf-8")) for char in text)])
    return starts, ends, at

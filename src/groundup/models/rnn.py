"""Language models before attention: recurrent (Mikolov et al. 2010; LSTMs of Zaremba et al. 2014) and feed-forward (Bengio et al. 2003).

Both are `LanguageModel`s like the decoder and go through the same training, engine, evaluation and server. What they carry from call
to call is a memory that cannot go back: the recurrent state of each layer, or the last words of the window.

The recurrent model: embedding, layers, head; dropout on the embedding, between layers and before the head, by default locked (one
mask for all steps: Gal and Ghahramani 2016), whole words of the embedding table and recurrent weights as further choices (Merity et al.
2018). Where the table is the head's too (Press and Wolf 2017; Inan et al. 2017) and has another width than the layers, a linear map
lies between. The feed-forward model: the last `window_tokens` words' embeddings side by side, one tanh layer, and, as the paper has
it, direct connections from the embeddings to the output. Left out: adaptive softmax, caches, mixtures of softmaxes.

Letters: B batch, T positions, D hidden, E embedding, W window, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.config import parse, to_plain
from ..core.errors import ConfigError, ModelError
from ..nn.linear import Linear
from ..nn.mixers.rnn import Dropout, Recurrent, RecurrentMemory
from ..nn.protocols import LMOutput
from ..nn.state import Memory, SequenceState

_EMBEDDING_BOUND = 0.1
"""Of the uniform draw of embeddings where no range is given (Merity et al. 2018)."""


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    type: Literal["recurrent"] = "recurrent"
    vocab_size: int = 0
    """0 in a recipe: the tokenizer's."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: int
    embedding_size: int = 0
    """0: hidden_size."""
    num_hidden_layers: int = 1
    max_position_embeddings: int = 1024
    """The model itself has no limit. So long may a text be in the engine, and so long are the windows in which a text is scored."""
    tie_word_embeddings: bool = True
    dropout: float = 0.0
    """On the layers' outputs."""
    embedding_dropout: float | None = None
    """On the embeddings; null: as `dropout`."""
    word_dropout: float = 0.0
    """Of words: a dropped word is a zero vector wherever it stands in the batch."""
    weight_dropout: float = 0.0
    """Of the recurrent weights, once a step of training."""
    locked: bool = True
    """What is dropped at one position is dropped at all."""
    initializer_range: float = 0.0
    """Weights are drawn uniformly within this; 0: within 1 / sqrt(hidden_size) in the layers and 0.1 in the embedding."""


@dataclass(frozen=True, kw_only=True)
class FeedForwardConfig:
    type: Literal["feedforward_lm"] = "feedforward_lm"
    vocab_size: int = 0
    """0 in a recipe: the tokenizer's."""
    window_tokens: int = 4
    """Words that are looked at: an n-gram model of order n looks at n - 1."""
    embedding_size: int
    hidden_size: int
    direct: bool = False
    """Weights from the embeddings straight to the output as well; not with tied embeddings."""
    tie_word_embeddings: bool = False
    max_position_embeddings: int = 1024
    """As for the recurrent model."""
    dropout: float = 0.0
    """On the embeddings and on the hidden layer."""
    initializer_range: float = 0.0
    """As for the recurrent model."""

    def __post_init__(self) -> None:
        if self.direct and self.tie_word_embeddings:
            raise ConfigError("direct connections need a head of their own", path="direct",
                              hint="set tie_word_embeddings to false")  # fmt: skip

    @property
    def num_hidden_layers(self) -> int:
        return 1


class _WordNetwork(nn.Module):
    """What the two share: an embedding, a head, and what training and the model directory ask of a network."""

    model_type: ClassVar[str]
    config: Any
    embed_tokens: nn.Embedding
    lm_head: Linear

    def __init__(self, config: Any, embedding_size: int, head_size: int) -> None:
        super().__init__()
        if config.vocab_size <= 0:
            raise ModelError(f"vocab_size must be more than 0, not {config.vocab_size}")
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, embedding_size)
        self.lm_head = Linear(head_size, config.vocab_size)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.embed_tokens.weight
        self.checkpoint_activations = False

    @torch.no_grad()
    def initialise(self, seed: int) -> Self:
        """Draw all weights afresh from `seed`; returns self."""
        generator = torch.Generator().manual_seed(seed)
        bound = self.config.initializer_range
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                parameter.zero_()
            elif name.startswith(("embed_tokens", "lm_head")):
                size = bound or _EMBEDDING_BOUND
                parameter.uniform_(-size, size, generator=generator)
            else:
                size = bound or parameter.shape[1] ** -0.5
                parameter.uniform_(-size, size, generator=generator)
        self._initialise_layers(generator)
        return self

    def _initialise_layers(self, generator: torch.Generator) -> None:
        """Parts that have a draw of their own."""

    @classmethod
    def _config_class(cls) -> type[Any]:
        raise NotImplementedError

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any]) -> Self:
        section = raw.get(cls.model_type)
        if not isinstance(section, Mapping):
            raise ModelError(f"config.json has model_type {cls.model_type!r} but no {cls.model_type!r} section")
        return cls(parse(cls._config_class(), section, path=cls.model_type))  # type: ignore[call-arg]

    def raw_config(self) -> dict[str, Any]:
        config = self.config
        return {
            "architectures": [type(self).__name__],
            "model_type": self.model_type,
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.num_hidden_layers,
            "max_position_embeddings": config.max_position_embeddings,
            "tie_word_embeddings": config.tie_word_embeddings,
            self.model_type: to_plain(config),
        }

    def prepare_positions(self, num_positions: int) -> None:
        """There are none to prepare."""

    def num_parameters(self, *, embeddings: bool = True) -> int:
        total = sum(p.numel() for p in self.parameters())  # tied ones come once
        return total if embeddings else total - self.embed_tokens.weight.numel()

    def flops_per_token(self, context_tokens: int) -> float:
        """6 per weight that multiplies, forward and backward."""
        weights = sum(p.numel() for name, p in self.named_parameters() if p.dim() == 2 and "embed" not in name)
        return 6.0 * (weights + (self.embed_tokens.weight.numel() if self.config.tie_word_embeddings else 0))

    def init_memories(self, rows: int, *, dtype: torch.dtype | None = None) -> list[Memory]:
        raise NotImplementedError

    def init_state(self, batch_size: int, *, dtype: torch.dtype | None = None) -> SequenceState:
        lengths = torch.zeros(batch_size, dtype=torch.long, device=self.embed_tokens.weight.device)
        return SequenceState(self.init_memories(batch_size, dtype=dtype), lengths, uniform_length=0)

    def head(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., V]"""
        made: Tensor = self.lm_head(hidden)
        return made

    def _memories(self, state: SequenceState | None, num_new: int) -> Sequence[Any]:
        """Those of a state, or none; ModelError for a state that only attention can follow."""
        if state is None:
            return ()
        state.enter(num_new)
        if state.documents is not None or state.branches is not None:
            raise ModelError(
                f"{type(self).__name__} reads a row from its beginning to its end and cannot take documents in it apart",
                hint="set within_documents to false",
            )
        return state.memories


class RecurrentLM(_WordNetwork):
    """A causal language model (groundup.nn.protocols.LanguageModel)."""

    model_type = "groundup_rnn"

    def __init__(self, config: RecurrentConfig) -> None:
        width = config.embedding_size or config.hidden_size
        super().__init__(config, width, width if config.tie_word_embeddings else config.hidden_size)
        self.recurrent = Recurrent(
            width,
            config.hidden_size,
            config.num_hidden_layers,
            config.cell,
            dropout=config.dropout,
            locked=config.locked,
            weight_dropout=config.weight_dropout,
        )
        mapped = config.tie_word_embeddings and width != config.hidden_size
        self.projection = Linear(config.hidden_size, width) if mapped else None
        first = config.dropout if config.embedding_dropout is None else config.embedding_dropout
        self.embedding_drop = Dropout(first, locked=config.locked)
        self.output_drop = Dropout(config.dropout, locked=config.locked)

    @classmethod
    def _config_class(cls) -> type[RecurrentConfig]:
        return RecurrentConfig

    def _initialise_layers(self, generator: torch.Generator) -> None:
        self.recurrent.initialise(generator, self.config.initializer_range or None)

    def init_memories(self, rows: int, *, dtype: torch.dtype | None = None) -> list[Memory]:
        """One a layer; float32 whatever `dtype` says, because what a recurrence carries is added to at every token."""
        device = self.embed_tokens.weight.device
        return [
            RecurrentMemory(rows, self.config.cell, self.config.hidden_size, device=device)
            for _ in range(self.config.num_hidden_layers)
        ]

    def forward(self, input_ids: Tensor, state: SequenceState | None = None) -> LMOutput:
        """input_ids [B, T]"""
        memories = self._memories(state, input_ids.shape[1])
        carried = None
        if state is not None:
            carried = tuple(torch.stack(part) for part in zip(*(memory.read(state) for memory in memories)))
        x = self.embedding_drop(self._embedded(input_ids.t()))
        y, ended = self.recurrent(x.transpose(0, 1), carried)
        if state is not None:
            for layer, memory in enumerate(memories):
                memory.write(state, [part[layer] for part in ended])
        hidden = self.output_drop(y.transpose(0, 1))
        if self.projection is not None:
            hidden = self.projection(hidden)
        return LMOutput(
            hidden=hidden.transpose(0, 1),
            head=self.head,
            state=None if state is None else state.advanced(input_ids.shape[1]),
        )

    def _embedded(self, ids: Tensor) -> Tensor:
        """[T, B] -> [T, B, E]"""
        if not (self.training and self.config.word_dropout):
            made: Tensor = self.embed_tokens(ids)
            return made
        kept = F.dropout(self.embed_tokens.weight.new_ones(self.config.vocab_size), self.config.word_dropout)
        found: Tensor = self.embed_tokens(ids) * kept[ids][..., None]
        return found


class FeedForwardLM(_WordNetwork):
    """A causal language model (groundup.nn.protocols.LanguageModel) that sees the last W words."""

    model_type = "groundup_feedforward_lm"

    def __init__(self, config: FeedForwardConfig) -> None:
        seen = config.window_tokens * config.embedding_size
        wide = config.hidden_size + (seen if config.direct else 0)
        super().__init__(config, config.embedding_size, config.embedding_size if config.tie_word_embeddings else wide)
        self.input = Linear(seen, config.hidden_size)
        mapped = config.tie_word_embeddings and config.hidden_size != config.embedding_size
        self.projection = Linear(config.hidden_size, config.embedding_size) if mapped else None
        self.before = nn.Parameter(torch.zeros(config.embedding_size))
        """The embedding of what stands before a text's first word."""

    @classmethod
    def _config_class(cls) -> type[FeedForwardConfig]:
        return FeedForwardConfig

    def init_memories(self, rows: int, *, dtype: torch.dtype | None = None) -> list[Memory]:
        return [LastTokens(rows, self.config.window_tokens - 1, device=self.embed_tokens.weight.device)]

    def forward(self, input_ids: Tensor, state: SequenceState | None = None) -> LMOutput:
        """input_ids [B, T]"""
        config, num_new = self.config, input_ids.shape[1]
        memories = self._memories(state, num_new)
        if state is None:
            earlier = input_ids.new_full((input_ids.shape[0], config.window_tokens - 1), NOTHING)
        else:
            earlier = memories[0].read(state)
        ids = torch.cat([earlier, input_ids], dim=1)
        if state is not None:
            memories[0].write(state, ids)
        x: Tensor = self.embed_tokens(ids.clamp(min=0))
        x = torch.where((ids == NOTHING)[..., None], self.before.to(x.dtype), x)
        x = F.dropout(x, config.dropout, self.training)
        # [B, T, W E], the oldest word first
        seen = torch.cat([x[:, i : i + num_new] for i in range(config.window_tokens)], dim=-1)
        hidden = F.dropout(torch.tanh(self.input(seen)), config.dropout, self.training)
        if self.projection is not None:
            hidden = self.projection(hidden)
        if config.direct:
            hidden = torch.cat([hidden, seen.to(hidden.dtype)], dim=-1)
        return LMOutput(hidden=hidden, head=self.head, state=None if state is None else state.advanced(num_new))


NOTHING = -1
"""Stands in a window for what is before the text."""


class LastTokens:
    """The last ids of each row, [R, W - 1]: a `groundup.nn.state.Memory`."""

    rewinds = False

    def __init__(self, rows: int, num_tokens: int, *, device: torch.device) -> None:
        self.values = torch.full((rows, num_tokens), NOTHING, dtype=torch.long, device=device)

    def read(self, state: SequenceState) -> Tensor:
        """[B, W - 1]; nothing for rows that begin."""
        return torch.where((state.lengths > 0)[:, None], self.values[state.rows], NOTHING)

    def write(self, state: SequenceState, ids: Tensor) -> None:
        """ids [B, W - 1 + T]: what `read` gave, and the new ones."""
        self.values[state.rows] = ids[:, ids.shape[1] - self.values.shape[1] :]

    def copy(self, sources: Sequence[int], targets: Sequence[int], num_tokens: int) -> None:
        self.values[list(targets)] = self.values[list(sources)]

    def move(self, source: int, target: int) -> None:
        self.values[target] = self.values[source]

    def restart(self, num_tokens: int) -> None:
        self.values.fill_(NOTHING)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

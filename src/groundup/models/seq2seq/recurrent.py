"""The recurrent encoder-decoder with attention: a bidirectional encoder, and a decoder that looks at all of its states at every step.

Scores are additive, v . tanh(W h + U s) (Bahdanau et al. 2015), or multiplicative, h . W s (Luong et al. 2015, "general"); what was
looked at and the decoder's state together make the output, tanh(W [context; h]). Both score with the state after the step, as Luong does;
Bahdanau scores with the one before it and gives the context to the step, which `input_feeding` does with the output of the step before.
Without input feeding all steps of a known target run as one, which is several times as fast.

Letters: B batch, S source positions, T target positions, D hidden, L decoder layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...nn.linear import Linear
from ...nn.mixers.rnn import PARTS, Cell, Recurrent
from .state import DecodingState, Encoded


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    type: Literal["recurrent"] = "recurrent"
    cell: Cell = "lstm"
    num_encoder_layers: int = 1
    """Each of half the hidden size in both directions."""
    num_decoder_layers: int = 1
    attention: Literal["additive", "multiplicative"] = "multiplicative"
    input_feeding: bool = False
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if min(self.num_encoder_layers, self.num_decoder_layers) < 1:
            raise ConfigError("there must be at least one layer on each side", path="num_encoder_layers")


class SourceAttention(nn.Module):
    """Scores of decoder states against encoder states, and the weighted mean of the latter."""

    def __init__(self, hidden_size: int, kind: str) -> None:
        super().__init__()
        self.key_proj = Linear(hidden_size, hidden_size, bias=False)
        self.query_proj = Linear(hidden_size, hidden_size) if kind == "additive" else None
        self.score_vector = nn.Parameter(torch.zeros(1, hidden_size)) if kind == "additive" else None

    def forward(self, h: Tensor, keys: Tensor, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """h [B, T, D]; keys and states [B, S, D]; mask [B, S] -> (context [B, T, D], weights [B, T, S])"""
        if self.query_proj is None:
            scores = h @ keys.transpose(1, 2)
        else:
            assert self.score_vector is not None
            mixed = torch.tanh(self.query_proj(h)[:, :, None] + keys[:, None])  # [B, T, S, D]
            scores = mixed @ self.score_vector.to(mixed.dtype)[0]
        weights = torch.softmax(scores.float().masked_fill(~mask[:, None], -math.inf), dim=-1)
        return weights.to(states.dtype) @ states, weights


class RecurrentNetwork(nn.Module):
    def __init__(self, hidden_size: int, config: RecurrentConfig) -> None:
        super().__init__()
        if hidden_size % 2:
            raise ConfigError(f"{hidden_size} must be even: the encoder has two directions", path="hidden_size")
        self.config, self.hidden_size = config, hidden_size
        self.encoder = Recurrent(
            hidden_size,
            hidden_size // 2,
            config.num_encoder_layers,
            config.cell,
            bidirectional=True,
            dropout=config.dropout,
        )
        fed = 2 if config.input_feeding else 1
        self.decoder = Recurrent(
            fed * hidden_size, hidden_size, config.num_decoder_layers, config.cell, dropout=config.dropout
        )
        self.bridge = Linear(hidden_size, config.num_decoder_layers * PARTS[config.cell] * hidden_size)
        """From the encoder's two last states to what the decoder begins with."""
        self.attention = SourceAttention(hidden_size, config.attention)
        self.output_proj = Linear(2 * hidden_size, hidden_size, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def initialise(self, generator: torch.Generator) -> None:
        """What a general rule for matrices and biases does not set."""
        self.encoder.initialise(generator)
        self.decoder.initialise(generator)

    def encode(self, x: Tensor, mask: Tensor) -> Encoded:
        """x [B, S, D] embeddings, mask [B, S]"""
        states, (h, *_) = self.encoder(self.dropout(x), lengths=mask.sum(1))
        last = torch.cat((h[-2], h[-1]), dim=1)  # of the top layer, one way and back
        return Encoded(states, mask, (torch.tanh(self.bridge(last)),))

    def begin(self, encoded: Encoded) -> DecodingState:
        layers, parts = self.config.num_decoder_layers, PARTS[self.config.cell]
        (begun,) = encoded.summary
        past = begun.view(-1, layers, parts, self.hidden_size).float().unbind(2)
        if self.config.input_feeding:
            past = (*past, begun.new_zeros(begun.shape[0], self.hidden_size))
        return DecodingState(encoded.mask, (encoded.states, self.attention.key_proj(encoded.states)), tuple(past))

    def decode(self, y: Tensor, state: DecodingState, *, explain: bool) -> tuple[Tensor, DecodingState, Tensor | None]:
        """y [B, T, D] embeddings -> (hidden [B, T, D], state, attention [B, T, S] if `explain`)"""
        y = self.dropout(y)
        states, keys = state.source
        fed = state.past[-1] if self.config.input_feeding else None
        past = tuple(part.transpose(0, 1).contiguous() for part in state.past[: PARTS[self.config.cell]])
        made: list[Tensor] = []
        looked: list[Tensor] = []
        for part in (y,) if fed is None else torch.split(y, 1, dim=1):
            if fed is not None:
                part = torch.cat((part, fed[:, None].to(part.dtype)), dim=2)
            h, past = self.decoder(part, past)
            context, weights = self.attention(h, keys, states, state.mask)
            output = self.dropout(torch.tanh(self.output_proj(torch.cat((context.to(h.dtype), h), dim=2))))
            made.append(output)
            looked.append(weights)
            fed = None if fed is None else output[:, -1]
        kept = tuple(part.transpose(0, 1) for part in past)
        if fed is not None:
            kept = (*kept, fed)
        length = state.length + y.shape[1]
        attention = torch.cat(looked, 1) if explain else None
        return torch.cat(made, 1), DecodingState(state.mask, state.source, kept, length), attention

"""Sequence to sequence: an encoder reads the source, a decoder writes the target one token at a time and looks back at the source.

One interface over both networks, the recurrent one and the transformer: `encode` once, `begin`, then `decode` any number of tokens at
a time. Source and target share one vocabulary and one embedding (Press and Wolf 2017), and the head is tied to it unless told otherwise.
Left out: copying from the source, coverage, several sources.

Letters: B batch, S source positions, T target positions, D hidden, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...core.config import node, parse, to_plain
from ...core.errors import ConfigError, ModelError
from ...nn.linear import Linear
from ...nn.protocols import LMOutput
from .recurrent import RecurrentConfig, RecurrentNetwork
from .state import DecodingState, Encoded, lengths_mask
from .transformer import TransformerConfig, TransformerNetwork

SECTION = "seq2seq"
"""Of config.json: the whole of Seq2SeqConfig."""

NetworkNode = node(TransformerConfig, RecurrentConfig)


@dataclass(frozen=True, kw_only=True)
class Seq2SeqConfig:
    vocab_size: int = 0
    """0 in a recipe: the tokenizer's, rounded up to a multiple of 64."""
    hidden_size: int = 256
    max_position_embeddings: int = 128
    """The longest source, and the longest target, in tokens."""
    network: NetworkNode = field(default_factory=TransformerConfig)  # type: ignore[valid-type]
    tie_word_embeddings: bool = True

    @property
    def num_hidden_layers(self) -> int:
        """Of the decoder."""
        layers: int = self.network.num_decoder_layers  # type: ignore[attr-defined]
        return layers


@dataclass(frozen=True, slots=True)
class Decoded:
    output: LMOutput
    state: DecodingState
    attention: Tensor | None = None
    """[B, T, S]: where each target position looked, rows summing to one; None if it was not asked for."""


class Seq2Seq(nn.Module):
    model_type: ClassVar[str] = "groundup_seq2seq"

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        if config.vocab_size <= 0:
            raise ModelError(f"vocab_size must be more than 0, not {config.vocab_size}")
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.network: TransformerNetwork | RecurrentNetwork
        match config.network:
            case TransformerConfig():
                self.network = TransformerNetwork(config.hidden_size, config.network)
            case RecurrentConfig():
                self.network = RecurrentNetwork(config.hidden_size, config.network)
            case _:
                raise ConfigError("a network of one's own is not taken here", path="network")
        self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.embed_tokens.weight
        self.checkpoint_activations = False

    def initialise(self, seed: int) -> Seq2Seq:
        """Draw all weights afresh from `seed`; returns self. Embeddings have variance 1 / D, so that tied logits begin near size 1;
        matrices are Glorot's (2010), biases zero but for what a part sets itself."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith(("embed_tokens", "lm_head")):
                    parameter.normal_(0.0, self.config.hidden_size**-0.5, generator=generator)
                elif parameter.dim() >= 2:
                    bound = math.sqrt(6.0 / (parameter.shape[0] + parameter.shape[1]))
                    parameter.uniform_(-bound, bound, generator=generator)
                elif "norm" not in name:
                    parameter.zero_()
            if isinstance(self.network, RecurrentNetwork):
                self.network.initialise(generator)
        return self

    def encode(self, source_ids: Tensor, lengths: Tensor) -> Encoded:
        """source_ids [B, S], whatever id behind each row's length; lengths [B] at least 1"""
        mask = lengths_mask(lengths, source_ids.shape[1])
        return self.network.encode(self.embed_tokens(source_ids), mask)

    def begin(self, encoded: Encoded) -> DecodingState:
        return self.network.begin(encoded)

    def decode(self, target_ids: Tensor, state: DecodingState, *, explain: bool = False) -> Decoded:
        """target_ids [B, T]: the tokens after those that `state` has seen. explain: with the attention."""
        hidden, state, attention = self.network.decode(self.embed_tokens(target_ids), state, explain=explain)
        return Decoded(LMOutput(hidden, self.lm_head), state, attention)

    def forward(self, source_ids: Tensor, lengths: Tensor, target_ids: Tensor) -> LMOutput:
        """source_ids [B, S], lengths [B], target_ids [B, T] -> what follows each target position, given the source"""
        return self.decode(target_ids, self.begin(self.encode(source_ids, lengths))).output

    # groundup.models.network.Network

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any]) -> Seq2Seq:
        section = raw.get(SECTION)
        if not isinstance(section, Mapping):
            raise ModelError(f"config.json has model_type {cls.model_type!r} but no {SECTION!r} section")
        return cls(parse(Seq2SeqConfig, section, path=SECTION))

    def raw_config(self) -> dict[str, Any]:
        config = self.config
        return {
            "architectures": ["GroundupSeq2Seq"],
            "model_type": self.model_type,
            "is_encoder_decoder": True,
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.num_hidden_layers,
            "max_position_embeddings": config.max_position_embeddings,
            "tie_word_embeddings": config.tie_word_embeddings,
            SECTION: to_plain(config),
        }

    def prepare_positions(self, num_positions: int) -> None:
        """Positions are computed, not looked up."""

    def num_parameters(self, *, embeddings: bool = True) -> int:
        total = sum(p.numel() for p in self.parameters())  # tied ones come once
        return total if embeddings else total - self.embed_tokens.weight.numel()

    def flops_per_token(self, context_tokens: int) -> float:
        """6 per weight that multiplies, for each target token, with as many source tokens as there are target tokens."""
        weights = sum(p.numel() for name, p in self.named_parameters() if p.dim() == 2 and "embed" not in name)
        if self.config.tie_word_embeddings:
            weights += self.embed_tokens.weight.numel()
        return 6.0 * weights

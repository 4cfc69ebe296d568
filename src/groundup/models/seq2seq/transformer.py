"""The encoder-decoder transformer in its plain form (Vaswani et al. 2017): sinusoids added to the embeddings, attention with biases,
LayerNorm, ReLU.

Norms stand before each part unless `pre_norm` is off (Xiong et al. 2020: no long warm-up needed then); dropout is on the embeddings and on
what each part adds, not inside attention. A test holds both orders equal to torch.nn's layers.

Letters: B batch, S source positions, T target positions, D hidden, H heads, N head size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...nn.ffn import MLP, Activation, MLPConfig
from ...nn.mixers.attention import Attention, AttentionConfig, attend, causal_mask
from ...nn.mixers.cross_attention import CrossAttention
from ...nn.norm import LayerNorm, LayerNormConfig
from ...nn.position import NoPositionConfig
from .state import DecodingState, Encoded


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    type: Literal["transformer"] = "transformer"
    num_encoder_layers: int = 3
    num_decoder_layers: int = 3
    num_attention_heads: int = 4
    intermediate_size: int = 512
    activation: Activation = "relu"
    pre_norm: bool = True
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.num_encoder_layers, self.num_decoder_layers) < 1:
            raise ConfigError("there must be at least one layer on each side", path="num_encoder_layers")


class _Block(nn.Module):
    """What both blocks share: how a part's output joins the stream."""

    def __init__(self, hidden_size: int, config: TransformerConfig) -> None:
        super().__init__()
        heads = config.num_attention_heads
        self.pre_norm = config.pre_norm
        self.mixer = Attention(
            hidden_size,
            AttentionConfig(
                num_attention_heads=heads, position=NoPositionConfig(), qkv_bias=True, output_bias=True
            ),
        )  # fmt: skip
        self.mixer_norm = LayerNorm(hidden_size, LayerNormConfig())
        ffn = MLPConfig(intermediate_size=config.intermediate_size, activation=config.activation, bias=True)
        self.ffn = MLP(hidden_size, ffn)
        self.ffn_norm = LayerNorm(hidden_size, LayerNormConfig())
        self.dropout = nn.Dropout(config.dropout)

    def add(self, x: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        made: Tensor = x + self.dropout(part(norm(x))) if self.pre_norm else norm(x + self.dropout(part(x)))
        return made

    def attended(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        y = attend(q, k, v, mask=mask, scale=self.mixer.scale, softcap=None)
        made: Tensor = self.mixer.o_proj(y.transpose(1, 2).flatten(2))
        return made


class EncoderBlock(_Block):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, S, D], mask [B, 1, 1, S]: every position sees every other that is there."""
        x = self.add(x, self.mixer_norm, lambda y: self.attended(*self.mixer.project(y), mask))
        return self.add(x, self.ffn_norm, self.ffn)


class DecoderBlock(_Block):
    def __init__(self, hidden_size: int, config: TransformerConfig) -> None:
        super().__init__(hidden_size, config)
        self.cross = CrossAttention(hidden_size, config.num_attention_heads)
        self.cross_norm = LayerNorm(hidden_size, LayerNormConfig())

    def forward(
        self, x: Tensor, past: tuple[Tensor, ...], source: tuple[Tensor, Tensor], mask: Tensor, *, explain: bool
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor | None]:
        """x [B, T, D]; past: keys and values [B, H, P, N] of the positions before x, or (); source: keys and values [B, H, S, N].

        Returns the stream, the longer past, and where x looked in the source, [B, T, S], if `explain`.
        """
        longer: list[Tensor] = []

        def see_past(y: Tensor) -> Tensor:
            q, k, v = self.mixer.project(y)
            if past:
                k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
            longer.extend((k, v))
            new, whole = q.shape[2], k.shape[2]
            seen = causal_mask(whole, None, y.device)[whole - new :] if 1 < new < whole else None
            return self.attended(q, k, v, seen)

        found: list[Tensor] = []

        def see_source(y: Tensor) -> Tensor:
            if explain:
                found.append(self.cross.weights(y, source[0], mask))
            made: Tensor = self.cross(y, *source, mask)
            return made

        x = self.add(x, self.mixer_norm, see_past)
        x = self.add(x, self.cross_norm, see_source)
        x = self.add(x, self.ffn_norm, self.ffn)
        return x, (longer[0], longer[1]), found[0] if found else None


class TransformerNetwork(nn.Module):
    def __init__(self, hidden_size: int, config: TransformerConfig) -> None:
        super().__init__()
        if hidden_size % config.num_attention_heads or hidden_size % 2:
            raise ConfigError(
                f"{hidden_size} must be even and a multiple of num_attention_heads = {config.num_attention_heads}",
                path="hidden_size",
            )
        self.hidden_size = hidden_size
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = nn.ModuleList(EncoderBlock(hidden_size, config) for _ in range(config.num_encoder_layers))
        self.decoder = nn.ModuleList(DecoderBlock(hidden_size, config) for _ in range(config.num_decoder_layers))

        def last() -> nn.Module:
            return LayerNorm(hidden_size, LayerNormConfig()) if config.pre_norm else nn.Identity()

        self.encoder_norm, self.decoder_norm = last(), last()

    def encode(self, x: Tensor, mask: Tensor) -> Encoded:
        """x [B, S, D] embeddings, mask [B, S]"""
        x = self._placed(x, 0)
        for block in self.encoder:
            x = block(x, mask[:, None, None])
        return Encoded(self.encoder_norm(x), mask)

    def begin(self, encoded: Encoded) -> DecodingState:
        source: list[Tensor] = []
        for block in self.decoder:
            source.extend(block.cross.remember(encoded.states))  # type: ignore[union-attr,operator]
        return DecodingState(encoded.mask, tuple(source))

    def decode(self, y: Tensor, state: DecodingState, *, explain: bool) -> tuple[Tensor, DecodingState, Tensor | None]:
        """y [B, T, D] embeddings -> (hidden [B, T, D], state, attention [B, T, S] of the last block if `explain`)"""
        mask = state.mask[:, None, None]
        x = self._placed(y, state.length)
        past: list[Tensor] = []
        looked: Tensor | None = None
        for i, block in enumerate(self.decoder):
            two = slice(2 * i, 2 * i + 2)
            x, longer, looked = block(x, state.past[two], state.source[two], mask, explain=explain)
            past.extend(longer)
        length = state.length + y.shape[1]
        return self.decoder_norm(x), DecodingState(state.mask, state.source, tuple(past), length), looked

    def _placed(self, x: Tensor, start: int) -> Tensor:
        """Embeddings scaled to unit size, with their positions from `start` on."""
        scaled = x * math.sqrt(self.hidden_size)
        made: Tensor = self.dropout(scaled + sinusoids(start, x.shape[1], self.hidden_size, x.device).to(x.dtype))
        return made


def sinusoids(start: int, count: int, size: int, device: torch.device) -> Tensor:
    """[count, size]: sines in the first half of the channels and cosines in the second, wavelengths from 2 pi to 10,000 x 2 pi
    (section 3.5, which interleaves them: the same up to the order of the channels)."""
    places = torch.arange(start, start + count, device=device, dtype=torch.float32)
    rates = torch.exp(torch.arange(0, size, 2, device=device, dtype=torch.float32) * (-math.log(10_000.0) / size))
    angles = places[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)

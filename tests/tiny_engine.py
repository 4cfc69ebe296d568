"""Tiny random decoders and a tokenizer whose ids are bytes, for the engine's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
from groundup.nn.ffn import GatedConfig
from groundup.nn.mixers.attention import AttentionConfig

EOS = 256


class ByteTokenizer:
    """id = byte, 256 = end of text."""

    vocab_size = 257
    special_ids: Mapping[str, int] = {"<eos>": EOS}

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return b"".join(self.token_bytes(i) for i in ids).decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < 256 else b"<eos>"


def tiny_decoder(
    *, seed: int = 0, vocab_size: int = 264, layers: int = 2, context: int = 128, std: float = 0.3, **mixer: object
) -> Decoder:
    """Weights wide enough that the next token is far from certain and greedy choices are far from ties."""
    attention = {"num_attention_heads": 4, "num_key_value_heads": 2, **mixer}
    config = DecoderConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=layers,
        max_position_embeddings=context,
        block=BlockConfig(mixer=AttentionConfig(**attention), ffn=GatedConfig(intermediate_size=64)),  # type: ignore[arg-type]
        initializer_range=std,
    )
    return Decoder(config).initialise(seed).eval()


def greedy_by_full_forward(model: Decoder, prompt: Sequence[int], count: int, *, below: int = 257) -> list[int]:
    """The plain way: the whole text through the model for every token."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1, :below].argmax()))
    return ids[len(prompt) :]

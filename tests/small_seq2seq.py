"""Small encoder-decoders of every kind, and random batches for them."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from groundup.models.seq2seq import RecurrentConfig, Seq2Seq, Seq2SeqConfig, TransformerConfig

VOCAB = 29
NETWORKS = {
    "transformer": TransformerConfig(num_encoder_layers=2, num_decoder_layers=2, num_attention_heads=2, intermediate_size=24),
    "post-norm": TransformerConfig(num_encoder_layers=1, num_decoder_layers=2, num_attention_heads=4, intermediate_size=24, pre_norm=False),
    "additive": RecurrentConfig(attention="additive", num_decoder_layers=2),
    "additive, fed": RecurrentConfig(attention="additive", input_feeding=True),
    "multiplicative": RecurrentConfig(num_encoder_layers=2),
    "multiplicative, fed, gru": RecurrentConfig(input_feeding=True, cell="gru", num_decoder_layers=2),
}  # fmt: skip


def small_seq2seq(network: str, seed: int, *, vocab_size: int = VOCAB, scale: float = 1.0) -> Seq2Seq:
    """scale: of the initial weights; larger makes distributions that are less even."""
    config = Seq2SeqConfig(vocab_size=vocab_size, hidden_size=16, max_position_embeddings=32, network=NETWORKS[network])
    model = Seq2Seq(config).initialise(seed).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


def random_batch(draw: random.Random, *, vocab_size: int = VOCAB) -> tuple[Tensor, Tensor, Tensor]:
    """source_ids [B, S], lengths [B], target_ids [B, T]"""
    rows, longest, targets = draw.randrange(1, 5), draw.randrange(1, 9), draw.randrange(1, 9)
    lengths = torch.tensor([draw.randint(1, longest) for _ in range(rows)])
    lengths[0] = longest
    generator = torch.Generator().manual_seed(draw.getrandbits(32))
    source = torch.randint(0, vocab_size, (rows, longest), generator=generator)
    return source, lengths, torch.randint(0, vocab_size, (rows, targets), generator=generator)

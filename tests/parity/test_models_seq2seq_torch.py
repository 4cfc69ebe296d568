"""The encoder-decoder transformer against torch.nn's layers with the same weights, cross-attention against MultiheadAttention, and the
attention of the recurrent one against its formulas in NumPy."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from groundup.models.seq2seq import Seq2Seq
from groundup.models.seq2seq.recurrent import RecurrentNetwork, SourceAttention
from groundup.models.seq2seq.transformer import TransformerNetwork, sinusoids
from groundup.nn.mixers.attention import Attention
from groundup.nn.mixers.cross_attention import CrossAttention
from small_seq2seq import random_batch, small_seq2seq

pytestmark = [pytest.mark.row("2.4"), pytest.mark.row("5.2")]


def fresh() -> random.Random:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    return random.Random(seed)


def copied(ours: Attention | CrossAttention, theirs: nn.MultiheadAttention) -> None:
    parts = (ours.q_proj, ours.k_proj, ours.v_proj)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.weight.copy_(ours.o_proj.weight)
        theirs.out_proj.bias.copy_(ours.o_proj.bias)


def same(pairs: list[tuple[nn.Module, nn.Module]]) -> None:
    for ours, theirs in pairs:
        theirs.load_state_dict(ours.state_dict())


@pytest.mark.parametrize("network", ["transformer", "post-norm"])
def test_the_transformer_is_torchs(network: str) -> None:
    draw = fresh()
    model = small_seq2seq(network, draw.getrandbits(16))
    for parameter in model.parameters():  # norms and biases too
        nn.init.normal_(parameter, std=0.3)
    net, config = model.network, model.config.network
    assert isinstance(net, TransformerNetwork)
    size = {
        "d_model": 16,
        "nhead": config.num_attention_heads,
        "dim_feedforward": 24,
        "dropout": 0.0,
        "batch_first": True,
    }  # type: ignore[union-attr]
    size["norm_first"] = config.pre_norm  # type: ignore[union-attr]
    encoder = nn.ModuleList(nn.TransformerEncoderLayer(**size) for _ in net.encoder)  # type: ignore[arg-type]
    decoder = nn.ModuleList(nn.TransformerDecoderLayer(**size) for _ in net.decoder)  # type: ignore[arg-type]
    for ours, theirs in zip([*net.encoder, *net.decoder], [*encoder, *decoder], strict=True):
        copied(ours.mixer, theirs.self_attn)
        norms = [
            (ours.mixer_norm, theirs.norm1),
            (ours.ffn.up_proj, theirs.linear1),
            (ours.ffn.down_proj, theirs.linear2),
        ]
        if isinstance(theirs, nn.TransformerDecoderLayer):
            copied(ours.cross, theirs.multihead_attn)
            norms += [(ours.cross_norm, theirs.norm2), (ours.ffn_norm, theirs.norm3)]
        else:
            norms.append((ours.ffn_norm, theirs.norm2))
        same(norms)
    for _ in range(5):
        source, lengths, target = random_batch(draw)
        absent = torch.arange(source.shape[1]) >= lengths[:, None]
        x, y = (embedded(model, ids) for ids in (source, target))
        for layer in encoder.eval():
            x = layer(x, src_key_padding_mask=absent)
        x = net.encoder_norm(x)
        later = torch.triu(torch.ones(target.shape[1], target.shape[1], dtype=torch.bool), 1)
        for layer in decoder.eval():
            y = layer(y, x, tgt_mask=later, memory_key_padding_mask=absent)
        wanted = net.decoder_norm(y) @ model.embed_tokens.weight.T
        torch.testing.assert_close(model(source, lengths, target).logits, wanted, atol=2e-5, rtol=1e-4)


def embedded(model: Seq2Seq, ids: Tensor) -> Tensor:
    return model.embed_tokens(ids) * 4.0 + sinusoids(0, ids.shape[1], 16, ids.device)


def test_sinusoids_are_the_papers() -> None:
    made = sinusoids(3, 5, 8, torch.device("cpu"))
    for row, place in enumerate(range(3, 8)):
        for i in range(4):
            angle = place / 10_000 ** (2 * i / 8)
            assert made[row, i].item() == pytest.approx(np.sin(angle), abs=1e-6)
            assert made[row, 4 + i].item() == pytest.approx(np.cos(angle), abs=1e-6)


def test_cross_attention_is_multihead_attention() -> None:
    draw = fresh()
    for _ in range(10):
        ours = CrossAttention(12, draw.choice([1, 2, 3]))
        theirs = nn.MultiheadAttention(12, ours.num_heads, batch_first=True)
        copied(ours, theirs)
        rows, targets, sources = draw.randrange(1, 4), draw.randrange(1, 7), draw.randrange(1, 7)
        x, memory = torch.randn(rows, targets, 12), torch.randn(rows, sources, 12)
        there = torch.arange(sources) < torch.tensor([draw.randint(1, sources) for _ in range(rows)])[:, None]
        keys, values = ours.remember(memory)
        wanted, weights = theirs(x, memory, memory, key_padding_mask=~there)
        mask = there[:, None, None]
        torch.testing.assert_close(ours(x, keys, values, mask), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours.weights(x, keys, mask), weights, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_scores_of_the_recurrent_decoder(kind: str) -> None:
    draw = fresh()
    part = SourceAttention(6, kind).double()
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    rows, targets, sources = 2, draw.randrange(1, 5), draw.randrange(1, 6)
    h, states = torch.randn(rows, targets, 6).double(), torch.randn(rows, sources, 6).double()
    lengths = [draw.randint(1, sources) for _ in range(rows)]
    mask = torch.arange(sources) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        context, weights = part(h, part.key_proj(states), states, mask)
    named = {name: value.detach().numpy() for name, value in part.named_parameters()}
    for b in range(rows):
        for t in range(targets):
            query, scores = h[b, t].numpy(), []
            for s in range(lengths[b]):
                key = named["key_proj.weight"] @ states[b, s].numpy()
                if kind == "multiplicative":
                    scores.append(query @ key)
                else:
                    mixed = np.tanh(named["query_proj.weight"] @ query + named["query_proj.bias"] + key)
                    scores.append(named["score_vector"][0] @ mixed)
            shares = np.exp(np.array(scores) - max(scores))
            shares /= shares.sum()
            np.testing.assert_allclose(weights[b, t, : lengths[b]].numpy(), shares, atol=1e-6)
            assert not weights[b, t, lengths[b] :].any()
            np.testing.assert_allclose(context[b, t].numpy(), shares @ states[b, : lengths[b]].numpy(), atol=1e-5)


@pytest.mark.parametrize("network", ["additive, fed", "multiplicative, fed, gru"])
@torch.no_grad()
def test_input_feeding_gives_each_step_the_output_before_it(network: str) -> None:
    """Luong et al. 2015, section 3.3, with torch's own cells."""
    draw = fresh()
    model = small_seq2seq(network, draw.getrandbits(16))
    net = model.network
    assert isinstance(net, RecurrentNetwork)
    source, lengths, target = random_batch(draw)
    encoded = model.encode(source, lengths)
    state = model.begin(encoded)
    layers = []
    for ours in net.decoder.layers:
        theirs = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[ours.cell](ours.weight_ih.shape[1], 16)
        theirs.weight_ih.copy_(ours.weight_ih), theirs.weight_hh.copy_(ours.weight_hh)
        theirs.bias_ih.copy_(ours.bias)
        nn.init.zeros_(theirs.bias_hh)
        if ours.bias_n is not None:
            theirs.bias_hh[-16:] = ours.bias_n
        layers.append(theirs)
    parts = state.past[:-1]  # [B, L, D] each; the last is what is fed
    memory = [tuple(part[:, layer] for part in parts) for layer in range(len(layers))]
    fed, outputs = torch.zeros(source.shape[0], 16), []
    for t in range(target.shape[1]):
        x = torch.cat((model.embed_tokens(target[:, t]), fed), dim=1)
        for number, layer in enumerate(layers):
            made = layer(x, memory[number] if len(parts) == 2 else memory[number][0])
            memory[number] = made if len(parts) == 2 else (made,)
            x = memory[number][0]
        context, _ = net.attention(x[:, None], net.attention.key_proj(encoded.states), encoded.states, encoded.mask)
        fed = torch.tanh(net.output_proj(torch.cat((context[:, 0], x), dim=1)))
        outputs.append(fed)
    got = model.decode(target, state).output.hidden
    torch.testing.assert_close(got, torch.stack(outputs, 1), atol=1e-5, rtol=1e-4)

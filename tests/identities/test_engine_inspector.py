"""Looking into a model: the weights that are shown are those it uses, and a silent head is one whose output is zero."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from groundup.core.config import Use
from groundup.core.errors import ModelError, RequestError
from groundup.engine.inspector import Inspector, attention_weights
from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
from groundup.models.directory import save_model, seal_model
from groundup.models.rnn import RecurrentConfig, RecurrentLM
from groundup.nn.ffn import GatedConfig
from groundup.nn.mixers.attention import Attention, AttentionConfig
from groundup.nn.position import NoPositionConfig, RopeConfig
from groundup.tokenizers import BPETokenizer, BPETrainConfig
from small_seq2seq import small_seq2seq
from tiny_engine import ByteTokenizer, tiny_decoder

pytestmark = [pytest.mark.row("L.8"), pytest.mark.row("5.6")]
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"num_attention_heads": 4},
    "grouped": {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8},
    "one kv head": {"num_attention_heads": 4, "num_key_value_heads": 1},
    "window": {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 5},
    "window longer than the text": {"num_attention_heads": 4, "sliding_window": 99},
    "soft cap": {"num_attention_heads": 4, "num_key_value_heads": 2, "logit_softcap": 1.5, "query_scale": 3.0},
    "capped window": {"num_attention_heads": 4, "logit_softcap": 2.0, "sliding_window": 3},
    "norm per head": {"num_attention_heads": 4, "qk_norm": "head"},
    "norm over all": {"num_attention_heads": 4, "num_key_value_heads": 2, "qk_norm": "full"},
    "biases": {"num_attention_heads": 4, "qkv_bias": True, "output_bias": True},
    "no positions": {"num_attention_heads": 4, "position": NoPositionConfig()},
    "half turned": {"num_attention_heads": 4, "position": RopeConfig(partial_rotary_factor=0.5)},
}
TEXT = "to be, or not to be: to b"


def loud(part: nn.Module, seed: int) -> nn.Module:
    """Weights that make scores far from equal."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=draws) + (parameter.dim() == 1))
    return part.eval()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_weights_times_the_values_are_what_the_part_returns(name: str, seed: int) -> None:
    part = loud(Attention(32, AttentionConfig(**VARIANTS[name])), seed)
    assert isinstance(part, Attention)
    x = torch.randn(2, 17, 32, generator=torch.Generator().manual_seed(seed + 10))
    part.position.prepare(17)  # type: ignore[operator]
    with torch.no_grad():
        weights = attention_weights(part, x)
        v = part.project(x)[2].repeat_interleave(part.num_heads // part.num_kv_heads, dim=1)
        again = part.o_proj((weights @ v).transpose(1, 2).flatten(2))
        torch.testing.assert_close(again, part(x)[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not weights.triu(1).any()
    window = part.config.sliding_window
    if window is not None and window < 17:
        assert not weights.tril(-window).any()
    assert weights.std() > 0.05  # uniform weights would prove nothing


@pytest.mark.parametrize("name", VARIANTS)
def test_without_every_head_a_layer_adds_what_its_output_projection_makes_of_zeros(name: str) -> None:
    model = tiny_decoder(seed=3, **{"num_key_value_heads": None, **VARIANTS[name]})
    inspector = Inspector(model, ByteTokenizer())
    plain = inspector.losses(TEXT)
    heads = inspector.heads
    silenced = inspector.losses(TEXT, without=[(0, h) for h in range(heads[0])])
    part = model.blocks[0].mixer
    before = part.o_proj.weight.clone()
    with torch.no_grad():
        part.o_proj.weight.zero_()  # the same as zeros for its input, a bias included
    expected = inspector.losses(TEXT)
    np.testing.assert_allclose(silenced, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(silenced - plain).max() > 0.01
    with torch.no_grad():
        part.o_proj.weight.copy_(before)
    np.testing.assert_array_equal(inspector.losses(TEXT), plain)


def test_one_head_silent_is_its_columns_of_the_output_projection_zero() -> None:
    model = tiny_decoder(seed=4)
    inspector = Inspector(model, ByteTokenizer())
    plain, got = inspector.losses(TEXT), inspector.losses(TEXT, without=[(1, 2), (0, 0), (1, 2)])
    for layer, head in ((1, 2), (0, 0)):
        part = model.blocks[layer].mixer
        with torch.no_grad():
            part.o_proj.weight[:, head * part.head_dim : (head + 1) * part.head_dim] = 0.0
    np.testing.assert_allclose(got, inspector.losses(TEXT), rtol=1e-5, atol=1e-5)
    assert np.abs(got - plain).max() > 0.01


def test_losses_are_the_models_own_and_nothing_is_left_behind() -> None:
    model = tiny_decoder(seed=5)
    inspector = Inspector(model, ByteTokenizer())
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids = torch.tensor([list(TEXT.encode())])
    with torch.no_grad():
        wanted = -model(ids).logits[0].log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
    plain = inspector.losses(TEXT)
    np.testing.assert_allclose(plain, wanted.numpy(), rtol=1e-5, atol=1e-5)
    inspector.attention(TEXT)
    inspector.losses(TEXT, without=[(0, 1)])
    with pytest.raises(RuntimeError):  # even after a call that failed in the middle
        model.blocks[1].ffn.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("stop")))
        inspector.losses(TEXT, without=[(0, 1), (1, 1)])
    model.blocks[1].ffn._forward_pre_hooks.clear()
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    np.testing.assert_array_equal(inspector.losses(TEXT), plain)


def test_threads_do_not_see_each_others_silent_heads() -> None:
    inspector = Inspector(tiny_decoder(seed=6), ByteTokenizer())
    asked: list[list[tuple[int, int]]] = [[], [(0, 0)], [(1, 3)], [(0, h) for h in range(4)]]
    alone = [inspector.losses(TEXT, without=heads) for heads in asked]
    assert all(np.abs(a - b).max() > 1e-3 for n, a in enumerate(alone) for b in alone[:n])
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(8):
            # Not bit for bit: a thread of its own has its own number of threads for products.
            if not np.allclose(inspector.losses(TEXT, without=asked[i]), alone[i], atol=1e-5):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class Mean(nn.Module):
    """A part of the user's own, without attention."""

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        return x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None], state


class Louder(Attention):
    """Derived from ours, and does something else."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size, AttentionConfig(num_attention_heads=4, position=NoPositionConfig()))

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        return 2.0 * super().forward(x)[0], state


def test_a_part_derived_from_ours_is_not_taken_for_it() -> None:
    own = BlockConfig(mixer=Use(use=f"{__file__}:Louder"), ffn=GatedConfig(intermediate_size=32))
    config = DecoderConfig(vocab_size=264, hidden_size=32, num_hidden_layers=1, max_position_embeddings=64, block=own)
    assert Inspector(Decoder(config).initialise(0).eval(), ByteTokenizer()).heads == (0,)


def test_layers_without_attention_say_so() -> None:
    attention = BlockConfig(mixer=AttentionConfig(num_attention_heads=4), ffn=GatedConfig(intermediate_size=32))
    own = BlockConfig(mixer=Use(use=f"{__file__}:Mean"), ffn=GatedConfig(intermediate_size=32))
    config = DecoderConfig(vocab_size=264, hidden_size=32, num_hidden_layers=3, max_position_embeddings=64, block=attention,
                           alternate=(own,))  # fmt: skip
    inspector = Inspector(Decoder(config).initialise(0).eval(), ByteTokenizer())
    assert inspector.heads == (4, 0, 4)
    assert [a.shape for a in inspector.attention(TEXT)] == [(4, 25, 25), (0, 25, 25), (4, 25, 25)]
    assert inspector.losses(TEXT, without=[(2, 3)]).shape == (24,)
    with pytest.raises(RequestError, match=r"no head 0 in layer 1; heads by layer: \[4, 0, 4\]"):
        inspector.losses(TEXT, without=[(1, 0)])

    recurrent = RecurrentLM(
        RecurrentConfig(vocab_size=264, hidden_size=16, num_hidden_layers=2, max_position_embeddings=64)
    )
    of_recurrent = Inspector(recurrent.initialise(0).eval(), ByteTokenizer())
    assert of_recurrent.heads == (0, 0)
    assert np.isfinite(of_recurrent.losses(TEXT)).all()


def test_what_cannot_be_read_is_refused_with_the_limit() -> None:
    inspector = Inspector(tiny_decoder(context=32), ByteTokenizer())
    for text, found in (("x" * 33, "33 tokens"), ("", "0 tokens")):
        with pytest.raises(RequestError, match=f"{found} of this model; from 1 to 32"):
            inspector.attention(text)
    assert inspector.losses("x").shape == (0,)
    for head in ((0, 4), (0, -1), (2, 0)):
        with pytest.raises(RequestError, match="there is no head"):
            inspector.losses("xy", without=[head])
    inspector.close()
    with pytest.raises(ModelError, match="closed"):
        inspector.losses("xy")


def test_a_directory_opens_with_its_tokenizer(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train([TEXT * 4], BPETrainConfig(vocab_size=280, special_tokens=("<|bos|>",)))
    model = tiny_decoder(vocab_size=tokenizer.vocab_size)
    bos = tokenizer.special_ids["<|bos|>"]
    save_model(model, tmp_path / "m", tokenizer=tokenizer, generation={"bos_token_id": bos}, dtype=torch.bfloat16)
    seal_model(tmp_path / "m")
    inspector = Inspector.load(tmp_path / "m")
    pieces = inspector.pieces(TEXT)
    assert "".join(pieces) == TEXT and len(pieces) < len(TEXT)
    assert inspector.attention(TEXT)[0].dtype == np.float32
    begun = Inspector(model, tokenizer, bos_id=bos)
    assert begun.pieces(TEXT) == ["<|bos|>", *pieces]
    assert len(begun.losses(TEXT)) == len(pieces)
    assert math.isclose(float(begun.attention(TEXT)[1][0, 0, 0]), 1.0, abs_tol=1e-6)
    assert inspector.pieces("é")[0] == "\N{REPLACEMENT CHARACTER}"


def test_models_of_other_kinds_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "counts").mkdir()
    (tmp_path / "counts" / "config.json").write_text('{"model_type": "ngram"}')
    with pytest.raises(ModelError, match="n-gram counts"):
        Inspector.load(tmp_path / "counts")
    tokenizer = BPETokenizer.train([TEXT], BPETrainConfig(vocab_size=260))
    network = small_seq2seq("transformer", 0, vocab_size=tokenizer.vocab_size)
    save_model(network, tmp_path / "translator", tokenizer=tokenizer)
    seal_model(tmp_path / "translator")
    with pytest.raises(ModelError, match="encoder-decoder"):
        Inspector.load(tmp_path / "translator")

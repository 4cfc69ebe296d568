"""Every family against transformers: logits, gradients, greedy continuations, and our saved directories opened there."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)  # fmt: skip

from groundup.core.errors import ModelError
from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
from groundup.models.directory import load_model, read_generation_config, save_model
from groundup.models.families import family_of, read_config
from groundup.nn.ffn import GatedConfig
from groundup.nn.mixers.attention import AttentionConfig
from groundup.nn.norm import RMSNormConfig

pytestmark = pytest.mark.row("5.1")

SEED = int(os.environ.get("GROUNDUP_TEST_SEED") or random.SystemRandom().randrange(2**32))
TEXT_TOKENS = 40


def sizes(draw: random.Random) -> dict[str, Any]:
    kv = draw.choice([1, 2, 3])
    heads = kv * draw.choice([1, 2, 3])
    return {
        "vocab_size": draw.randrange(60, 140),
        "hidden_size": heads * 2 * draw.choice([4, 6, 8]),
        "intermediate_size": draw.randrange(20, 70),
        "num_hidden_layers": draw.choice([2, 3, 5]),
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "max_position_embeddings": 128,
        "rms_norm_eps": draw.choice([1e-5, 1e-6]),
        "tie_word_embeddings": draw.random() < 0.5,
        "initializer_range": 0.05,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def rope(theta: float) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta}


def gpt2(draw: random.Random) -> PreTrainedConfig:
    s = sizes(draw)
    return GPT2Config(
        vocab_size=s["vocab_size"], n_embd=s["hidden_size"], n_layer=s["num_hidden_layers"], n_positions=128,
        n_head=s["num_attention_heads"], n_inner=draw.choice([None, 50]), layer_norm_epsilon=1e-5,
        tie_word_embeddings=s["tie_word_embeddings"], bos_token_id=1, eos_token_id=2, pad_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip


def llama(draw: random.Random) -> PreTrainedConfig:
    return LlamaConfig(
        **sizes(draw),
        rope_parameters=rope(500000.0),
        attention_bias=draw.random() < 0.5,
        mlp_bias=draw.random() < 0.5,
    )


def llama3(draw: random.Random) -> PreTrainedConfig:
    return LlamaConfig(
        **sizes(draw),
        head_dim=16,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    )  # fmt: skip


def llama_linear(draw: random.Random) -> PreTrainedConfig:
    return LlamaConfig(**sizes(draw), rope_parameters={**rope(10000.0), "rope_type": "linear", "factor": 2.5})


def smollm(draw: random.Random) -> PreTrainedConfig:
    return LlamaConfig(**{**sizes(draw), "tie_word_embeddings": True}, rope_parameters=rope(10000.0))


def mistral(draw: random.Random) -> PreTrainedConfig:
    return MistralConfig(**sizes(draw), sliding_window=draw.choice([1, 5, 9, None]), rope_parameters=rope(10000.0))


def qwen2(draw: random.Random) -> PreTrainedConfig:
    return Qwen2Config(
        **sizes(draw), use_sliding_window=True, sliding_window=7, max_window_layers=1, rope_parameters=rope(1e6)
    )


def qwen3(draw: random.Random) -> PreTrainedConfig:
    return Qwen3Config(
        **sizes(draw),
        head_dim=draw.choice([8, 12]),
        attention_bias=draw.random() < 0.5,
        rope_parameters=rope(1e6),
    )


def gemma2(draw: random.Random) -> PreTrainedConfig:
    return Gemma2Config(
        **sizes(draw),
        head_dim=draw.choice([8, 12]),
        sliding_window=6,
        query_pre_attn_scalar=draw.choice([5, 24]),
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
        rope_parameters=rope(10000.0),
    )


def olmo2(draw: random.Random) -> PreTrainedConfig:
    return Olmo2Config(**sizes(draw), attention_bias=draw.random() < 0.5, rope_parameters=rope(10000.0))


FAMILIES = [gpt2, llama, llama3, llama_linear, smollm, mistral, qwen2, qwen3, gemma2, olmo2]


@pytest.fixture(params=FAMILIES, ids=lambda make: make.__name__)
def reference(request: pytest.FixtureRequest) -> Any:
    make: Callable[[random.Random], PreTrainedConfig] = request.param
    print(f"GROUNDUP_TEST_SEED={SEED}")
    draw = random.Random(f"{SEED} {make.__name__}")
    torch.manual_seed(draw.randrange(2**32))
    # Soft-capping is only in the eager attention of transformers.
    model = AutoModelForCausalLM.from_config(make(draw), attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:  # small ones where the layer is wide: where wide layers saturate every softmax, float32 differs by more than a mistake
                parameter.copy_(min(0.2, 0.7 * parameter.shape[-1] ** -0.5) * torch.randn_like(parameter))
    return model


def some_ids(model: Any, rows: int, length: int) -> torch.Tensor:
    return torch.randint(3, model.config.vocab_size, (rows, length))


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, scale: float = 1e-5) -> None:
    torch.testing.assert_close(ours, theirs, rtol=scale, atol=scale * max(1.0, theirs.abs().max().item()))


@pytest.mark.parametrize("shard", ["5GB", "8KB"])
def test_their_directory_opens_here(reference: Any, tmp_path: Path, shard: str) -> None:
    reference.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "8KB")
    model = load_model(tmp_path)
    ids = some_ids(reference, 2, TEXT_TOKENS)
    assert_close(model(ids).logits, reference(ids).logits)


def test_gradients_are_equal(reference: Any, tmp_path: Path) -> None:
    reference.save_pretrained(tmp_path)
    model = load_model(tmp_path).train()
    reference.train()
    ids = some_ids(reference, 2, 24)
    for network in (model, reference):
        logits = network(ids).logits
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    # Saved as tensors of the family, our gradients must be theirs by name.
    gradients = Decoder(model.config)
    with torch.no_grad():
        for ours, holder in zip(model.parameters(), gradients.parameters(), strict=True):
            assert ours.grad is not None
            holder.copy_(ours.grad)
    save_model(gradients, tmp_path / "gradients")
    theirs = {name: p.grad for name, p in reference.named_parameters()}
    with safe_open(tmp_path / "gradients" / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(theirs)
        for name in file.keys():  # noqa: SIM118
            assert_close(file.get_tensor(name), theirs[name], 2e-5)


def test_greedy_continuation_is_equal(reference: Any, tmp_path: Path) -> None:
    reference.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    ids = some_ids(reference, 2, 11)
    # Without their cache, which keeps every key where a window of one would keep none.
    wanted = reference.generate(
        ids, do_sample=False, max_new_tokens=25, min_new_tokens=25, pad_token_id=0, attention_mask=torch.ones_like(ids),
        use_cache=False,
    )  # fmt: skip
    state = model.init_state(2)
    text, new = ids, ids
    with torch.inference_mode():
        for _ in range(25):
            out = model(new, state)
            scores = out.head(out.hidden[:, -1])
            scores[:, 2] = -torch.inf  # min_new_tokens keeps the end-of-text token out
            new, state = scores.argmax(-1, keepdim=True), out.state
            text = torch.cat((text, new), dim=1)
    assert text.tolist() == wanted.tolist()


@pytest.mark.parametrize("max_shard_bytes", [10**9, 9000])
def test_our_directory_opens_there(reference: Any, tmp_path: Path, max_shard_bytes: int) -> None:
    reference.save_pretrained(tmp_path / "theirs")
    model = load_model(tmp_path / "theirs")
    generation = read_generation_config(tmp_path / "theirs")
    save_model(model, tmp_path / "ours", generation=generation, max_shard_bytes=max_shard_bytes)
    raw = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert raw["model_type"] == family_of(model.config) and "auto_map" not in raw
    again, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", attn_implementation="eager", trust_remote_code=False, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(again.generation_config, key) == getattr(reference.generation_config, key)
    ids = some_ids(reference, 2, TEXT_TOKENS)
    if type(again) is type(reference):
        assert torch.equal(again(ids).logits, reference(ids).logits)
        wanted = dict(reference.state_dict())
        assert set(again.state_dict()) == set(wanted)
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in again.state_dict().items())
    else:  # a Mistral without a window is a Llama
        assert_close(again(ids).logits, reference(ids).logits)
    assert torch.equal(load_model(tmp_path / "ours")(ids).logits, model(ids).logits)


def test_bfloat16_directory(reference: Any, tmp_path: Path) -> None:
    reference.to(torch.bfloat16).save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    ids = some_ids(reference, 2, 24)
    ours, theirs = model(ids).logits.float(), reference(ids).logits.float()
    # The two order their bfloat16 roundings differently inside attention; the float32 model is the arbiter.
    exact = load_model(tmp_path, dtype=torch.float32)(ids).logits
    error = (theirs - exact).norm() / exact.norm()
    assert (ours - exact).norm() / exact.norm() < max(2 * error.item(), 0.02)


def test_a_recipes_decoder_is_saved_as_a_family(tmp_path: Path) -> None:
    def decoder(**attention: Any) -> DecoderConfig:
        block = BlockConfig(
            mixer=AttentionConfig(num_attention_heads=4, num_key_value_heads=2, **attention),
            ffn=GatedConfig(intermediate_size=40),
        )
        return DecoderConfig(
            vocab_size=64, hidden_size=32, num_hidden_layers=2, max_position_embeddings=64, block=block
        )

    cases = {
        "llama": decoder(),
        "mistral": decoder(sliding_window=8),
        "qwen2": decoder(qkv_bias=True),
        "qwen3": decoder(qk_norm="head"),
        "groundup": decoder(qk_norm="full"),
    }
    for family, config in cases.items():
        assert family_of(config) == family
        model = Decoder(config).initialise(3).eval()
        save_model(model, tmp_path / family)
        ids = torch.randint(0, 64, (2, 20))
        again = load_model(tmp_path / family)
        assert family_of(again.config) == family
        assert torch.equal(again(ids).logits, model(ids).logits)
        if family != "groundup":
            theirs = AutoModelForCausalLM.from_pretrained(tmp_path / family, attn_implementation="eager")
            assert theirs.config.model_type == family
            assert_close(model(ids).logits, theirs(ids).logits)


def test_odd_mixes_keep_their_own_form(tmp_path: Path) -> None:
    mixer = AttentionConfig(num_attention_heads=4, head_dim=12, output_bias=True, logit_softcap=5.0)
    first = BlockConfig(mixer=mixer, ffn=GatedConfig(intermediate_size=40, activation="relu2"))
    second = BlockConfig(mixer=mixer, ffn=GatedConfig(intermediate_size=24), norm=RMSNormConfig(eps=1e-4))
    config = DecoderConfig(vocab_size=64, hidden_size=32, num_hidden_layers=3, max_position_embeddings=64,
                           block=first, alternate=(second,), final_norm=False)  # fmt: skip
    assert family_of(config) == "groundup"
    model = Decoder(config).initialise(1).eval()
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.config == config
    ids = torch.randint(0, 64, (2, 20))
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_config_files_of_older_writers() -> None:
    """rope_theta and rope_scaling at the top, torch_dtype, and every default left out."""
    old = {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "vocab_size": 64,
        "num_attention_heads": 4, "max_position_embeddings": 64, "rope_theta": 500000.0, "torch_dtype": "bfloat16",
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 32},
    }  # fmt: skip
    position = read_config(old).block.mixer.position
    assert position.rope_theta == 500000.0 and position.scaling.factor == 8.0
    assert not read_config(old).tie_word_embeddings
    with pytest.raises(ModelError, match="rope_type 'yarn'"):
        read_config({**old, "rope_scaling": {"type": "yarn", "factor": 2.0}})
    with pytest.raises(ModelError, match="hidden_act = 'mish'"):
        read_config({**old, "hidden_act": "mish"})
    with pytest.raises(ModelError, match="model_type 'mamba'; known families: llama"):
        read_config({**old, "model_type": "mamba"})
    with pytest.raises(ModelError, match="hidden_size"):
        read_config({"model_type": "llama"})


CONFIGS = [LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, Gemma2Config, Olmo2Config, GPT2Config]


@pytest.mark.parametrize("cls", CONFIGS)
def test_defaults_are_transformers_own(cls: Any) -> None:
    """A config.json that says only what has no default means the same to both."""
    whole = cls().to_dict()
    needed = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
              "max_position_embeddings")  # fmt: skip
    short = {key: whole[key] for key in needed if key in whole}
    assert read_config({**short, "model_type": cls.model_type}) == read_config(whole)

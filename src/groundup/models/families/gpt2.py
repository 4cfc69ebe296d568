"""GPT-2 (Radford et al. 2019): LayerNorm, learned positions, biases everywhere, and weights stored [in, out] with
queries, keys and values in one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import ModelError
from ...nn.ffn import MLPConfig
from ...nn.mixers.attention import AttentionConfig
from ...nn.norm import LayerNormConfig
from ...nn.position import NoPositionConfig
from ..decoder import BlockConfig, DecoderConfig
from .family import Entry, read_activation

# What transformers' GPT2Config takes where config.json is silent; only these values are supported.
_FIXED = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
_WRITTEN = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "relu2": "relu2"}


class _GPT2:
    model_type = "gpt2"
    architecture = "GPT2LMHeadModel"
    prefix = "transformer."

    def read(self, raw: Mapping[str, Any]) -> DecoderConfig:
        for key, value in _FIXED.items():
            if raw.get(key, value) != value:
                raise ModelError(f"config.json has {key} = {raw[key]!r}; only {value!r} is supported for gpt2")
        hidden = raw.get("n_embd", 768)
        return DecoderConfig(
            vocab_size=raw.get("vocab_size", 50257),
            hidden_size=hidden,
            num_hidden_layers=raw.get("n_layer", 12),
            max_position_embeddings=raw.get("n_positions", 1024),
            learned_positions=True,
            tie_word_embeddings=raw.get("tie_word_embeddings", True),
            initializer_range=float(raw.get("initializer_range", 0.02)),
            block=BlockConfig(
                mixer=AttentionConfig(
                    num_attention_heads=raw.get("n_head", 12),
                    position=NoPositionConfig(),
                    qkv_bias=True,
                    output_bias=True,
                ),
                ffn=MLPConfig(
                    intermediate_size=raw.get("n_inner") or 4 * hidden,
                    activation=read_activation(raw, "activation_function", "gelu_new"),
                    bias=True,
                ),
                norm=LayerNormConfig(eps=float(raw.get("layer_norm_epsilon", 1e-5))),
            ),
        )

    def write(self, config: DecoderConfig) -> dict[str, Any] | None:
        block = config.block
        if not (
            isinstance(block.mixer, AttentionConfig)
            and isinstance(block.ffn, MLPConfig)
            and isinstance(block.norm, LayerNormConfig)
        ):
            return None
        return {
            "vocab_size": config.vocab_size,
            "n_embd": config.hidden_size,
            "n_layer": config.num_hidden_layers,
            "n_head": block.mixer.num_attention_heads,
            "n_positions": config.max_position_embeddings,
            "n_ctx": config.max_position_embeddings,
            "n_inner": block.ffn.intermediate_size,
            "activation_function": _WRITTEN[block.ffn.activation],
            "layer_norm_epsilon": block.norm.eps,
            "initializer_range": config.initializer_range,
            "tie_word_embeddings": config.tie_word_embeddings,
            # Training here is without dropout unless a stage says otherwise.
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            **_FIXED,
        }

    def entries(self, config: DecoderConfig) -> list[Entry]:
        made = [
            Entry("transformer.wte.weight", ("embed_tokens.weight",)),
            Entry("transformer.wpe.weight", ("embed_positions.weight",)),
        ]
        for i in range(config.num_hidden_layers):
            theirs, ours = f"transformer.h.{i}", f"blocks.{i}"
            for kind in ("weight", "bias"):
                qkv = tuple(f"{ours}.mixer.{p}_proj.{kind}" for p in "qkv")
                turned = kind == "weight"
                made += [
                    Entry(f"{theirs}.ln_1.{kind}", (f"{ours}.pre_mixer_norm.{kind}",)),
                    Entry(f"{theirs}.attn.c_attn.{kind}", qkv, turned),
                    Entry(f"{theirs}.attn.c_proj.{kind}", (f"{ours}.mixer.o_proj.{kind}",), turned),
                    Entry(f"{theirs}.ln_2.{kind}", (f"{ours}.pre_ffn_norm.{kind}",)),
                    Entry(f"{theirs}.mlp.c_fc.{kind}", (f"{ours}.ffn.up_proj.{kind}",), turned),
                    Entry(f"{theirs}.mlp.c_proj.{kind}", (f"{ours}.ffn.down_proj.{kind}",), turned),
                ]
        made += [Entry(f"transformer.ln_f.{kind}", (f"norm.{kind}",)) for kind in ("weight", "bias")]
        if not config.tie_word_embeddings:
            made.append(Entry("lm_head.weight", ("lm_head.weight",)))
        return made


GPT2 = _GPT2()

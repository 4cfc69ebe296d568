"""The families of the Llama shape: gated feed-forward, RMSNorm, rotary positions, grouped heads. One table says how
each departs from it.

Sources: Llama (Touvron et al. 2023; the Llama 3 herd 2024), Mistral 7B (Jiang et al. 2023), Qwen2 and Qwen3 technical reports,
Gemma 2 (2024), OLMo 2 (2024), SmolLM (a Llama by name and shape). Rotary rules other than plain, linear and llama3
(yarn, longrope, dynamic) are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...core.errors import ModelError
from ...nn.ffn import GatedConfig
from ...nn.mixers.attention import AttentionConfig
from ...nn.norm import RMSNormConfig
from ...nn.position import LinearScaling, Llama3Scaling, RopeConfig
from ..decoder import BlockConfig, DecoderConfig
from .family import ACTIVATIONS_WRITTEN, Entry, read_activation, uniform_except_window

_NORMS = {
    "pre": {"input_layernorm": "pre_mixer_norm", "post_attention_layernorm": "pre_ffn_norm"},
    "post": {"post_attention_layernorm": "post_mixer_norm", "post_feedforward_layernorm": "post_ffn_norm"},
    "sandwich": {
        "input_layernorm": "pre_mixer_norm",
        "post_attention_layernorm": "post_mixer_norm",
        "pre_feedforward_layernorm": "pre_ffn_norm",
        "post_feedforward_layernorm": "post_ffn_norm",
    },
}


@dataclass(frozen=True, kw_only=True)
class LlamaShaped:
    """One row of the table."""

    model_type: str
    architecture: str
    attention_bias: Literal["none", "qkv", "flag"] = "none"
    """qkv: always on queries, keys, values; flag: `attention_bias` in config.json puts it on all four."""
    mlp_bias: bool = False
    """config.json may say `mlp_bias`."""
    window: Literal["none", "all", "first", "types"] = "none"
    """Which layers `sliding_window` is for: all; those in `layer_types`, by default from max_window_layers on (types), or
    every second one from the first (first)."""
    norm_placement: Literal["pre", "post", "sandwich"] = "pre"
    qk_norm: Literal["none", "head", "full"] = "none"
    gemma: bool = False
    """Norm scale 1 + weight, scaled embeddings, soft-capped scores and logits, query scale, `hidden_activation`."""
    scale_in_float: bool = False
    heads_divide_hidden: bool = False
    """transformers refuses a hidden_size that is no multiple of the heads."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What transformers takes where config.json is silent, and it is not the common value."""
    prefix: str = "model."

    def read(self, raw: Mapping[str, Any]) -> DecoderConfig:
        raw = {**_COMMON, **self.defaults, **raw}
        hidden, heads, layers = raw["hidden_size"], raw["num_attention_heads"], raw["num_hidden_layers"]
        bias = self.attention_bias == "qkv" or (self.attention_bias == "flag" and raw["attention_bias"])
        eps = float(raw["rms_norm_eps"])
        head_dim = raw["head_dim"] or hidden // heads
        block = BlockConfig(
            mixer=AttentionConfig(
                num_attention_heads=heads,
                num_key_value_heads=raw["num_key_value_heads"] or heads,
                head_dim=head_dim,
                position=_read_rope(raw),
                qkv_bias=bias,
                output_bias=bias and self.attention_bias == "flag",
                qk_norm=self.qk_norm,
                qk_norm_eps=1e-6 if self.qk_norm == "none" else eps,
                logit_softcap=_number(raw["attn_logit_softcapping"]) if self.gemma else None,
                query_scale=float(raw["query_pre_attn_scalar"] if self.gemma else head_dim),
            ),
            ffn=GatedConfig(
                intermediate_size=raw["intermediate_size"],
                activation=read_activation(raw, self._activation_key, "gelu_pytorch_tanh" if self.gemma else "silu"),
                bias=bool(self.mlp_bias and raw["mlp_bias"]),
            ),
            norm=RMSNormConfig(eps=eps, unit_offset=self.gemma, scale_in_float=self.scale_in_float),
            norm_placement=self.norm_placement,
        )
        if self.gemma and raw["use_bidirectional_attention"]:
            raise ModelError("config.json has use_bidirectional_attention; a decoder sees the past only")
        windows = self._read_windows(raw, layers)
        blocks = [replace(block, mixer=replace(block.mixer, sliding_window=w)) for w in windows]
        period = next(p for p in range(1, layers + 1) if all(w == windows[i % p] for i, w in enumerate(windows)))
        return DecoderConfig(
            vocab_size=raw["vocab_size"],
            hidden_size=hidden,
            num_hidden_layers=layers,
            max_position_embeddings=raw["max_position_embeddings"],
            block=blocks[0],
            alternate=tuple(blocks[1:period]),
            tie_word_embeddings=bool(raw["tie_word_embeddings"]),
            embedding_scale=hidden**0.5 if self.gemma else 1.0,
            logit_softcap=_number(raw["final_logit_softcapping"]) if self.gemma else None,
            initializer_range=float(raw["initializer_range"]),
        )

    @property
    def _activation_key(self) -> str:
        return "hidden_activation" if self.gemma else "hidden_act"

    def _read_windows(self, raw: Mapping[str, Any], layers: int) -> list[int | None]:
        window = raw["sliding_window"]
        if self.window == "none" or window is None:
            return [None] * layers
        if self.window == "all":
            return [window] * layers
        types = raw["layer_types"]
        if types is None and self.window == "first":
            types = ["sliding_attention" if i % 2 == 0 else "full_attention" for i in range(layers)]
        elif self.window == "types":
            if not raw["use_sliding_window"]:
                return [None] * layers
            if types is None:
                first = raw["max_window_layers"]
                types = ["sliding_attention" if i >= first else "full_attention" for i in range(layers)]
        if len(types) != layers or set(types) - {"sliding_attention", "full_attention"}:
            raise ModelError(f"config.json has layer_types {types!r:.80} for {layers} layers; "
                             "supported: sliding_attention and full_attention, one a layer")  # fmt: skip
        return [window if kind == "sliding_attention" else None for kind in types]

    def write(self, config: DecoderConfig) -> dict[str, Any] | None:
        shared = uniform_except_window(config)
        if shared is None:
            return None
        block, windows = shared
        mixer, ffn, norm = block.mixer, block.ffn, block.norm
        if not (
            isinstance(ffn, GatedConfig)
            and isinstance(norm, RMSNormConfig)
            and isinstance(mixer, AttentionConfig)
            and isinstance(mixer.position, RopeConfig)
            and len({w for w in windows if w is not None}) <= 1
        ):
            return None
        if self.heads_divide_hidden and config.hidden_size % mixer.num_attention_heads:
            return None
        raw: dict[str, Any] = {
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "intermediate_size": ffn.intermediate_size,
            "num_hidden_layers": config.num_hidden_layers,
            "num_attention_heads": mixer.num_attention_heads,
            "num_key_value_heads": mixer.num_key_value_heads,
            "head_dim": mixer.head_dim,
            "max_position_embeddings": config.max_position_embeddings,
            self._activation_key: ACTIVATIONS_WRITTEN[ffn.activation],
            "rms_norm_eps": norm.eps,
            "rope_theta": mixer.position.rope_theta,  # readers older than transformers 5
            "rope_parameters": _write_rope(mixer.position),
            "attention_dropout": 0.0,
            "initializer_range": config.initializer_range,
            "tie_word_embeddings": config.tie_word_embeddings,
        }
        if mixer.position.scaling is not None:
            raw["rope_scaling"] = {k: v for k, v in raw["rope_parameters"].items() if k != "rope_theta"}
        if self.attention_bias == "flag":
            raw["attention_bias"] = mixer.qkv_bias
        if self.mlp_bias:
            raw["mlp_bias"] = ffn.bias
        raw |= self._write_windows(windows)
        if self.gemma:
            scale = mixer.query_scale or mixer.head_dim or 0
            raw |= {
                "attn_logit_softcapping": mixer.logit_softcap,
                "final_logit_softcapping": config.logit_softcap,
                "query_pre_attn_scalar": int(scale) if scale == int(scale) else scale,
            }
        return raw

    def _write_windows(self, windows: list[int | None]) -> dict[str, Any]:
        window = next((w for w in windows if w is not None), None)
        if self.window == "none":
            return {}
        if self.window == "all":
            return {"sliding_window": window}
        types = ["full_attention" if w is None else "sliding_attention" for w in windows]
        if self.window == "first":
            return {"sliding_window": window, "layer_types": types}
        first = types.index("sliding_attention") if window is not None else len(types)
        return {
            "use_sliding_window": window is not None,
            "sliding_window": window,
            "max_window_layers": first,
            "layer_types": types,
        }

    def entries(self, config: DecoderConfig) -> list[Entry]:
        made = [Entry("model.embed_tokens.weight", ("embed_tokens.weight",))]
        block = config.block
        for i in range(config.num_hidden_layers):
            theirs, ours = f"model.layers.{i}", f"blocks.{i}"
            for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
                kinds = ["weight"]
                if block.mixer.output_bias if part == "o_proj" else block.mixer.qkv_bias:
                    kinds.append("bias")
                made += [Entry(f"{theirs}.self_attn.{part}.{k}", (f"{ours}.mixer.{part}.{k}",)) for k in kinds]
            if self.qk_norm != "none":
                made += [
                    Entry(f"{theirs}.self_attn.{n}.weight", (f"{ours}.mixer.{n}.weight",)) for n in ("q_norm", "k_norm")
                ]
            for part in ("gate_proj", "up_proj", "down_proj"):
                kinds = ["weight", "bias"] if block.ffn.bias else ["weight"]
                made += [Entry(f"{theirs}.mlp.{part}.{k}", (f"{ours}.ffn.{part}.{k}",)) for k in kinds]
            for name, our_name in _NORMS[self.norm_placement].items():
                made.append(Entry(f"{theirs}.{name}.weight", (f"{ours}.{our_name}.weight",)))
        made.append(Entry("model.norm.weight", ("norm.weight",)))
        if not config.tie_word_embeddings:
            made.append(Entry("lm_head.weight", ("lm_head.weight",)))
        return made


# Defaults of transformers' config classes, for config.json files that leave them out.
_COMMON: dict[str, Any] = {
    "num_key_value_heads": None, "head_dim": None, "attention_bias": False, "mlp_bias": False, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "tie_word_embeddings": False, "initializer_range": 0.02, "sliding_window": None,
    "layer_types": None, "use_sliding_window": False, "max_window_layers": 28, "use_bidirectional_attention": None,
    "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 256,
}  # fmt: skip

LLAMA_SHAPED = (
    LlamaShaped(
        model_type="llama",
        architecture="LlamaForCausalLM",
        attention_bias="flag",
        mlp_bias=True,
        heads_divide_hidden=True,
    ),
    LlamaShaped(
        model_type="mistral",
        architecture="MistralForCausalLM",
        window="all",
        defaults={"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    LlamaShaped(
        model_type="qwen2",
        architecture="Qwen2ForCausalLM",
        attention_bias="qkv",
        window="types",
        defaults={"sliding_window": 4096},
    ),
    LlamaShaped(
        model_type="qwen3",
        architecture="Qwen3ForCausalLM",
        attention_bias="flag",
        window="types",
        qk_norm="head",
        defaults={"head_dim": 128, "sliding_window": 4096},
    ),
    LlamaShaped(
        model_type="gemma2",
        architecture="Gemma2ForCausalLM",
        attention_bias="flag",
        window="first",
        norm_placement="sandwich",
        gemma=True,
        heads_divide_hidden=True,
        defaults={"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096, "tie_word_embeddings": True},
    ),
    LlamaShaped(
        model_type="olmo2",
        architecture="Olmo2ForCausalLM",
        attention_bias="flag",
        norm_placement="post",
        qk_norm="full",
        scale_in_float=True,
        defaults={"rms_norm_eps": 1e-5},
    ),
)


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _read_rope(raw: Mapping[str, Any]) -> RopeConfig:
    """transformers 5 writes `rope_parameters`; older files `rope_theta` and `rope_scaling`."""
    written = {**(raw.get("rope_scaling") or {}), **(raw.get("rope_parameters") or {})}
    theta = float(written.get("rope_theta", raw["rope_theta"]))
    kind = written.get("rope_type", written.get("type", "default"))
    match kind:
        case "default":
            return RopeConfig(rope_theta=theta)
        case "linear":
            return RopeConfig(rope_theta=theta, scaling=LinearScaling(factor=float(written["factor"])))
        case "llama3":
            return RopeConfig(
                rope_theta=theta,
                scaling=Llama3Scaling(
                    factor=float(written["factor"]),
                    low_freq_factor=float(written["low_freq_factor"]),
                    high_freq_factor=float(written["high_freq_factor"]),
                    original_max_position_embeddings=written["original_max_position_embeddings"],
                ),
            )
    raise ModelError(f"config.json has rope_type {kind!r}; supported: default, linear, llama3")


def _write_rope(config: RopeConfig) -> dict[str, Any]:
    made: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rope_theta}
    match config.scaling:
        case LinearScaling(factor=factor):
            made |= {"rope_type": "linear", "factor": factor}
        case Llama3Scaling() as s:
            made |= {
                "rope_type": "llama3",
                "factor": s.factor,
                "low_freq_factor": s.low_freq_factor,
                "high_freq_factor": s.high_freq_factor,
                "original_max_position_embeddings": s.original_max_position_embeddings,
            }
    return made

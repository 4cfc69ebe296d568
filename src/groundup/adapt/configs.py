"""What an adapter is, as configs. Names of fields are PEFT's, so that an `adapter_config.json` reads like a recipe.

Left out: PEFT's rarer options (embeddings adapted, biases trained, copies of whole modules); a file that uses one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..core.config import node
from ..core.errors import ConfigError
from ..nn.ffn import Activation

Targets: TypeAlias = tuple[str, ...] | Literal["all-linear"]

_PATTERN = re.compile(r"[\w.]+")


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """y = x W^T + s (x A^T) B^T with A [r, in], B [out, r] trained (Hu et al. 2021)."""

    type: Literal["lora"] = "lora"
    r: int = 8
    """Rank."""
    lora_alpha: float = 16.0
    """The update is scaled by lora_alpha / r."""
    lora_dropout: float = 0.0
    """Dropout of the input of the low-rank part, in training."""
    target_modules: Targets = "all-linear"
    """Projections to adapt: `q_proj k_proj v_proj o_proj gate_proj up_proj down_proj`, the family's own names (GPT-2's
    `c_attn`), the end of a longer name (`mlp.c_proj`), or all of the blocks. The head is never adapted."""
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    """Name, or the end of it -> r, where it differs."""
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    """Name, or the end of it -> lora_alpha, where it differs."""
    use_rslora: bool = False
    """Scale by lora_alpha / sqrt(r), which is stable for high ranks (Kalajdzievski 2023)."""
    use_dora: bool = False
    """Train the length of each row of the weight apart from its direction (Liu et al. 2024)."""
    quantize: Literal["none", "nf4"] = "none"
    """nf4: the frozen weights of the adapted projections in 4 bits (QLoRA, Dettmers et al. 2023)."""
    double_quantize: bool = True
    """With nf4: the block scales in 8 bits too (section 3 of the same paper)."""
    bias: Literal["none"] = "none"
    """Biases stay frozen."""
    init_lora_weights: Literal["kaiming", "gaussian"] = "kaiming"
    """How A begins: uniform within 1 / sqrt(in), or normal with standard deviation 1 / r. B begins at zero."""

    def __post_init__(self) -> None:
        _at_least(self.r, 1, "r")
        for key, rank in self.rank_pattern.items():
            _at_least(rank, 1, f"rank_pattern.{key}")
        if not 0.0 <= self.lora_dropout < 1.0:
            raise ConfigError(f"must be at least 0 and less than 1, not {self.lora_dropout}", path="lora_dropout")
        _check_targets(self.target_modules, "target_modules")
        for name in ("rank_pattern", "alpha_pattern"):
            for key in getattr(self, name):
                if not _PATTERN.fullmatch(key):
                    raise ConfigError(f"{key!r} is not a module name or the end of one", path=name,
                                      hint="regular expressions are not read; write the names out")  # fmt: skip

    def scaling(self, r: int, alpha: float) -> float:
        return alpha / r**0.5 if self.use_rslora else alpha / r


@dataclass(frozen=True, kw_only=True)
class IA3Config:
    """Activations multiplied by trained vectors that begin at one (Liu et al. 2022): outputs of the targets, but the input
    of those that are feed-forward modules.
    """

    type: Literal["ia3"] = "ia3"
    target_modules: Targets = ("k_proj", "v_proj", "down_proj")
    feedforward_modules: tuple[str, ...] = ("down_proj",)
    """Those of the targets whose input is scaled, not their output."""

    def __post_init__(self) -> None:
        _check_targets(self.target_modules, "target_modules")


@dataclass(frozen=True, kw_only=True)
class BottleneckConfig:
    """y + up(activation(down(y))) on the output of each sublayer, before it joins the residual stream (Houlsby et al. 2019)."""

    type: Literal["bottleneck"] = "bottleneck"
    bottleneck_size: int = 64
    placement: Literal["houlsby", "pfeiffer"] = "houlsby"
    """houlsby: after the mixer and after the feed-forward network; pfeiffer: after the latter only (Pfeiffer et al. 2020)."""
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        _at_least(self.bottleneck_size, 1, "bottleneck_size")


@dataclass(frozen=True, kw_only=True)
class PrefixConfig:
    """Trained keys and values before the first position of every layer (Li and Liang 2021)."""

    type: Literal["prefix"] = "prefix"
    num_virtual_tokens: int = 20
    prefix_projection: bool = False
    """Train them through a two-layer network, which steadies training (section 4.3 of the paper); it is not stored."""
    encoder_hidden_size: int | None = None
    """Width of that network; None: the model's hidden_size."""

    def __post_init__(self) -> None:
        _at_least(self.num_virtual_tokens, 1, "num_virtual_tokens")
        if self.encoder_hidden_size is not None:
            _at_least(self.encoder_hidden_size, 1, "encoder_hidden_size")


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Trained embeddings before the first token (Lester et al. 2021)."""

    type: Literal["prompt"] = "prompt"
    num_virtual_tokens: int = 20
    prompt_tuning_init: Literal["random", "sample_vocab"] = "sample_vocab"
    """random: standard normal; sample_vocab: the embeddings of random tokens (section 3.2 of the paper prefers it)."""

    def __post_init__(self) -> None:
        _at_least(self.num_virtual_tokens, 1, "num_virtual_tokens")


AdapterConfig: TypeAlias = LoRAConfig | IA3Config | BottleneckConfig | PrefixConfig | PromptConfig
AdapterNode = node(LoRAConfig, IA3Config, BottleneckConfig, PrefixConfig, PromptConfig)
"""The annotation for a recipe's field that holds an adapter."""


def _at_least(value: int, limit: int, path: str) -> None:
    if value < limit:
        raise ConfigError(f"must be at least {limit}, not {value}", path=path)


def _check_targets(targets: Targets, path: str) -> None:
    if not targets:
        raise ConfigError("names no module", path=path, hint="all-linear, or a list such as [q_proj, v_proj]")
    if isinstance(targets, str) and targets != "all-linear":
        raise ConfigError(f"{targets!r} is not a list of names", path=path, hint=f"write [{targets}], or all-linear")

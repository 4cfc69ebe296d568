"""What a family is, and how one is chosen.

A family can express a decoder exactly if reading back the config.json it would write gives the same decoder: that round trip
is the whole rule of `family_of`, so no family has to list what it cannot do. A decoder that fits none (the user's own parts,
odd mixes) is saved in groundup's own form, with the DecoderConfig as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ...core.config import Use, parse, to_plain
from ...core.errors import ConfigError, ModelError
from ...nn.mixers.attention import AttentionConfig
from ..decoder import BlockConfig, DecoderConfig

OWN = "groundup"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor in the file, and the parameters of ours whose rows it holds, one after the other."""

    file: str
    ours: tuple[str, ...]
    transposed: bool = False
    """The file holds [in, out] (GPT-2's Conv1D); ours are [out, in]."""


class Family(Protocol):
    @property
    def model_type(self) -> str: ...

    @property
    def architecture(self) -> str:
        """transformers' class name."""
        ...

    @property
    def prefix(self) -> str:
        """What the tensors of the network without its head begin with; some files leave it out."""
        ...

    def read(self, raw: Mapping[str, Any]) -> DecoderConfig:
        """config.json -> DecoderConfig; ModelError names what is not supported."""
        ...

    def write(self, config: DecoderConfig) -> dict[str, Any] | None:
        """DecoderConfig (in full form) -> the family's own keys; None where it plainly does not fit."""
        ...

    def entries(self, config: DecoderConfig) -> list[Entry]: ...


def families() -> dict[str, Family]:
    """model_type -> family, in the order in which they are tried for saving."""
    from .gpt2 import GPT2
    from .llama import LLAMA_SHAPED

    return {**{family.model_type: family for family in LLAMA_SHAPED}, GPT2.model_type: GPT2}


def family_named(model_type: str) -> Family:
    found = families().get(model_type)
    if found is None:
        known = ", ".join([*families(), OWN])
        raise ModelError(
            f"config.json has model_type {model_type!r}; known families: {known}",
            hint="if it is a Llama in all but name, set model_type to llama",
        )
    return found


def family_of(config: DecoderConfig) -> str:
    """The first family whose config.json says all of `config`, or "groundup"."""
    wanted = full_form(config)
    for name, family in families().items():
        if check_expressible(family, wanted):
            return name
    return OWN


def check_expressible(family: Family, config: DecoderConfig) -> bool:
    """Does what `family` writes for `config` read back as `config`?"""
    wanted = full_form(config)
    raw = family.write(wanted)
    return raw is not None and full_form(family.read(raw)) == wanted


def full_form(config: DecoderConfig) -> DecoderConfig:
    """The same decoder with every default filled in, so that equal decoders are equal values."""
    layers = [_full_block(config.block_of(i), config.hidden_size) for i in range(config.num_hidden_layers)]
    if not layers:
        return config
    period = next(p for p in range(1, len(layers) + 1) if all(b == layers[i % p] for i, b in enumerate(layers)))
    return replace(config, block=layers[0], alternate=tuple(layers[1:period]))


def _full_block(block: BlockConfig, hidden_size: int) -> BlockConfig:
    mixer = block.mixer
    if not isinstance(mixer, AttentionConfig):
        return block
    head_dim = mixer.head_dim or hidden_size // mixer.num_attention_heads
    return replace(
        block,
        mixer=replace(
            mixer,
            num_key_value_heads=mixer.num_key_value_heads or mixer.num_attention_heads,
            head_dim=head_dim,
            qk_norm_eps=1e-6 if mixer.qk_norm == "none" else mixer.qk_norm_eps,
            query_scale=float(mixer.query_scale or head_dim),
        ),
    )


def read_config(raw: Mapping[str, Any]) -> DecoderConfig:
    """config.json of any known family, or of our own form -> DecoderConfig."""
    model_type = raw.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError("config.json has no model_type", hint="is this a model directory?")
    if model_type == OWN:
        decoder = raw.get("decoder")
        if not isinstance(decoder, Mapping):
            raise ModelError("config.json has model_type 'groundup' but no 'decoder' section")
        return parse(DecoderConfig, decoder, path="decoder")
    family = family_named(model_type)
    try:
        return family.read(raw)
    except (KeyError, TypeError, ZeroDivisionError, ConfigError) as error:
        said = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"config.json is not a complete {model_type} config: {said}") from error


def write_config(config: DecoderConfig) -> tuple[dict[str, Any], Family | None]:
    """The architecture part of config.json, and the family that names the tensors (None: our own names)."""
    name = family_of(config)
    if name == OWN:
        return own_config(config), None
    family = families()[name]
    raw = family.write(full_form(config))
    assert raw is not None
    return {"architectures": [family.architecture], "model_type": name, **raw}, family


def own_config(config: DecoderConfig) -> dict[str, Any]:
    """config.json of groundup's own form."""
    return {
        "architectures": ["GroundupDecoder"],
        "model_type": OWN,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "max_position_embeddings": config.max_position_embeddings,
        "tie_word_embeddings": config.tie_word_embeddings,
        "decoder": to_plain(config),
    }


ACTIVATIONS_READ = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu", "relu2": "relu2",
}  # fmt: skip
ACTIVATIONS_WRITTEN = {
    "silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu", "relu2": "relu2",
}  # fmt: skip


def read_activation(raw: Mapping[str, Any], key: str, default: str) -> Any:
    name = raw.get(key) or default
    if name not in ACTIVATIONS_READ:
        raise ModelError(f"config.json has {key} = {name!r}; supported: {', '.join(ACTIVATIONS_READ)}")
    return ACTIVATIONS_READ[name]


def uniform_except_window(config: DecoderConfig) -> tuple[BlockConfig, list[int | None]] | None:
    """The one block that all layers share (its window taken out) and the window of each layer; None if they differ more."""
    blocks: Sequence[BlockConfig] = [config.block_of(i) for i in range(config.num_hidden_layers)]
    if not blocks or any(not isinstance(block.mixer, AttentionConfig) for block in blocks):
        return None
    bare = [replace(block, mixer=replace(block.mixer, sliding_window=None)) for block in blocks]
    if any(block != bare[0] for block in bare):
        return None
    if any(isinstance(part, Use) for part in (bare[0].ffn, bare[0].norm, bare[0].mixer.position)):
        return None
    return bare[0], [block.mixer.sliding_window for block in blocks]

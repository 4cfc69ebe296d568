"""Which families have a head of which kind in transformers, and what its tensors are called there.

Sources: transformers' `modeling_layers.py` (GenericFor...) and each family's own file, of version 5. Where a family lacks a
kind (OLMo-2 has no token head, Gemma 2 no span head), the model is saved in groundup's own form.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..decoder import DecoderConfig
from .family import Entry, Family

SUFFIXES = {"sequence": "ForSequenceClassification", "token": "ForTokenClassification", "span": "ForQuestionAnswering"}
_HAVE = {
    "sequence": {"llama", "mistral", "qwen2", "qwen3", "gemma2", "olmo2", "gpt2"},
    "token": {"llama", "mistral", "qwen2", "qwen3", "gemma2", "gpt2"},
    "span": {"llama", "mistral", "qwen2", "qwen3", "gpt2"},
}
_SPAN_PREFIX = {"llama": "transformer.", "qwen2": "transformer.", "qwen3": "transformer."}
"""These classes call the headless network `transformer`, not `model`, in the span form only."""
_OWN_STEM = "Groundup"


def head_kind(raw: Mapping[str, Any]) -> str | None:
    """The kind of head that config.json's `architectures` names; None for a plain language model."""
    names = raw.get("architectures") or [""]
    return next((kind for kind, suffix in SUFFIXES.items() if str(names[0]).endswith(suffix)), None)


def has_head(family: Family, kind: str) -> bool:
    return family.model_type in _HAVE[kind]


def headed_architecture(family: Family | None, kind: str) -> str:
    """The class name: transformers' where `family` is given, else our own form's."""
    stem = _OWN_STEM
    if family is not None:
        stem = family.architecture.removesuffix("ForCausalLM").removesuffix("LMHeadModel")
    return stem + SUFFIXES[kind]


def headed_entries(
    family: Family, config: DecoderConfig, kind: str, head: Collection[str], stored: Collection[str] | None = None
) -> list[Entry]:
    """Their tensors and ours (`decoder.*` and the head's, whose names are given). stored: the names in a file being read,
    which may use either prefix (it has changed between versions of transformers); None: those that are written.
    """
    prefix = _SPAN_PREFIX.get(family.model_type, family.prefix) if kind == "span" else family.prefix
    if stored is not None:
        prefix = next((p for p in (prefix, family.prefix) if any(name.startswith(p) for name in stored)), "")
    made = []
    for entry in family.entries(config):
        if entry.file == "lm_head.weight":
            continue
        ours = tuple(f"decoder.{name}" for name in entry.ours)
        made.append(Entry(prefix + entry.file.removeprefix(family.prefix), ours, entry.transposed))
    for name in head:
        module, _, leaf = name.rpartition(".")
        if family.model_type == "gpt2" and kind == "token":
            module = "classifier"
        made.append(Entry(f"{module}.{leaf}", (name,)))
    return made

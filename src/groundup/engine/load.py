"""What a model directory says of how its model is run: which ids end a text, whether one begins it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.artifact import read_json
from ..core.protocols import Tokenizer

_ENDS_TURN = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>", "<|return|>")
"""Tokens that end a turn in the published chat formats (ChatML, Llama 3, Gemma, Phi, Harmony). Many directories name only the
end of text as eos, and their chat models would then talk on alone."""
_ENDS_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")


def eos_ids_of(generation: Mapping[str, Any], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Those named by generation_config.json or config.json, and the tokenizer's own tokens that end a turn or a text."""
    named = generation.get("eos_token_id")
    listed = named if isinstance(named, list) else [] if named is None else [named]
    ids = [i for i in listed if isinstance(i, int) and 0 <= i < tokenizer.vocab_size]
    ids += [tokenizer.special_ids[name] for name in _ENDS_TURN if name in tokenizer.special_ids]
    if not ids:
        ids = [tokenizer.special_ids[name] for name in _ENDS_TEXT if name in tokenizer.special_ids]
    return tuple(dict.fromkeys(ids))


def bos_of(directory: Path, generation: Mapping[str, Any], tokenizer: Tokenizer) -> tuple[int | None, bool]:
    """The id that begins a text, and whether plain prompts are to begin with it: `add_bos_token` of tokenizer_config.json,
    else what the post-processor of tokenizer.json does.
    """
    named = generation.get("bos_token_id")
    bos = named if isinstance(named, int) and 0 <= named < tokenizer.vocab_size else None
    added = _object(directory / "tokenizer_config.json").get("add_bos_token")
    first = _first_of_template(_object(directory / "tokenizer.json").get("post_processor"))
    first_id = tokenizer.special_ids.get(first) if first is not None else None
    if bos is None:
        bos = first_id
    begins = bool(added) if added is not None else first_id is not None and first_id == bos
    return bos, begins and bos is not None


def _first_of_template(processor: Any) -> str | None:
    """The special token that a TemplateProcessing puts before a single text."""
    if not isinstance(processor, Mapping):
        return None
    if processor.get("type") == "Sequence":
        found = [_first_of_template(p) for p in processor.get("processors", ())]
        return next((f for f in found if f is not None), None)
    single = processor.get("single") if processor.get("type") == "TemplateProcessing" else None
    if isinstance(single, list) and single and isinstance(single[0], Mapping):
        special = single[0].get("SpecialToken")
        if isinstance(special, Mapping):
            return str(special.get("id"))
    return None


def _object(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    raw = read_json(path)
    return raw if isinstance(raw, dict) else {}

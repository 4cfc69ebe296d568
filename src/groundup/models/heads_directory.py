"""Model directories of headed decoders, in Hugging Face's form: `LlamaForSequenceClassification` and its like.

transformers loads what is saved here with equal logits, and what it saves is read here. The labels stand in `id2label`, in
order; the files, checks and refusals are those of `models/directory.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

import torch

from ..core.artifact import write_text
from ..core.errors import ModelError
from .card import headed_card
from .directory import check_tensors, empty_decoder, fill, open_directory, own_entries, write_files
from .families.family import OWN, family_named, own_config, write_config
from .families.heads import has_head, head_kind, headed_architecture, headed_entries
from .heads import SPAN_LABELS, HeadedDecoder, HeadKind, ProblemType

_DEFAULT_LABELS = 2
"""What transformers takes where config.json names no labels."""


def save_headed(
    model: HeadedDecoder,
    directory: Path,
    *,
    tokenizer: Any = None,
    chat_template: str | None = None,
    generation: Mapping[str, Any] | None = None,
    card: str | None = None,
    max_shard_bytes: int = 5_000_000_000,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a complete model directory of a headed decoder; it is not sealed (`directory.seal_model` does that).

    The arguments are `save_model`'s. The padding id is the model's own, which the sequence form is read by.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    decoder = model.decoder
    if tokenizer is not None and tokenizer.vocab_size > decoder.config.vocab_size:
        raise ModelError(
            f"the tokenizer has {tokenizer.vocab_size:,} ids, the model only {decoder.config.vocab_size:,}",
            hint="make the model with vocab_size=0 to take the tokenizer's own",
        )
    stored_dtype = dtype or decoder.embed_tokens.weight.dtype
    raw, family = write_config(decoder.config)
    if family is not None and not has_head(family, model.kind):
        raw, family = own_config(decoder.config), None
    parameters = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    entries = own_entries(parameters)
    if family is not None:
        entries = headed_entries(family, decoder.config, model.kind, _head_names(parameters))
    left = set(parameters) - {name for entry in entries for name in entry.ours}
    if left:
        raise ModelError(
            f"the model has {len(left)} tensors that its config does not name, such as {min(left)!r}",
            hint="merge adapters into the weights before saving",
        )
    raw |= {
        "architectures": [headed_architecture(family, model.kind)],
        "num_labels": len(model.labels),
        "id2label": {str(i): label for i, label in enumerate(model.labels)},
        "label2id": {label: i for i, label in enumerate(model.labels)},
        "problem_type": model.problem_type,
        "pad_token_id": model.pad_token_id,
        "classifier_dropout": 0.0,
    }
    write_files(directory, raw, entries, parameters, stored_dtype, tokenizer=tokenizer, chat_template=chat_template,
                generation=generation, max_shard_bytes=max_shard_bytes)  # fmt: skip
    write_text(directory / "README.md", headed_card(directory, raw, model, stored_dtype, card))


def load_headed(
    directory: Path,
    *,
    dtype: torch.dtype | None = None,
    trusted_parts: Collection[str] = (),
    verify: bool = True,
) -> HeadedDecoder:
    """Read a directory of any known family with a head of any kind, in evaluation mode on the CPU.

    The arguments and errors are `load_model`'s; ModelError if the directory holds a plain language model.
    """
    directory = Path(directory)
    raw, stored, config, dtype = open_directory(directory, dtype=dtype, trusted_parts=trusted_parts, verify=verify)
    kind: Any = head_kind(raw)
    if kind is None:
        raise ModelError(
            f"{directory} has no head for labels (architectures: {raw.get('architectures')!r:.80})",
            hint="groundup.models.heads.with_head(load_model(...), kind, labels, seed) gives it one",
        )
    decoder = empty_decoder(config)
    with torch.device(decoder.embed_tokens.weight.device):
        model = HeadedDecoder(
            decoder,
            kind,
            _labels(raw, kind, directory),
            problem_type=_problem_type(raw, directory),
            pad_token_id=_pad_id(raw, config.vocab_size),
        )
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if raw["model_type"] == OWN:
        entries = own_entries(expected)
    else:
        entries = headed_entries(family_named(raw["model_type"]), config, kind, _head_names(expected), stored)
    check_tensors(directory, entries, expected, stored, tied=False)
    fill(model, entries, expected, stored, dtype)
    return model.eval()


def _head_names(names: Collection[str]) -> list[str]:
    return [name for name in names if not name.startswith("decoder.")]


def _labels(raw: Mapping[str, Any], kind: HeadKind, directory: Path) -> tuple[str, ...]:
    if kind == "span":
        return SPAN_LABELS
    written = raw.get("id2label")
    if not written:
        return tuple(f"LABEL_{i}" for i in range(raw.get("num_labels") or _DEFAULT_LABELS))
    try:
        numbered = {int(number): str(label) for number, label in written.items()}
        return tuple(numbered[i] for i in range(len(numbered)))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ModelError(
            f"config.json of {directory} has id2label {written!r:.80}; it must name the labels 0, 1, ... in order"
        ) from None


def _problem_type(raw: Mapping[str, Any], directory: Path) -> ProblemType | None:
    named: Any = raw.get("problem_type")
    if named is not None and named not in get_args(ProblemType):
        raise ModelError(
            f"config.json of {directory} has problem_type {named!r}; known: {', '.join(get_args(ProblemType))}"
        )
    return named  # type: ignore[no-any-return]


def _pad_id(raw: Mapping[str, Any], vocab_size: int) -> int | None:
    found = raw.get("pad_token_id")
    return found if isinstance(found, int) and 0 <= found < vocab_size else None

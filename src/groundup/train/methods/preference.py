"""Learn from preferences: pairs of a better and a worse completion (DPO, IPO, ORPO, SimPO), or judged completions (KTO).

Log-probabilities of the reference model are made once, before the first step, in float32, and kept in the stage's scratch
folder under the hash of everything they depend on: a resumed run does not make them again, and training holds one model only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...core.artifact import atomic_write, hash_json, identity, read_seal
from ...core.errors import DataError
from ...data import read_feedback, read_preferences
from ...objectives.preference import (
    KTO,
    FeedbackExample,
    KTOConfig,
    PairExample,
    PairPreference,
    feedback_examples,
    reference_logprobs,
    sequences_of,
    with_reference,
)
from ...objectives.sequences import encode_completion
from ...objectives.sft import ChatExample
from ...objectives.sources import ChatSource
from ..training import HeldOut, Start, Training
from .conversations import first_tokens


def open(start: Start) -> Training:
    config: Any = start.stage.objective
    config = replace(config, context_tokens=start.context_tokens)
    judged = isinstance(config, KTOConfig)
    wanted = "feedback" if judged else "preference"
    kind = read_seal(start.data).kind
    if kind != wanted:
        raise DataError(f"{start.data} is a {kind!r} artifact; the objective {config.type} reads {wanted!r}")
    objective = KTO(config) if isinstance(config, KTOConfig) else PairPreference(config)
    encode = _feedback if judged else _pairs
    splits: dict[str, list[Any]] = {split: encode(start, split) for split in ("train", "validation")}
    splits["validation"] = first_tokens(splits["validation"], start.stage.evaluation_tokens)
    if not splits["train"]:
        raise DataError(f"no row of {start.data} has something to compare within {start.context_tokens} tokens",
                        hint="raise context_tokens, or look at the rows: groundup data")  # fmt: skip
    if objective.needs_reference:
        splits = _referenced(start, splits)
    metrics = ("rewards/accuracies",) if judged else ("rewards/accuracies", "rewards/margins")
    return Training(
        model=start.model,
        objective=objective,
        source=ChatSource(splits["train"], start.context.seed),
        evaluate=HeldOut(
            objective=objective, examples=splits["validation"], batch_rows=start.batch_rows, metrics=metrics
        ),
        save=lambda directory: start.save(start.model, directory, template=start.chat_template),
        num_examples=len(splits["train"]),
        example_name="judged completions" if judged else "pairs",
        context_tokens=start.context_tokens,
        template=start.chat_template,
    )


def _pairs(start: Start, split: str) -> list[PairExample]:
    """Pairs of which both sides have something to learn within the context, and differ there."""
    made = []
    for row in _rows(start, split, read_preferences):
        pair = PairExample(_encoded(start, row, "chosen"), _encoded(start, row, "rejected"))
        if pair.weight and not np.array_equal(pair.chosen.input_ids, pair.rejected.input_ids):
            made.append(pair)
    return made


def _feedback(start: Start, split: str) -> list[FeedbackExample]:
    encoded = [(_encoded(start, row, "completion"), row["label"]) for row in _rows(start, split, read_feedback)]
    encoded = [(example, label) for example, label in encoded if example.weight]
    if split != "train" and len(encoded) < 2:
        return []
    return feedback_examples(encoded, max_tokens=start.context_tokens + 1)


def _rows(start: Start, split: str, read: Any) -> Iterator[dict[str, Any]]:
    rows = list(read(start.data, split))
    with start.context.progress.task(f"encoding {split}", len(rows)) as bar:
        for row in rows:
            yield row
            bar.advance()


def _encoded(start: Start, row: dict[str, Any], side: str) -> ChatExample:
    return encode_completion(
        row["prompt"],
        row[side],
        start.tokenizer,
        start.chat_template,
        max_tokens=start.context_tokens + 1,
        tools=row.get("tools"),
    )


def _referenced(start: Start, splits: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """All examples with their reference log-probabilities, read from the scratch folder or made and put there."""
    sequences = {split: sequences_of(examples) for split, examples in splits.items()}
    name = start.stage.reference
    directory = start.directory if name is None else start.context.inputs[name]
    every = [sequence for of_split in sequences.values() for sequence in of_split]
    key = hash_json({"model": identity(read_seal(directory)), "data": _hash(every), "context": start.context_tokens})
    path = start.context.scratch / f"reference-{key[:32]}.npy"
    if path.is_file():
        values = np.load(path, allow_pickle=False)
    else:
        model: Any = start.model
        # A fresh adapter need not leave the model as it was (prefix, prompt), so then the directory is read again too.
        if name is not None or start.stage.adapter is not None:
            from ...models.directory import load_model

            model = load_model(directory, trusted_parts=start.trusted_parts, dtype=torch.float32)
            model.prepare_positions(start.context_tokens)
        with start.context.progress.task("reference log-probabilities", len(every)) as bar:
            values = reference_logprobs(model, every, context_tokens=start.context_tokens, on_batch=bar.advance)
        with atomic_write(path) as file:
            np.save(file, values, allow_pickle=False)
    made, at = {}, 0
    for split, examples in splits.items():
        made[split] = with_reference(examples, values[at : at + len(sequences[split])])
        at += len(sequences[split])
    return made


def _hash(sequences: Sequence[ChatExample]) -> str:
    found = hashlib.sha256()
    for sequence in sequences:
        found.update(len(sequence.input_ids).to_bytes(8, "little"))
        found.update(np.ascontiguousarray(sequence.input_ids, np.int64).tobytes())
        found.update(np.ascontiguousarray(sequence.mask, bool).tobytes())
    return found.hexdigest()

"""Fine-tune a decoder with a head on labelled examples: texts with labels, tagged words, questions with answers.

The model directory that comes out is a headed one (models/heads.py). Validation is scored as the task is judged
(accuracy and macro F1, entity F1, exact match and F1 of answers), and the test split once at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core.artifact import read_seal
from ...core.errors import ConfigError, DataError
from ...data.labelled import read_labelled, read_labels
from ...foundations.metrics import accuracy, macro_f1, multi_label_f1
from ...models.heads import HeadedDecoder, save_headed, with_head
from ...objectives.heads import (
    Classification,
    ClassificationConfig,
    ExtractiveQA,
    HeadExample,
    SpanConfig,
    Tagging,
    TaggingConfig,
    balanced_weights,
    encode_question,
    encode_text,
    encode_words,
)
from ...objectives.sources import ChatSource
from ...text.label_measures import answer_scores, chunk_scores
from ..settings import Settings
from ..training import Start, Training

_OBJECTIVE_OF = {
    "classification": "classification",
    "multi_label": "classification",
    "tagging": "tagging",
    "span": "span",
}
_PADS = ("<|pad|>", "<pad>", "[PAD]", "<|endoftext|>", "</s>", "<|im_end|>")
"""Special tokens that may fill up rows, the first one that the tokenizer has."""

Objective = Classification | Tagging | ExtractiveQA


def open(start: Start) -> Training:
    found = read_seal(start.data).kind
    if found != "labelled":
        raise DataError(f"{start.data} is a {found!r} artifact; this objective reads 'labelled'")
    task, labels = read_labels(start.data)
    config: Any = replace(start.stage.objective, context_tokens=start.context_tokens)
    if _OBJECTIVE_OF[task] != config.type:
        raise ConfigError(
            f"{start.data.name} holds examples for {_OBJECTIVE_OF[task]}, the objective is {config.type}",
            path=f"{start.context.name}.objective.type",
            hint=f"{start.context.name}.objective.type={_OBJECTIVE_OF[task]}",
        )
    if start.stage.adapter is not None and start.stage.save == "adapter":
        raise ConfigError(
            "a model with a head is more than its adapter",
            path=f"{start.context.name}.save",
            hint=f"{start.context.name}.save=merged",
        )
    pad_id = _pad_id(start)
    rows = {split: list(read_labelled(start.data, split)) for split in ("train", "validation", "test")}
    examples = {split: _encoded(start, part, config, labels, pad_id, split) for split, part in rows.items()}
    objective = _objective(config, task, labels, examples["train"], pad_id)
    model = with_head(
        start.model, objective.kind, labels, start.context.seed,
        problem_type=objective.problem_type, pad_token_id=pad_id,
    )  # fmt: skip
    model.train()

    def judge(split: str) -> Judge:
        # Questions without an answer may be answered with nothing only if there are such questions to learn it from.
        abstain = task == "span" and any(not row["answers"] for row in rows["train"])
        return Judge(
            objective=objective, labels=labels, rows=rows[split], examples=examples[split],
            batch_rows=start.batch_rows, abstain=abstain,
        )  # fmt: skip

    def figures() -> dict[str, Any]:
        settings = Settings()
        scores = judge("test").scores(model, settings)
        return {"task": task, "labels": len(labels), **({"test": scores} if scores else {})}

    return Training(
        model=model,
        objective=objective,
        source=ChatSource(examples["train"], start.context.seed),
        evaluate=judge("validation"),
        save=lambda directory: _save(start, model, directory),
        num_examples=len(examples["train"]),
        example_name="labelled examples",
        context_tokens=start.context_tokens,
        figures=figures,
    )


def _pad_id(start: Start) -> int:
    """An id that no text holds: the tokenizer's own for padding or for the end of a text."""
    special = start.tokenizer.special_ids
    found = next((special[name] for name in _PADS if name in special), None)
    if found is None and special:
        found = min(special.values())
    if found is None:
        raise ConfigError(
            "the tokenizer has no special token, and a head needs one to fill up rows and to end questions with",
            path=start.context.name,
            hint="make it with special_tokens (stage train_tokenizer)",
        )
    return found


def _encoded(
    start: Start, rows: Sequence[Any], config: Any, labels: Sequence[str], end_id: int, split: str
) -> list[HeadExample]:
    encode: Callable[[Any, int], list[HeadExample]]
    tokenizer = start.tokenizer
    match config:
        case ClassificationConfig():
            encode = lambda row, n: [encode_text(row, n, tokenizer, labels, config.context_tokens)]  # noqa: E731
        case TaggingConfig():
            encode = lambda row, n: encode_words(  # noqa: E731
                row, n, tokenizer, labels, config.context_tokens, config.read_at
            )
        case SpanConfig():
            encode = lambda row, n: encode_question(row, n, tokenizer, config, end_id)  # noqa: E731
        case _:
            raise AssertionError(config)
    made = []
    with start.context.progress.task(f"encoding {split}", len(rows)) as bar:
        for number, row in enumerate(rows):
            made += encode(row, number)
            bar.advance()
    return made


def _objective(config: Any, task: str, labels: Sequence[str], train: Sequence[HeadExample], pad_id: int) -> Objective:
    match config:
        case ClassificationConfig():
            multi = task == "multi_label"
            weights = balanced_weights(train, len(labels), multi_label=multi)
            balanced = config.class_weights == "balanced"
            return Classification(
                config, num_labels=len(labels), multi_label=multi, pad_id=pad_id,
                class_weights=weights if balanced else None,
            )  # fmt: skip
        case TaggingConfig():
            return Tagging(config, pad_id=pad_id)
    return ExtractiveQA(config, pad_id=pad_id)


def _save(start: Start, model: HeadedDecoder, directory: Path) -> None:
    from ...models.directory import copy_tokenizer_files, read_generation_config

    if start.stage.adapter is not None:
        from ...adapt import merge

        model.decoder = merge(model.decoder, "default")
    copy_tokenizer_files(start.directory, directory)
    save_headed(model, directory, generation=read_generation_config(start.directory))


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Held-out rows, answered by the model and judged as their task is."""

    objective: Objective
    labels: Sequence[str]
    rows: Sequence[Any]
    examples: Sequence[HeadExample]
    """Made of the rows; `source` is the row's number."""
    batch_rows: int
    abstain: bool = True

    def __call__(self, model: nn.Module, settings: Settings) -> dict[str, float]:
        return {f"val_{name}": value for name, value in self.scores(model, settings).items()}

    def scores(self, model: nn.Module, settings: Settings) -> dict[str, float]:
        """loss and the task's figures; {} without examples."""
        if not self.examples:
            return {}
        given, loss = self._answers(model, settings)
        return {"loss": loss, **self._judged(given)}

    @torch.no_grad()
    def _answers(self, model: nn.Module, settings: Settings) -> tuple[list[Any], float]:
        """What the model says to each row (label names, tags or a text), and the mean loss."""
        was_training = model.training
        model.eval()
        total = weight = 0.0
        given: list[Any] = [None] * len(self.rows)
        scored: list[tuple[int, float, tuple[int, int] | None]] = []
        objective = self.objective
        for i in range(0, len(self.examples), self.batch_rows):
            some = self.examples[i : i + self.batch_rows]
            batch = objective.collate(some)
            with settings.autocast():
                loss = objective.loss(model, batch).loss
                logits = objective.logits(model, batch)
            total, weight = total + float(loss) * batch.weight, weight + batch.weight
            match objective:
                case Classification():
                    for example, held in zip(some, objective.predict(logits), strict=True):
                        given[example.source] = [self.labels[j] for j in held]
                case Tagging():
                    tags = iter(logits.argmax(1).tolist())
                    for example in some:
                        row = given[example.source] or []
                        given[example.source] = row + [self.labels[next(tags)] for _ in example.places]
                case ExtractiveQA():
                    for example, one in zip(some, logits, strict=True):
                        scored.append((example.source, *objective.best_span(one, example)))
        if isinstance(objective, ExtractiveQA):
            given = list(objective.answers(scored, [row["context"] for row in self.rows], abstain=self.abstain))
        model.train(was_training)
        return given, total / weight

    def _judged(self, given: Sequence[Any]) -> dict[str, float]:
        objective = self.objective
        if isinstance(objective, ExtractiveQA):
            pairs = [
                answer_scores([a["text"] for a in row["answers"]], text)
                for row, text in zip(self.rows, given, strict=True)
            ]
            return {
                "exact_match": sum(e for e, _ in pairs) / len(pairs),
                "f1": sum(f for _, f in pairs) / len(pairs),
            }
        if isinstance(objective, Tagging):
            wanted = [row["labels"] for row in self.rows]
            flat = accuracy([t for tags in wanted for t in tags], [t for tags in given for t in tags])
            return {"accuracy": flat, **chunk_scores(wanted, given)}
        if objective.multi_label:
            wanted = [row["labels"] for row in self.rows]
            micro, macro = multi_label_f1(wanted, given)
            same = accuracy([sorted(w) for w in wanted], [sorted(g) for g in given])
            return {"accuracy": same, "micro_f1": micro, "macro_f1": macro}
        single, named = [row["label"] for row in self.rows], [g[0] for g in given]
        return {"accuracy": accuracy(single, named), "macro_f1": macro_f1(single, named)}

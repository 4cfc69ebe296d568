"""Train a reward model: from pairs (Bradley-Terry), from grades (ordinal), from marks for several attributes.

What comes out is a headed model directory that transformers opens, with `reward.json` beside it where the score is more than the one
output: thresholds of the grades, or weights of the attributes. Conversations longer than the context are left out, for a score
is read at their end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.artifact import read_seal, write_json
from ...core.errors import ConfigError, DataError
from ...core.types import Message
from ...data import read_feedback, read_preferences
from ...models.directory import copy_tokenizer_files, read_generation_config
from ...models.heads import HeadedDecoder, save_headed, with_head
from ...objectives.reward import (
    REWARD_FILE,
    BradleyTerry,
    BradleyTerryConfig,
    ComparedExample,
    GradedExample,
    MultiObjective,
    MultiObjectiveConfig,
    Ordinal,
    OrdinalConfig,
    OrdinalModel,
    reliability,
    scores_of,
)
from ...objectives.sft import ChatExample
from ...objectives.sources import ChatSource
from ...tokenizers.chat_ids import chat_ids
from ..settings import Settings
from ..training import HeldOut, Start, Training
from .conversations import first_tokens


def open(start: Start) -> Training:
    config: Any = replace(start.stage.objective, context_tokens=start.context_tokens)
    compared = isinstance(config, BradleyTerryConfig)
    wanted = "preference" if compared else "feedback"
    kind = read_seal(start.data).kind
    if kind != wanted:
        raise DataError(f"{start.data} is a {kind!r} artifact; the objective {config.type} reads {wanted!r}")
    if start.stage.adapter is not None and start.stage.save == "adapter":
        raise ConfigError("a reward model is more than its adapter", path=f"{start.context.name}.save",
                          hint=f"{start.context.name}.save=merged")  # fmt: skip
    splits: dict[str, list[Any]] = {split: _examples(start, config, split) for split in ("train", "validation")}
    if not splits["train"]:
        raise DataError(f"no row of {start.data} fits in {start.context_tokens} tokens", hint="raise context_tokens")
    held_out = first_tokens(splits["validation"], start.stage.evaluation_tokens)
    labels = config.attributes if isinstance(config, MultiObjectiveConfig) else ("reward",)
    pad_id = read_generation_config(start.directory).get("pad_token_id")
    scorer = with_head(
        start.model, "sequence", labels, start.context.seed, problem_type="regression", pad_token_id=pad_id
    )
    scorer.train()
    objective: Any
    model: nn.Module = scorer
    metrics: tuple[str, ...] = ()
    match config:
        case BradleyTerryConfig():
            objective, metrics = BradleyTerry(config), ("accuracy", "rewards/margins")
        case OrdinalConfig():
            objective, metrics = Ordinal(config), ("accuracy", "mean_error")
            model = OrdinalModel(scorer, config.num_grades)
        case _:
            objective = MultiObjective(config)
    evaluate = HeldOut(objective=objective, examples=held_out, batch_rows=start.batch_rows, metrics=metrics)
    judge = Calibrated(evaluate, splits["validation"][: len(held_out)]) if compared else evaluate

    def save(directory: Path) -> None:
        _save(start, scorer, directory)
        if isinstance(model, OrdinalModel):
            write_json(directory / REWARD_FILE, {"type": "ordinal", "thresholds": model.thresholds.tolist()})
        if isinstance(objective, MultiObjective):
            weights = dict(zip(labels, objective.weights, strict=True))
            write_json(directory / REWARD_FILE, {"type": "multi", "weights": weights})

    return Training(
        model=model,
        objective=objective,
        source=ChatSource(splits["train"], start.context.seed),
        evaluate=judge,
        save=save,
        num_examples=len(splits["train"]),
        example_name="pairs" if compared else "graded conversations",
        context_tokens=start.context_tokens,
        figures=judge.figures if isinstance(judge, Calibrated) else dict,
    )


@dataclass(kw_only=False)
class Calibrated:
    """Held-out figures with the calibration of the margins."""

    inner: HeldOut
    pairs: Sequence[ComparedExample]
    curve: Sequence[tuple[float, float, int]] = ()
    """Of the last evaluation."""

    def __call__(self, model: nn.Module, settings: Settings) -> dict[str, float]:
        found = self.inner(model, settings)
        if not self.pairs:
            return found
        with settings.autocast():
            scores = scores_of(model, [p.chosen for p in self.pairs] + [p.rejected for p in self.pairs])[:, 0]
        chosen, rejected = np.split(scores, 2)
        made = reliability(chosen - rejected)
        self.curve = made.curve
        return {**found, "val_calibration_error": made.expected_calibration_error}

    def figures(self) -> dict[str, Any]:
        """reliability: [mean confidence, accuracy, pairs] of each bin."""
        return {"reliability": [list(point) for point in self.curve]}


def _examples(start: Start, config: Any, split: str) -> list[Any]:
    compared = isinstance(config, BradleyTerryConfig)
    rows = list((read_preferences if compared else read_feedback)(start.data, split))
    made: list[Any] = []
    with start.context.progress.task(f"encoding {split}", len(rows)) as bar:
        for row in rows:
            sides = ("chosen", "rejected") if compared else ("completion",)
            ids = [_encoded(start, [*row["prompt"], *row[side]], row) for side in sides]
            bar.advance()
            if any(len(of_side.input_ids) > start.context_tokens for of_side in ids):
                continue
            if compared:
                made.append(ComparedExample(ids[0], ids[1], float(row.get("margin") or 0.0)))
            else:
                made.append(GradedExample(ids[0], _grades(row, config, f"{start.data.name}/{split}.jsonl")))
    return made


def _encoded(start: Start, messages: Sequence[Message], row: Mapping[str, Any]) -> ChatExample:
    ids = np.asarray(chat_ids(start.chat_template, start.tokenizer, messages, tools=row.get("tools")), np.int32)
    return ChatExample(ids, np.zeros(len(ids), bool))


def _grades(row: Mapping[str, Any], config: OrdinalConfig | MultiObjectiveConfig, where: str) -> tuple[float, ...]:
    given = row.get(config.field)
    if isinstance(config, MultiObjectiveConfig):
        if not isinstance(given, Mapping) or not any(name in given for name in config.attributes):
            raise DataError(f"{where}, row {row['id']}: {config.field} must hold a mark for any of "
                            f"{', '.join(config.attributes)}, not {given!r:.80}")  # fmt: skip
        return tuple(float(given[name]) if given.get(name) is not None else math.nan for name in config.attributes)
    if given is None and config.num_grades == 2:
        given = int(row["label"])
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < config.num_grades:
        raise DataError(f"{where}, row {row['id']}: {config.field} must be a whole number of 0 .. {config.num_grades - 1}, "
                        f"not {given!r:.80}", hint="set objective.field and objective.num_grades to what the rows have")  # fmt: skip
    return (float(given),)


@torch.no_grad()
def _save(start: Start, model: HeadedDecoder, directory: Path) -> None:
    if start.stage.adapter is not None:
        from ...adapt import merge

        model.decoder = merge(model.decoder, "default")
    copy_tokenizer_files(start.directory, directory)
    save_headed(
        model,
        directory,
        chat_template=start.chat_template.source,
        generation=read_generation_config(start.directory),
    )

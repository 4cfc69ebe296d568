"""Texts for the `fit` stage: the vocabulary of each part's own training texts, folds of a cross-validation, networks that label them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from ...core.errors import ConfigError, DataError
from ...core.recipe import StageContext
from ...data.folds import assign_folds, rows_for_folds
from ...data.labelled import read_labelled, read_labels
from ...models.networks import Texts, build_network
from ...objectives.networks import Example, LabelObjective, Penalties, text_batch
from ...text.words import cut
from ..label_figures import mistakes_table
from .labels import LabelFigures
from .predictor import save_network, word_numbers
from .task import Exhibits, Part, Task, judged_and_watched

if TYPE_CHECKING:
    from ..fit import FitStage


@dataclass(frozen=True, kw_only=True)
class WordsConfig:
    """How a text becomes word numbers."""

    cut: Literal["words", "long_words", "words_and_marks", "spaces"] = "words_and_marks"
    """What a word is (groundup.text.words)."""
    min_frequency: int = 2
    """Rarer words are unknown ones: 1 keeps every word, and unknown ones are then never seen in training."""
    vocab_size: int = 50_000
    """The most frequent ones."""
    max_words: int = 400
    """Of a text; the rest of a longer one is cut off."""

    def __post_init__(self) -> None:
        for name in ("min_frequency", "vocab_size", "max_words"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)


def open_texts(stage: FitStage, context: StageContext) -> Task:
    directory = context.inputs[stage.data]
    kind, names = read_labels(directory)
    if kind != "classification":
        raise DataError(f"the stage {stage.data!r} holds examples for {kind}; `fit` takes texts with one label each")
    number = {name: i for i, name in enumerate(names)}
    parts: list[Part] = []
    final = None

    def part(name: str, seed: int, train: Sequence[Mapping[str, Any]], held_out: Any, watched: Any) -> Part:
        train = train[: stage.limit]
        words = vocabulary((row["text"] for row in train), stage.words)
        numbers = {word: i for i, word in enumerate(words, start=2)}
        shape = Texts(vocab_size=len(words) + 2, num_labels=len(names))

        def examples(rows: Iterable[Mapping[str, Any]]) -> list[Example]:
            given = stage.words
            return [
                Example(word_numbers(row["text"], numbers, given.cut, given.max_words), number[row["label"]])
                for row in rows
            ]

        return Part(
            name=name,
            train=examples(train),
            held_out=examples(held_out),
            watched=examples(watched),
            seed=seed,
            build=lambda: build_network(stage.model, shape),
            details={"words": words, "shape": shape, "rows": held_out},
        )

    if stage.folds:
        rows = rows_for_folds(directory)
        fold = assign_folds([row["id"] for row in rows], [row["label"] for row in rows], stage.folds, context.seed)
        if stage.early_stopping is not None:
            raise ConfigError("early stopping on a fold would choose by what it is then judged by",
                              path=f"{context.name}.early_stopping")  # fmt: skip
        for i in range(stage.folds):
            train = [row for row, f in zip(rows, fold, strict=True) if f != i]
            held_out = [row for row, f in zip(rows, fold, strict=True) if f == i]
            parts.append(part(f"fold{i}", context.seed + i, train, held_out, held_out))
        final = part("final", context.seed, rows, [], [])
    else:
        split = {name: list(read_labelled(directory, name)) for name in ("train", "validation", "test")}
        held_out, watched = judged_and_watched(stage, context.name, split["validation"], split["test"])
        for i in range(stage.repeats):
            parts.append(part(f"run{i}", context.seed + i, split["train"], held_out, watched))
    figures = LabelFigures(text_batch, names, parts, folds=bool(stage.folds))

    def judged(models: Sequence[nn.Module]) -> tuple[dict[str, Any], Exhibits]:
        found, shown, labelling = figures.judged(models)
        judged = parts if stage.folds else parts[:1]
        texts = [row["text"] for part in judged for row in part.details["rows"]]
        return found, [*shown, mistakes_table(labelling, texts)]

    def save(part: Part, model: nn.Module, where: Path) -> None:
        given = stage.words
        save_network(where, stage.model, part.details["shape"], names, model, words=part.details["words"],
                     cut_by=given.cut, max_words=given.max_words)  # fmt: skip

    return Task(
        objective=LabelObjective(
            texts=True, label_smoothing=stage.label_smoothing, penalties=Penalties(l1=stage.l1, l2=stage.l2)
        ),
        parts=parts,
        final=final,
        evaluate=figures.evaluate,
        judged=judged,
        save=save,
    )


def vocabulary(texts: Iterable[str], config: WordsConfig) -> list[str]:
    """Words in falling frequency, equal ones in the order of their letters."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(cut(text, config.cut)[: config.max_words])
    kept = [word for word, count in counts.items() if count >= config.min_frequency]
    return sorted(kept, key=lambda word: (-counts[word], word))[: config.vocab_size]

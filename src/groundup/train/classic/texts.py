"""Stage `classify_text`: several ways to label texts, compared on the same folds, the best one saved (projects: spam filter, reviews).

Each fold's vocabulary, document frequencies and ratios come from its training texts alone. What is reported of a method is what it
said of texts it had not seen, all folds together; where the labelled data has a test split, each is trained once more on all the rest and
measured there. Left out: a search for each method's settings (groundup search does it).

Letters: N texts, K labels, K' = 1 for two labels, else K.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...core.errors import ConfigError, DataError
from ...core.exhibits import Plot, Table, plain
from ...core.recipe import StageContext
from ...data.folds import assign_folds, rows_for_folds
from ...data.labelled import read_labelled, read_labels
from ...foundations.features import CountedTexts, TextFeatures, count_terms
from ...foundations.linear import LogisticRegression
from ...foundations.naive_bayes import NaiveBayes, NaiveBayesSVM
from ...foundations.sparse import Array
from ...foundations.svm import LinearSVM
from ...foundations.text_classifier import (
    ScoredTexts,
    TextClassifier,
    TextMethod,
    fit_scores,
    fit_temperature,
    labels_of,
    mean_scores,
    probabilities_of,
)
from ..label_figures import (
    Labelling,
    bars,
    calibration_plot,
    comparison,
    confusion_plot,
    labels_table,
    mistakes_table,
    precision_recall_plot,
    roc_plot,
)

BASELINE = "majority"
_TFIDF = TextFeatures(ngrams=(1, 2), weights="tfidf", sublinear=True)


def standard_methods() -> dict[str, TextMethod]:
    return {
        "naive_bayes": TextMethod(features=TextFeatures(), model=NaiveBayes()),
        "naive_bayes_svm": TextMethod(features=TextFeatures(ngrams=(1, 2), weights="binary"), model=NaiveBayesSVM()),
        "tfidf_logistic": TextMethod(features=_TFIDF, model=LogisticRegression(C=10.0)),
        "tfidf_svm": TextMethod(features=_TFIDF, model=LinearSVM()),
    }


@dataclass(frozen=True, kw_only=True)
class ClassifyTextStage:
    data: str
    """A stage of type labelled, its task classification."""
    methods: Mapping[str, TextMethod] = field(default_factory=standard_methods)
    folds: int = 10
    choose_by: Literal["accuracy", "macro_f1", "mcc"] = "mcc"
    save: str | None = None
    """The method to save; null: the best by `choose_by`."""
    positive: str | None = None
    """Of two labels, the one that is to be caught (spam); null: the rarer one."""
    max_blocked: float = 0.002
    """Share of the other label that may be taken for it, for the figure caught_within_limit."""
    type: Literal["classify_text"] = "classify_text"
    kind = "predictor"

    def __post_init__(self) -> None:
        if not self.methods:
            raise ConfigError("names no method", path="methods")
        if BASELINE in self.methods:
            raise ConfigError(f"{BASELINE!r} is the baseline that is always there", path="methods")
        for name, method in self.methods.items():
            before = list(self.methods)[: list(self.methods).index(name)]
            unknown = [other for other in method.mean_of if other not in before or self.methods[other].mean_of]
            if unknown:
                raise ConfigError(
                    f"{unknown[0]!r} is no method before it with features of its own", path=f"methods.{name}.mean_of"
                )
        if self.save is not None and self.save not in self.methods:
            raise ConfigError(f"{self.save!r} is none of {', '.join(self.methods)}", path="save")
        if not 0 <= self.max_blocked < 1:
            raise ConfigError(f"must be at least 0 and below 1, not {self.max_blocked}", path="max_blocked")

    def inputs(self) -> Sequence[str]:
        return (self.data,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        data = _Data(self, context)
        held_out, tested = {BASELINE: data.majority()}, {}
        fitted: dict[str, TextClassifier] = {}
        with context.progress.task("methods", total=len(self.methods)) as bar:
            for name, method in self.methods.items():
                held_out[name], fitted[name] = data.try_out(name, method)
                if data.test_texts:
                    tested[name] = data.labelling(
                        fitted[name].scores(data.test_texts), fitted[name].temperature, data.test_y
                    )
                bar.advance()
        figures = {name: one.figures(self.max_blocked) for name, one in held_out.items()}
        chosen = self.save or max(self.methods, key=lambda name: figures[name][self.choose_by])
        fitted[chosen].save(context.directory)
        of_test = {name: one.figures(self.max_blocked) for name, one in tested.items()}
        return {
            **figures[chosen],
            "chosen": chosen,
            "methods": figures,
            **({"test": of_test[chosen], "methods_on_test": of_test} if of_test else {}),
            "exhibits": plain(*self._exhibits(held_out, figures, tested, of_test, chosen, fitted[chosen], data)),
        }

    def _exhibits(
        self,
        held_out: Mapping[str, Labelling],
        figures: Mapping[str, Any],
        tested: Mapping[str, Labelling],
        of_test: Mapping[str, Any],
        chosen: str,
        classifier: TextClassifier,
        data: _Data,
    ) -> Iterator[Table | Plot]:
        notes = [
            f"Intervals hold 95 of 100 times. {chosen} was chosen by its {self.choose_by} here, which flatters it a little."
        ]
        positive = figures[chosen].get("positive")
        if positive:
            notes.append(
                f"caught: share of {positive} that is found. blocked: share of the rest that is taken for {positive}."
            )
        yield comparison(held_out, figures, chosen, f"Cross-validated, {self.folds} folds", notes)
        if tested:
            yield comparison(tested, of_test, chosen, f"On {len(data.test_texts)} texts of the test split", [])
        yield bars(figures, "Accuracy of each method")
        yield confusion_plot(held_out[chosen], f"Confusion matrix of {chosen}")
        yield labels_table(held_out[chosen], f"Each label ({chosen})")
        plots = (roc_plot(held_out), precision_recall_plot(held_out), calibration_plot(held_out[chosen], chosen))
        yield from (plot for plot in plots if plot)
        told = classifier.telling_terms()
        if told:
            deep = max(map(len, told.values()))
            rows = [
                [" ".join(terms[i][0].split(" ")) if i < len(terms) else None for terms in told.values()]
                for i in range(deep)
            ]
            yield Table(title=f"Terms that speak most for each label ({chosen})", columns=list(told), rows=rows)
        yield mistakes_table(held_out[chosen], data.texts)


class _Data:
    """The rows that the methods are tried out on, and what they share: folds, counted terms."""

    def __init__(self, stage: ClassifyTextStage, context: StageContext) -> None:
        directory = context.inputs[stage.data]
        rows, test_rows = rows_for_folds(directory), list(read_labelled(directory, "test"))
        self.labels = _labels(directory, rows)
        number = {label: i for i, label in enumerate(self.labels)}
        self.texts, self.test_texts = [row["text"] for row in rows], [row["text"] for row in test_rows]
        self.y = np.array([number[row["label"]] for row in rows], np.int64)
        self.test_y = np.array([number[row["label"]] for row in test_rows], np.int64)
        self.num_folds = stage.folds
        self.folds = assign_folds(
            [row["id"] for row in rows], [row["label"] for row in rows], stage.folds, context.seed
        )
        self.positive = self._positive(stage.positive)
        self._counted: dict[Any, CountedTexts] = {}
        self._held_out: dict[str, Array] = {}
        self._parts: dict[str, ScoredTexts] = {}

    def _positive(self, wanted: str | None) -> int | None:
        if wanted is not None and (len(self.labels) != 2 or wanted not in self.labels):
            raise ConfigError(
                f"{wanted!r} must be one of two labels; there are {', '.join(self.labels)}", path="positive"
            )
        if len(self.labels) != 2:
            return None
        return self.labels.index(wanted) if wanted is not None else int(self.y.mean() <= 0.5)

    def counted(self, features: TextFeatures) -> CountedTexts:
        if features.counting not in self._counted:
            self._counted[features.counting] = count_terms(features, self.texts)
        return self._counted[features.counting]

    def labelling(self, scores: Array, temperature: float, wanted: Array, **more: Any) -> Labelling:
        return Labelling(labels=self.labels, wanted=wanted, given=labels_of(scores), positive=self.positive,
                         probabilities=probabilities_of(scores, temperature), **more)  # fmt: skip

    def majority(self) -> Labelling:
        given = np.full(len(self.y), np.bincount(self.y).argmax())
        return Labelling(labels=self.labels, wanted=self.y, given=given, positive=self.positive, folds=self.folds)

    def try_out(self, name: str, method: TextMethod) -> tuple[Labelling, TextClassifier]:
        """What was said of each text by a classifier that had not seen it, and the classifier that has learnt from all of them."""
        started = time.perf_counter()
        if method.mean_of:
            scores, parts = self._means(method.mean_of), tuple(self._parts[other] for other in method.mean_of)
        else:
            scores, part = self._scores(method)
            self._held_out[name], self._parts[name] = scores, replace(part, temperature=fit_temperature(scores, self.y))
            parts = (part,)
        temperature = fit_temperature(scores, self.y)
        held_out = self.labelling(scores, temperature, self.y, folds=self.folds, seconds=time.perf_counter() - started)
        summary = f"{name}: {' or '.join(self.labels)}, learnt from {len(self.y):,} texts"
        return held_out, TextClassifier(parts, self.labels, temperature, summary)

    def _scores(self, method: TextMethod) -> tuple[Array, ScoredTexts]:
        """Held-out scores [N, K'] of all folds, and what was fitted to all texts."""
        counted = self.counted(method.features)
        scores = np.empty((len(self.y), 1 if len(self.labels) == 2 else len(self.labels)))
        for fold in range(self.num_folds):
            train = self.folds != fold
            fitted = fit_scores(method, counted.rows(train), self.y[train], len(self.labels))
            scores[~train] = fitted.scores_of(counted.rows(~train))
        return scores, fit_scores(method, counted, self.y, len(self.labels))

    def _means(self, names: Sequence[str]) -> Array:
        """[N, K'] means of the held-out scores of other methods; the temperatures for a fold come from the other folds."""
        made = np.empty_like(self._held_out[names[0]])
        for fold in range(self.num_folds):
            there, rest = self.folds == fold, self.folds != fold
            temperatures = [fit_temperature(self._held_out[name][rest], self.y[rest]) for name in names]
            made[there] = mean_scores([self._held_out[name][there] for name in names], temperatures)
        return made


def _labels(directory: Path, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Those of the training rows, in their order. DataError unless there are two at least."""
    task, labels = read_labels(directory)
    if task != "classification":
        raise DataError(f"the labelled data is of the task {task}; texts with one label each are needed",
                        hint="rows of text and label (see groundup.data.labelled)")  # fmt: skip
    found = {row["label"] for row in rows}
    if len(found) < 2:
        raise DataError(f"all {len(rows)} texts have the label {next(iter(found), '')!r}; a classifier needs two labels at least",
                        hint="is label_field the right column?")  # fmt: skip
    missing = [label for label in labels if label not in found]
    if missing:
        raise DataError(
            f"no text outside of the test split has the label {missing[0]!r}", hint="make the test split smaller"
        )
    return labels

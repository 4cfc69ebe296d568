"""A classifier of texts: features, and a model over them whose scores become labels and probabilities. A Predictor that is saved and read.

Any of the models here gives a score to each text (two labels) or to each label; the label is the one with the highest, and its
probability the softmax of scores / temperature, the temperature found on texts that the scores' model was not trained on (Guo et al. 2017):
it changes no label, and it makes margins of support vector machines and the too sure scores of naive Bayes mean something.

Letters: N texts, D terms, K labels, K' = 1 for two labels, else K.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.config import Use, load_user_part, node, parse, to_plain
from ..core.errors import ArtifactError, ConfigError, DataError
from ..core.predictors import read_predictor, save_predictor
from ..core.types import Prediction, PredictorFacts
from .features import CountedTexts, FittedFeatures, TextFeatures
from .linear import LogisticRegression
from .metrics import log_loss
from .naive_bayes import NaiveBayes, NaiveBayesSVM
from .sparse import CSR, Array
from .svm import KernelMargins, KernelSVM, LinearMargins, LinearSVM

KIND = "text_classifier"
ModelNode: Any = node(NaiveBayes, NaiveBayesSVM, LogisticRegression, LinearSVM, KernelSVM)
_TOLD_TERMS = 15


@dataclass(frozen=True, kw_only=True)
class TextMethod:
    """How texts become numbers, and what learns from these."""

    features: TextFeatures = TextFeatures()
    model: ModelNode = NaiveBayes()
    mean_of: tuple[str, ...] = ()
    """Instead of both: the mean of the scores of these other methods, each divided by its temperature."""

    def __post_init__(self) -> None:
        presence = isinstance(self.model, NaiveBayesSVM) or getattr(self.model, "event", "") == "bernoulli"
        if presence and self.features.weights != "binary":
            raise ConfigError(
                f"must be binary for {self.model.type} of presence, not {self.features.weights}",
                path="features.weights",
            )


def labels_of(scores: Array) -> Array:
    """[N, K'] -> int [N]"""
    return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(1)


def probabilities_of(scores: Array, temperature: float) -> Array:
    """[N, K'] -> [N, K]"""
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], 1)
    scaled = scores / temperature
    likely = np.exp(scaled - scaled.max(1, keepdims=True))
    probabilities: Array = likely / likely.sum(1, keepdims=True)
    return probabilities


def fit_temperature(scores: Array, y: Array) -> float:
    """What makes the log loss of held-out scores [N, K'] least: a search by thirds over the logarithm, where the loss has one valley."""
    low, high = np.log(1e-3), np.log(1e3)
    for _ in range(60):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        if log_loss(y, probabilities_of(scores, np.exp(a))) < log_loss(y, probabilities_of(scores, np.exp(b))):
            high = b
        else:
            low = a
    return float(np.exp((low + high) / 2))


@dataclass(frozen=True, eq=False)
class ScoredTexts:
    """Features and a model over them."""

    features: FittedFeatures
    model: Any
    """With scores(x) -> [N, K']: coef and intercept, or a kernel's margins."""
    temperature: float = 1.0
    """What its scores are divided by where several are averaged."""

    def scores(self, texts: Sequence[str]) -> Array:
        """[N, K']"""
        scores: Array = self.model.scores(self.features.transform(texts))
        return scores

    def scores_of(self, counted: CountedTexts) -> Array:
        """[N, K'] of texts whose terms are counted over the same columns as those it was fitted on."""
        scores: Array = self.model.scores(self.features.choose(counted))
        return scores


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """groundup.core.protocols.Predictor."""

    parts: tuple[ScoredTexts, ...]
    """One, or several whose scores are averaged."""
    labels: tuple[str, ...]
    temperature: float = 1.0
    summary: str = ""

    @property
    def facts(self) -> PredictorFacts:
        return PredictorFacts(kind=KIND, input="text", labels=self.labels, summary=self.summary)

    def scores(self, texts: Sequence[str]) -> Array:
        """[N, K']"""
        return mean_scores([part.scores(texts) for part in self.parts], [part.temperature for part in self.parts])

    def predict(self, inputs: Sequence[Any]) -> list[Prediction]:
        for number, text in enumerate(inputs, start=1):
            if not isinstance(text, str):
                raise DataError(f"input {number} is no text but {type(text).__name__}")
        if not inputs:
            return []
        scores = self.scores(inputs)
        likely = probabilities_of(scores, self.temperature)
        return [
            Prediction(label=self.labels[best], scores=dict(zip(self.labels, map(float, row), strict=True)))
            for best, row in zip(labels_of(scores), likely, strict=True)
        ]

    def telling_terms(self, count: int = _TOLD_TERMS) -> dict[str, list[tuple[str, float]]]:
        """Of each label, the terms that speak most for it, with their weights, by the first part; {} where it has no weights of terms."""
        if isinstance(self.parts[0].model, KernelMargins):
            return {}
        coef, terms = self.parts[0].model.coef, self.parts[0].features.terms
        rows = np.concatenate([-coef, coef]) if len(coef) == 1 else coef - coef.mean(0)
        told = {}
        for label, row in zip(self.labels, rows, strict=True):
            best = np.argsort(-row, kind="stable")[:count]
            told[label] = [(terms[i], float(row[i])) for i in best if row[i] > 0]
        return told

    def save(self, directory: Path) -> None:
        config: list[dict[str, Any]] = []
        arrays: dict[str, Array] = {}
        for number, part in enumerate(self.parts):
            features, model = part.features, part.model
            named = {"idf": features.idf, "intercept": model.intercept, "coef": model.coef}
            config.append(
                {
                    "features": to_plain(features.features),
                    "temperature": part.temperature,
                    "terms": list(features.terms),
                }
            )
            if isinstance(model, KernelMargins):
                support = model.support
                assert isinstance(support, CSR)
                named |= {
                    "support.data": support.data,
                    "support.indices": support.indices,
                    "support.indptr": support.indptr,
                }
                config[-1]["gamma"] = model.gamma
            arrays |= {f"{number}.{name}": value for name, value in named.items()}
        facts = {"summary": self.summary, "labels": list(self.labels), "temperature": self.temperature}
        save_predictor(directory, KIND, {**facts, "parts": config}, arrays)


def mean_scores(scores: Sequence[Array], temperatures: Sequence[float]) -> Array:
    """[N, K'] each"""
    mean: Array = np.mean([one / temperature for one, temperature in zip(scores, temperatures, strict=True)], axis=0)
    return mean


def fit_scores(method: TextMethod, counted: CountedTexts, y: Array, num_labels: int) -> ScoredTexts:
    """counted: the training texts; y int [N]."""
    features = method.features.fit(counted)
    model = load_user_part(method.model)(**method.model.args) if isinstance(method.model, Use) else method.model
    return ScoredTexts(features, model.fit(features.choose(counted), y, num_labels))


def load_text_classifier(directory: Path) -> TextClassifier:
    config, arrays = read_predictor(directory, KIND)
    try:
        labels = tuple(config["labels"])
        parts = tuple(
            _part(
                part,
                {name: arrays[name] for name in arrays if name.startswith(f"{number}.")},
                f"{number}.",
                len(labels),
            )
            for number, part in enumerate(config["parts"])
        )
        if not parts or not labels:
            raise ValueError("it has no parts or no labels")
        return TextClassifier(parts, labels, float(config["temperature"]), str(config.get("summary", "")))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtifactError(
            f"{directory} holds no whole text classifier: {error}", hint="run its recipe again"
        ) from None


def _part(config: Mapping[str, Any], arrays: Mapping[str, Array], prefix: str, num_labels: int) -> ScoredTexts:
    features, terms = parse(TextFeatures, config["features"], path="features"), config["terms"]
    coef, intercept = arrays[f"{prefix}coef"], arrays[f"{prefix}intercept"]
    if "gamma" in config:
        data, indices, indptr = (arrays[f"{prefix}support.{name}"] for name in ("data", "indices", "indptr"))
        support = CSR(data, indices, indptr, len(terms))
        model: Any = KernelMargins(support, coef, intercept, config["gamma"])
        whole = len(support) == len(coef) and indices.max(initial=0) < len(terms) and coef.shape[1] == len(intercept)
    else:
        model, whole = LinearMargins(coef, intercept), coef.shape == (len(intercept), len(terms))
    idf = arrays[f"{prefix}idf"]
    if not (whole and len(idf) == len(terms) and len(intercept) == (1 if num_labels == 2 else num_labels)):
        raise ValueError("its arrays are not as long as its list of terms")
    return ScoredTexts(FittedFeatures(features, terms, idf), model, float(config["temperature"]))

"""A classifier of texts: features, and a model over them whose scores become labels and probabilities. A Predictor that is saved and read.

Any of the models here gives a score to each text (two labels) or to each label; the label is the one with the highest, and its
probability the softmax of scores / temperature, the temperature found on texts that the scores' model was not trained on (Guo et al. 2017):
it changes no label, and it makes margins of support vector machines and the too sure scores of naive Bayes mean something.

Letters: N texts, D terms, K labels, K' = 1 for two labels, else K.
"""

from __future__ import annotations

from collections.abc import Sequence
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
class TextClassifier:
    """groundup.core.protocols.Predictor."""

    features: FittedFeatures
    model: Any
    """With scores(x) -> [N, K']: coef and intercept, or a kernel's margins."""
    labels: tuple[str, ...]
    temperature: float = 1.0
    summary: str = ""

    @property
    def facts(self) -> PredictorFacts:
        return PredictorFacts(kind=KIND, input="text", labels=self.labels, summary=self.summary)

    def scores(self, texts: Sequence[str]) -> Array:
        """[N, K']"""
        scores: Array = self.model.scores(self.features.transform(texts))
        return scores

    def scores_of(self, counted: CountedTexts) -> Array:
        """[N, K'] of texts whose terms are counted over the same columns as those it was fitted on."""
        scores: Array = self.model.scores(self.features.choose(counted))
        return scores

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
        """Of each label, the terms that speak most for it, with their weights; {} where the model has no weights of terms."""
        if isinstance(self.model, KernelMargins):
            return {}
        coef = self.model.coef
        rows = np.concatenate([-coef, coef]) if len(coef) == 1 else coef - coef.mean(0)
        told = {}
        for label, row in zip(self.labels, rows, strict=True):
            best = np.argsort(-row, kind="stable")[:count]
            told[label] = [(self.features.terms[i], float(row[i])) for i in best if row[i] > 0]
        return told

    def save(self, directory: Path) -> None:
        arrays = {"idf": self.features.idf, "intercept": self.model.intercept, "coef": self.model.coef}
        config: dict[str, Any] = {}
        if isinstance(self.model, KernelMargins):
            support = self.model.support
            assert isinstance(support, CSR)
            arrays |= {
                "support.data": support.data,
                "support.indices": support.indices,
                "support.indptr": support.indptr,
            }
            config = {"gamma": self.model.gamma}
        save_predictor(
            directory,
            KIND,
            {
                "summary": self.summary,
                "labels": list(self.labels),
                "features": to_plain(self.features.features),
                "temperature": self.temperature,
                **config,
                "terms": list(self.features.terms),
            },
            arrays,
        )


def fit_text_classifier(method: TextMethod, counted: CountedTexts, y: Array, labels: tuple[str, ...]) -> TextClassifier:
    """counted: the training texts; y int [N], numbers of `labels`. Its temperature is 1 until held-out scores say otherwise."""
    features = method.features.fit(counted)
    model = load_user_part(method.model)(**method.model.args) if isinstance(method.model, Use) else method.model
    return TextClassifier(features, model.fit(features.choose(counted), y, len(labels)), labels)


def load_text_classifier(directory: Path) -> TextClassifier:
    config, arrays = read_predictor(directory, KIND)
    try:
        features = parse(TextFeatures, config["features"], path="features")
        terms, labels = config["terms"], tuple(config["labels"])
        coef, intercept = arrays["coef"], arrays["intercept"]
        if "gamma" in config:
            support = CSR(arrays["support.data"], arrays["support.indices"], arrays["support.indptr"], len(terms))
            model: Any = KernelMargins(support, coef, intercept, config["gamma"])
            fits = len(support) == len(coef)
        else:
            model, fits = LinearMargins(coef, intercept), coef.shape[1] == len(terms)
        if not (
            fits and len(arrays["idf"]) == len(terms) and len(intercept) == (1 if len(labels) == 2 else len(labels))
        ):
            raise ValueError("the arrays are not as long as the list of terms")
        temperature = float(config["temperature"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtifactError(
            f"{directory} holds no whole text classifier: {error}", hint="run its recipe again"
        ) from None
    return TextClassifier(
        FittedFeatures(features, terms, arrays["idf"]), model, labels, temperature, str(config.get("summary", ""))
    )

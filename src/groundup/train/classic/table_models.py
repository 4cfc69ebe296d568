"""Which models of a table there are, fitted and kept as arrays, and the predictor that applies a kept one to new rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ...core.config import node, to_plain
from ...core.errors import ArtifactError, ConfigError
from ...core.predictors import read_predictor, save_predictor
from ...core.types import Prediction, PredictorFacts
from ...data.table import MISSING, Array, TypedTable
from ...foundations.linear import LeastSquares, LinearModel, LogisticModel, LogisticRegression, Ridge
from ...foundations.neighbours import Neighbours, NeighboursModel
from ...foundations.tree import DecisionTree, ForestModel, RandomForest, TreeModel, tree_arrays, trees_of
from .table_features import TableFeatures

PREDICTOR = "table_model"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a model must beat: always the mean, or always how frequent each class is."""

    type: Literal["baseline"] = "baseline"

    def fit(self, x: Array, y: Array, num_classes: int | None = None) -> TreeModel:
        """A tree that is nothing but its root."""
        of_nothing = np.zeros((len(y), 1))
        return DecisionTree(max_depth=1).fit(of_nothing, y, num_classes)


CandidateNode: Any = node(Baseline, LeastSquares, Ridge, LogisticRegression, Neighbours, DecisionTree, RandomForest)
Fitted: TypeAlias = LinearModel | LogisticModel | NeighboursModel | TreeModel | ForestModel
_OF_NUMBERS_ONLY, _OF_CLASSES_ONLY = (LeastSquares, Ridge), (LogisticRegression,)


def default_candidates(num_classes: int | None) -> tuple[Any, ...]:
    tree = DecisionTree(max_depth=8, min_samples_leaf=5)
    others = (Neighbours(k=10, weights="distance"), tree, RandomForest(num_trees=40))
    if num_classes is None:
        return Baseline(), LeastSquares(), Ridge(alpha=10.0), *others
    return Baseline(), LogisticRegression(), *others


def check_candidates(candidates: Sequence[Any], num_classes: int | None, path: str) -> None:
    for place, candidate in enumerate(candidates):
        if isinstance(candidate, _OF_CLASSES_ONLY if num_classes is None else _OF_NUMBERS_ONLY):
            told = "is of numbers" if num_classes is None else f"has {num_classes} classes"
            fitting = ", ".join(c.type for c in default_candidates(num_classes))
            raise ConfigError(f"{candidate.type} does not fit the target, which {told}", path=f"{path}.{place}",
                              hint=f"one of {fitting}")  # fmt: skip


def fit(candidate: Any, x: Array, y: Array, num_classes: int | None) -> Fitted:
    """x [N, D]; y [N] numbers, or classes where there are num_classes."""
    if isinstance(candidate, _OF_NUMBERS_ONLY):
        return candidate.fit(x, y)
    model: Fitted = candidate.fit(x, y, num_classes)
    return model


def outputs(model: Fitted, x: Array) -> Array:
    """[N, D] -> [N, K]: probabilities of the classes; or [N, 1], numbers."""
    if isinstance(model, LinearModel):
        return model.predict(x)[:, None]
    if isinstance(model, LogisticModel):
        return model.probabilities(x)
    return model.outputs(x)


def _arrays(model: Fitted) -> dict[str, Array]:
    if isinstance(model, LinearModel):
        return {"coef": model.coef, "intercept": np.array([model.intercept])}
    if isinstance(model, LogisticModel):
        return {"coef": model.coef, "intercept": model.intercept}
    if isinstance(model, NeighboursModel):
        return {"examples": model.examples, "targets": model.targets}
    return tree_arrays(model.trees if isinstance(model, ForestModel) else (model,))


def _fitted(config: Mapping[str, Any], arrays: dict[str, Array], num_classes: int | None) -> Fitted:
    match config["type"]:
        case "linear" | "ridge":
            return LinearModel(arrays["coef"], float(arrays["intercept"][0]))
        case "logistic":
            return LogisticModel(arrays["coef"], arrays["intercept"])
        case "neighbours":
            k = min(config["k"], len(arrays["targets"]))
            return NeighboursModel(arrays["examples"], arrays["targets"], k, config["weights"], num_classes)
        case "forest":
            return ForestModel(trees_of(arrays))
        case _:
            return trees_of(arrays)[0]


@dataclass(frozen=True, eq=False)
class TableModel:
    """A fitted model with all that turns rows into features and back into answers: a Predictor."""

    candidate: Mapping[str, Any]
    """The config it was fitted by, `type` among it."""
    features: TableFeatures
    model: Fitted
    target: str
    classes: tuple[str, ...] = ()
    """(): the target is a number."""
    log_target: bool = False
    missing: tuple[str, ...] = MISSING
    """What is written in a row where a value is missing."""
    unit: str = ""
    tested: str = ""
    """How good it was on rows held out, in words."""

    @property
    def num_classes(self) -> int | None:
        return len(self.classes) or None

    @classmethod
    def fit(cls, candidate: Any, table: TypedTable, *, log_target: bool = False) -> TableModel:
        """On all rows of the table."""
        assert table.target is not None
        target = table.column(table.target)
        classes = target.categories if target.kind == "category" else ()
        features = TableFeatures.fit(table)
        y = np.log(target.values) if log_target else target.values
        model = fit(candidate, features.transform(table.features), y, len(classes) or None)
        return cls(to_plain(candidate), features, model, target.name, classes, log_target, table.missing)

    def outputs(self, table: TypedTable) -> Array:
        """[N, K]: probabilities of the classes; or [N, 1], numbers as the target is."""
        return self._outputs(self.features.transform(table.features))

    def _outputs(self, x: Array) -> Array:
        made = outputs(self.model, x)
        return np.exp(made) if self.log_target else made

    @property
    def facts(self) -> PredictorFacts:
        return PredictorFacts(
            kind=PREDICTOR,
            input="row",
            labels=self.classes,
            columns=tuple(column.name for column in self.features.columns),
            unit=self.unit,
            summary=f"{self.target}, by {self.candidate['type']}" + (f" ({self.tested})" if self.tested else ""),
        )

    def predict(self, inputs: Sequence[Any]) -> list[Prediction]:
        if not inputs:
            return []
        made = self._outputs(self.features.transform(self.features.columns_of(inputs, self.missing)))
        if not self.classes:
            return [Prediction(value=float(row[0])) for row in made]
        return [
            Prediction(label=self.classes[int(row.argmax())], scores=dict(zip(self.classes, row.tolist())))
            for row in made
        ]

    def save(self, directory: Path) -> None:
        config = {
            "candidate": dict(self.candidate),
            "columns": self.features.plain(),
            "target": self.target,
            "classes": list(self.classes),
            "log_target": self.log_target,
            "missing": list(self.missing),
            "unit": self.unit,
            "tested": self.tested,
        }
        save_predictor(directory, PREDICTOR, config, _arrays(self.model))


def load_table_model(directory: Path) -> TableModel:
    config, arrays = read_predictor(directory, PREDICTOR)
    try:
        classes = tuple(config["classes"])
        model = _fitted(config["candidate"], arrays, len(classes) or None)
        features = TableFeatures.from_plain(config["columns"])
        more = {name: config[name] for name in ("log_target", "unit", "tested")}
        missing = tuple(config["missing"])
        return TableModel(config["candidate"], features, model, config["target"], classes, missing=missing, **more)
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{directory} is not a whole model of tables: {error!r}", hint="run its recipe again"
        ) from None

"""Models of a table compared by cross-validation, the best kept (stage `fit_table`).

Every candidate sees the same folds, and learns scaling, medians and categories anew from the folds it is fitted on. The best by cross-
validation is fitted on all rows but the test split, which no choice has seen, and is saved as a predictor. A curve of trees from shallow
to deep shows under- and overfitting: the error on the rows seen falls all the way, the error on the others turns. Left out:
a search over settings (groundup search), weights, several targets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ...core.config import Use, load_user_part
from ...core.errors import ConfigError, DataError
from ...core.exhibits import Plot, Series, Table, plain
from ...core.recipe import StageContext
from ...data.folds import assign_folds
from ...data.split import SPLITS
from ...data.table import Array, TypedTable, read_table
from ...foundations.metrics import (
    accuracy,
    confusion,
    log_loss,
    macro_f1,
    mean_absolute_error,
    r_squared,
    root_mean_squared_error,
)
from ...foundations.tree import DecisionTree
from .table_models import CandidateNode, TableModel, check_candidates, default_candidates

_SHOWN_LABELS = 12
_SHUFFLES = 5


@dataclass(frozen=True, kw_only=True)
class FitTableStage:
    """Compare models on the target of a table and keep the best."""

    table: str = "data"
    """The stage that made the table."""
    candidates: tuple[CandidateNode, ...] = ()
    """(): a baseline and every kind of model that fits the target."""
    folds: int = 5
    log_target: bool = False
    """Fit the logarithm of the target: right where effects multiply, as with prices. Errors are of the target itself all the same."""
    tree_depths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20)
    """Of the curve of under- and overfitting; (): none."""
    unit: str = ""
    """Of the target: shown with predictions."""
    type: Literal["fit_table"] = "fit_table"
    kind = "predictor"

    def inputs(self) -> Sequence[str]:
        return (self.table,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        table = read_table(context.inputs[self.table])
        if table.target is None:
            raise ConfigError("the table has no target to predict", path=f"{context.name}.table",
                              hint=f"{self.table}.target=NAME_OF_A_COLUMN")  # fmt: skip
        judge = Judge.of(table, self.log_target)
        candidates = [
            load_user_part(c, root=context.recipe_directory)(**c.args) if isinstance(c, Use) else c
            for c in self.candidates or default_candidates(judge.num_classes)
        ]
        check_candidates(candidates, judge.num_classes, f"{context.name}.candidates")
        seen = table.rows(table.split != SPLITS.index("test"))
        unseen = table.rows(table.split == SPLITS.index("test"))
        folds = self._folds(judge.labels(seen), context)
        names = unique_names(candidates)
        found: dict[str, dict[str, Any]] = {}
        models: dict[str, TableModel] = {}
        for name, candidate in zip(names, candidates, strict=True):
            start = time.perf_counter()
            scores = self._cross_validated(candidate, seen, folds, judge)
            models[name] = TableModel.fit(candidate, seen, log_target=self.log_target)
            found[name] = {f"cv_{measure}": float(np.mean(s)) for measure, s in scores.items()}
            found[name] |= {f"cv_{measure}_std": float(np.std(s, ddof=1)) for measure, s in scores.items()}
            if len(unseen):
                found[name] |= {f"test_{m}": v for m, v in judge.scores(unseen, models[name].outputs(unseen)).items()}
            found[name] = {m: float(f"{v:.6g}") for m, v in found[name].items()} | {"per_fold": scores[judge.main]}
            found[name]["seconds"] = round(time.perf_counter() - start, 2)
            context.progress.say(
                f"  {name}: {judge.words[judge.main]} {found[name][f'cv_{judge.main}']:.4g} across folds"
            )
        best = max(names, key=lambda name: judge.sign * found[name][f"cv_{judge.main}"])
        measured = "test" if len(unseen) else "cv"
        tested = f"{judge.words[judge.main]} {found[best][f'{measured}_{judge.main}']:.4g} " + (
            f"on {len(unseen):,} rows held out" if len(unseen) else "by cross-validation"
        )
        kept = replace(models[best], unit=self.unit, tested=tested)
        kept.save(context.directory)
        exhibits: list[Table | Plot] = [_comparison(found, judge, best, len(unseen)), _bars(found, judge)]
        if self.tree_depths:
            exhibits.append(self._depth_curve(seen, folds, judge))
        if len(unseen):
            exhibits += judge.pictures(unseen, kept)
            exhibits.append(_importance(unseen, kept, judge, context.seed))
        return {
            "target": table.target,
            "rows": len(seen),
            "test_rows": len(unseen),
            "features": len(kept.features.names),
            "folds": self.folds,
            "best": best,
            "models": found,
            "exhibits": plain(*exhibits),
        }

    def _folds(self, labels: Sequence[str], context: StageContext) -> Array:
        try:
            return assign_folds([str(i) for i in range(len(labels))], labels, self.folds, context.seed)
        except ConfigError as error:
            raise ConfigError(error.message, path=f"{context.name}.folds", hint=error.hint) from None

    def _cross_validated(
        self, candidate: Any, table: TypedTable, folds: Array, judge: Judge, *, also_seen: bool = False
    ) -> dict[str, list[float]]:
        """Each measure, once a fold; with also_seen those on the rows fitted as `seen_...` too."""
        made: dict[str, list[float]] = {}
        for fold in range(self.folds):
            fitted, rest = table.rows(folds != fold), table.rows(folds == fold)
            model = TableModel.fit(candidate, fitted, log_target=self.log_target)
            scores = judge.scores(rest, model.outputs(rest))
            if also_seen:
                scores |= {f"seen_{m}": v for m, v in judge.scores(fitted, model.outputs(fitted)).items()}
            for measure, value in scores.items():
                made.setdefault(measure, []).append(value)
        return made

    def _depth_curve(self, seen: TypedTable, folds: Array, judge: Judge) -> Plot:
        fitted, others, spread = [], [], []
        for depth in self.tree_depths:
            scores = self._cross_validated(DecisionTree(max_depth=depth), seen, folds, judge, also_seen=True)
            fitted.append(float(np.mean(scores[f"seen_{judge.error}"])))
            others.append(float(np.mean(scores[judge.error])))
            spread.append(float(np.std(scores[judge.error], ddof=1)))
        best = int(np.argmin(others))
        return Plot(
            title="Under- and overfitting: trees from shallow to deep",
            kind="lines",
            x_label="depth of the tree",
            y_label=judge.words[judge.error],
            series=[
                Series(name="rows it was fitted on", x=list(self.tree_depths), y=fitted),
                Series(name="other rows (mean of the folds)", x=list(self.tree_depths), y=others,
                       low=[v - s for v, s in zip(others, spread)], high=[v + s for v, s in zip(others, spread)]),
            ],
            sentence=f"Too shallow misses what there is; too deep learns the noise. Here depth {self.tree_depths[best]} is best: "
            f"{others[best]:.4g} on rows not seen, beside {fitted[best]:.4g} on those seen; at depth {self.tree_depths[-1]} "
            f"{others[-1]:.4g} beside {fitted[-1]:.4g}.",
        )  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """What is measured: of a target that is a number, or of classes."""

    classes: tuple[str, ...]
    main: str
    """The measure that chooses."""
    sign: int
    """1: more is better."""
    error: str
    """The measure of the curve of under- and overfitting; less is better."""
    words: Mapping[str, str]
    """Measure -> its name in tables."""

    @classmethod
    def of(cls, table: TypedTable, log_target: bool) -> Judge:
        assert table.target is not None
        target = table.column(table.target)
        if target.kind == "number":
            if log_target and target.values.min() <= 0:
                raise DataError(f"{table.source}, column {target.name!r}: holds {target.values.min():g}, which has no logarithm",
                                hint="log_target=false")  # fmt: skip
            # MAE: mean absolute error; RMSE: root of the mean squared error.
            words = {"r2": "R²", "mae": "MAE", "rmse": "RMSE"}
            return cls((), "r2", 1, "rmse", words)
        if log_target:
            raise ConfigError(f"the target {target.name!r} is of classes, which have no logarithm", path="log_target")
        words = {"accuracy": "accuracy", "macro_f1": "macro F1", "log_loss": "log loss", "error": "share wrong"}
        return cls(target.categories, "accuracy", 1, "error", words)

    @property
    def num_classes(self) -> int | None:
        return len(self.classes) or None

    def labels(self, table: TypedTable) -> list[str]:
        """By which the folds are stratified."""
        if not self.classes:
            return ["number"] * len(table)
        return [self.classes[code] for code in table.column(str(table.target)).values]

    def scores(self, table: TypedTable, outputs: Array) -> dict[str, float]:
        wanted = table.column(str(table.target)).values
        if not self.classes:
            given = outputs[:, 0]
            return {"r2": r_squared(wanted, given), "mae": mean_absolute_error(wanted, given),
                    "rmse": root_mean_squared_error(wanted, given)}  # fmt: skip
        given_labels = [self.classes[code] for code in outputs.argmax(axis=1)]
        right = accuracy(self.labels(table), given_labels)
        return {"accuracy": right, "macro_f1": macro_f1(self.labels(table), given_labels),
                "log_loss": log_loss(wanted, outputs), "error": 1.0 - right}  # fmt: skip

    def pictures(self, table: TypedTable, model: TableModel) -> list[Table | Plot]:
        """Where the model is right and where it errs, on rows it has not seen."""
        outputs, target = model.outputs(table), table.column(str(table.target))
        if not self.classes:
            given, wanted = outputs[:, 0], target.values
            low, high = min(given.min(), wanted.min()), max(given.max(), wanted.max())
            line = np.linspace(float(low), float(high), 40).tolist()
            return [
                Plot(
                    title="Predicted and true",
                    kind="points",
                    x_label=f"predicted {target.name}",
                    y_label=f"true {target.name}",
                    series=[Series(name="rows held out", x=given.tolist(), y=wanted.tolist()),
                            Series(name="right", x=line, y=line)],
                    sentence=f"On the line the model is right: {model.tested}.",
                ),
                Plot(
                    title="What is left over",
                    kind="points",
                    x_label=f"predicted {target.name}",
                    y_label="true - predicted",
                    series=[Series(name="rows held out", x=given.tolist(), y=(wanted - given).tolist())],
                    sentence="A model that found all there is leaves a band about 0 without a shape.",
                ),
            ]  # fmt: skip
        if len(self.classes) > _SHOWN_LABELS:
            return []
        given_labels = [self.classes[code] for code in outputs.argmax(axis=1)]
        counts = confusion(self.labels(table), given_labels, self.classes)
        return [
            Plot(
                title="Which class is taken for which",
                kind="heatmap",
                matrix=counts.tolist(),
                rows=self.classes,
                columns=self.classes,
                x_label="predicted",
                y_label="true",
                sentence=f"Rows held out; {model.tested}.",
            )
        ]


def unique_names(candidates: Sequence[Any]) -> list[str]:
    """Their types, numbered where one is there twice."""
    kinds = [getattr(c, "type", type(c).__name__) for c in candidates]
    return [k if kinds.count(k) == 1 else f"{k} {kinds[: i + 1].count(k)}" for i, k in enumerate(kinds)]


def _comparison(found: Mapping[str, Mapping[str, Any]], judge: Judge, best: str, unseen: int) -> Table:
    shown = [m for m in judge.words if m != "error"]
    tested = shown[:2] if unseen else []
    return Table(
        title="Models compared",
        columns=["model", judge.words[shown[0]], "±", *(judge.words[m] for m in shown[1:]),
                 *(f"{judge.words[m]} (test)" for m in tested), "seconds"],
        rows=[
            [name + (" (kept)" if name == best else ""), row[f"cv_{judge.main}"], row[f"cv_{judge.main}_std"],
             *(row[f"cv_{m}"] for m in shown[1:]), *(row[f"test_{m}"] for m in tested), row["seconds"]]
            for name, row in found.items()
        ],
        sentence=f"Mean across the folds of a cross-validation (and the standard deviation of {judge.words[judge.main]})"
        + (f"; then on {unseen:,} rows that no choice has seen." if unseen else "."),
    )  # fmt: skip


def _bars(found: Mapping[str, Mapping[str, Any]], judge: Judge) -> Plot:
    values = [row[f"cv_{judge.main}"] for row in found.values()]
    spread = [row[f"cv_{judge.main}_std"] for row in found.values()]
    return Plot(
        title=f"{judge.words[judge.main]} across folds",
        kind="bars",
        y_label=judge.words[judge.main],
        series=[Series(name=judge.words[judge.main], x=list(found), y=values,
                       low=[v - s for v, s in zip(values, spread)], high=[v + s for v, s in zip(values, spread)])],
    )  # fmt: skip


def _importance(table: TypedTable, model: TableModel, judge: Judge, seed: int) -> Plot:
    """Permutation importance (Breiman 2001): how much the error grows when a column is shuffled among the rows."""
    draw = np.random.default_rng(seed)
    before = judge.scores(table, model.outputs(table))[judge.error]
    grown: dict[str, float] = {}
    for column in table.features:
        errors = []
        for _ in range(_SHUFFLES):
            shuffled = replace(column, values=draw.permutation(column.values))
            columns = tuple(shuffled if c is column else c for c in table.columns)
            changed = replace(table, columns=columns)
            errors.append(judge.scores(changed, model.outputs(changed))[judge.error])
        grown[column.name] = float(np.mean(errors)) - before
    names = sorted(grown, key=lambda name: -grown[name])[:15]
    return Plot(
        title="What the model leans on",
        kind="bars",
        series=[Series(name="grows by", x=names, y=[grown[name] for name in names])],
        y_label=f"{judge.words[judge.error]}: growth when shuffled",
        sentence="Rows held out, one column shuffled among them; the others tell part of the same, so these do not add up.",
    )

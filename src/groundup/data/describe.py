"""What a table holds, in figures and pictures (stage `describe`): each column, how columns go together, what goes with the target.

Numbers: moments, quantiles, a histogram and the distribution that fits best. Categories: how often each is there, and by Bayes' rule how
likely a high target is where it is. Pairs of columns: correlation, and how far a column is a combination of the others (variance
inflation: the diagonal of the inverse of the correlation matrix). The statistics are groundup.foundations.statistics'. All rows count,
those held out too: this is a description, no model is chosen by it. Left out: tests of significance, dates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..core.artifact import write_json
from ..core.exhibits import Plot, Series, Table, plain
from ..core.recipe import StageContext
from ..foundations.linear_algebra import determinant, inverse
from ..foundations.statistics import (
    QUANTILES,
    Summary,
    bayes,
    best_fit,
    correlation,
    correlation_matrix,
    histogram,
    rank_correlation,
    summary,
)
from .table import Array, Column, TypedTable, read_table

_SHOWN_CATEGORIES = 5
_DEPENDENT = 1e-9
"""A determinant of correlations below this: some column is a combination of others, and there is no inverse."""


@dataclass(frozen=True, kw_only=True)
class DescribeStage:
    """Statistics of every column of a table, and of pairs of them."""

    table: str = "data"
    """The stage that made the table."""
    max_histograms: int = 12
    max_correlated: int = 24
    """Columns of the correlation picture: the target and those that vary most with it."""
    type: Literal["describe"] = "describe"
    kind = "description"

    def inputs(self) -> Sequence[str]:
        return (self.table,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        table = read_table(context.inputs[self.table])
        numbers = {c.name: c for c in table.columns if c.kind == "number"}
        summaries = {name: summary(c.values) for name, c in numbers.items()}
        categories = [c for c in table.columns if c.kind == "category"]
        target = None if table.target is None else table.column(table.target)
        exhibits: list[Table | Plot] = []
        if summaries:
            exhibits.append(_numbers_table(summaries))
            exhibits.append(_shapes_table(numbers, summaries))
        if categories:
            exhibits.append(_categories_table(categories))
        if table.left_out:
            exhibits.append(_left_out_table(table))
        related: list[tuple[str, dict[str, float]]] = []
        if target is not None:
            related = sorted(
                ((c.name, _relation(c, target)) for c in table.features), key=lambda row: -_strength(row[1])
            )
            exhibits.append(_relation_table(related, target))
        first = [c for c in ([target.name] if target is not None and target.kind == "number" else [])]
        first += [name for name, _ in related if name in numbers] or [name for name in numbers if name not in first]
        exhibits += [_histogram_plot(name, numbers[name]) for name in first[: self.max_histograms]]
        chosen = [name for name in first if summaries[name].std > 0][: self.max_correlated]
        # The target is what the others are to explain, so it is none of them.
        features = [name for name in chosen if target is None or name != target.name]
        dependence = _Dependence.of([numbers[name] for name in features])
        if len(chosen) >= 2:
            together = correlation_matrix([numbers[name].values for name in chosen])
            exhibits.append(
                Plot(
                    title="Correlations",
                    kind="heatmap",
                    matrix=np.round(np.nan_to_num(together), 2).tolist(),
                    rows=chosen,
                    columns=chosen,
                    sentence="Pearson's, from -1 (one falls as the other rises) to 1.",
                )
            )
        if len(features) >= 2:
            exhibits.append(dependence.table())
        if target is not None:
            exhibits += [_bayes_table(c, target) for c in categories if c.name != target.name][:3]
        figures: dict[str, Any] = {
            "rows": len(table),
            "columns": len(table.columns),
            "numbers": {name: _plain_summary(s) for name, s in summaries.items()},
            "categories": {c.name: _counts(c) for c in categories},
            "strongest": {name: round(_strength(found), 4) for name, found in related[:5]},
            "correlation_determinant": dependence.determinant,
        }
        write_json(context.directory / "description.json", figures | {"related": dict(related)})
        return figures | {"exhibits": plain(*exhibits)}


def _plain_summary(s: Summary) -> dict[str, Any]:
    values = {k: v for k, v in asdict(s).items() if k != "quantiles"} | {"median": s.median}
    return {k: (v if isinstance(v, int) else float(f"{v:.6g}")) for k, v in values.items()}


def _counts(column: Column) -> dict[str, int]:
    """Most frequent first."""
    counts = np.bincount(column.values[column.values >= 0], minlength=len(column.categories))
    return {column.categories[i]: int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def _numbers_table(summaries: Mapping[str, Summary]) -> Table:
    quantiles = ["median" if q == 0.5 else f"{q:.0%}" for q in QUANTILES]
    return Table(
        title="Columns of numbers",
        columns=["column", "count", "missing", "mean", "std", "min", *quantiles, "max"],
        rows=[
            [name, s.count, s.missing, s.mean, s.std, s.minimum, *s.quantiles.values(), s.maximum]
            for name, s in summaries.items()
        ],
        sentence="Half of the values lie between the 25 % and the 75 % quantile; a mean far from the median tells of a long tail.",
    )


def _shapes_table(numbers: Mapping[str, Column], summaries: Mapping[str, Summary]) -> Table:
    rows = []
    for name, s in summaries.items():
        if s.std == 0:
            rows.append([name, s.skewness, s.excess_kurtosis, "constant", None, None])
            continue
        values = numbers[name].values
        best, _, scores = best_fit(values[~np.isnan(values)])
        others = sorted(((v, k) for k, v in scores.items() if k != best), reverse=True)
        rows.append([name, s.skewness, s.excess_kurtosis, best, others[0][1], scores[best] - others[0][0]])
    return Table(
        title="Shapes",
        columns=["column", "skewness", "excess kurtosis", "fits best", "then", "by (nats a value)"],
        rows=rows,
        sentence="Which distribution, fitted by maximum likelihood, makes the values most likely. Skewness above 0: the tail is on the right.",
    )


def _categories_table(categories: Sequence[Column]) -> Table:
    rows = []
    for column in categories:
        counts, present = _counts(column), int((column.values >= 0).sum())
        told = ", ".join(f"{name} {n / present:.0%}" for name, n in list(counts.items())[:_SHOWN_CATEGORIES])
        rows.append([column.name, present, int(column.missing.sum()), len(column.categories), told])
    return Table(
        title="Columns of categories", columns=["column", "count", "missing", "distinct", "most frequent"], rows=rows
    )


def _left_out_table(table: TypedTable) -> Table:
    return Table(
        title="Columns left out",
        columns=["column", "what it is", "distinct", "missing"],
        rows=[[c["name"], c["kind"], c["distinct"], c["missing"]] for c in table.left_out],
        sentence="Free text and row numbers: a model of tables could only learn them by heart.",
    )


def _relation(column: Column, target: Column) -> dict[str, float]:
    """How a column goes with the target. Correlations of numbers; else the share of one's variance that the other's
    categories explain (eta²), or Cramér's V of two columns of categories.
    """
    if column.kind == target.kind == "number":
        return {"correlation": correlation(column.values, target.values),
                "rank_correlation": rank_correlation(column.values, target.values)}  # fmt: skip
    if column.kind == target.kind:
        return {"cramers_v": cramers_v(column.values, target.values)}
    number, category = (column, target) if column.kind == "number" else (target, column)
    return {"explained": explained_by(category.values, number.values)}


def _strength(relation: Mapping[str, float]) -> float:
    """In 0 .. 1, of whichever measure; correlations as their square, so that all are shares of variance."""
    squared = {"correlation", "rank_correlation", "cramers_v"}
    sizes = [v * v if name in squared else v for name, v in relation.items() if not math.isnan(v)]
    return max(sizes, default=0.0)


def explained_by(codes: Array, values: Array) -> float:
    """eta²: variance between the means of the categories over the whole variance. Missing ones are left out."""
    there = (codes >= 0) & ~np.isnan(values)
    codes, values = codes[there], values[there]
    if len(values) < 2 or values.std() == 0:
        return math.nan
    counts = np.bincount(codes)
    means = np.bincount(codes, values) / np.maximum(counts, 1)
    return float(np.sum(counts * (means - values.mean()) ** 2) / np.sum((values - values.mean()) ** 2))


def cramers_v(a: Array, b: Array) -> float:
    """Cramér's V of two columns of codes: 0 where they are independent, 1 where one determines the other."""
    there = (a >= 0) & (b >= 0)
    a, b = np.unique(a[there], return_inverse=True)[1], np.unique(b[there], return_inverse=True)[1]
    if not len(a):
        return math.nan
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1.0)
    smaller = min(counts.shape) - 1
    if smaller == 0:
        return math.nan
    expected = np.outer(counts.sum(1), counts.sum(0)) / len(a)
    return math.sqrt(float(np.sum((counts - expected) ** 2 / expected)) / (len(a) * smaller))


def _relation_table(related: Sequence[tuple[str, Mapping[str, float]]], target: Column) -> Table:
    def shown(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else round(value, 3)

    names = list(dict.fromkeys(measure for _, found in related for measure in found))
    return Table(
        title=f"What goes with {target.name}",
        columns=["column", *(name.replace("_", " ") for name in names), "share of variance"],
        rows=[
            [name, *(shown(found.get(measure)) for measure in names), round(_strength(found), 3)]
            for name, found in related
        ],
        sentence="One column at a time; what two do only together is not seen here.",
    )


def _histogram_plot(name: str, column: Column) -> Plot:
    values = column.values[~np.isnan(column.values)]
    edges, counts = histogram(values)
    # Back to zero at both ends; each count is drawn about the middle of its bin.
    half = (edges[1] - edges[0]) / 2
    middles = np.concatenate([[edges[0] - half], edges[:-1] + half, [edges[-1] + half]])
    series = [Series(name="values", x=middles.tolist(), y=[0, *counts.tolist(), 0])]
    sentence = ""
    if values.std() > 0:
        best, distribution, _ = best_fit(values)
        shares = np.diff(distribution.cumulative(edges - 1e-9 if best == "Poisson" else edges))
        series.append(Series(name=f"fitted {best}", x=middles[1:-1].tolist(), y=(shares * len(values)).tolist()))
        sentence = f"Fits best: {best}."
    return Plot(title=name, kind="steps", series=series, x_label=name, y_label="rows", sentence=sentence)


@dataclass(frozen=True)
class _Dependence:
    """Of columns on one another."""

    names: list[str]
    determinant: float
    inflation: list[float | None]

    @classmethod
    def of(cls, columns: Sequence[Column]) -> _Dependence:
        matrix = correlation_matrix([c.values for c in columns])
        matrix = np.where(np.isnan(matrix), 0.0, matrix)
        volume = determinant(matrix) if len(columns) else 1.0
        apart = volume > _DEPENDENT
        inflation: list[float | None] = [None] * len(columns)
        if apart and len(columns):
            inflation = np.diag(inverse(matrix)).tolist()
        return cls([c.name for c in columns], volume, inflation)

    def sentence(self) -> str:
        if self.determinant <= _DEPENDENT:
            return "The determinant of their correlations is 0: a column is a combination of others."
        return f"The determinant of their correlations is {self.determinant:.3g} (1: unrelated; 0: one follows from others)."

    def table(self) -> Table:
        rows = [
            [name, value, None if value is None else 1 - 1 / value] for name, value in zip(self.names, self.inflation)
        ]
        return Table(
            title="How far each is a combination of the others",
            columns=["column", "variance inflation", "R² from the others"],
            rows=sorted(rows, key=lambda row: -(row[1] or math.inf)),
            sentence="By how much the variance of its weight in a linear model grows because the others tell the same. "
            + self.sentence(),
        )


def _bayes_table(column: Column, target: Column) -> Table:
    """P(target is high | category), from how often each category is among high and low ones."""
    there = column.values >= 0
    if target.kind == "number":
        there &= ~np.isnan(target.values)
        middle = float(np.median(target.values[there]))
        high, told = target.values > middle, f"{target.name} above {middle:,.6g}"
    else:
        there &= target.values >= 0
        common = int(np.bincount(target.values[there]).argmax())
        high, told = target.values == common, f"{target.name} = {target.categories[common]}"
    prior = np.array([np.mean(~high[there]), np.mean(high[there])])
    rows = []
    for i, name in enumerate(column.categories):
        within = (column.values == i) & there
        if not within.any() or not 0 < prior[1] < 1:
            continue
        likelihood = np.array([np.mean(within[there & ~high]), np.mean(within[there & high])])
        rows.append([name, int(within.sum()), likelihood[1], likelihood[0], bayes(prior, likelihood)[1]])
    rows.sort(key=lambda row: -row[4])
    return Table(
        title=f"{told}, given {column.name}",
        columns=[column.name, "rows", "P(category | so)", "P(category | not so)", "P(so | category)"],
        rows=[[r[0], r[1], *(round(v, 3) for v in r[2:])] for r in rows[:12]],
        sentence=f"Bayes' rule: before anything is known it is {prior[1]:.0%}.",
    )

"""Columns of a table as the features of a model: medians for what is missing, standardised numbers, a 0/1 feature for each category.

Everything is learned from the rows it is fitted on and from no others. A column with missing numbers gets a feature that says so; a
category that was missing, or never seen, has 0 in all its features. Left out: interactions, logarithms, dates.

Letters: N rows, D features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...core.errors import DataError
from ...data.table import MISSING, Array, Column, TypedTable, number_of, plain_field
from ...foundations.statistics import mean, quantile, variance


@dataclass(frozen=True, kw_only=True)
class ColumnFeatures:
    """What a column was when the model was fitted."""

    name: str
    kind: str
    median: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    tells_missing: bool = False
    categories: tuple[str, ...] = ()

    @classmethod
    def fit(cls, column: Column) -> ColumnFeatures:
        if column.kind == "category":
            seen = np.unique(column.values[column.values >= 0])
            return cls(name=column.name, kind="category", categories=tuple(column.categories[i] for i in seen))
        gone = column.missing
        there = column.values[~gone]
        if not len(there):
            return cls(name=column.name, kind="number")  # of nothing but missing values in this fold
        middle = quantile(there, 0.5)
        filled = np.where(gone, middle, column.values)
        spread = math.sqrt(variance(filled)) if len(filled) > 1 else 0.0
        return cls(
            name=column.name,
            kind="number",
            median=middle,
            mean=mean(filled),
            std=spread if spread > 1e-12 * abs(middle) else 1.0,  # a constant says nothing, and is not divided by
            tells_missing=bool(gone.any()),
        )

    @property
    def names(self) -> list[str]:
        if self.kind == "category":
            return [f"{self.name} = {category}" for category in self.categories]
        return [self.name, *([f"{self.name} is missing"] if self.tells_missing else [])]

    def transform(self, column: Column) -> Array:
        """[N, len(names)]"""
        if self.kind == "category":
            place = {category: i for i, category in enumerate(self.categories)}
            of_code = np.array([place.get(category, -1) for category in column.categories] + [-1])
            codes = of_code[column.values]  # -1, missing, is the last
            features: Array = (codes[:, None] == np.arange(len(self.categories))).astype(np.float64)
            return features
        gone = column.missing
        scaled = (np.where(gone, self.median, column.values) - self.mean) / self.std
        return np.stack([scaled, gone.astype(np.float64)][: len(self.names)], axis=1)


@dataclass(frozen=True)
class TableFeatures:
    columns: tuple[ColumnFeatures, ...]

    @classmethod
    def fit(cls, table: TypedTable) -> TableFeatures:
        return cls(tuple(ColumnFeatures.fit(column) for column in table.features))

    @classmethod
    def from_plain(cls, columns: Sequence[Mapping[str, Any]]) -> TableFeatures:
        return cls(tuple(ColumnFeatures(**{**c, "categories": tuple(c["categories"])}) for c in columns))

    def plain(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.columns]

    @property
    def names(self) -> list[str]:
        return [name for column in self.columns for name in column.names]

    def transform(self, columns: Sequence[Column]) -> Array:
        """[N, D]; columns in the order they were fitted in."""
        parts = [features.transform(column) for features, column in zip(self.columns, columns, strict=True)]
        return np.concatenate(parts, axis=1)

    def columns_of(self, rows: Sequence[Any], missing: Sequence[str] = MISSING) -> list[Column]:
        """Rows that were given (name -> text or number) as columns. DataError names the row and column that are wrong."""
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise DataError(f"input {number}: a row is an object of columns, not {type(row).__name__}",
                                hint='for example {"area": 120, "district": "park"}')  # fmt: skip
            if None in row:  # csv's key for fields beyond the last column
                raise DataError(f"input {number}: has more fields than the header names")
            absent = [c.name for c in self.columns if c.name not in row]
            if absent:
                raise DataError(f"input {number}: has no column {absent[0]!r}; the model was trained on "
                                f"{', '.join(c.name for c in self.columns)}",
                                hint="give every column; an empty one counts as missing")  # fmt: skip
        made = []
        for column in self.columns:
            where = [f"input {i}, column {column.name!r}" for i in range(1, len(rows) + 1)]
            fields = [plain_field(row[column.name], place) for row, place in zip(rows, where)]
            if column.kind == "number":
                values = np.array([number_of(field, place, missing) for field, place in zip(fields, where)], np.float64)
                made.append(Column(column.name, "number", values))
            else:
                place = {category: i for i, category in enumerate(column.categories)}
                codes = np.array([place.get(field, -1) for field in fields], np.int32)
                made.append(Column(column.name, "category", codes, column.categories))
        return made

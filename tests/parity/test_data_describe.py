"""Relations between columns against SciPy and scikit-learn; the map of columns to features against theirs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from groundup.data.describe import cramers_v, explained_by
from groundup.data.table import Column, TypedTable
from groundup.train.classic.table_features import TableFeatures


@pytest.mark.row("0.3")
def test_variance_that_categories_explain(draw: np.random.Generator) -> None:
    codes = draw.integers(-1, 4, 200)
    values = codes + draw.normal(size=200)
    values[:3] = np.nan
    there = (codes >= 0) & ~np.isnan(values)
    one_hot = OneHotEncoder().fit_transform(codes[there, None])
    wanted = LinearRegression().fit(one_hot, values[there]).score(one_hot, values[there])
    assert explained_by(codes, values) == pytest.approx(wanted, abs=1e-9)
    assert np.isnan(explained_by(codes, np.zeros(200)))


@pytest.mark.row("0.3")
def test_cramers_v(draw: np.random.Generator) -> None:
    a = draw.integers(0, 4, 300)
    b = np.where(draw.random(300) < 0.5, a // 2, draw.integers(0, 3, 300))
    wanted = stats.contingency.association(stats.contingency.crosstab(a, b).count, method="cramer")
    assert cramers_v(a, b) == pytest.approx(wanted, abs=1e-12)
    assert cramers_v(a, a) == pytest.approx(1.0)
    assert np.isnan(cramers_v(a, np.zeros(300, np.int64)))


@pytest.mark.row("0.6")
def test_features_of_a_table(draw: np.random.Generator) -> None:
    numbers, codes = draw.normal(3, 5, 80), draw.integers(0, 3, 80).astype(np.int32)
    holes = numbers.copy()
    holes[[4, 9]] = np.nan
    codes[:4] = [0, 1, 2, -1]
    columns = (Column("n", "number", numbers), Column("h", "number", holes), Column("c", "category", codes, ("x", "y", "z")),
               Column("one", "number", np.full(80, 0.1)))  # fmt: skip
    table = TypedTable((*columns, Column("t", "number", numbers)), "t", np.zeros(80, np.uint8))
    features = TableFeatures.fit(table)
    made = features.transform(table.features)
    assert features.names == ["n", "h", "h is missing", "c = x", "c = y", "c = z", "one"]
    filled = np.where(np.isnan(holes), np.nanmedian(holes), holes)
    scaled = StandardScaler().fit_transform(np.stack([numbers, filled], axis=1)) * np.sqrt(79 / 80)
    np.testing.assert_allclose(made[:, :2], scaled, atol=1e-9)
    np.testing.assert_array_equal(made[:, 2], np.isnan(holes))
    np.testing.assert_array_equal(made[:, 3:6], OneHotEncoder().fit_transform(codes[:, None]).toarray()[:, 1:])
    np.testing.assert_allclose(made[:, 6], 0.0, atol=1e-12)
    again = TableFeatures.from_plain(features.plain())
    np.testing.assert_array_equal(again.transform(table.features), made)
    rows = [
        {"n": float(n), "h": "" if np.isnan(h) else h, "c": ["x", "y", "z", ""][c], "one": "0.1"}
        for n, h, c in zip(numbers, holes, codes)
    ]
    np.testing.assert_array_equal(features.transform(features.columns_of(rows)), made)

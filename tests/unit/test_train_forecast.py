"""Series from files, and forecasts judged without looking ahead."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.core.errors import ConfigError, DataError
from groundup.data.made.prices import PricesConfig
from groundup.data.series import SeriesStage
from groundup.train.forecast import judged, levels, ridge, windows_of, with_ones

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.row("2.5")


def test_windows_hold_the_past_only() -> None:
    past, target = windows_of(np.arange(10.0), 3)
    assert past.tolist() == [[i, i + 1, i + 2] for i in range(7)]
    assert target.tolist() == list(range(3, 10))


def test_the_linear_autoregression_finds_a_linear_rule() -> None:
    rng = np.random.default_rng(1)
    values = [0.0, 0.0]
    for noise in rng.standard_normal(20_000):
        values.append(0.6 * values[-1] - 0.3 * values[-2] + noise)
    past, target = windows_of(np.array(values), 2)
    assert ridge(with_ones(past), target) == pytest.approx([-0.3, 0.6, 0.0], abs=0.03)


def test_figures_are_those_of_the_definitions() -> None:
    values = np.array([100.0, 110.0, 99.0, 99.0, 120.0])
    changes = np.diff(np.log(values))
    perfect, none = changes, np.zeros(4)
    against = -changes
    rows = judged({"perfect": perfect, "none": none, "against": against}, changes, values, logs=True, scale=5.0)
    assert rows["perfect"]["mae"] == pytest.approx(0, abs=1e-9) and rows["perfect"]["direction"]["value"] == 1
    assert rows["none"]["mae"] == pytest.approx((10 + 11 + 0 + 21) / 4)
    assert rows["none"]["mase"] == pytest.approx(10.5 / 5) and rows["none"]["direction"] is None
    assert rows["none"]["rmse_changes"] == pytest.approx(float(np.sqrt((changes**2).mean())))
    assert rows["against"]["direction"]["value"] == 0 and rows["against"]["direction"]["count"] == 3
    assert rows["perfect"]["gain"]["value"] == pytest.approx(10.5)
    assert levels(np.array([1.0, -2.0]), np.array([5.0, 5.0]), logs=False).tolist() == [6.0, 3.0]


def test_made_prices_have_the_momentum_that_they_say() -> None:
    _, prices = PricesConfig(num_days=20_000, momentum=0.3).series(4)
    returns = np.diff(np.log(prices))
    assert np.corrcoef(returns[1:], returns[:-1])[0, 1] == pytest.approx(0.3, abs=0.05)


def test_files_that_are_no_series_are_refused_with_the_place(tmp_path: Path) -> None:
    def read(text: str, **over: object) -> object:
        file = tmp_path / "prices.csv"
        file.write_text(text)
        stage = SeriesStage(path=str(file), **over)  # type: ignore[arg-type]
        return stage._read(str(file))

    good = "date,close\n" + "".join(f"2020-01-{1 + i // 24:02d}T{i % 24:02d},{100 + i}\n" for i in range(90))
    labels, values, empty = read(good)  # type: ignore[misc]
    assert len(labels) == len(values) == 90 and empty == 0
    assert read(good.replace(",150\n", ",\n"))[2] == 1  # type: ignore[index]
    with pytest.raises(ConfigError, match="no column 'open'"):
        read(good, value="open")
    with pytest.raises(DataError, match=r"line 52.*'x1' is no number"):
        read(good.replace(",150\n", ",x1\n"))
    with pytest.raises(DataError, match="not in order of time"):
        read(good + "2020-01-01T00,5\n")
    with pytest.raises(DataError, match="at least 60"):
        read("date,close\n2020-01-01,5\n")


def test_from_recipe_to_forecast(tmp_path: Path) -> None:
    out = tmp_path / "run"
    args = ["run", str(ROOT / "recipes/price_forecast.yaml"), "prices.made.num_days=400", "prices.made.momentum=0.6",
            "forecast.num_steps=40", "forecast.hidden_size=8", "forecast.window=5", "forecast.folds=2", "forecast.lr=0.02",
            "--out", str(out)]  # fmt: skip
    done = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = json.loads((out / "report.json").read_text())["stages"]["forecast"]["figures"]["methods"]
    assert rows["network"]["mae"] < rows["last value"]["mae"] < rows["value 5 steps ago"]["mae"]
    assert rows["linear autoregression"]["direction"]["low"] > 0.5
    series = json.dumps([100.0, 101, 102, 103, 104, 105.5])
    done = CliRunner().invoke(cli, ["predict", str(out), series, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    [prediction] = json.loads(done.output)["predictions"]
    assert 105.5 < prediction["value"] < 108, "what rises goes on rising, by momentum"
    from groundup.cli.wiring import open_predictor

    with pytest.raises(DataError, match="looks at the last 6"):
        open_predictor(out).predict([[1.0, 2.0]])
    with pytest.raises(DataError, match="not above 0"):
        open_predictor(out).predict([[1.0] * 6 + [0.0]])

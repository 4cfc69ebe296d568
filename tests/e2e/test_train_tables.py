"""Tables from the command a person types: described, fitted, applied to new rows, looked at for groups."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.cli.wiring import open_predictor
from groundup.core.artifact import read_json
from groundup.core.errors import ConfigError, DataError
from groundup.core.recipe import read_report
from groundup.data.made.houses import HousesConfig
from groundup.data.table import read_table

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
HOUSE = {"area": 120, "rooms": 4, "built": 1950, "renovated": "yes", "district": "park", "condition": "good",
         "garden": "yes", "distance_km": 6}  # fmt: skip


def run(*words: str) -> str:
    done = CliRunner().invoke(cli, list(words))
    if done.exception is not None:
        raise done.exception
    return done.output


@pytest.mark.row("0.3")
def test_statistics_of_a_table(tmp_path: Path) -> None:
    run("run", str(RECIPES / "table_statistics.yaml"), "data.made.num_rows=300", "--out", str(tmp_path / "run"))
    report = read_report(tmp_path / "run")
    figures = report["stages"]["statistics"]["figures"]
    table = read_table(tmp_path / "run" / "data")
    price = table.column("price").values
    assert figures["numbers"]["price"]["mean"] == pytest.approx(price.mean(), rel=1e-5)
    assert figures["numbers"]["area"]["missing"] == int(np.isnan(table.column("area").values).sum())
    assert next(iter(figures["strongest"])) == "area"  # the rule that made the prices says so
    titles = [exhibit["title"] for exhibit in figures["exhibits"]]
    assert {"Columns of numbers", "Correlations", "What goes with price", "price"} <= set(titles)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Columns of numbers" in page and page.count("<svg") >= 4


@pytest.mark.row("0.6")
def test_house_prices_are_learned_and_predicted(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("run", str(RECIPES / "house_prices.yaml"), "data.made.num_rows=400", "fit.folds=3", "fit.tree_depths=[1, 4, 12]",
        "fit.log_target=true", "--out", str(out))  # fmt: skip
    figures = read_report(out)["stages"]["fit"]["figures"]
    models = figures["models"]
    assert models["baseline"]["cv_r2"] < 0.05 and models["linear"]["cv_r2"] > 0.85 > models["tree"]["cv_r2"]
    assert figures["best"] in ("linear", "ridge")  # what made the prices is nearly linear in the log
    (curve,) = [e for e in figures["exhibits"] if e["title"].startswith("Under- and overfitting")]
    seen, others = (series["y"] for series in curve["series"])
    assert seen[0] > seen[1] > seen[2] and others[1] < others[0] and others[2] > seen[2] * 2

    said = json.loads(run("predict", str(out), json.dumps(HOUSE), json.dumps(HOUSE | {"area": 60}), "--json"))
    large, small = (row["value"] for row in said["predictions"])
    rule = 12.2 + 0.75 * math.log(1.2) + 0.04 * 4 + 0.15 - 0.02 * 6 - 0.0025 * 75 + 0.12 + 0.08
    assert large == pytest.approx(math.exp(rule), rel=0.2) and small < large
    rows = "\n".join(",".join(str(v) for v in row) for row in (HOUSE, HOUSE.values()))
    (tmp_path / "new.csv").write_text(rows + "\n")
    from_file = json.loads(run("predict", str(out), "--input", str(tmp_path / "new.csv"), "--json"))
    assert from_file["predictions"][0]["value"] == pytest.approx(large)

    predictor = open_predictor(out)
    assert predictor.facts.input == "row" and "district" in predictor.facts.columns
    unknown = predictor.predict([HOUSE | {"area": "", "district": "moon"}])[0].value
    assert unknown is not None and math.isfinite(unknown)
    for row, word in ((HOUSE | {"area": "big"}, "'area'"), ({"area": 1}, "'rooms'"), ("area", "object"),
                      (HOUSE | {"area": [1]}, "list")):  # fmt: skip
        with pytest.raises(DataError, match=f"input 2.*{word}"):
            predictor.predict([HOUSE, row])


@pytest.mark.row("0.6")
@pytest.mark.parametrize("kind", ["baseline", "logistic", "neighbours", "tree", "forest"])
def test_every_kind_of_model_classifies_and_comes_back(tmp_path: Path, kind: str) -> None:
    header, rows = HousesConfig(num_rows=150).rows(3)
    place = header.index("price")
    (tmp_path / "t.csv").write_text(
        "\n".join(
            [
                ",".join(header),
                *(",".join([*r[:place], "dear" if float(r[place]) > 190_000 else "cheap"]) for r in rows),
            ]
        )
    )
    recipe = {
        "name": "classes",
        "data": {"type": "table", "path": str(tmp_path / "t.csv"), "target": "price"},
        "fit": {"type": "fit_table", "folds": 3, "tree_depths": [], "candidates": [{"type": kind}]},
    }
    (tmp_path / "classes.yaml").write_text(json.dumps(recipe))
    run("run", str(tmp_path / "classes.yaml"), "--out", str(tmp_path / "run"))
    found = read_report(tmp_path / "run")["stages"]["fit"]["figures"]["models"][kind]
    assert found["test_accuracy"] > (0.3 if kind == "baseline" else 0.7)
    said: Any = open_predictor(tmp_path / "run").predict([HOUSE])[0]
    assert said.label in ("cheap", "dear") and sum(said.scores.values()) == pytest.approx(1.0)


@pytest.mark.row("0.6")
def test_a_model_that_does_not_fit_the_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fit\.candidates\.0.*logistic") as caught:
        run("run", str(RECIPES / "house_prices.yaml"), "data.made.num_rows=40", "fit.candidates=[{type: logistic}]",
            "--out", str(tmp_path / "run"))  # fmt: skip
    assert "linear" in caught.value.hint


@pytest.mark.row("0.6")
def test_groups_in_a_table(tmp_path: Path) -> None:
    """Three heaps far apart are found by every method, without their names."""
    draw = np.random.default_rng(1)
    rows = ["x,y,kind"]
    for name, at in (("a", 0), ("b", 20), ("c", 60)):
        rows += [f"{x:.4f},{y:.4f},{name}" for x, y in draw.normal(at, 1.0, (30, 2))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    recipe = {
        "name": "groups",
        "data": {"type": "table", "path": str(tmp_path / "t.csv"), "target": "kind"},
        "groups": {"type": "explore", "max_clusters": 5, "tsne_steps": 150, "perplexity": 10.0},
    }
    (tmp_path / "groups.yaml").write_text(json.dumps(recipe))
    run("run", str(tmp_path / "groups.yaml"), "--out", str(tmp_path / "run"))
    figures = read_report(tmp_path / "run")["stages"]["groups"]["figures"]
    assert figures["num_clusters"] == 3
    for name, agreement in figures["agreement"].items():
        assert agreement == {"adjusted_rand_index": 1.0, "purity": 1.0}, name
    points = read_json(tmp_path / "run" / "groups" / "map.json")["points"]
    assert len(points) == 90
    titles = {exhibit["title"] for exhibit in figures["exhibits"]}
    assert {"t-SNE, by kind", "Ward's hierarchy: the last joins", "Ways to cluster, compared"} <= titles

"""The mathematics of chapter 0 as a person runs it: what the pictures say is what theory says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.core.recipe import read_report

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "mathematics.yaml"


@pytest.mark.row("0.1")
@pytest.mark.row("0.2")
@pytest.mark.row("0.3")
def test_mathematics_in_pictures(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["run", str(RECIPE), "linear_algebra.size=12", "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    stages = read_report(tmp_path / "run")["stages"]

    algebra = stages["linear_algebra"]["figures"]
    assert max(algebra["largest_errors"].values()) < 1e-10
    lost = list(algebra["picture_lost"].values())
    assert lost == sorted(lost, reverse=True) and lost[0] > 0.1 > lost[-1]

    derivatives = stages["calculus"]["figures"]
    x = 0.7
    assert derivatives["derivative"] == pytest.approx(
        math.exp(math.sin(x)) / math.sqrt(1 + x * x) * (math.cos(x) - x / (1 + x * x)), rel=1e-14
    )
    errors = derivatives["smallest_errors"]
    assert errors["forward"] > errors["central"] > errors["extrapolated"] > derivatives["dual_error"]

    chance = stages["probability"]["figures"]
    assert chance["belief"][1] == pytest.approx(0.01 * 0.9 / (0.01 * 0.9 + 0.99 * 0.05), abs=1e-5)
    assert chance["belief"] == sorted(chance["belief"])
    assert chance["skewness_of_means"]["32"] < chance["skewness_of_means"]["1"] / 3
    page = (tmp_path / "run" / "report.html").read_text()
    assert "A picture in few singular values" in page and "The gradient points uphill" in page

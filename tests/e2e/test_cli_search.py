"""`groundup search`: trials in parallel, killed and gone on with, stages shared, and a page of what was found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from groundup.cli.main import cli

RECIPE = """
name: small
rows: {type: labelled, made: {type: messages, num_examples: 60}, split: {validation: 0, test: 0}}
first: {type: labelled, made: {type: messages, num_examples: 20}, split: {validation: 0, test: 0}}
count: {type: labelled, made: {type: messages, num_examples: 20}, split: {validation: 0, test: 0}}
"""


def search(directory: Path, *more: str) -> dict[str, object]:
    said = CliRunner().invoke(
        cli,
        ["search", str(directory / "small.yaml"), "--metric", "count.examples.train", "--out", str(directory / "out"),
         "--sampler", "grid", "--space", "count.made.num_examples=22,30,25", "--space", "count.licence=a", "--json", *more],
    )  # fmt: skip
    return (
        json.loads(said.output) | {"exit": said.exit_code}
        if said.output.startswith("{")
        else {"said": str(said.exception)}
    )


@pytest.mark.row("1.8")
def test_a_search_is_killed_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(RECIPE)
    out = tmp_path / "out"
    first = search(tmp_path, "--trials", "1")
    assert first["trials"] == 1 and first["best"]["value"] == 22  # type: ignore[index]
    # As a kill leaves it: a second trial begun and not ended.
    (out / "trials" / "0001").mkdir()
    told = {"number": 1, "settings": {"count.made.num_examples": 30, "count.licence": "a"}}
    (out / "trials" / "0001" / "trial.json").write_text(json.dumps(told))
    before = os.stat(out / "trials" / "0000" / "report.json").st_mtime_ns
    second = search(tmp_path, "--trials", "9", "--jobs", "2")
    assert second["trials"] == 3 and second["failed"] == 0, second
    best = second["best"]
    assert best["trial"] == 1 and best["value"] == 30 and best["settings"]["count.made.num_examples"] == 30  # type: ignore[index]
    assert os.stat(out / "trials" / "0000" / "report.json").st_mtime_ns == before, "a finished trial is not run again"
    assert not (out / "trials" / "0001" / "first").exists(), "stages that the figure does not need are not run"
    page = (out / "report.html").read_text()
    assert "What mattered" in page and "Trials, best first" in page and "count.made.num_examples" in page
    other = search(tmp_path, "--minimize")
    assert "another search" in str(other["said"])


@pytest.mark.row("1.8")
def test_equal_stages_are_shared_and_failures_are_told(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(
        "rows: {type: labelled, made: {type: messages, num_examples: 40}, split: {validation: 0, test: 0}}\n"
        "judge: {type: classify_text, data: rows, folds: 2, methods: {a: {features: {}, model: {type: naive_bayes}}}}\n"
    )
    said = CliRunner().invoke(
        cli,
        ["search", str(tmp_path / "small.yaml"), "--metric", "judge.accuracy", "--out", str(tmp_path / "out"), "--sampler", "grid",
         "--space", "judge.folds=2,500", "--trials", "2", "--json"],
    )  # fmt: skip
    found = json.loads(said.output)
    assert found["trials"] == 2 and found["failed"] == 1
    assert "500" in found["all"][1]["error"]
    seals = [tmp_path / "out" / "trials" / f"000{i}" / "rows" / "groundup.json" for i in range(2)]
    assert len({os.stat(seal).st_ino for seal in seals}) == 1, "one directory, linked"


@pytest.mark.row("1.8")
def test_a_figure_that_is_not_there_says_what_is(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(RECIPE)
    said = CliRunner().invoke(
        cli,
        ["search", str(tmp_path / "small.yaml"), "--metric", "count.acuracy", "--out", str(tmp_path / "out"), "--sampler", "grid",
         "--space", "count.made.num_examples=25,26", "--trials", "1"],
    )  # fmt: skip
    assert "the stage 'count' has repeated" in str(said.exception)
    said = CliRunner().invoke(cli, ["search", str(tmp_path / "small.yaml"), "--metric", "cuont.x", "--space", "a=1"])
    assert "no stage 'cuont'" in str(said.exception) and "count" in getattr(said.exception, "hint", "")

"""The runner: finished stages are not run twice, changed ones are, killed ones go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from groundup.core.artifact import read_json, verify, write_text
from groundup.core.errors import ArtifactError, ConfigError
from groundup.core.recipe import load_recipe, run_recipe, stage_plan


@dataclass(frozen=True, kw_only=True)
class WriteStage:
    type: Literal["write"] = "write"
    text: str
    runs: ClassVar[list[str]] = []
    kind: ClassVar[str] = "text"

    def inputs(self) -> tuple[str, ...]:
        return ()

    def fingerprint(self) -> str:
        return ""

    def run(self, context: Any) -> Mapping[str, Any]:
        self.runs.append(context.name)
        write_text(context.directory / "out.txt", self.text)
        return {"characters": len(self.text)}


@dataclass(frozen=True, kw_only=True)
class CountStage:
    type: Literal["count"] = "count"
    source: str
    fail_times: int = 0
    runs: ClassVar[list[str]] = []
    kind: ClassVar[str] = "count"

    def inputs(self) -> tuple[str, ...]:
        return (self.source,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: Any) -> Mapping[str, Any]:
        self.runs.append(context.name)
        tries = context.scratch / "tries"
        count = int(tries.read_text()) + 1 if tries.exists() else 1
        tries.write_text(str(count))
        if count <= self.fail_times:
            raise RuntimeError("killed")
        text = (context.inputs[self.source] / "out.txt").read_text()
        write_text(context.directory / "n.txt", str(len(text)))
        return {"n": len(text), "tries": count}


TABLE = {"write": f"{__name__}:WriteStage", "count": f"{__name__}:CountStage"}


def write_recipe(tmp_path: Path, text: str = "hello", fail_times: int = 0) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: r\na: {{type: write, text: {text}}}\nb: {{type: count, source: a, fail_times: {fail_times}}}\n"
    )
    return path


@pytest.fixture(autouse=True)
def fresh_counts() -> None:
    WriteStage.runs.clear()
    CountStage.runs.clear()


def test_finished_stages_are_not_run_again(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path), TABLE)
    out = tmp_path / "out"
    assert [row["state"] for row in stage_plan(recipe, out)] == ["new", "new"]
    report = run_recipe(recipe, out)
    assert report["stages"]["b"]["figures"] == {"n": 5, "tries": 1}
    again = run_recipe(recipe, out)
    assert WriteStage.runs == ["a"] and CountStage.runs == ["b"]
    assert again == report == read_json(out / "report.json")
    assert [row["state"] for row in stage_plan(recipe, out)] == ["done", "done"]
    assert not (out / "scratch" / "a").exists()


def test_a_changed_input_runs_what_depends_on_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_recipe(load_recipe(write_recipe(tmp_path), TABLE), out)
    changed = load_recipe(write_recipe(tmp_path), TABLE, overrides=["a.text=longer text"])
    report = run_recipe(changed, out)
    assert report["stages"]["b"]["figures"]["n"] == len("longer text")
    assert WriteStage.runs == ["a", "a"]


def test_a_failed_stage_goes_on_with_its_scratch(tmp_path: Path) -> None:
    recipe, out = load_recipe(write_recipe(tmp_path, fail_times=2), TABLE), tmp_path / "out"
    for _ in range(2):
        with pytest.raises(RuntimeError):
            run_recipe(recipe, out)
    assert [row["state"] for row in stage_plan(recipe, out)] == ["done", "unfinished"]
    report = run_recipe(recipe, out)
    assert report["stages"]["b"]["figures"]["tries"] == 3
    assert WriteStage.runs == ["a"]


def test_a_damaged_stage_is_not_trusted(tmp_path: Path) -> None:
    recipe, out = load_recipe(write_recipe(tmp_path), TABLE), tmp_path / "out"
    run_recipe(recipe, out)
    (out / "a" / "out.txt").write_text("HELLO")
    with pytest.raises(ArtifactError, match="sha256"):
        run_recipe(recipe, out)
    with pytest.raises(ArtifactError, match="truncated"):
        (out / "a" / "out.txt").write_text("HE")
        verify(out / "a")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["b.source=z"], "not written before it"),
        (["a.type=wrte"], "no stage of type"),
        (["a.txt=1"], "unknown key"),
        (["seed=-1"], "seed"),
    ],
)
def test_recipe_errors(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(write_recipe(tmp_path), TABLE, overrides=overrides)


def test_budget_scales_stage_budgets(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    with pytest.raises(ConfigError, match="states no time budget"):
        load_recipe(path, TABLE, budget="3m")

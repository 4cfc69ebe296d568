"""Projects: every row and recipe resolves, ticks and marks are kept, and the checklist says what the record shows."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.cli.wiring import STAGES
from groundup.core.artifact import write_json
from groundup.core.errors import ConfigError
from groundup.core.recipe import load_recipe
from groundup.learn.paths import load_paths
from groundup.learn.portfolio import write_portfolio
from groundup.learn.progress import Progress
from groundup.learn.projects import (
    Project,
    Requirement,
    load_projects,
    mark,
    project,
    requirements,
    runs_by_recipe,
    steps_done,
)

pytestmark = pytest.mark.row("L.7")
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_there_are_26_each_with_steps() -> None:
    projects = load_projects()
    assert [p.id for p in projects] == [f"P.{n}" for n in range(1, 27)]
    assert all(len(p.steps) == 3 and p.rows and p.title for p in projects)
    assert all(p.own for p in projects if p.recipes), "a project can be pointed at other data"
    with pytest.raises(ConfigError, match=r"P\.27.*P\.1 to P\.26"):
        project("P.27")


@pytest.mark.parametrize("chosen", [p for p in load_projects() if p.recipes], ids=lambda p: p.id)
def test_its_recipe_takes_the_learners_data(chosen: Project) -> None:
    for name in chosen.recipes:
        plain = load_recipe(RECIPES / f"{name}.yaml", STAGES)
        if name == chosen.recipes[0]:
            program, run, recipe, *overrides = shlex.split(chosen.command_line(own=True))
            assert (program, run, recipe) == ("groundup", "run", f"recipes/{name}.yaml") and overrides
            assert any("/" in o or "." in o.partition("=")[2] for o in overrides), "it names a file, folder or model"
            assert load_recipe(RECIPES / f"{name}.yaml", STAGES, overrides=overrides).written != plain.written


def test_milestones_of_paths_name_projects_that_exist() -> None:
    import re

    known = {p.id for p in load_projects()}
    named = {m for path in load_paths().paths for s in path.stretches for m in re.findall(r"P\.\d+", s.milestone)}
    assert named and named <= known


def test_ticks_and_marks_are_kept(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "p.db")
    first, second, _ = project("P.7").steps
    mark(progress, "P.7", done=False, steps=[second])
    assert steps_done(progress) == {"P.7": (False, frozenset({second}))}
    assert progress.names("capstone") == set(), "a tick is not yet a project"
    progress.add("capstone", "P.7")  # as groundup progress --done P.7 does
    assert steps_done(progress)["P.7"] == (True, frozenset({second})) and progress.names("capstone") == {"P.7"}
    mark(progress, "P.7", done=False, steps=[first, second])
    assert steps_done(progress)["P.7"] == (False, frozenset({first, second}))
    with pytest.raises(ConfigError, match="no step"):
        mark(progress, "P.7", done=True, steps=["dance"])
    write_portfolio(tmp_path / "p.html", progress)
    assert "P.7" not in (tmp_path / "p.html").read_text(), "what was taken back is not shown"
    mark(progress, "P.7", done=True, steps=project("P.7").steps)
    write_portfolio(tmp_path / "p.html", progress)
    assert "P.7" in (tmp_path / "p.html").read_text()


def test_the_checklist_says_what_the_record_shows() -> None:
    chosen = project("P.7")
    nothing = requirements(chosen, rows=(), recipes={})
    assert [r.met for r in nothing] == [False, False] and nothing[0].told.startswith("2.3 ")
    assert "word_lstm.yaml" in nothing[-1].told
    ran = requirements(chosen, rows={"2.3"}, recipes={"word_lstm": Path("runs/mine")})
    assert [r.met for r in ran] == [True, True] and ran[-1].told == "Ran: runs/mine"
    planned = requirements(project("P.24"), rows=(), recipes={})
    assert planned[-1] == Requirement(told="A recipe that runs it: planned", met=False)


def test_the_command_line_marks_only_projects_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path))
    assert CliRunner().invoke(cli, ["progress", "--done", "P.26"]).exit_code == 0
    refused = CliRunner().invoke(cli, ["progress", "--done", "P.27"])
    assert refused.exit_code != 0
    assert Progress().names("capstone") == {"P.26"}


def test_a_run_counts_for_its_recipe_and_a_broken_one_for_none(tmp_path: Path) -> None:
    assert runs_by_recipe(tmp_path / "none") == {}
    stages = {"fit": {"type": "fit_table", "seconds": 1.0, "figures": {}}}
    for name, made in (("old", stages), ("mine", stages), ("begun", {})):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "report.json", {"name": "house_prices", "stages": made})
    os.utime(tmp_path / "old" / "report.json", (1, 1))
    os.utime(tmp_path / "begun" / "report.json", (2**31, 2**31))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "report.json").write_text("{")
    assert runs_by_recipe(tmp_path) == {"house_prices": tmp_path / "mine"}


def test_the_command_line_shows_a_projects_checklist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Progress().add("row", "0.6")
    mark(Progress(), "P.2", done=False, steps=[project("P.2").steps[0]])
    shown = json.loads(CliRunner().invoke(cli, ["roadmap", "P.2", "--json"]).output)
    assert [need["met"] for need in shown["needs"]] == [True, False, False]
    assert [step["met"] for step in shown["steps"]] == [True, False, False] and shown["done"] is False
    told = CliRunner().invoke(cli, ["roadmap", "P.2"]).output
    assert "groundup run recipes/house_prices.yaml data.path=houses.csv" in told
    listed = json.loads(CliRunner().invoke(cli, ["roadmap", "P", "--json"]).output)
    assert len(listed) == 26 and listed[1] == shown
    assert "P.26" in CliRunner().invoke(cli, ["roadmap", "P"]).output
    assert CliRunner().invoke(cli, ["roadmap", "P.27"]).exit_code != 0

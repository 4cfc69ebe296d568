"""Projects: every row and recipe resolves, ticks and marks are kept, and the checklist says what the record shows."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.cli.wiring import STAGES
from groundup.core.errors import ConfigError
from groundup.core.recipe import load_recipe
from groundup.learn.paths import load_paths
from groundup.learn.portfolio import write_portfolio
from groundup.learn.progress import Progress
from groundup.learn.projects import Project, Requirement, load_projects, mark, project, requirements, steps_done

pytestmark = pytest.mark.row("L.7")
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_there_are_26_each_with_steps() -> None:
    projects = load_projects()
    assert [p.number for p in projects] == list(range(1, 27))
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

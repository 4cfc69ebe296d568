"""Every address of the roadmap leads somewhere, and every row that is said to work is proved by a test marked with it."""

from __future__ import annotations

import ast
import importlib
import json
import re
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.core.errors import ConfigError
from groundup.learn.content import all_labs, exercises_of, labs_of, row_of
from groundup.learn.paths import load_paths
from groundup.learn.projects import load_projects
from groundup.learn.roadmap import Row, load_roadmap

ROOT = Path(__file__).resolve().parents[2]
ROWS = {row.id: row for row in load_roadmap().rows()}
JOURNEY = {row.id: row for row in load_roadmap().journey}


@cache
def marks() -> dict[str, set[str]]:
    """Test file (below tests/) -> rows it is marked with, read from the syntax tree."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.row":
                for arg in node.args:
                    if isinstance(arg, ast.Constant):
                        found.setdefault(str(path.relative_to(ROOT / "tests")), set()).add(str(arg.value))
    return found


@pytest.mark.row("L.1")
@pytest.mark.parametrize(
    "row", [r for r in (*ROWS.values(), *JOURNEY.values()) if r.api or r.recipes or r.tests], ids=lambda r: r.id
)
def test_every_address_resolves(row: Row) -> None:
    for address in row.api:
        module, _, name = address.partition(":")
        found = importlib.import_module(module)
        assert not name or hasattr(found, name), f"{row.id}: {address}"
    for recipe in row.recipes:
        assert (ROOT / "recipes" / f"{recipe}.yaml").is_file(), f"{row.id}: {recipe}"
    for test in row.tests:
        assert row.id in marks().get(test, ()), f"{row.id}: tests/{test} is not marked with it"


@pytest.mark.row("L.1")
def test_rows_that_work_are_proved_and_shown() -> None:
    for row in (*ROWS.values(), *JOURNEY.values()):
        if row.status == "works":
            shown = (
                row.recipes or row.id == "0.5" or row.id in JOURNEY
            )  # verbs: calc and todo; roadmap, assess, plan, lab, check ...
            assert row.api and row.tests and shown, row.id
        if row.status == "planned":
            assert not (row.api or row.tests or row.recipes), row.id


def test_marks_name_rows_that_exist() -> None:
    known = {*ROWS, *JOURNEY, *(p.id for p in load_projects())}
    unknown = {mark for found in marks().values() for mark in found} - known
    assert not unknown


def test_labs_and_exercises_belong_to_rows() -> None:
    for lab in all_labs():
        assert row_of(lab) in ROWS
    assert all(isinstance(labs_of(row), tuple) and isinstance(exercises_of(row), tuple) for row in ROWS)


def test_the_roadmap_is_whole() -> None:
    roadmap = load_roadmap()
    assert [c.number for c in roadmap.chapters] == list(range(23)) and len(ROWS) == 166
    assert list(JOURNEY) == [f"L.{n}" for n in range(1, 9)]
    for chapter in roadmap.chapters:
        assert [row.id for row in chapter.rows] == [f"{chapter.number}.{n}" for n in range(1, len(chapter.rows) + 1)]
        assert chapter.resources and chapter.hours > 0
    assert {p.id for p in load_paths().paths if p.kind == "classic"} == {
        "six-phases", "five-phases", "eight-weeks", "data-scientist",
    }  # fmt: skip


def test_what_does_not_exist_is_said() -> None:
    with pytest.raises(ConfigError, match=r"no row '5\.44'"):
        load_roadmap().row("5.44")
    with pytest.raises(ConfigError, match="no chapter 23"):
        load_roadmap().chapter(23)


def test_the_package_has_a_page_for_no_row_twice() -> None:
    text = (ROOT / "src/groundup/learn/roadmap.yaml").read_text()
    ids = re.findall(r'id: "([\d.]+)"', text)
    assert len(ids) == len(set(ids))


@pytest.mark.row("L.1")
def test_the_verb_shows_chapters_rows_and_the_journey() -> None:
    for place, shown in (
        ("5", "5.4"),
        ("5.4", "groundup exercise start 5.4"),
        ("L", "L.8"),
        ("L.6", "recipes/tiny_gpt.yaml"),
    ):
        done = CliRunner().invoke(cli, ["roadmap", place])
        assert done.exit_code == 0 and shown in done.output, place
        assert json.loads(CliRunner().invoke(cli, ["roadmap", place, "--json"]).output)

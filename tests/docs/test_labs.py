"""Every lab, run from its first cell to its last without a page: figures inside their bands, questions that have an answer."""

from __future__ import annotations

import ast
import random
import re

import pytest

from groundup.learn.content import all_labs, row_of
from groundup.learn.lab import Lab, run_headless
from groundup.learn.roadmap import load_roadmap

pytestmark = pytest.mark.row("L.4")
LABS = all_labs()
CHAPTERS = (0, 1, 2, 3, 5, 7)
BUDGET_SECONDS = 6.0


def outside(lab: Lab) -> dict[str, tuple[float, float, float]]:
    return {f.name: (f.value, f.low, f.high) for f in lab.figures.values() if not f.inside and not f.timed}


@pytest.mark.parametrize("lab_id", LABS)
def test_it_runs_and_its_figures_are_as_expected(lab_id: str) -> None:
    lab = run_headless(LABS[lab_id], budget_seconds=BUDGET_SECONDS)
    assert lab.id == lab_id and lab.title and 0 < lab.seconds <= 90
    assert len(lab.figures) >= 2 and lab.choices, (
        "something is predicted and compared, and something is changed and compared"
    )
    assert lab.predicted and lab.questions and outside(lab) == {}
    assert lab.finished, "not every prediction is compared, or not every question asked"


@pytest.mark.slow
@pytest.mark.parametrize("lab_id", LABS)
def test_whatever_is_chosen_its_figures_are_as_expected(lab_id: str) -> None:
    """Another option than the first, a fresh one each time, wherever one can be chosen."""
    choice = random.SystemRandom().randrange(1, 60)
    print("choice", choice)
    lab = run_headless(LABS[lab_id], budget_seconds=BUDGET_SECONDS, choice=choice)
    assert outside(lab) == {} and lab.finished


@pytest.mark.parametrize("lab_id", LABS)
def test_it_is_a_notebook_that_says_what_it_is(lab_id: str) -> None:
    source = LABS[lab_id].read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "the file begins with what the lab is"
    assert "marimo.App(" in source and ".finish(" in source


@pytest.mark.parametrize("lab_id", LABS)
def test_no_figure_and_no_question_before_the_prediction(lab_id: str) -> None:
    """Cells that compare or ask wait for it, or read what a cell that waits has made."""
    tree = ast.parse(LABS[lab_id].read_text(encoding="utf-8"))
    cells = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    waiting: set[int] = set()  # lines of cells
    for _ in cells:
        made = {name for cell in cells if cell.lineno in waiting for name in made_by(cell)}
        for cell in cells:
            if "wait_for" in calls_of(cell) or made & {argument.arg for argument in cell.args.args}:
                waiting.add(cell.lineno)
    early = [cell.lineno for cell in cells if calls_of(cell) & {"compare", "ask"} and cell.lineno not in waiting]
    assert not early, f"the cells at lines {early} do not wait"


def made_by(cell: ast.FunctionDef) -> set[str]:
    """Names that other cells can read."""
    (end,) = (node for node in cell.body if isinstance(node, ast.Return))
    return {node.id for node in ast.walk(end) if isinstance(node, ast.Name)}


def calls_of(cell: ast.FunctionDef) -> set[str]:
    """Methods of `lab` that the cell calls."""
    return {node.func.attr for node in ast.walk(cell)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name) and node.func.value.id == "lab"}  # fmt: skip


def test_there_are_enough_of_them() -> None:
    assert len(LABS) >= 14
    for chapter in CHAPTERS:
        of_it = [lab for lab in LABS if row_of(lab).startswith(f"{chapter}.")]
        assert len(of_it) >= 3, f"chapter {chapter} has {len(of_it)} labs"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_row_of_these_chapters_has_its_lesson(chapter: int) -> None:
    (folder,) = {path.parent for path in LABS.values() if path.parent.name.startswith(f"ch{chapter:02d}_")}
    lesson = (folder / "lesson.md").read_text(encoding="utf-8")
    told = re.findall(rf"^## ({chapter}\.\d+) ", lesson, re.M)
    assert told == [row.id for row in load_roadmap().chapter(chapter).rows if row.status != "planned"]
    for section in re.split(r"^## ", lesson, flags=re.M)[1:]:
        assert "$" in section, f"{section[:20]!r} has no mathematics"
        assert re.search(r"\b(19|20)\d\d\b", section), f"{section[:20]!r} names no source"

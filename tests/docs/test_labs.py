"""Every lab, run from its first cell to its last without a page: figures inside their bands, questions that have an answer."""

from __future__ import annotations

import ast
import re

import pytest

from groundup.learn.content import all_labs, row_of
from groundup.learn.lab import run_headless
from groundup.learn.roadmap import load_roadmap

pytestmark = pytest.mark.row("L.4")
LABS = all_labs()
CHAPTERS = (0, 1, 2, 3, 5, 7)
BUDGET_SECONDS = 6.0


@pytest.mark.parametrize("lab_id", LABS)
def test_it_runs_and_its_figures_are_as_expected(lab_id: str) -> None:
    lab = run_headless(LABS[lab_id], budget_seconds=BUDGET_SECONDS)
    assert lab.id == lab_id and lab.title and 0 < lab.seconds <= 90
    assert len(lab.figures) >= 2, "something is predicted and compared, and something is changed and compared"
    assert any(figure.guess is not None for figure in lab.figures.values()), "nothing was predicted"
    outside = {f.name: (f.value, f.low, f.high) for f in lab.figures.values() if not f.inside and not f.timed}
    assert outside == {}
    assert lab.answers and all(lab.answers.values()), "a question that nobody can answer"


@pytest.mark.parametrize("lab_id", LABS)
def test_it_is_a_notebook_that_says_what_it_is(lab_id: str) -> None:
    source = LABS[lab_id].read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "the file begins with what the lab is"
    assert "marimo.App(" in source and ".finish()" in source


def test_there_are_enough_of_them() -> None:
    assert len(LABS) >= 14
    for chapter in CHAPTERS:
        of_it = [lab for lab in LABS if row_of(lab).startswith(f"{chapter}.")]
        assert len(of_it) >= 1, f"chapter {chapter} has no lab"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_row_of_these_chapters_has_its_lesson(chapter: int) -> None:
    (folder,) = {path.parent for path in LABS.values() if path.parent.name.startswith(f"ch{chapter:02d}_")}
    lesson = (folder / "lesson.md").read_text(encoding="utf-8")
    told = re.findall(rf"^## ({chapter}\.\d+) ", lesson, re.M)
    assert told == [row.id for row in load_roadmap().chapter(chapter).rows if row.status != "planned"]
    for section in re.split(r"^## ", lesson, flags=re.M)[1:]:
        assert "$" in section, f"{section[:20]!r} has no mathematics"
        assert re.search(r"\b(19|20)\d\d\b", section), f"{section[:20]!r} names no source"

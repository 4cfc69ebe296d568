"""Every exercise: the right solution passes, every wrong one fails with a hint that names its mistake (tests/solutions/<id>/).

A wrong solution's first line says what the verdict must say: `wrong: <regular expression>`, matched against the verdict's mistake,
message and hint together.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from groundup.learn.exercises import EXERCISES
from groundup.learn.exercises.exercise import Verdict
from groundup.learn.exercises.grader import grade_file, load_exercise
from groundup.learn.exercises.source_rules import broken_rules

pytestmark = [pytest.mark.row("L.5")]
ROOT = Path(__file__).resolve().parents[1] / "solutions"
FILES = sorted(ROOT.glob("*/*.py"))
WRONG_AT_LEAST = 5


def told(verdict: Verdict) -> str:
    return " | ".join((verdict.failed, verdict.mistake, verdict.message, verdict.hint))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_the_verdict(path: Path) -> None:
    verdict = grade_file(path.parent.name, path)
    print(verdict)
    if path.stem == "right":
        assert verdict.passed and verdict.tier == "isolated", told(verdict)
        return
    match = re.match(r'"""wrong: (.*)"""', path.read_text().splitlines()[0])
    assert match, f"{path} does not say what is wrong with it"
    assert not verdict.passed and verdict.hint
    assert re.search(match[1], told(verdict)), f"{match[1]!r} is not in: {told(verdict)}"


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_the_exercise_is_whole(exercise_id: str) -> None:
    exercise = load_exercise(exercise_id)
    names = {path.stem for path in FILES if path.parent.name == exercise_id}
    assert exercise.id == exercise_id and "right" in names and len(names) > WRONG_AT_LEAST
    assert not broken_rules(exercise.template, exercise), "the file it begins with breaks no rule"
    assert exercise.entry in exercise.template and all(len(check.hints) == 3 for check in exercise.checks)
    assert len({check.name for check in exercise.checks}) == len(exercise.checks)


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_the_file_it_begins_with_is_not_right(exercise_id: str, tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text(load_exercise(exercise_id).template)
    verdict = grade_file(exercise_id, tmp_path / "empty.py")
    assert not verdict.passed and "NotImplementedError" in verdict.message

"""Every exercise: the right solution passes, every wrong one fails with a hint that names its mistake.

tests/solutions/<id>.py is a right solution; <id>.yaml lists wrong ones, each by edits of it (or a whole source), with what the verdict
must say: a regular expression found in its mistake, message or hint.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from groundup.learn.exercises import EXERCISES
from groundup.learn.exercises.exercise import Verdict
from groundup.learn.exercises.grader import grade, grade_file, load_exercise
from groundup.learn.exercises.source_rules import broken_rules

pytestmark = [pytest.mark.row("L.5")]
ROOT = Path(__file__).resolve().parents[1] / "solutions"
RIGHT = {path.stem: path for path in sorted(ROOT.glob("*.py"))}
WRONG_AT_LEAST = 5


def wrong_ones(exercise_id: str) -> list[dict[str, Any]]:
    return yaml.safe_load((ROOT / f"{exercise_id}.yaml").read_text(encoding="utf-8"))


def source_of(exercise_id: str, wrong: dict[str, Any]) -> str:
    if "source" in wrong:
        return str(wrong["source"])
    source = RIGHT[exercise_id].read_text(encoding="utf-8")
    for old, new in wrong["edits"]:
        assert old in source, f"{exercise_id}, {wrong['says']!r}: {old!r} is not in the right solution"
        source = source.replace(old, new)
    return source


def told(verdict: Verdict) -> str:
    return " | ".join((verdict.failed, verdict.mistake, verdict.message, verdict.hint))


@pytest.mark.parametrize("exercise_id", RIGHT)
def test_the_right_solution_passes(exercise_id: str) -> None:
    verdict = grade_file(exercise_id, RIGHT[exercise_id])
    print(verdict)
    assert verdict.passed and verdict.tier == "isolated", told(verdict)


@pytest.mark.parametrize(
    ("exercise_id", "wrong"),
    [(name, wrong) for name in RIGHT for wrong in wrong_ones(name)],
    ids=lambda v: v if isinstance(v, str) else re.sub(r"\W+", "-", v["says"])[:50],
)
def test_a_wrong_one_is_told_its_mistake(exercise_id: str, wrong: dict[str, Any]) -> None:
    verdict = grade(load_exercise(exercise_id), source_of(exercise_id, wrong))
    print(verdict)
    assert not verdict.passed and verdict.hint
    assert re.search(wrong["says"], told(verdict)), f"{wrong['says']!r} is not in: {told(verdict)}"


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_the_exercise_is_whole(exercise_id: str) -> None:
    exercise = load_exercise(exercise_id)
    assert exercise.id == exercise_id and exercise_id in RIGHT and len(wrong_ones(exercise_id)) >= WRONG_AT_LEAST
    assert not broken_rules(exercise.template, exercise), "the file it begins with breaks no rule"
    assert exercise.entry in exercise.template and all(len(check.hints) == 3 for check in exercise.checks)
    assert len({check.name for check in exercise.checks}) == len(exercise.checks)


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_the_file_it_begins_with_is_not_right(exercise_id: str) -> None:
    verdict = grade(load_exercise(exercise_id), load_exercise(exercise_id).template)
    assert not verdict.passed and "NotImplementedError" in verdict.message

"""The curriculum goes up with the pass rate and resumes exactly; the task that rewards also filters."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from groundup.cli.wiring import STAGES
from groundup.core.errors import ConfigError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.core.types import Completion, TaskExample, Usage
from groundup.tasks.curriculum import Curriculum, CurriculumConfig
from groundup.tasks.filter import filter_by_task
from groundup.tasks.problems.task import ProblemsConfig
from groundup.tasks.registry import build_task
from groundup.tasks.stages import instruct_row


def said(text: str) -> Completion:
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    return Completion(text=text, token_ids=(), logprobs=(), finish_reason="stop", usage=usage)


def answer(example: TaskExample, skill: int) -> Completion:
    """A pupil who solves nine in ten problems up to a difficulty and none above."""
    able = example.meta["difficulty"] <= skill and random.Random(example.id).random() < 0.9
    return said(example.meta["solution"] if able else "Answer: -1")


def fresh(config: CurriculumConfig) -> Curriculum:
    return Curriculum(build_task(ProblemsConfig(), split="train", seed=1, count=10), config)


@pytest.mark.row("12.3")
def test_the_level_rises_to_what_the_pupil_can_do() -> None:
    curriculum = fresh(CurriculumConfig(difficulty=(1, 6), raise_at=0.7, window=20, easier=0.25))
    levels, shares = [], Counter[bool]()
    for index in range(600):
        example = curriculum.example(index)
        shares[example.meta["difficulty"] < curriculum.level] += curriculum.level == 4
        curriculum.score(example, answer(example, skill=3))
        levels.append(curriculum.level)
    assert levels == sorted(levels) and set(levels) == {1, 2, 3, 4}  # 4 is too hard, so there it stays
    assert levels[18] == 1  # a full window before the first rise
    assert 0.15 < shares[True] / shares.total() < 0.35
    assert curriculum.figures() == {"difficulty": 4.0, "level_pass_rate": 0.0}
    for index in range(600, 1500):
        example = curriculum.example(index)
        curriculum.score(example, answer(example, skill=10))
    assert curriculum.level == 6


@pytest.mark.row("12.3")
def test_it_goes_on_exactly_from_its_state() -> None:
    config = CurriculumConfig(window=10)
    whole, first = fresh(config), fresh(config)
    seen = []
    for index in range(200):
        example = whole.example(index)
        whole.score(example, answer(example, skill=3))
        seen.append(example)
    for index in range(77):
        first.score(first.example(index), answer(first.example(index), skill=3))
    resumed = fresh(config)
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for index in range(77, 200):
        example = resumed.example(index)
        assert example == seen[index]
        resumed.score(example, answer(example, skill=3))
    assert resumed.state_dict() == whole.state_dict()


@pytest.mark.parametrize("wrong", [{"difficulty": (3, 2)}, {"raise_at": 0.0}, {"window": 0}, {"easier": 1.0}])
def test_a_wrong_curriculum_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CurriculumConfig(**wrong)


@pytest.mark.row("12.4")
def test_only_what_the_task_calls_right_is_kept() -> None:
    task = build_task(ProblemsConfig(), split="train", seed=1, count=30)
    right = [instruct_row(example) for example in task.examples()]
    wrong = [{**row, "messages": [row["messages"][0], {"role": "assistant", "content": "Answer: -5"}]} for row in right]
    silent = [{**row, "messages": [row["messages"][0], {"role": "assistant", "content": ""}]} for row in right[:3]]
    other = {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}], "id": "x"}
    reasons = Counter[str]()
    mixed = [row for both in zip(right, wrong) for row in both]
    kept = list(filter_by_task(task, [*mixed, *silent, other], reasons=reasons))
    assert kept == right
    assert reasons == {"wrong": 30, "no answer": 3, "no problem of the task": 1}
    assert list(filter_by_task(task, [other], keep_others=True)) == [other]


@pytest.mark.row("12.4")
def test_the_stage_judged(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "p: {type: problems, train: 40, validation: 10, test: 0, harder: 0}\n"
        "other: {type: problems, train: 20, validation: 0, test: 0, harder: 0}\n"
        "s: {type: worked_solutions, problems: p}\n"
        "j: {type: judged, rows: s, problems: other}\n"
    )
    report = run_recipe(load_recipe(recipe, STAGES), tmp_path / "run")
    # The same seed: the first 20 problems of p are those of `other`; the held-out ones are in neither.
    figures = report["stages"]["j"]["figures"]
    assert figures["examples"] == {"train": 20, "validation": 0, "test": 0}
    assert figures["left_out"] == {"no problem of the task": 30}
    rows = [json.loads(line) for line in (tmp_path / "run" / "j" / "train.jsonl").read_text().splitlines()]
    assert rows == [json.loads(line) for line in (tmp_path / "run" / "s" / "train.jsonl").read_text().splitlines()][:20]
    with pytest.raises(ConfigError, match="makes problems, not instruct"):
        recipe.write_text(recipe.read_text().replace("rows: s", "rows: p"))
        run_recipe(load_recipe(recipe, STAGES), tmp_path / "run2")

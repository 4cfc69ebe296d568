"""Generated problems: right by Python's own arithmetic, the same at every call, never in two splits."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from groundup.cli.wiring import STAGES
from groundup.core.config import parse
from groundup.core.errors import ConfigError, DataError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.core.types import Completion, TaskExample, Usage
from groundup.data.messages import read_examples
from groundup.tasks.problems.arithmetic import ArithmeticConfig
from groundup.tasks.problems.kind import dial, dial_size
from groundup.tasks.problems.task import SPLITS, ProblemsConfig
from groundup.tasks.registry import build_task
from groundup.tasks.stored import open_problems


def said(text: str, finish_reason: Any = "stop") -> Completion:
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    return Completion(text=text, token_ids=(), logprobs=(), finish_reason=finish_reason, usage=usage)


def question(example: TaskExample) -> str:
    assert not isinstance(example.prompt, str)
    return str(example.prompt[0]["content"])


def value(expression: str) -> int:
    """Python's own value of an expression of digits, signs and brackets; the result must be whole."""
    assert re.fullmatch(r"[\d+\-*/() ]+", expression), expression
    found = eval(expression.replace("/", "//"))
    assert found == eval(expression)
    return int(found)


@pytest.mark.row("12.7")
@pytest.mark.parametrize("difficulty", [1, 2, 4, 7, 10])
def test_arithmetic_is_right_and_every_line_of_its_solution_too(difficulty: int) -> None:
    kind = ArithmeticConfig(operators=("+", "-", "*", "/"), negative=difficulty == 4)
    for seed in range(200):
        problem = kind.make(random.Random(f"{difficulty}/{seed}"), difficulty)
        assert value(problem.key.removeprefix("arithmetic ")) == int(problem.answer), problem
        *lines, last = problem.solution(long=False).split("\n")
        assert last == f"Answer: {problem.answer}"
        assert len(lines) == dial(kind.num_operations, difficulty)
        running = None
        for line in lines:
            left, right = line.split(" = ")
            assert value(left) == int(right), line
            assert running is None or left.startswith(f"{running} "), problem
            running = right
            assert abs(int(right)) <= dial_size(kind.max_value, difficulty)
            assert kind.negative or int(right) >= 0
        assert running == problem.answer
        for line in problem.solution(long=True).split("\n")[1:-1]:
            left, right = line.partition(": ")[2].rstrip(".").split(" = ")
            assert value(left) == int(right), line


@pytest.mark.row("12.7")
def test_words_and_expressions_say_the_same_chain() -> None:
    for seed in range(100):
        kind = ArithmeticConfig(in_words=1.0)
        problem = kind.make(random.Random(seed), 5)
        assert re.findall(r"\d+", problem.question) == re.findall(r"\d+", problem.key)
        written = ArithmeticConfig(in_words=0.0).make(random.Random(seed), 5)
        assert written.key.removeprefix("arithmetic ") in written.question


@pytest.mark.row("12.3")
def test_no_problem_is_in_two_splits_whatever_the_seed() -> None:
    config = ProblemsConfig(difficulty=(1, 4), harder=(2, 6))
    seen: dict[str, str] = {}
    for split in SPLITS:
        for seed in (1, 2):
            task = build_task(config, split=split, seed=seed, count=400)
            for example in task.examples():
                for text in (example.meta["key"], " ".join(question(example).split()).casefold()):
                    assert seen.setdefault(text, split) == split, example


@pytest.mark.row("12.3")
def test_a_problem_is_a_function_of_its_number() -> None:
    config = ProblemsConfig(style="mixed")
    task, again = (build_task(config, split="train", seed=7, count=50) for _ in range(2))
    forwards = [task.example(i) for i in range(50)]
    assert forwards == list(again.examples())
    assert [again.example(i) for i in reversed(range(50))] == forwards[::-1]
    assert task.example(10**9) == again.example(10**9)
    assert len({question(e) for e in forwards}) > 40
    other = build_task(config, split="train", seed=8, count=50)
    assert [other.example(i) for i in range(50)] != forwards
    assert len({"Start" in e.meta["solution"] for e in forwards}) == 2


@pytest.mark.row("12.3")
def test_the_dial_can_be_set_for_one_problem() -> None:
    task = build_task(ProblemsConfig(), split="train", seed=7, count=50)
    lengths = []
    for difficulty in (1, 10):
        made = [task.example(i, difficulty=difficulty) for i in range(50)]
        assert {e.meta["difficulty"] for e in made} == {difficulty}
        lengths.append(sum(len(e.meta["solution"]) for e in made))
    assert lengths[1] > 3 * lengths[0]
    drawn = {task.example(i).meta["difficulty"] for i in range(60)}
    assert drawn == {1, 2, 3}


@pytest.mark.row("12.3")
def test_solutions_are_judged_right_and_changed_ones_wrong() -> None:
    for split in SPLITS:
        task = build_task(ProblemsConfig(style="mixed"), split=split, seed=3, count=100)
        for example in task.examples():
            solution = example.meta["solution"]
            verdict = task.score(example, said(solution))
            assert (verdict.score, verdict.details["format"]) == (1.0, 1.0), verdict
            assert verdict.details["answer"] == example.answer
            wrong = solution[: -len(example.answer)] + str(int(example.answer) + 1)
            assert task.score(example, said(wrong)).score == 0.0
            assert task.score(example, said(solution + "0")).score == (1.0 if int(example.answer) == 0 else 0.0)


class Doubles:
    """A user's own kind."""

    type = "doubles"
    weight = 1.0

    def __init__(self, largest: int = 50) -> None:
        self.largest = largest

    def make(self, rng: random.Random, difficulty: int) -> Any:
        from groundup.tasks.problems.kind import Problem

        n = rng.randint(1, self.largest)
        return Problem(
            question=f"Twice {n}?", answer=str(2 * n), key=f"twice {n}", steps=(f"2 * {n} = {2 * n}",), long_steps=()
        )


@pytest.mark.row("12.3")
def test_a_kind_of_the_users_own(tmp_path: Path) -> None:
    config = parse(
        ProblemsConfig, {"kinds": [{"use": f"{__file__}:Doubles", "args": {"largest": 200}}, {"type": "arithmetic"}]}
    )
    task = build_task(config, split="train", seed=1, count=40)
    kinds = {e.meta["kind"] for e in task.examples()}
    assert kinds == {"doubles", "arithmetic"}
    for example in task.examples():
        assert task.score(example, said(example.meta["solution"])).score == 1.0


def test_too_small_a_space_is_said() -> None:
    config = parse(ProblemsConfig, {"kinds": [{"use": f"{__file__}:Doubles", "args": {"largest": 1}}]})
    found = []
    for split in SPLITS:
        try:
            build_task(config, split=split, seed=1, count=1).example(0)
            found.append(split)
        except DataError as error:
            assert "too few different problems" in str(error)
    assert len(found) == 1  # one problem, one split


@pytest.mark.parametrize(
    ("plain", "path"),
    [
        ({"difficulty": [3, 2]}, "difficulty"),
        ({"harder": [1, 11]}, "harder"),
        ({"kinds": []}, "kinds"),
        ({"kinds": [{"type": "arithmetic", "weight": 0}]}, "weight"),
        ({"kinds": [{"type": "arithmetic", "num_operations": [0, 3]}]}, "num_operations"),
        ({"kinds": [{"type": "arithmetic", "max_operand": [20, 99], "max_value": [10, 99]}]}, "max_value"),
    ],
)
def test_a_wrong_config_is_refused(plain: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(ProblemsConfig, plain)
    assert path in str(caught.value)


RECIPE = """
name: sums
seed: 5
problems:
  type: problems
  task: {type: problems, difficulty: [1, 3], harder: [4, 5]}
  train: 120
  validation: 10
  test: 40
  harder: 20
lessons: {type: worked_solutions, problems: problems, limit: 50, difficulty: [1, 2]}
"""


@pytest.mark.row("12.3")
def test_stages_write_problems_and_lessons(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    report = run_recipe(load_recipe(tmp_path / "r.yaml", STAGES), tmp_path / "run")
    figures = report["stages"]["problems"]["figures"]
    assert figures["problems"] == {"train": 120, "validation": 10, "test": 40, "harder": 20}
    assert set(figures["difficulties"]["harder"]) == {"4", "5"}
    rows = {split: list(open_problems(tmp_path / "run" / "problems", split).examples()) for split in SPLITS}
    for split in ("validation", "test", "harder"):
        keys = [row.meta["key"] for row in rows[split]]
        assert len(keys) == len(set(keys))

    train = open_problems(tmp_path / "run" / "problems", "train")
    fresh = build_task(ProblemsConfig(difficulty=(1, 3), harder=(4, 5)), split="train", seed=5, count=0)
    assert [train.example(i) for i in range(200)] == [fresh.example(i) for i in range(200)]
    test = open_problems(tmp_path / "run" / "problems", "test")
    assert test.example(0) == rows["test"][0]
    assert test.score(rows["test"][0], said(rows["test"][0].meta["solution"])).score == 1.0

    lessons = list(read_examples(tmp_path / "run" / "lessons", "train"))
    assert len(lessons) == 50
    by_id = {e.id: e for e in rows["train"]}
    for lesson in lessons:
        example = by_id[lesson["id"]]
        assert example.meta["difficulty"] <= 2 and lesson["kind"] == "arithmetic"
        assert [m["content"] for m in lesson["messages"]] == [question(example), example.meta["solution"]]
    card = json.loads((tmp_path / "run" / "lessons" / "card.json").read_text())
    assert card["splits"]["train"]["examples"] == 50


def test_a_stored_part_of_the_users_own_is_run_only_when_named(tmp_path: Path) -> None:
    use = f"{__file__}:Doubles"
    (tmp_path / "r.yaml").write_text(
        f"p: {{type: problems, task: {{type: problems, kinds: [{{use: '{use}'}}]}}, train: 5, validation: 0, test: 0, harder: 0}}\n"
    )
    run_recipe(load_recipe(tmp_path / "r.yaml", STAGES), tmp_path / "run")
    with pytest.raises(ConfigError, match="not named"):
        open_problems(tmp_path / "run" / "p", "train")
    assert len(list(open_problems(tmp_path / "run" / "p", "train", trusted_parts=[use]).examples())) == 5


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("p: {type: problems, train: 5, validation: 0, test: 0, harder: 0}\n")
    run_recipe(load_recipe(tmp_path / "r.yaml", STAGES), tmp_path / "run")
    path = tmp_path / "run" / "p" / "train.jsonl"
    path.write_text("".join([*path.read_text().splitlines(True)[:2], '{"id": "x"}\n']))
    with pytest.raises(DataError, match="row 3"):
        open_problems(tmp_path / "run" / "p", "train")

"""GSM8K, SVAMP and MultiArith as tasks: their own solutions are right, changed ones are wrong."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from groundup.cli.wiring import STAGES
from groundup.core.errors import ConfigError, DataError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.core.types import Completion, Usage
from groundup.tasks.registry import build_task
from groundup.tasks.stored import open_problems
from groundup.tasks.word_problems import WordProblems, WordProblemsConfig


def said(text: str) -> Completion:
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    return Completion(text=text, token_ids=(), logprobs=(), finish_reason="stop", usage=usage)


@pytest.mark.row("12.3")
def test_all_of_gsm8k(shared_data: Path) -> None:
    path = shared_data / "gsm8k" / "train.jsonl.gz"
    task = WordProblems(WordProblemsConfig(path=str(path)))
    rows = [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]
    examples = list(task.examples())
    assert len(examples) == len(rows) == 7473
    rng = random.Random(20)
    for row, example in zip(rows, examples):
        own, written = task.score(example, said(row["answer"])), task.score(example, said(example.meta["solution"]))
        assert (own.score, written.score, own.details["format"]) == (1.0, 1.0, 1.0), (row, own, written)
        assert "<<" not in example.meta["solution"]
        number = float(example.answer.replace(",", ""))
        changed = rng.choice((number + 1, number - 1, number * 10 + 1, -number - 1, number + 0.5))
        mark = rng.choice(("#### ", "Answer: ", "\\boxed{"))
        text = f"{row['answer'].rpartition('####')[0]}{mark}{changed:g}" + ("}" if "{" in mark else "")
        if abs(changed) < 1e5:  # %g rounds beyond
            assert task.score(example, said(text)).score == 0.0, text
    assert len({example.meta["key"] for example in examples}) == 7473


@pytest.mark.row("12.3")
@pytest.mark.parametrize(("name", "rows"), [("svamp_svamp.json", 1000), ("multiarith_multiarith.json", 600)])
def test_equations_are_worked_solutions(shared_data: Path, name: str, rows: int) -> None:
    task = WordProblems(WordProblemsConfig(path=str(shared_data / "reasoning" / name)))
    examples = list(task.examples())
    assert len(examples) == rows
    true = 0
    for example in examples:
        equation = example.meta["solution"].split("\n")[0]
        left, right = equation.split(" = ")
        assert re.fullmatch(r"[-+*/(). \d]+", left), equation
        true += abs(eval(left) - float(right)) < 1e-6
        assert task.score(example, said(example.meta["solution"])).score == 1.0
        assert task.score(example, said(f"Answer: {float(example.answer) + 1}")).score == 0.0
    assert true >= rows - 5, true  # a few rows of the sets have equations that do not come to their answers


@pytest.mark.row("12.3")
def test_splits_and_stage(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "gsm8k" / "train.jsonl.gz"
    config = WordProblemsConfig(path=str(path))
    splits = {
        s: {e.id for e in build_task(config, split=s, seed=0, count=10**6).examples()}
        for s in ("train", "validation", "test")
    }
    assert sum(map(len, splits.values())) == 7473 == len(set().union(*splits.values()))
    assert all(250 < len(splits[s]) < 500 for s in ("validation", "test"))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"p: {{type: problems, task: {{type: word_problems, path: '{path}'}}, train: 30, validation: 5, test: 9, harder: 0}}\n"
        "s: {type: worked_solutions, problems: p}\n"
    )
    report = run_recipe(load_recipe(recipe, STAGES), tmp_path / "run")
    assert report["stages"]["p"]["figures"]["problems"] == {"train": 30, "validation": 5, "test": 9}
    assert report["stages"]["s"]["figures"]["examples"] == {"train": 30, "validation": 5, "test": 9}
    test = open_problems(tmp_path / "run" / "p", "test")
    assert {e.id for e in test.examples()} <= splits["test"]
    train = open_problems(tmp_path / "run" / "p", "train")
    assert train.example(31) == train.example(1)


def test_a_test_file_of_its_own(tmp_path: Path) -> None:
    for name, count in (("a", 100), ("b", 7)):
        rows = [{"question": f"{name} {i}?", "answer": f"so\n#### {i}"} for i in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = WordProblemsConfig(path="a.jsonl", test_path="b.jsonl")
    counts = {
        s: build_task(config, split=s, seed=0, count=999, root=tmp_path).count for s in ("train", "validation", "test")
    }  # type: ignore[attr-defined]
    assert counts["test"] == 7 and counts["train"] + counts["validation"] == 100
    with pytest.raises(DataError, match="no word problem in the split 'harder'"):
        build_task(config, split="harder", seed=0, count=9, root=tmp_path).example(0)
    with pytest.raises(ConfigError, match="no difficulty"):
        build_task(config, split="test", seed=0, count=9, root=tmp_path).example(0, difficulty=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "a?", "answer": "7"}', "row 1"),
        ('{"question": "a?", "answer": "#### 7"}\n{', "row 2: not valid JSON"),
        ("[1]", "row 1: must be an object"),
        ('{"x": 1}', "row 1: no word problem"),
        ("[", "not UTF-8 text of JSON"),
    ],
)
def test_a_wrong_file_is_named_with_its_row(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "w.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        WordProblems(WordProblemsConfig(path=str(tmp_path / "w.jsonl")))
    with pytest.raises(DataError, match="cannot read"):
        WordProblems(WordProblemsConfig(path=str(tmp_path / "no.jsonl")))


def test_where_the_answer_is_found() -> None:
    from groundup.tasks.judge import final_answer, judge

    cases: list[tuple[str, Any]] = [
        ("3 + 4 = 7\nAnswer: 7", ("7", True)), ("Answer: 5\nNo.\nAnswer: 7\nThat is all.", ("7", True)), ("**Answer:** 7", ("7", True)),
        ("The answer is 7.", ("7", True)), ("the final answer is: 7", ("7", True)), ("so \\boxed{7} it is", ("7", True)),
        ("Answer: $\\boxed{\\frac{7}{1}}$", ("\\frac{7}{1}", True)), ("#### 7", ("7", True)), ("We get 3 and then 7.", ("7", False)),
        ("It costs $7.50 in all", ("$7.50", False)), ("nothing", None), ("Answer:", None), ("#### Answer: 7", ("7", True)),
        ("The answer is <<3+4=7>>7", ("7", True)),
        ("The answer is 5. Wait.\n#### 7", ("7", True)), ("#### 5\nAnswer: 7", ("7", True)), ("answer" + " " * 100_000, None),
        ("\n" * 100_000 + "7", ("7", False)),
    ]  # fmt: skip
    for text, wanted in cases:
        found = final_answer(text, number=True)
        assert (None if found is None else (found.text, found.marked)) == wanted, text
    cut = Completion(
        text="1 + 2\nAnswer: 3",
        token_ids=(),
        logprobs=(),
        finish_reason="length",
        usage=Usage(prompt_tokens=1, completion_tokens=1),
    )
    assert judge(cut, "3").reason == "cut off in its answer"
    assert judge(said("Answer: 3 or 4"), "3").score == 0.0
    assert judge(said("x" * 5_000_000 + "\nAnswer: 3"), "3").score == 1.0
    assert judge(said("Answer: " + "9**" * 100_000 + "9"), "3").score == 0.0

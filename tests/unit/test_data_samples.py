"""The stage `sample`: what a judge said of a model's answers becomes rows to learn from."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from groundup.core.artifact import seal
from groundup.core.config import parse
from groundup.core.errors import ConfigError, DataError
from groundup.core.progress import SilentProgress
from groundup.core.recipe import StageContext, no_model_opener
from groundup.core.tracking import JsonlTracker
from groundup.core.types import Request, Verdict
from groundup.data import read_examples, read_preferences
from groundup.data.samples import Answer, SampleStage, better
from groundup.tasks.stages import ProblemsStage
from groundup.tasks.stored import read_problems
from scripted_generator import Rule, Scripted

pytestmark = pytest.mark.row("12.4")


def context_of(root: Path, name: str, inputs: dict[str, Path], model: Any = None) -> StageContext:
    directory, scratch = root / name, root / f"{name}.scratch"
    for path in (directory, scratch):
        path.mkdir(parents=True, exist_ok=True)
    return StageContext(
        name=name, directory=directory, scratch=scratch, inputs=inputs, figures={}, run_directory=root,
        recipe_directory=root, seed=3, swaps={}, tracker=JsonlTracker(root, stage=name), progress=SilentProgress(),
        open_model=no_model_opener if model is None else lambda path, **_: model,
    )  # fmt: skip


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("problems")
    at = context_of(root, "problems", {})
    parse(ProblemsStage, {"train": 60, "validation": 5, "test": 5, "harder": 0}).run(at)
    seal(at.directory, kind="problems", facts={}, key="problems")
    return at.directory


def known(problems: Path) -> dict[str, tuple[int, str]]:
    """Question -> its number and its answer. A question that comes twice has the first's number."""
    found: dict[str, tuple[int, str]] = {}
    for i, example in enumerate(read_problems(problems, "train")):
        found.setdefault(example.prompt[-1]["content"], (i, str(example.answer)))  # type: ignore[index]
    return found


def run(
    root: Path, problems: Path, rule: Rule, **fields: Any
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], Scripted]:
    model = Scripted(rule)
    (root / "model").mkdir(parents=True, exist_ok=True)
    stage = SampleStage(**{"model": "model", "num_problems": 40, "samples": 4, **fields})
    at = context_of(root, "answers", {"problems": problems, "model": root / "model"}, model)
    figures = dict(stage.run(at))
    rows = {
        split: [json.loads(line) for line in (at.directory / f"{split}.jsonl").read_text().splitlines()]
        for split in ("train", "validation")
    }
    seal(at.directory, kind=stage.kind, facts={}, key="answers")
    return figures, rows, model


def asked_last(request: Request) -> str:
    return str(request.prompt[-1]["content"])  # type: ignore[index]


# -------------------------------------------------------------------------------------------------------------- the order


def answer(score: float, tokens: int = 5, *, formed: bool = True, ended: bool = True) -> Answer:
    return Answer("x", tokens, ended, Verdict(score=score, details={"format": float(formed)}))


@pytest.mark.parametrize(
    ("a", "b", "who"),
    [
        (answer(1.0), answer(0.0), 1),
        (answer(0.5), answer(1.0), -1),
        (answer(1.0, 90), answer(0.0, 5), 1),  # right before short
        (answer(1.0, 5), answer(1.0, 9), 0),  # length decides nothing
        (answer(1.0, 5), answer(1.0, 5), 0),
        (answer(0.0), answer(0.0, formed=False), 1),
        (answer(0.0, 9), answer(0.0, 5), 0),  # a short wrong answer is no better
        (answer(0.0), answer(0.0, ended=False), 1),
        (answer(1.0, 9), answer(1.0, 5, ended=False), 1),
        (Answer("x", 3, True, Verdict(score=0.0)), answer(0.0), 0),  # a judge that says nothing of a form
    ],
)
def test_what_is_better(a: Answer, b: Answer, who: int) -> None:
    assert better(a, b) == who and better(b, a) == -who


def test_better_is_a_strict_partial_order() -> None:
    drawn = random.SystemRandom().randrange(2**31)
    print(f"seed {drawn}")
    rng = random.Random(drawn)
    answers = [
        answer(rng.choice([0.0, 0.5, 1.0]), rng.randint(1, 3), formed=rng.random() < 0.5, ended=rng.random() < 0.7)
        for _ in range(30)
    ]
    for a, b, c in itertools.product(answers, repeat=3):
        assert better(a, a) == 0 and better(a, b) == -better(b, a)
        if better(a, b) > 0 and better(b, c) > 0:
            assert better(a, c) > 0
        if better(a, b) == 0 and better(b, c) == 0:
            assert better(a, c) == 0  # so that no pair depends on which others were drawn


# --------------------------------------------------------------------------------------------------------------- the rows


def test_right_answers_become_rows(tmp_path: Path, problems: Path) -> None:
    """Of every problem: one right answer twice, a longer right one, a wrong one, and one that was cut off."""
    facts = known(problems)
    drawn: Counter[str] = Counter()

    def rule(request: Request, prompt: str) -> str:
        question = asked_last(request)
        number, right = facts[question]
        which = drawn[question] % 5
        drawn[question] += 1
        if number % 4 == 3:
            return "Answer: none"
        return [f"Answer: {right}", f"Answer: {right}", f"so we think Answer: {right}", "Answer: x",
                f"Answer: {right} " + "and " * 30][which]  # fmt: skip

    figures, rows, model = run(tmp_path, problems, rule, samples=5, keep=3, max_tokens=12, validation_share=0.2)
    together = rows["train"] + rows["validation"]
    solved = {facts[asked_last(r)][0] for r in model.seen if facts[asked_last(r)][0] % 4 != 3}
    assert {facts[row["messages"][-2]["content"]][0] for row in together} == solved
    for row in together:
        said, (_, right) = row["messages"][-1], facts[row["messages"][-2]["content"]]
        assert said["role"] == "assistant" and said["content"] in (f"Answer: {right}", f"so we think Answer: {right}")
        assert row["kind"]
    by_problem: dict[str, list[int]] = {}
    for row in together:
        by_problem.setdefault(row["id"], []).append(len(row["messages"][-1]["content"]))
    assert all(lengths == sorted(lengths) and len(lengths) == 2 for lengths in by_problem.values())  # the same one once
    held_out = {row["id"] for row in rows["validation"]}
    assert not held_out & {row["id"] for row in rows["train"]} and len(held_out) == int(0.2 * len(by_problem))
    asked = [facts[asked_last(request)][0] % 4 != 3 for request in model.seen]
    assert figures["problems"] == 40 and figures["rows"] == len(together)
    assert figures["solved_once"] == pytest.approx(sum(asked) / len(asked)) and figures["solved_always"] == 0
    assert 0 < figures["pass_rate"] <= 0.8 * figures["solved_once"] + 1e-9
    assert len({request.params.seed for request in model.seen}) == 40 * 5
    assert len(list(read_examples(tmp_path / "answers", "train"))) == len(rows["train"])
    _, again, _ = run(tmp_path / "again", problems, rule, samples=5, keep=1, max_tokens=12)
    lengths = [len(row["messages"][-1]["content"].split()) for row in again["train"] + again["validation"]]
    assert set(lengths) == {2}  # the shortest


def test_other_rounds_have_other_problems(tmp_path: Path, problems: Path) -> None:
    asked = []
    for number, first in enumerate((0, 20)):
        _, rows, model = run(
            tmp_path / str(number), problems, lambda r, _: f"Answer: {known(problems)[asked_last(r)][1]}",
            num_problems=20, first_problem=first, samples=1, validation_share=0.0,
        )  # fmt: skip
        assert len(rows["train"]) == 20 and not rows["validation"] and len(model.seen) == 20
        asked.append({row["id"] for row in rows["train"]})
    assert not asked[0] & asked[1]


def test_pairs_are_of_a_better_and_a_worse_answer(tmp_path: Path, problems: Path) -> None:
    facts = known(problems)

    def rule(request: Request, prompt: str) -> str:
        number, right = facts[asked_last(request)]
        kinds = [f"Answer: {right}", f"we find Answer: {right}", "Answer: x", "no idea"]
        if number % 2:
            kinds = ["Answer: x"]  # nothing to choose between
        return kinds[(request.params.seed or 0) % len(kinds)]

    _, rows, _ = run(tmp_path, problems, rule, make="pairs", samples=6, keep=2, validation_share=0.25)
    together = rows["train"] + rows["validation"]
    assert together and max(Counter(row["id"] for row in together).values()) == 2
    rank = {"A": 0, "w": 1, "x": 2, "n": 3}
    for row in together:
        (number, right), (chosen,), (rejected,) = facts[row["prompt"][-1]["content"]], row["chosen"], row["rejected"]
        assert number % 2 == 0 and chosen["role"] == rejected["role"] == "assistant"
        of = [rank["x" if m["content"] == "Answer: x" else m["content"][0]] for m in (chosen, rejected)]
        assert of[0] < of[1], row
        assert (of[0] < 2) == (right in chosen["content"])
    assert not {r["id"] for r in rows["train"]} & {r["id"] for r in rows["validation"]} and rows["validation"]
    assert len(list(read_preferences(tmp_path / "answers", "train"))) == len(rows["train"])


def test_a_hint_helps_and_is_not_learned(tmp_path: Path, problems: Path) -> None:
    facts = known(problems)

    def rule(request: Request, prompt: str) -> str:
        question, _, hint = asked_last(request).partition("\nHint: ")
        number, right = facts[question]
        if hint:
            assert number % 2 and hint == f"it is {right}."
            return f"because of that Answer: {right}" if number % 4 == 1 else "Answer: x"
        return f"Answer: {right}" if number % 2 == 0 else "Answer: x"

    figures, rows, model = run(tmp_path, problems, rule, hint="Hint: it is {answer}.", samples=2, validation_share=0.0)
    hinted = [r for r in model.seen if "\nHint: " in asked_last(r)]
    asked = [facts[asked_last(r)][0] for r in model.seen if r not in hinted][::2]
    assert len(hinted) == 2 * sum(n % 2 for n in asked) and figures["solved_with_hint"] == sum(
        n % 4 == 1 for n in asked
    )
    unaided = pytest.approx(sum(n % 2 == 0 for n in asked) / 40)  # what the model can do, not what it was told
    assert figures["solved_once"] == unaided and figures["pass_rate"] == unaided and figures["solved_always"] == unaided
    assert figures["mean_tokens"] == 2.0
    for row in rows["train"]:
        assert "Hint" not in json.dumps(row["messages"])
    helped = [row for row in rows["train"] if row["messages"][-1]["content"].startswith("because")]
    assert len(helped) == figures["solved_with_hint"]
    without, _, model = run(tmp_path / "without", problems, rule, samples=2)
    assert without["solved_with_hint"] == 0 and len(model.seen) == 80


def test_no_row_is_an_error(tmp_path: Path, problems: Path) -> None:
    with pytest.raises(DataError, match="none of 40 problems") as caught:
        run(tmp_path, problems, lambda *_: "Answer: x")
    assert "samples" in caught.value.hint
    facts = known(problems)
    with pytest.raises(DataError, match="none of 40 problems"):  # all right and all of one length: nothing is better
        run(tmp_path, problems, lambda r, _: f"Answer: {facts[asked_last(r)][1]}", make="pairs")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"num_problems": 0}, "num_problems"),
        ({"samples": 0}, "samples"),
        ({"keep": 0}, "keep"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"make": "pairs", "samples": 1}, "samples"),
        ({"hint": "think"}, "hint"),
        ({"validation_share": 1.0}, "validation_share"),
        ({"validation_share": -0.1}, "validation_share"),
        ({"first_problem": -1}, "first_problem"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
    ],
)
def test_wrong_settings_are_named(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(SampleStage, {"type": "sample", "model": "start", **fields}, path="answers")
    assert caught.value.path == f"answers.{path}"

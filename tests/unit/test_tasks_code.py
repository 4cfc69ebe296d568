"""Code as tasks: generated functions, MBPP's own solutions, extraction from completions, and what a verdict says.

GROUNDUP_ALL_MBPP=1 runs all of MBPP's solutions and not a sample.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from groundup.core.config import node, parse
from groundup.core.errors import ConfigError, DataError
from groundup.core.types import Completion, TaskExample, Usage
from groundup.sandbox import available_tiers
from groundup.tasks.code import (
    MBPP,
    CodeTest,
    MBPPConfig,
    PythonFunctions,
    PythonFunctionsConfig,
    extract_code,
    judge_source,
    judging,
)
from groundup.tasks.problems.task import SPLITS

pytestmark = pytest.mark.row("12.3")


@pytest.fixture
def isolated() -> None:
    if missing := available_tiers()["isolated"]:
        pytest.skip(f"the isolated tier is not to be had here: {missing}")


def completion(text: str) -> Completion:
    usage = Usage(prompt_tokens=0, completion_tokens=0)
    return Completion(text=text, token_ids=(), logprobs=(), finish_reason="stop", usage=usage)


def answered(examples: list[TaskExample]) -> list[tuple[TaskExample, Completion]]:
    return [(example, completion(str(example.meta["solution"]))) for example in examples]


def functions(count: int, *, split: str = "train", seed: int = 0, **config: Any) -> PythonFunctions:
    return PythonFunctions(PythonFunctionsConfig(**config), split=split, seed=seed, count=count)


# ------------------------------------------------------------------------------------------------ generated functions


def test_every_solution_passes_its_hidden_tests(isolated: None) -> None:
    """Two definitions of every step agree: the Python that is the solution, run in the sandbox, and the one expected values come from."""
    seed = random.randrange(10**6)
    print("seed", seed)
    task = functions(120, seed=seed, difficulty=(1, 10))
    examples = list(task.examples())
    assert {e.meta["kind"] for e in examples} == {"python_numbers", "python_words", "python_loops"}
    verdicts = task.score_many(answered(examples))
    assert [(e.id, v) for e, v in zip(examples, verdicts) if v.score != 1.0] == []


def test_every_kind_of_step_comes_up() -> None:
    """So that the test above reaches all of them, over a few seeds."""
    from groundup.tasks.code import steps

    for make, least in (
        (steps.number_step, 18), (steps.number_end, 7), (steps.word_step, 11), (steps.word_end, 6), (steps.loop_step, 8),
    ):  # fmt: skip
        rng = random.Random(1)
        told = {"".join(c for c in make(rng).short if not c.isdigit()) for _ in range(600)}
        assert len(told) >= least, (make.__name__, told)


def test_a_changed_solution_fails(isolated: None) -> None:
    """One step of the solution is left out, or one constant changed: the hidden tests notice, and say where."""
    task = functions(60, difficulty=(4, 8), kinds=("numbers", "loops"))
    pairs, noticed = [], 0
    for example in task.examples():
        lines = str(example.answer).split("\n")
        lines[-1] = "    return 'other'"
        pairs.append((example, completion("\n".join(lines))))
    for (example, _), verdict in zip(pairs, task.score_many(pairs)):
        assert verdict.score == 0.0 and " gave 'other', not " in verdict.reason, (example.id, verdict)
        noticed += 1
    assert noticed == 60


def test_wrong_by_one_is_wrong(isolated: None) -> None:
    example = functions(1, kinds=("loops",)).example(3)
    wrong = str(example.answer).replace("range(1, n + 1)", "range(1, n)")
    verdict = functions(1).score(example, completion(wrong))
    assert verdict.score == 0.0
    assert 0 < verdict.details["passed"] < verdict.details["tests"] == 8, "the smallest input alone is right"


def test_problems_are_functions_of_their_number_and_splits_share_none() -> None:
    made = {split: list(functions(80, split=split, seed=5).examples()) for split in SPLITS}
    keys = {split: {e.meta["key"] for e in examples} for split, examples in made.items()}
    for one in SPLITS:
        for other in SPLITS:
            assert one == other or not keys[one] & keys[other]
    again = functions(80, seed=5).example(17)
    assert again == made["train"][17]
    assert functions(80, seed=6).example(17) != again
    assert json.loads(json.dumps(again.meta)) == again.meta, "a stored problem is the same problem"


def test_difficulty_is_steps_and_length() -> None:
    easy, hard = ([functions(1, kinds=("numbers",)).example(i, difficulty=d) for i in range(20)] for d in (1, 10))
    for example, steps in [*((e, 2) for e in easy), *((e, 6) for e in hard)]:
        assert str(example.prompt[0]["content"]).count("\n- ") == steps  # type: ignore[index, call-overload]
    mean = [sum(len(str(e.meta["tests"])) for e in examples) for examples in (easy, hard)]
    assert mean[0] < mean[1]
    assert {e.meta["difficulty"] for e in functions(60, split="harder").examples()} == {4, 5}


def test_shown_examples_are_right_and_not_among_the_tests() -> None:
    for example in functions(40).examples():
        text = str(example.prompt[0]["content"])  # type: ignore[index, call-overload]
        shown = text.split("For example:\n")[1].split("\n")
        assert len(shown) == 2
        calls = {row["calls"][0] for row in example.meta["tests"]}
        assert len(calls) == 8 and not calls & {line.split(" == ")[0] for line in shown}


def test_configs_are_nodes_and_refuse_what_cannot_be() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True)
    class Holder:
        task: node(PythonFunctionsConfig, MBPPConfig)  # type: ignore[valid-type]

    held = parse(Holder, {"task": {"type": "python_functions", "kinds": ["words"], "difficulty": [2, 2]}}).task
    assert held == PythonFunctionsConfig(kinds=("words",), difficulty=(2, 2))
    assert {e.meta["kind"] for e in held.build(split="test", seed=1, count=5).examples()} == {"python_words"}
    for wrong in (
        {"kinds": ()},
        {"difficulty": (0, 3)},
        {"harder": (5, 4)},
        {"num_tests": 0},
        {"cpu_seconds": 0},
        {"num_examples": -1},
    ):
        with pytest.raises(ConfigError):
            PythonFunctionsConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        MBPPConfig(path="x", num_shown_tests=0)


# --------------------------------------------------------------------------------------------------------------- MBPP


@pytest.fixture(scope="module")
def mbpp(shared_data: Path) -> MBPP:
    return MBPP(shared_data / "mbpp" / "mbpp.jsonl", split="all")


def test_mbpp_solutions_pass(mbpp: MBPP, isolated: None) -> None:
    examples = list(mbpp.examples())
    assert len(examples) == 974
    if not os.environ.get("GROUNDUP_ALL_MBPP"):
        seed = random.randrange(10**6)
        print("seed", seed)
        examples = [
            e for e in random.Random(seed).sample(examples, 40) if e.id != "mbpp:123"
        ]  # 123 computes for seconds
        # Those whose tests need set-up code, and those with an expected value that is not a literal.
        examples += [e for e in mbpp.examples() if e.meta["setup"] or any(t["check"] for t in e.meta["tests"])]
    verdicts = mbpp.score_many(answered(examples))
    assert [(e.id, v) for e, v in zip(examples, verdicts) if v.score != 1.0] == []


def test_mbpp_solutions_changed_fail(mbpp: MBPP, isolated: None) -> None:
    """The function still runs, and gives its right value in a list of one."""
    seed = random.randrange(10**6)
    print("seed", seed)
    examples = [
        e for e in random.Random(seed).sample(list(mbpp.examples()), 30) if e.id != "mbpp:123" and not e.meta["setup"]
    ]
    pairs = []
    for e in examples:
        wrapped = (
            f"{e.answer}\n_right = {e.meta['name']}\ndef {e.meta['name']}(*values):\n    return [_right(*values)]\n"
        )
        pairs.append((e, completion(wrapped)))
    for example, verdict in zip(examples, mbpp.score_many(pairs)):
        # A function that calls itself by name meets its own wrapping and may fail otherwise.
        assert verdict.score == 0.0, (example.id, verdict)


def test_mbpp_splits_are_the_papers(shared_data: Path) -> None:
    path = shared_data / "mbpp" / "mbpp.jsonl"
    config = MBPPConfig(path=str(path))
    sizes = {split: config.build(split=split, seed=0, count=10**6).count for split in SPLITS}
    assert sizes == {"train": 374, "validation": 90, "test": 500, "harder": 0}
    assert config.build(split="test", seed=0, count=3).example(4).id == "mbpp:12"
    with pytest.raises(DataError, match="no problem in this split"):
        config.build(split="harder", seed=0, count=3).example(0)
    text = str(config.build(split="test", seed=0, count=1).example(0).prompt[0]["content"])  # type: ignore[index, call-overload]
    assert text.count("assert ") == 1 and len(config.fingerprint()) == 64


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "row 2: not a JSON object"),
        ('{"task_id": 5, "text": "", "code": ""}', "row 2: no test_list"),
        ('{"task_id": 5, "text": "", "code": "", "test_list": []}', "row 2: no tests"),
        ('{"task_id": 11, "text": "", "code": "x = 1", "test_list": ["f() == 1"]}', "is not one assert statement"),
        ('{"task_id": 11, "text": "", "code": "x = 1", "test_list": ["assert f(1) < 1"]}', "calls none of"),
    ],
)
def test_mbpp_damage_is_named(tmp_path: Path, line: str, said: str) -> None:
    good = {"task_id": 12, "text": "t", "code": "def f(): return 1", "test_list": ["assert f() == 1"]}
    (tmp_path / "mbpp.jsonl").write_text(f"{json.dumps(good)}\n{line}\n")
    with pytest.raises(DataError, match=said):
        MBPP(tmp_path / "mbpp.jsonl", split="all")
    with pytest.raises(DataError, match="cannot read"):
        MBPP(tmp_path / "nothing.jsonl")


# ------------------------------------------------------------------------------------------------- tests and verdicts


@pytest.mark.parametrize(
    ("text", "calls", "expected", "check"),
    [
        ("assert f(1, [2]) == (1, 2)", ("f(1, [2])",), "(1, 2)", ""),
        ("assert {1, 2} == f()", ("f()",), "{1, 2}", ""),
        ("assert set(f(2)) == {1}", ("set(f(2))",), "{1}", ""),
        ("assert f(1) == -2.5, 'message'", ("f(1)",), "-2.5", ""),
        ("assert f(f(1)) == 2", ("f(f(1))",), "2", ""),
        ("assert not f(1)", ("f(1)",), "", "not _0"),
        ("assert f(1) < g(2) <= 3", ("f(1)", "g(2)"), "", "_0 < _1 <= 3"),
        ("assert math.isclose(f(1), math.pi)", ("f(1)",), "", "math.isclose(_0, math.pi)"),
        ("assert f(1) == sys.getsizeof((1,))", ("f(1)",), "", "_0 == sys.getsizeof((1,))"),
        ("assert all(x > 1 for x in f(3))", None, "", ""),
    ],
)
def test_asserts_are_taken_apart(text: str, calls: tuple[str, ...] | None, expected: str, check: str) -> None:
    if calls is None:
        with pytest.raises(DataError, match="cannot be taken"):
            CodeTest.from_assert(text, {"f", "g"})
    else:
        test = CodeTest.from_assert(text, {"f", "g"})
        assert test == CodeTest(calls=calls, expected=expected, check=check)
        assert CodeTest.from_row(json.loads(json.dumps(test.to_row()))) == test


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(x): return x + 1", "right"),
        ("def f(x): return x", "f(3) gave 3, not 4"),
        ("def f(x): return {x: lambda: 1}", "f(3) gave no plain data, not 4"),
        ("def f(x): return iter([x])", "f(3) gave a list_iterator, not 4"),
        ("def f(x):\n  return x +", "syntax error in line 2: invalid syntax"),
        ("def g(x): return 4", "f(3) raised NameError: name 'f' is not defined"),
        ("def f(x): raise ValueError('no ' * 99)", "f(3) raised ValueError: no no no"),
        ("import nothing_like_it", "the program failed before its tests: ModuleNotFoundError: No module named"),
        ("def f(x):\n  while True: pass", "timeout: more than 1 s of computing, or 20 s in all, at f(3)"),
        ("import sys; sys.exit()", "the program ended before its tests"),
        ("import os; os.abort()", "ended by signal 6 at f(3)"),
        ("x = [0] * 10**10", "more than 268435456 bytes of memory"),
        ("print('x' * 10**6)", "more than 65536 bytes of output"),
        ("", "no code"),
        ("#" * 60_000, "60000 characters of code"),
        ("f = lambda x: 4 if x == 3 else 0", "f(-1) gave 0, not 7"),
    ],
)
def test_verdicts_say_what_was_wrong(source: str, said: str, isolated: None) -> None:
    from dataclasses import replace

    tests = [CodeTest(calls=("f(3)",), expected="4")]
    if "lambda x: 4 if" in source:
        tests.append(CodeTest(calls=("f(-1)",), expected="7"))
    verdict = judge_source(source, tests, limits=replace(judging.LIMITS, cpu_seconds=1.0))
    assert verdict.reason.startswith(said), verdict
    assert verdict.score == float(said == "right")


def test_a_program_is_run_once_for_the_same_tests(isolated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    real = judging.evaluate
    monkeypatch.setattr(judging, "evaluate", lambda source, *a, **k: runs.append(source) or real(source, *a, **k))
    source = f"def f(x): return {random.random()}"
    tests = [CodeTest(calls=("f(3)",), expected="4")]
    first = judge_source(source, tests)
    assert judge_source(source, tests) == first and len(runs) == 1
    judge_source(source, [CodeTest(calls=("f(3)",), expected="5")])
    assert len(runs) == 2, "other tests are another question"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def f(x):\n    return x", "def f(x):\n    return x"),
        ("Here it is:\n```python\ndef f(x):\n    return x\n```\nIt gives x.", "def f(x):\n    return x\n"),
        ("```\ndef f(x):\n    return x", "def f(x):\n    return x"),
        ("```py\ndef f(x):\r\n    return x\r\n```", "def f(x):\n    return x\n"),
        ("```bash\npip install x\n```\n```python\ndef f(): pass\n```", "def f(): pass\n"),
        ("```python\ndef f(): return 1\n```\nUse it:\n```python\nprint(f())\n```", "def f(): return 1\n"),
        ("```python\ndef f(): return 1\n```\nBetter:\n```python\ndef f(): return 2\n```", "def f(): return 2\n"),
        ("1. This:\n   ```python\n   def f():\n       return 1\n   ```", "def f():\n    return 1\n"),
        ("Sure! The function is\n\nimport math\n\ndef f(x):\n    return x\n\nIt works.", "import math\n\ndef f(x):\n    return x\n"),
        ('def f():\n    """Says\nso at the margin.\n    """\nDone.', 'def f():\n    """Says\nso at the margin.\n    """'),
        ("x, y = 1, 2\n\ndef f(): return x", "x, y = 1, 2\n\ndef f(): return x"),
        ("I do not know.", "I do not know."),
    ],
)  # fmt: skip
def test_code_is_found(text: str, code: str) -> None:
    assert extract_code(text, name="f") == code

"""Programs that want a verdict they did not earn. None may score, whatever it does to its own interpreter, and none may hold up or
break the judge."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from groundup.core.types import Completion, TaskExample, Usage
from groundup.sandbox import Limits, available_tiers, run_python
from groundup.tasks.code import CodeTest, judge_code, judge_source

pytestmark = [pytest.mark.row("12.3"), pytest.mark.faults]

FOLDER = Path(__file__).parent / "sandbox_programs" / "cheats"
CHEATS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".py", ".txt"))
LIMITS = Limits(seconds=20, cpu_seconds=1, memory_bytes=256 << 20, output_bytes=1 << 16, file_bytes=1 << 20)


@pytest.fixture(scope="module", autouse=True)
def isolated() -> None:
    if missing := available_tiers()["isolated"]:
        pytest.skip(f"the isolated tier is not to be had here: {missing}")


@pytest.fixture
def tests() -> list[CodeTest]:
    """Three hidden sums, drawn anew from the seed printed, none of them 1, 7 or 0."""
    seed = random.randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    lists = [[rng.randint(100, 999) for _ in range(rng.randint(3, 9))] for _ in range(3)]
    return [CodeTest(calls=(f"mystery({numbers!r})",), expected=repr(sum(numbers))) for numbers in lists]


@pytest.mark.parametrize("name", CHEATS)
def test_cheat_does_not_pass(name: str, tests: list[CodeTest]) -> None:
    verdict = judge_source((FOLDER / name).read_text(), tests, limits=LIMITS)
    assert verdict.score == 0.0, verdict
    assert verdict.details["passed"] == 0, verdict
    assert verdict.reason


@pytest.mark.parametrize("name", CHEATS)
def test_cheat_does_not_pass_checks_made_elsewhere(name: str, tests: list[CodeTest]) -> None:
    """The same against assertions that are more than an equality, whose rest is evaluated in a second sandbox."""
    shown = [f"assert math.isclose({test.calls[0]}, {test.expected}, abs_tol=1e-9)" for test in tests]
    checks = [CodeTest.from_assert(text, {"mystery"}) for text in shown]
    assert all(check.check for check in checks)
    verdict = judge_source((FOLDER / name).read_text(), checks, limits=LIMITS)
    assert verdict.score == 0.0 and verdict.details["passed"] == 0, verdict


def test_the_honest_program_passes_both(tests: list[CodeTest]) -> None:
    honest = "def mystery(numbers):\n    print('noise')\n    return sum(numbers)\n"
    assert judge_source(honest, tests, limits=LIMITS).score == 1.0
    check = CodeTest.from_assert(f"assert math.isclose({tests[0].calls[0]}, {tests[0].expected})", {"mystery"})
    assert judge_source(honest, [check], limits=LIMITS).score == 1.0


def test_expected_values_never_enter(tests: list[CodeTest]) -> None:
    """A program that hands out all it can find of its interpreter's objects finds its calls there, and no expected value."""
    spy = (
        "import gc\n"
        "def mystery(numbers):\n"
        "    texts = [t for thing in gc.get_objects() for t in (thing if isinstance(thing, (list, tuple)) else ())]\n"
        "    texts += [t for thing in gc.get_objects() if isinstance(thing, dict) for t in thing.values()]\n"
        "    return sorted({t for t in texts if isinstance(t, str) and len(t) < 500})\n"
    )
    from groundup.sandbox import as_source, evaluate

    value = evaluate(spy, [test.calls[0] for test in tests], limits=LIMITS).values[0]
    assert value[0] == "value", value
    found = as_source(value[1])
    assert tests[1].calls[0] in found, "the spy does not see what is there"
    assert not any(repr(test.expected) in found for test in tests)


def test_forged_lines_gain_no_more_than_right_answers(tests: list[CodeTest]) -> None:
    """Whoever writes the channel must know the values; lines beyond the number of calls are not read."""
    forged = 'import os\nos.write(3, b\'["value", ["int", "0x7"]]\\n\' * 100)\nos._exit(0)'
    assert judge_source(forged, tests, limits=LIMITS).details["passed"] == 0


def test_completion_without_code_scores_nothing(tests: list[CodeTest]) -> None:
    example = TaskExample(
        id="x", prompt="", meta={"name": "mystery", "tests": [test.to_row() for test in tests], "setup": ""}
    )
    usage = Usage(prompt_tokens=0, completion_tokens=0)
    for text in ("", "   \n", "I cannot do that.", "```python\n```", "```"):
        completion = Completion(text=text, token_ids=(), logprobs=(), finish_reason="stop", usage=usage)
        assert judge_code(example, completion).score == 0.0


def test_one_program_leaves_nothing_for_the_next() -> None:
    first = run_python(
        "import builtins, json\nopen('/tmp/left', 'w').write('x')\nbuiltins.left = json.left = 1\nprint(1)",
        limits=LIMITS,
    )
    assert first.reason == "ok"
    second = run_python(
        "import builtins, json, os\nprint(os.listdir('/tmp'), hasattr(builtins, 'left'), hasattr(json, 'left'))",
        limits=LIMITS,
    )
    assert second.stdout.strip() == "[] False False"

"""Small Python functions to be written from a description, with a difficulty dial and tests that are not shown.

Three kinds: `numbers` (a list of whole numbers, step by step), `words` (the words of a sentence, step by step), `loops` (a running total
over 1 to n). Difficulty 1 to 10 is the number of steps, 1 to 5, and how long the inputs are. Expected results come from a second
definition of every step (`steps.py`), in this process; nothing of them reaches the program under test.

Splits, numbering and random streams are those of `groundup.tasks.problems.task`: no two splits share a function.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...core.errors import ConfigError, DataError
from ...core.types import Completion, TaskExample, Verdict
from ..problems.kind import HARDEST, dial
from ..problems.task import _DRAWS, _SHARES, SPLITS, bucket
from .judging import LIMITS, CodeTest, judge_code, judge_many
from .steps import Step, loop_step, number_end, number_step, word_end, word_step

Kind = Literal["numbers", "words", "loops"]

_WORDS = (
    "river", "stone", "Apple", "little", "orange", "Train", "window", "green", "teacher", "island", "Morning",
    "paper", "silver", "garden", "small", "light", "Rain", "letter", "after", "seven", "market", "yellow",
    "Horse", "apple", "tea", "old", "sun", "Ink", "area", "noon", "level",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PythonFunctionsConfig:
    """Generated functions, judged by running them in the sandbox's isolated tier."""

    kinds: tuple[Kind, ...] = ("numbers", "words", "loops")
    """What is drawn from, each as likely."""
    difficulty: tuple[int, int] = (1, 3)
    """Lowest and highest difficulty of train, validation and test, each as likely."""
    harder: tuple[int, int] = (4, 5)
    """Those of the split `harder`."""
    num_examples: int = 2
    """Calls with their results in the prompt."""
    num_tests: int = 8
    """Calls that are judged, none of them shown. The first has an empty or smallest input."""
    cpu_seconds: float = 2.0
    """Computing that a solution may take for all its tests."""
    type: Literal["python_functions"] = "python_functions"

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ConfigError("needs at least one of numbers, words, loops", path="kinds")
        for name in ("difficulty", "harder"):
            low, high = getattr(self, name)
            if not 1 <= low <= high <= HARDEST:
                raise ConfigError(f"must be a low and a high value from 1 to {HARDEST}, not {[low, high]}", path=name)
        if self.num_examples < 0:
            raise ConfigError(f"must be at least 0, not {self.num_examples}", path="num_examples")
        if self.num_tests < 1:
            raise ConfigError(f"must be at least 1, not {self.num_tests}", path="num_tests")
        if self.cpu_seconds <= 0:
            raise ConfigError(f"must be more than 0, not {self.cpu_seconds}", path="cpu_seconds")

    def fingerprint(self) -> str:
        return ""

    def build(self, *, split: str, seed: int, count: int, root: Path | None = None) -> PythonFunctions:
        return PythonFunctions(self, split=split, seed=seed, count=count)


class PythonFunctions:
    """See the module. `count` is how many problems `examples()` gives; `example()` has no end."""

    def __init__(self, config: PythonFunctionsConfig, *, split: str = "train", seed: int = 0, count: int = 100) -> None:
        if split not in SPLITS:
            raise ConfigError(f"there is no split {split!r}; there are {', '.join(SPLITS)}", path="split")
        self.config, self.split, self.seed, self.count = config, split, seed, count
        self._limits = replace(LIMITS, cpu_seconds=config.cpu_seconds, seconds=10 * config.cpu_seconds)

    def examples(self) -> Iterator[TaskExample]:
        return (self.example(index) for index in range(self.count))

    def example(self, index: int, *, difficulty: int | None = None) -> TaskExample:
        """Problem `index`, the same at every call. DataError where the split has no function of this kind and difficulty."""
        rng = random.Random(f"{self.seed}/{self.split}/{index}")
        kind = rng.choice(self.config.kinds)
        drawn = rng.randint(*(self.config.harder if self.split == "harder" else self.config.difficulty))
        drawn = drawn if difficulty is None else difficulty
        for _ in range(_DRAWS):
            function = _function(kind, rng, drawn)
            if bucket(function.key) in _SHARES[self.split]:
                break
        else:
            raise DataError(
                f"too few different functions on {kind} at difficulty {drawn}: none for the split {self.split!r}",
                hint="raise the difficulty",
            )
        inputs = _inputs(kind, rng, drawn, self.config.num_examples + self.config.num_tests)
        calls = [(f"{function.name}({value!r})", repr(function.result(value))) for value in inputs]
        # The empty input, first of all, is a test and not an example.
        shown, hidden = calls[1 : 1 + self.config.num_examples], [calls[0], *calls[1 + self.config.num_examples :]]
        examples = "".join(f"\n{call} == {result}" for call, result in shown)
        text = function.question + (f"\nFor example:{examples}" if shown else "")
        meta: dict[str, Any] = {
            "kind": f"python_{kind}",
            "difficulty": drawn,
            "solution": f"```python\n{function.code}\n```",
            "key": function.key,
            "name": function.name,
            "tests": [CodeTest(calls=(call,), expected=result).to_row() for call, result in hidden],
        }
        suffix = "" if difficulty is None else f"@{difficulty}"
        return TaskExample(
            id=f"{self.split}:{index}{suffix}",
            prompt=[{"role": "user", "content": text}],
            answer=function.code,
            meta=meta,
        )

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        return judge_code(example, completion, limits=self._limits)

    def score_many(self, pairs: Sequence[tuple[TaskExample, Completion]], *, workers: int = 2) -> list[Verdict]:
        """`score` for many completions, `workers` programs at a time."""
        return judge_many(pairs, limits=self._limits, workers=workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    name: str
    question: str
    code: str
    kind: Kind
    steps: tuple[Step, ...]
    start: int = 0

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.start}:" + "/".join(f"{step.short}:{step.told}" for step in self.steps)

    def result(self, value: Any) -> Any:
        if self.kind == "loops":
            total = self.start
            for i in range(1, value + 1):
                for step in self.steps:
                    total = step.apply((total, i))
            return total
        value = list(value) if self.kind == "numbers" else value.split()
        for step in self.steps:
            value = step.apply(value)
        return value


def _function(kind: Kind, rng: random.Random, difficulty: int) -> _Function:
    count = dial((1, 5), difficulty)
    if kind == "loops":
        start = rng.randint(0, 9)
        steps = tuple(_distinct(loop_step, rng, count))
        name = _name("total", steps)
        told = "".join(f"\n- {step.told}" for step in steps)
        question = (
            f"Write a Python function `{name}(n)` that keeps a total, starting at {start}. For each i from 1 to n, in this order:"
            f"{told}\nThen it returns the total."
        )
        lines = [f"def {name}(n):", f"    total = {start}", "    for i in range(1, n + 1):"]
        lines += [f"    {line}" for step in steps for line in step.lines]
        lines.append("    return total")
        return _Function(name=name, question=question, code="\n".join(lines), kind=kind, steps=steps, start=start)
    make, end, variable, given, first = {
        "numbers": (number_step, number_end, "numbers", "a list of whole numbers", ()),
        "words": (word_step, word_end, "words", "a text", ("words = text.split()",)),
    }[kind]
    argument = "numbers" if kind == "numbers" else "text"
    steps = (*_distinct(make, rng, count), end(rng))
    name = _name("", steps)
    told = "".join(f"\n- {step.told}" for step in steps)
    splits = " and splits it into words at white space" if kind == "words" else ""
    question = (
        f"Write a Python function `{name}({argument})` that takes {given}{splits}. In this order, it should{told}"
    )
    body = [*first, *(line.replace("{v}", variable) for step in steps for line in step.lines)]
    code = "\n".join((f"def {name}({argument}):", *(f"    {line}" for line in body)))
    return _Function(name=name, question=question, code=code, kind=kind, steps=steps)


def _distinct(make: Any, rng: random.Random, count: int) -> list[Step]:
    """`count` steps, none twice in a row: keeping the even numbers twice is one step."""
    steps: list[Step] = []
    while len(steps) < count:
        step = make(rng)
        if not steps or steps[-1].short.partition("_")[0] != step.short.partition("_")[0]:
            steps.append(step)
    return steps


def _name(first: str, steps: tuple[Step, ...]) -> str:
    """The first and last steps: long names would tell a model with few tokens nothing more."""
    parts = [first] if first else []
    parts += [steps[0].short, *([steps[-1].short] if len(steps) > 1 else [])]
    return "_".join(parts)


def _inputs(kind: Kind, rng: random.Random, difficulty: int, count: int) -> list[Any]:
    """Inputs, all different, the empty or smallest one first."""
    longest = dial((6, 12), difficulty)
    made: dict[str, Any] = {}
    if kind == "loops":
        numbers = [0, *rng.sample(range(1, max(4 * longest, 2 * count)), count - 1)]
        return numbers[:count]
    empty: Any = [] if kind == "numbers" else ""
    made[repr(empty)] = empty
    while len(made) < count:
        length = rng.randint(2, longest)
        if kind == "numbers":
            value: Any = [rng.randint(-20, 99) for _ in range(length)]
            value[rng.randrange(length)] = value[0]  # equal numbers, so that the steps about them show
        else:
            value = " ".join(rng.choice(_WORDS) for _ in range(length))
        made[repr(value)] = value
    return list(made.values())

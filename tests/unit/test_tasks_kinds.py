"""Each kind of problem, worked out again here from its question alone."""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from groundup.core.types import Completion, Usage
from groundup.tasks.judge import judge
from groundup.tasks.problems.comparison import ComparisonConfig
from groundup.tasks.problems.counting import CountingConfig
from groundup.tasks.problems.dates import DatesConfig
from groundup.tasks.problems.kind import Problem
from groundup.tasks.problems.lists import ListsConfig
from groundup.tasks.problems.logic import LogicConfig
from groundup.tasks.problems.task import SPLITS, ProblemsConfig
from groundup.tasks.problems.units import UnitsConfig
from groundup.tasks.registry import build_task

KINDS = (ComparisonConfig(), CountingConfig(), DatesConfig(), UnitsConfig(), LogicConfig(), ListsConfig())
MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def said(text: str) -> Completion:
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    return Completion(text=text, token_ids=(), logprobs=(), finish_reason="stop", usage=usage)


def numbers(text: str) -> list[Fraction]:
    return [Fraction(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text)]


def comparison(q: str, p: Problem) -> str:
    found = re.findall(r"-?\d+(?:\.\d+)?", q)
    order = sorted(found, key=Fraction)
    if "second largest" in q:
        return order[-2]
    if "largest to smallest" in q or "falling" in q:
        return ", ".join(order[::-1])
    if "smallest to largest" in q or "rising" in q:
        return ", ".join(order)
    return order[0] if "smallest" in q or "least" in q else order[-1]


def counting(q: str, p: Problem) -> str:
    quoted = re.findall(r'"([a-z]+)"', q)
    if "vowels" in q:
        return str(sum(letter in "aeiou" for word in quoted for letter in word))
    if "letter" in q or "often" in q:
        letter, *words = quoted
        return str(sum(word.count(letter) for word in words))
    things = re.findall(r"a (\w+) (\w+)", q)
    named = re.search(r"(\w+) things|fruits|animals|tools|clothes", q)
    assert named
    if named[1]:
        return str(sum(colour == named[1] for colour, _ in things))
    members = {
        "fruits": "apple pear plum cherry grape lemon melon peach mango banana",
        "animals": "cat dog horse rabbit sheep tiger eagle salmon spider otter",
        "tools": "hammer saw drill spade ladder brush pliers chisel wrench file",
        "clothes": "coat scarf glove shirt sock jumper skirt boot belt hat",
    }
    return str(sum(thing in members[named[0]].split() for _, thing in things))


def date_of(text: str) -> datetime.date:
    day, month, year = text.split()
    return datetime.date(int(year), MONTHS.index(month) + 1, int(day))


def dates(q: str, p: Problem) -> str:
    found = [date_of(m) for m in re.findall(r"\d+ [A-Z][a-z]+ \d{4}", q)]
    if not found:
        today = next(i for i, day in enumerate(DAYS) if day in q)
        return DAYS[(today + int(re.findall(r"\d+", q)[0])) % 7]
    if len(found) == 2:
        return str(abs((found[0] - found[1]).days))
    days = int(re.search(r"(\d+) days?", q)[1])  # type: ignore[index]
    end = found[0] + datetime.timedelta(-days if "before" in q else days)
    return f"{end.day} {MONTHS[end.month - 1]} {end.year}"


SIZES = {
    "km": 1000000, "m": 1000, "dm": 100, "cm": 10, "mm": 1, "t": 10**9, "kg": 10**6, "g": 1000, "mg": 1, "week": 604800,
    "day": 86400, "hour": 3600, "minute": 60, "second": 1, "l": 1000, "dl": 100, "cl": 10, "ml": 1,
}  # fmt: skip


def units(q: str, p: Problem) -> str:
    given = re.findall(r"(\d+(?:\.\d+)?) ([a-z]+)", q)
    total = sum(Fraction(n) * SIZES[u.rstrip("s") or u] for n, u in given)
    target = re.search(r"How many (\w+) are", q) or re.search(r"(?:to|in) (\w+)[.?]$", q)
    assert target
    value = total / SIZES[target[1].rstrip("s")]
    return str(value.numerator) if value.denominator == 1 else str(float(value))


def logic(q: str, p: Problem) -> str:
    if '"' in q:
        formula = re.search(r'"(.*)"', q)
        values = {name: word == "true" for name, word in re.findall(r"([PQRS]) is (true|false)", q)}
        assert formula and re.fullmatch(r"(?:[PQRS() ]|and|or|not)+", formula[1])
        return "true" if eval(formula[1], {"__builtins__": {}}, values) else "false"
    more = {}
    for a, word, b in re.findall(r"(\w+) is (\w+) than (\w+)", q):
        up, down = (a, b) if word in ("taller", "older", "faster") else (b, a)
        more[up] = down
    top = (set(more) - set(more.values())).pop()
    order = [top]
    while order[-1] in more:
        order.append(more[order[-1]])
    if match := re.search(r"number (\d+) from the", q):
        return order[int(match[1]) - 1]
    return order[0] if re.search(r"the (tallest|oldest|fastest)\?", q) else order[-1]


def lists(q: str, p: Problem) -> str:
    found = re.findall(r"\b(?:\d+|[a-z]+)\b(?=, )|(?<=, )\b(?:\d+|[a-z]+)\b", q)
    shown = p.key.partition(": ")[2]
    assert shown in q
    items = shown.split(", ")
    assert set(items) <= {*found, *items}
    if "Reverse" in q or "reverse" in q:
        return ", ".join(items[::-1])
    if "Add up" in q or "sum of" in q:
        kept = [int(i) for i in items if ("even" not in q or int(i) % 2 == 0) and ("odd" not in q or int(i) % 2)]
        return str(sum(kept))
    if "repeats" in q or "second time" in q:
        return ", ".join(dict.fromkeys(items))
    if match := re.search(r"to the end,? (once|\d+ times)", q):
        k = 1 if match[1] == "once" else int(match[1].split()[0])
        return ", ".join(items[k:] + items[:k])
    ordinals = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
    if match := re.search(r"the (\w+) item", q):
        place = ordinals.index(match[1])
        return (items[::-1] if "from the end" in q else items)[place]
    if match := re.search(r"above (\d+)", q):
        return ", ".join(i for i in items if int(i) > int(match[1])) or "none"
    return ", ".join(i for i in items if int(i) % 2 == ("odd" in q)) or "none"


AGAIN: dict[str, Callable[[str, Problem], str]] = {
    "comparison": comparison, "counting": counting, "dates": dates, "units": units, "logic": logic, "lists": lists,
}  # fmt: skip


@pytest.mark.row("12.7")
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.type)
@pytest.mark.parametrize("difficulty", [1, 3, 5, 8, 10])
def test_worked_out_again_from_the_question(kind: Any, difficulty: int) -> None:
    for seed in range(60):
        problem = kind.make(random.Random(f"{seed}/{difficulty}"), difficulty)
        assert AGAIN[kind.type](problem.question, problem) == problem.answer, problem
        for long in (False, True):
            solution = problem.solution(long=long)
            assert solution.endswith(f"Answer: {problem.answer}")
            assert judge(said(solution), problem.answer).score == 1.0, problem
            other = kind.make(random.Random(f"other/{seed}"), difficulty)
            if other.answer.casefold() != problem.answer.casefold():
                assert judge(said(other.solution(long=long)), problem.answer).score == 0.0, (problem, other)


@pytest.mark.row("12.7")
@pytest.mark.parametrize("kind", [UnitsConfig(), ListsConfig(), CountingConfig()], ids=lambda k: k.type)
def test_sums_in_the_steps_are_true(kind: Any) -> None:
    checked = 0
    for seed in range(200):
        problem = kind.make(random.Random(seed), 1 + seed % 10)
        for line in (*problem.steps, *problem.long_steps):
            for left, right in re.findall(r"((?:\d[\d.]* [-+*/] )+\d[\d.]*) = (\d+(?:\.\d+)?)", line):
                checked += 1
                value = eval(re.sub(r"(\d[\d.]*)", r"Fraction('\1')", left), {"Fraction": Fraction})
                assert value == Fraction(right), line
    assert checked > 30


@pytest.mark.row("12.7")
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.type)
def test_harder_problems_are_longer_to_work_out(kind: Any) -> None:
    def length(difficulty: int) -> float:
        made = [kind.make(random.Random(seed), difficulty) for seed in range(100)]
        return sum(len(p.solution(long=False)) for p in made) / 100

    assert length(1) < length(5) < length(10)


def test_every_kind_has_several_phrasings() -> None:
    for kind in KINDS:
        openings = {" ".join(kind.make(random.Random(seed), 2).question.split()[:2]) for seed in range(100)}
        assert len(openings) >= 3, (kind.type, openings)


@pytest.mark.row("12.3")
def test_all_kinds_in_one_task_and_no_problem_in_two_splits() -> None:
    config = ProblemsConfig(kinds=KINDS, difficulty=(2, 5), harder=(4, 8), style="mixed")
    seen: dict[str, str] = {}
    for split in SPLITS:
        task = build_task(config, split=split, seed=9, count=120)
        kinds = set()
        for example in task.examples():
            kinds.add(example.meta["kind"])
            assert seen.setdefault(" ".join(str(example.prompt[0]).split()).casefold(), split) == split
            assert task.score(example, said(example.meta["solution"])).score == 1.0
        assert kinds == {k.type for k in KINDS}

"""Small logic: truth of a formula for given values, and who is tallest or stands between in a chain of comparisons."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from .kind import Problem, check_pair, check_weight, dial, listed
from .vocabulary import PEOPLE

Question = Literal["formula", "order"]
_FORMULA = (
    "{v}. Is {f} true or false?",
    "Given that {v}: true or false, {f}?",
    "Suppose {v}. What is the truth value of {f}?",
)
# What is compared: most, least, and the two words of a single statement.
_SCALES = (
    ("tallest", "shortest", "taller", "shorter"),
    ("oldest", "youngest", "older", "younger"),
    ("fastest", "slowest", "faster", "slower"),
)
_WHO = ("Who is the {x}?", "Which of them is the {x}?")


@dataclass(frozen=True, kw_only=True)
class LogicConfig:
    """Formulas and orders. Difficulty: how many connectives a formula has, how many people an order has."""

    questions: tuple[Question, ...] = ("formula", "order")
    num_connectives: tuple[int, int] = (1, 7)
    """At difficulty 1 and at 10."""
    num_people: tuple[int, int] = (3, 8)
    """At difficulty 1 and at 10."""
    weight: float = 1.0
    type: Literal["logic"] = "logic"

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_pair(self.num_connectives, "num_connectives", most=20)
        check_pair(self.num_people, "num_people", least=2, most=len(PEOPLE))

    def make(self, rng: random.Random, difficulty: int) -> Problem:
        if rng.choice(self.questions) == "formula":
            return self._formula(rng, dial(self.num_connectives, difficulty))
        return self._order(rng, dial(self.num_people, difficulty))

    def _formula(self, rng: random.Random, connectives: int) -> Problem:
        letters = "PQRS"[: min(4, 2 + connectives // 3)]
        values = {letter: rng.random() < 0.5 for letter in letters}
        steps: list[str] = []
        long: list[str] = []

        def part(size: int) -> tuple[str, bool]:
            """A formula with `size` connectives and its truth; adds its steps."""
            if size == 0:
                letter = rng.choice(letters)
                return letter, values[letter]
            word = rng.choice(("and", "or", "not"))
            if word == "not":
                text, truth = part(size - 1)
                whole, result = f"not {text}", not truth
                reduced = f"not {_word(truth)}"
            else:
                left = rng.randrange(size)
                (a, x), (b, y) = part(left), part(size - 1 - left)
                whole, result = f"({a} {word} {b})", (x and y) if word == "and" else (x or y)
                reduced = f"{_word(x)} {word} {_word(y)}"
            steps.append(f"{whole}: {reduced} = {_word(result)}")
            long.append(f"{whole} is {reduced}, which is {_word(result)}.")
            return whole, result

        formula, truth = part(connectives)
        used = [letter for letter in letters if letter in formula]
        given = listed([f"{letter} is {_word(values[letter])}" for letter in used])
        shown = formula[1:-1] if formula.startswith("(") and _one_bracket(formula) else formula
        return Problem(
            question=rng.choice(_FORMULA).format(v=given, f=f"{shown!r}".replace("'", '"')),
            answer=_word(truth),
            key=f"logic {given}: {formula}",
            steps=tuple(steps),
            long_steps=tuple(long),
        )

    def _order(self, rng: random.Random, count: int) -> Problem:
        people = rng.sample(PEOPLE, count)  # from the most to the least
        most, least, more, less = rng.choice(_SCALES)
        told = []
        for a, b in pairwise(people):
            told.append(f"{a} is {more} than {b}" if rng.random() < 0.5 else f"{b} is {less} than {a}")
        rng.shuffle(told)
        rank = rng.randrange(count) if count > 2 and rng.random() < 0.3 else rng.choice((0, count - 1))
        wanted = {0: most, count - 1: least}.get(rank) or f"number {rank + 1} from the {most}"
        chain = " > ".join(people)
        story = ". ".join(told)
        return Problem(
            question=f"{story}. {rng.choice(_WHO).format(x=wanted)}",
            answer=people[rank],
            key=f"logic {wanted}: {story}",
            steps=(chain,),
            long_steps=(
                *(f"{a} is {more} than {b}." for a, b in pairwise(people)),
                f"From the {most} to the {least}: {', '.join(people)}.",
            ),
        )


def _word(truth: bool) -> str:
    return "true" if truth else "false"


def _one_bracket(formula: str) -> bool:
    """The first bracket closes at the very end."""
    depth = 0
    for place, character in enumerate(formula):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return place == len(formula) - 1
    return False

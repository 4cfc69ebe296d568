"""Which number is the largest, the smallest, the second largest; how they are sorted."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from .kind import Problem, check_pair, check_weight, dial, dial_size, listed

_ASKED = {
    "largest": ("Which is the largest: {n}?", "Find the biggest of these numbers: {n}.", "What is the largest of {a}?"),
    "smallest": (
        "Which is the smallest: {n}?",
        "Find the least of these numbers: {n}.",
        "What is the smallest of {a}?",
    ),
    "second": ("Which is the second largest: {n}?", "What is the second largest of {a}?"),
    "ascending": ("Sort from smallest to largest: {n}.", "Put these in rising order: {n}."),
    "descending": ("Sort from largest to smallest: {n}.", "Put these in falling order: {n}."),
}
Question = Literal["largest", "smallest", "second", "ascending", "descending"]


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """Comparing and sorting. Difficulty: how many numbers, their size, and from 4 on decimals, from 6 on numbers below zero."""

    questions: tuple[Question, ...] = ("largest", "smallest", "second", "ascending", "descending")
    num_items: tuple[int, int] = (2, 8)
    """Numbers at difficulty 1 and at 10; the second largest is asked of at least three."""
    max_value: tuple[int, int] = (50, 9999)
    decimals: bool = True
    weight: float = 1.0
    type: Literal["comparison"] = "comparison"

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_pair(self.num_items, "num_items", least=2, most=20)
        check_pair(self.max_value, "max_value", least=40)

    def make(self, rng: random.Random, difficulty: int) -> Problem:
        asked = rng.choice(self.questions)
        count = max(dial(self.num_items, difficulty), 3 if asked == "second" else 2)
        limit = dial_size(self.max_value, difficulty)
        least = -limit if difficulty >= 6 else 0
        divisor = rng.choice((1, 10, 100)) if self.decimals and difficulty >= 4 else 1
        numbers = rng.sample(range(least, limit + 1), count)
        texts = {n: _text(n, divisor) for n in numbers}
        given = [texts[n] for n in numbers]
        if asked in ("ascending", "descending"):
            order = sorted(numbers, reverse=asked == "descending")
            answer = ", ".join(texts[n] for n in order)
            sign, word = (" > ", "larger") if asked == "descending" else (" < ", "smaller")
            steps: tuple[str, ...] = (sign.join(texts[n] for n in order),)
            long = tuple(f"{texts[a]} is {word} than {texts[b]}." for a, b in pairwise(order))
        else:
            answer, steps, long = self._one(asked, numbers, texts)
        question = rng.choice(_ASKED[asked]).format(n=", ".join(given), a=listed(given))
        return Problem(
            question=question, answer=answer, key=f"comparison {asked} {' '.join(given)}", steps=steps, long_steps=long
        )

    def _one(
        self, asked: str, numbers: list[int], texts: dict[int, str]
    ) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        best, steps, long = numbers[0], [], []
        smallest = asked == "smallest"
        for n in numbers[1:]:
            better = n < best if smallest else n > best
            steps.append(f"{texts[best]} {'>' if best > n else '<'} {texts[n]}")
            if better:
                best = n
            long.append(f"{steps[-1]}, so the {'smallest' if smallest else 'largest'} so far is {texts[best]}.")
        if asked == "second":
            rest = [n for n in numbers if n != best]
            answer = texts[max(rest)]
            steps.append(f"without {texts[best]} the largest is {answer}")
            long.append(f"Without {texts[best]} the largest is {answer}.")
            return answer, tuple(steps), tuple(long)
        return texts[best], tuple(steps), tuple(long)


def _text(number: int, divisor: int) -> str:
    """number / divisor as a decimal with as many places as the divisor has zeros."""
    if divisor == 1:
        return str(number)
    whole, part = divmod(abs(Fraction(number)), divisor)
    places = len(str(divisor)) - 1
    return f"{'-' if number < 0 else ''}{whole}.{int(part):0{places}d}"

"""Chains of + - * / over whole numbers, worked from left to right, one operation a line.

Each operation works on the result of the one before, so the brackets of a written expression always open at its left end:
(17 + 25) * 3 - 8. Division is drawn only where it comes out even. Precedence puzzles (2 + 3 * 4) are not made.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from ...core.errors import ConfigError
from .kind import Problem, check_pair, check_weight, dial, dial_size

Operator = Literal["+", "-", "*", "/"]

_EXPRESSION = ("What is {e}?", "Calculate {e}.", "Work out {e}.", "{e} = ?", "Find the value of {e}.")
_CHAIN = (
    "Start with {chain}. What do you get?",
    "Take {chain}. What is the result?",
    "I think of {chain}. What do I have now?",
)
_ORDERS = {
    "+": ("add {n}", "plus {n}"),
    "-": ("subtract {n}", "take away {n}"),
    "*": ("multiply by {n}", "times {n}"),
    "/": ("divide by {n}", "split into {n} equal parts and keep one"),
}
_SAID = {"+": "Add {n}", "-": "Subtract {n}", "*": "Multiply by {n}", "/": "Divide by {n}"}


@dataclass(frozen=True, kw_only=True)
class ArithmeticConfig:
    """Arithmetic in steps. Difficulty: number of operations, and size of the numbers."""

    operators: tuple[Operator, ...] = ("+", "-", "*")
    """What is drawn from; naming one twice makes it twice as likely."""
    num_operations: tuple[int, int] = (1, 6)
    """Operations at difficulty 1 and at 10."""
    max_operand: tuple[int, int] = (20, 999)
    """Largest number that is added or taken away, or begun with, at difficulty 1 and at 10."""
    max_factor: tuple[int, int] = (5, 12)
    """Largest number that is multiplied or divided by."""
    max_value: tuple[int, int] = (100, 9999)
    """No result on the way is above this."""
    negative: bool = False
    """Let results fall below zero."""
    in_words: float = 0.3
    """Share of problems told in words (start with 17, add 25 ...) and not as an expression."""
    weight: float = 1.0
    type: Literal["arithmetic"] = "arithmetic"

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if not self.operators:
            raise ConfigError("needs at least one of + - * /", path="operators")
        check_pair(self.num_operations, "num_operations")
        check_pair(self.max_factor, "max_factor", least=2)
        check_pair(self.max_operand, "max_operand", least=2)
        check_pair(self.max_value, "max_value", least=2)
        for operand, value in zip(self.max_operand, self.max_value):
            if value < operand:
                raise ConfigError(
                    f"{value} is below max_operand {operand}: no number could be begun with", path="max_value"
                )
        if not 0 <= self.in_words <= 1:
            raise ConfigError(f"must be from 0 to 1, not {self.in_words}", path="in_words")

    def make(self, rng: random.Random, difficulty: int) -> Problem:
        operand = dial_size(self.max_operand, difficulty)
        factor = dial_size(self.max_factor, difficulty)
        largest = dial_size(self.max_value, difficulty)
        start = value = rng.randint(1, operand)
        chain: list[tuple[str, int, int]] = []
        for _ in range(dial(self.num_operations, difficulty)):
            sign, number = self._next(rng, value, operand, factor, largest)
            value = _apply(value, sign, number)
            chain.append((sign, number, value))
        expression = _written(start, chain)
        if rng.random() < self.in_words:
            told = ", ".join([str(start), *(rng.choice(_ORDERS[sign]).format(n=n) for sign, n, _ in chain)])
            question = rng.choice(_CHAIN).format(chain=told)
        else:
            question = rng.choice(_EXPRESSION).format(e=expression)
        steps, long_steps, before = [], [f"Start with {start}."], start
        for sign, number, after in chain:
            steps.append(f"{before} {sign} {number} = {after}")
            long_steps.append(f"{_SAID[sign].format(n=number)}: {before} {sign} {number} = {after}.")
            before = after
        return Problem(
            question=question,
            answer=str(value),
            key=f"arithmetic {expression}",
            steps=tuple(steps),
            long_steps=tuple(long_steps),
        )

    def _next(self, rng: random.Random, value: int, operand: int, factor: int, largest: int) -> tuple[str, int]:
        """A random operator among those that have a number which keeps the result in bounds, and such a number."""
        sign: str
        for sign in rng.sample(self.operators, len(self.operators)):
            numbers = self._numbers(sign, value, operand, factor, largest)
            if numbers:
                return sign, rng.choice(numbers)
        # Nothing fits (at the top with only + or *, say): one step back towards zero.
        step = rng.randint(1, max(1, min(operand, abs(value))))
        return ("-", step) if value > 0 else ("+", step)

    def _numbers(self, sign: str, value: int, operand: int, factor: int, largest: int) -> range | list[int]:
        least = -largest if self.negative else 0
        if sign == "+":
            return range(1, min(operand, largest - value) + 1)
        if sign == "-":
            return range(1, min(operand, value - least) + 1)
        if sign == "*":
            return range(2, min(factor, largest // abs(value) if value else factor) + 1)
        return [n for n in range(2, factor + 1) if value and value % n == 0]


def _apply(value: int, sign: str, number: int) -> int:
    if sign == "+":
        return value + number
    if sign == "-":
        return value - number
    return value * number if sign == "*" else value // number


def _written(start: int, chain: list[tuple[str, int, int]]) -> str:
    """The chain as an expression with the brackets that its order needs."""
    text, loose = str(start), False
    for sign, number, _ in chain:
        if sign in "*/" and loose:
            text = f"({text})"
        text = f"{text} {sign} {number}"
        loose = sign in "+-"
    return text

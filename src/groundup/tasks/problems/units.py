"""Changing units of length, mass, time and volume: 3 km in m, 2 hours 15 minutes in minutes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from .kind import Problem, check_pair, check_weight, dial_size

# Units of each kind from large to small, with how many of the next one each holds.
_CHAINS: dict[str, tuple[tuple[str, int], ...]] = {
    "length": (("km", 1000), ("m", 10), ("dm", 10), ("cm", 10), ("mm", 1)),
    "mass": (("t", 1000), ("kg", 1000), ("g", 1000), ("mg", 1)),
    "time": (("weeks", 7), ("days", 24), ("hours", 60), ("minutes", 60), ("seconds", 1)),
    "volume": (("l", 10), ("dl", 10), ("cl", 10), ("ml", 1)),
}
_ASKED = ("How many {u} are {q}?", "Convert {q} to {u}.", "Write {q} in {u}.", "What is {q} in {u}?")


@dataclass(frozen=True, kw_only=True)
class UnitsConfig:
    """Changing units. Difficulty: how large the number is, how many units apart the two are (one more at 4 and at 8), and from 5
    on two units together (2 hours 15 minutes).
    """

    quantities: tuple[Literal["length", "mass", "time", "volume"], ...] = ("length", "mass", "time", "volume")
    max_value: tuple[int, int] = (20, 500)
    """Largest number of the larger unit, at difficulty 1 and at 10."""
    weight: float = 1.0
    type: Literal["units"] = "units"

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_pair(self.max_value, "max_value", least=2)

    def make(self, rng: random.Random, difficulty: int) -> Problem:
        chain = _CHAINS[rng.choice(self.quantities)]
        apart = rng.randint(1, min(1 + difficulty // 4, len(chain) - 1))
        high = rng.randrange(len(chain) - apart)
        low = high + apart
        number = rng.randint(1, dial_size(self.max_value, difficulty))
        if difficulty >= 5 and rng.random() < 0.5:
            return self._together(rng, chain, high, low, number)
        if rng.random() < 0.5:
            return self._down(rng, chain, high, low, number)
        return self._up(rng, chain, high, low, number)

    def _down(
        self, rng: random.Random, chain: tuple[tuple[str, int], ...], high: int, low: int, number: int
    ) -> Problem:
        steps, long, value = _multiplied(chain, high, low, number)
        return _problem(rng, _said(number, chain[high][0]), chain[low][0], str(value), steps, long)

    def _up(self, rng: random.Random, chain: tuple[tuple[str, int], ...], high: int, low: int, number: int) -> Problem:
        """From the small unit to the large one; the result is a whole number, or has a half."""
        value = Fraction(number) / rng.choice((1, 1, 2))
        factor = 1
        for _, size in chain[high:low]:
            factor *= size
        if (value * factor).denominator != 1:
            value = Fraction(number)
        here, steps, long = value * factor, [], []
        start = here
        for place in range(low - 1, high - 1, -1):
            size = chain[place][1]
            steps.append(f"{_decimal(here)} / {size} = {_decimal(here / size)}")
            long.append(f"{size} {chain[place + 1][0]} make one of {chain[place][0]}: {steps[-1]}.")
            here /= size
        return _problem(rng, _said(start, chain[low][0]), chain[high][0], _decimal(value), steps, long)

    def _together(
        self, rng: random.Random, chain: tuple[tuple[str, int], ...], high: int, low: int, number: int
    ) -> Problem:
        extra = rng.randint(1, chain[low - 1][1] - 1)
        steps, long, value = _multiplied(chain, high, low, number)
        steps.append(f"{value} + {extra} = {value + extra}")
        long.append(f"And {extra} more: {steps[-1]}.")
        given = f"{_said(number, chain[high][0])} and {_said(extra, chain[low][0])}"
        return _problem(rng, given, chain[low][0], str(value + extra), steps, long)


def _multiplied(
    chain: tuple[tuple[str, int], ...], high: int, low: int, number: int
) -> tuple[list[str], list[str], int]:
    steps, long, value = [], [], number
    for place in range(high, low):
        name, size = chain[place]
        steps.append(f"{value} * {size} = {value * size}")
        long.append(f"One of {name} is {size} {chain[place + 1][0]}: {steps[-1]}.")
        value *= size
    return steps, long, value


def _problem(rng: random.Random, given: str, unit: str, answer: str, steps: list[str], long: list[str]) -> Problem:
    return Problem(
        question=rng.choice(_ASKED).format(q=given, u=unit),
        answer=answer,
        key=f"units {given} in {unit}",
        steps=tuple(steps),
        long_steps=tuple(long),
    )


def _said(number: Fraction | int, unit: str) -> str:
    return f"{_decimal(Fraction(number))} {unit[:-1] if number == 1 and unit.endswith('s') else unit}"


def _decimal(number: Fraction) -> str:
    """Exact: every division here ends, or is not written."""
    if number.denominator == 1:
        return str(number.numerator)
    text = f"{float(number):.12f}".rstrip("0").rstrip(".")
    return text if Fraction(text) == number else f"{number.numerator}/{number.denominator}"

"""What a kind of problem is: a config that makes problems from a random stream and a difficulty.

The difficulty runs from 1 to 10. What it turns is written in each kind's docstring; a field that holds a pair is what the
dial goes through, from the first value at difficulty 1 to the second at 10. A value above 10 goes on at the same pace.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ...core.errors import ConfigError

HARDEST = 10
ANSWER = "Answer:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem with its exact answer and two ways to write how it is worked out."""

    question: str
    answer: str
    key: str
    """What is asked, apart from how it is phrased: problems with one key are one problem, and stand in one split only."""
    steps: tuple[str, ...]
    """Lines that lead to the answer, as short as they can be."""
    long_steps: tuple[str, ...]
    """The same with more words to each step."""

    def solution(self, *, long: bool) -> str:
        """The steps, one a line, and the answer on a line of its own."""
        return "\n".join((*(self.long_steps if long else self.steps), f"{ANSWER} {self.answer}"))


class ProblemKind(Protocol):
    """A kind of problem. The user's own (`use: mine.py:MyKind`) has the same three."""

    @property
    def type(self) -> str:
        """Name of the kind, as it stands in every example's meta."""
        ...

    @property
    def weight(self) -> float:
        """How often this kind is drawn, relative to the others."""
        ...

    def make(self, rng: random.Random, difficulty: int) -> Problem:
        """A problem drawn from `rng` alone: the same stream and difficulty give the same problem."""
        ...


def dial(pair: tuple[int, int], difficulty: int) -> int:
    """The whole number at `difficulty` on a straight line from pair[0] at 1 to pair[1] at 10; at least the smaller."""
    first, last = pair
    value = first + (last - first) * (difficulty - 1) / (HARDEST - 1)
    return max(min(pair), int(value + 0.5))


def dial_size(pair: tuple[int, int], difficulty: int) -> int:
    """The same in equal ratios: for sizes of numbers, where from 9 to 99 is as far as from 99 to 999."""
    first, last = pair
    value = first * (last / first) ** ((difficulty - 1) / (HARDEST - 1))
    return max(min(pair), int(value + 0.5))


def check_weight(weight: float) -> None:
    if not weight > 0:
        raise ConfigError(
            f"must be more than zero, not {weight}", path="weight", hint="leave the kind out of `kinds` instead"
        )


def check_pair(pair: tuple[int, int], name: str, *, least: int = 1, most: int | None = None) -> None:
    """ConfigError unless both ends are at least `least` (and at most `most`)."""
    if min(pair) < least or (most is not None and max(pair) > most):
        limit = f"at least {least}" + (f" and at most {most}" if most is not None else "")
        raise ConfigError(f"both values must be {limit}, not {list(pair)}", path=name)


def listed(items: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"

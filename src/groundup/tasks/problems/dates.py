"""Dates: the date after so many days, days between two dates, the weekday after so many days. The Gregorian calendar."""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass
from typing import Literal

from .kind import Problem, check_pair, check_weight, dial_size

Question = Literal["after", "before", "between", "weekday"]
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ASKED = {
    "after": ("What is the date {n} days after {a}?", "Which date comes {n} days after {a}?"),
    "before": ("What is the date {n} days before {a}?", "Which date was {n} days before {a}?"),
    "between": ("How many days are there from {a} to {b}?", "How many days after {a} is {b}?"),
    "weekday": (
        "Today is {a}. Which weekday is it in {n} days?",
        "If today is {a}, what day will it be {n} days from now?",
    ),
}


@dataclass(frozen=True, kw_only=True)
class DatesConfig:
    """Reckoning with days. Difficulty: how many days are gone through."""

    questions: tuple[Question, ...] = ("after", "before", "between", "weekday")
    max_days: tuple[int, int] = (10, 400)
    """At difficulty 1 and at 10."""
    years: tuple[int, int] = (1990, 2035)
    """First and last year that a problem begins in."""
    weight: float = 1.0
    type: Literal["dates"] = "dates"

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_pair(self.max_days, "max_days", most=3000)
        check_pair(self.years, "years", least=1800, most=2200)

    def make(self, rng: random.Random, difficulty: int) -> Problem:
        asked = rng.choice(self.questions)
        days = rng.randint(1, dial_size(self.max_days, difficulty))
        if asked == "weekday":
            return self._weekday(rng, days)
        first = datetime.date(rng.randint(min(self.years), max(self.years)), 1, 1) + datetime.timedelta(
            rng.randrange(365)
        )
        last = first + datetime.timedelta(days)
        start, end = (last, first) if asked == "before" else (first, last)
        hops = _hops(first, last)
        if asked == "before":
            steps, long = _backwards(hops)
            answer = _written(end)
        elif asked == "after":
            steps, long = _forwards(hops, days)
            answer = _written(end)
        else:
            steps, long = _summed(hops)
            answer = str(days)
        question = (
            rng.choice(_ASKED[asked]).format(n=days, a=_written(start), b=_written(end)).replace(" 1 days", " 1 day")
        )
        return Problem(
            question=question,
            answer=answer,
            key=f"dates {asked} {start} {days}",
            steps=tuple(steps),
            long_steps=tuple(long),
        )

    def _weekday(self, rng: random.Random, days: int) -> Problem:
        today = rng.randrange(7)
        weeks, rest = divmod(days, 7)
        answer = _WEEKDAYS[(today + rest) % 7]
        step = f"{_WEEKDAYS[today]} + {rest} = {answer}"
        return Problem(
            question=rng.choice(_ASKED["weekday"]).format(a=_WEEKDAYS[today], n=days).replace(" 1 days", " 1 day"),
            answer=answer,
            key=f"dates weekday {today} {days}",
            steps=(f"{days} = 7 * {weeks} + {rest}", step),
            long_steps=(
                f"{days} days are {weeks} whole weeks and {rest} days: {days} = 7 * {weeks} + {rest}.",
                f"{rest} days after {_WEEKDAYS[today]} is {answer}.",
            ),
        )


def _written(date: datetime.date) -> str:
    return f"{date.day} {_MONTHS[date.month - 1]} {date.year}"


def _hops(first: datetime.date, last: datetime.date) -> list[tuple[datetime.date, datetime.date, int]]:
    """From first to last by way of each first of a month between them: (from, to, days)."""
    hops, here = [], first
    while (here.year, here.month) != (last.year, last.month):
        beyond = datetime.date(here.year + here.month // 12, here.month % 12 + 1, 1)
        hops.append((here, beyond, (beyond - here).days))
        here = beyond
    if here != last or not hops:
        hops.append((here, last, (last - here).days))
    return hops


def _forwards(hops: list[tuple[datetime.date, datetime.date, int]], days: int) -> tuple[list[str], list[str]]:
    steps, long, left = [], [], days
    for here, there, gone in hops:
        left -= gone
        steps.append(f"{_written(here)} + {gone} = {_written(there)}, {left} left")
        long.append(f"{gone} days after {_written(here)} is {_written(there)}; {left} days are left.")
    return steps, long


def _backwards(hops: list[tuple[datetime.date, datetime.date, int]]) -> tuple[list[str], list[str]]:
    steps, long, left = [], [], sum(gone for _, _, gone in hops)
    for here, there, gone in reversed(hops):
        left -= gone
        steps.append(f"{_written(there)} - {gone} = {_written(here)}, {left} left")
        long.append(f"{gone} days before {_written(there)} is {_written(here)}; {left} days are left.")
    return steps, long


def _summed(hops: list[tuple[datetime.date, datetime.date, int]]) -> tuple[list[str], list[str]]:
    steps, long, total = [], [], 0
    for here, there, gone in hops:
        total += gone
        steps.append(f"{_written(here)} to {_written(there)}: {gone}, together {total}")
        long.append(f"From {_written(here)} to {_written(there)} are {gone} days, which makes {total} so far.")
    return steps, long

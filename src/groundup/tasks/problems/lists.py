"""Working on a list: reverse it, keep what fits, add up the even ones, name the nth, drop what comes twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .kind import Problem, check_pair, check_weight, dial, dial_size
from .vocabulary import FRUIT

Question = Literal["reverse", "filter", "sum", "nth", "distinct", "rotate"]
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_TESTS: dict[str, Callable[[int], bool]] = {"even": lambda n: n % 2 == 0, "odd": lambda n: n % 2 == 1}


@dataclass(frozen=True, kw_only=True)
class ListsConfig:
    """Working on lists of numbers and words. Difficulty: how long the list is, and how large its numbers are."""

    questions: tuple[Question, ...] = ("reverse", "filter", "sum", "nth", "distinct", "rotate")
    num_items: tuple[int, int] = (3, 10)
    """At difficulty 1 and at 10."""
    max_value: tuple[int, int] = (9, 99)
    """Largest number in a list, at difficulty 1 and at 10."""
    weight: float = 1.0
    type: Literal["lists"] = "lists"

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_pair(self.num_items, "num_items", least=2, most=len(FRUIT))
        check_pair(self.max_value, "max_value", least=4)

    def make(self, rng: random.Random, difficulty: int) -> Problem:
        asked = rng.choice(self.questions)
        count, limit = dial(self.num_items, difficulty), dial_size(self.max_value, difficulty)
        if asked in ("reverse", "nth", "rotate") and rng.random() < 0.4:
            items = rng.sample(FRUIT, count)
        else:
            numbers = [rng.randint(1, limit) for _ in range(count)]
            if asked == "distinct":
                numbers[-1] = numbers[0]
                rng.shuffle(numbers)
            items = [str(n) for n in numbers]
        phrasings, name, answer, steps, long = _WORK[asked](rng, items)
        shown = ", ".join(items)
        return Problem(
            question=rng.choice(phrasings).format(l=shown),
            answer=answer,
            key=f"lists {name}: {shown}",
            steps=tuple(steps),
            long_steps=tuple(long),
        )


# Each gives: phrasings, what is asked (for the key), answer, short steps, long steps.
_Worked = tuple[Sequence[str], str, str, list[str], list[str]]


def _reverse(rng: random.Random, items: list[str]) -> _Worked:
    turned = items[::-1]
    long = [f"From the end, number {number} is {item}." for number, item in enumerate(turned, start=1)]
    return (
        ("Reverse the list {l}.", "Write {l} in reverse order."),
        "reverse",
        ", ".join(turned),
        [" ".join(turned)],
        long,
    )


def _filter(rng: random.Random, items: list[str]) -> _Worked:
    numbers = list(map(int, items))
    if rng.random() < 0.5:
        word = rng.choice(tuple(_TESTS))
        named, fits = f"{word} numbers", _TESTS[word]
    else:
        bound = rng.choice(numbers) - 1
        named, fits = f"numbers above {bound}", lambda n: n > bound
    kept = ", ".join(str(n) for n in numbers if fits(n)) or "none"
    steps = [f"{n} {'yes' if fits(n) else 'no'}" for n in numbers]
    long = [f"{n} {'stays' if fits(n) else 'goes'}." for n in numbers]
    phrasings = (
        f"Keep only the {named}, in order, or say none: {{l}}.",
        f"Which of {{l}} are {named}? Give them in order, or say none.",
    )
    return phrasings, f"keep {named}", kept, steps, long


def _sum(rng: random.Random, items: list[str]) -> _Worked:
    word = rng.choice(("", *_TESTS))
    kept = [int(item) for item in items if not word or _TESTS[word](int(item))]
    named = f"{word} numbers" if word else "numbers"
    total, steps, long = 0, [], []
    for n in kept:
        steps.append(f"{total} + {n} = {total + n}")
        long.append(f"Add {n}: {total} + {n} = {total + n}.")
        total += n
    return (
        (f"Add up the {named} in {{l}}.", f"What is the sum of the {named} in {{l}}?"),
        f"sum {word}",
        str(total),
        steps,
        long,
    )


def _nth(rng: random.Random, items: list[str]) -> _Worked:
    place = rng.randrange(len(items))
    back = rng.random() < 0.3
    order = items[::-1] if back else items
    named = f"{_ORDINALS[place]} item{' from the end' if back else ''}"
    steps = [f"{number} {item}" for number, item in enumerate(order[: place + 1], start=1)]
    long = [f"Number {number} is {item}." for number, item in enumerate(order[: place + 1], start=1)]
    return (
        (f"What is the {named} of {{l}}?", f"Name the {named} in the list {{l}}."),
        f"the {named}",
        order[place],
        steps,
        long,
    )


def _distinct(rng: random.Random, items: list[str]) -> _Worked:
    seen: list[str] = []
    steps, long = [], []
    for item in items:
        new = item not in seen
        steps.append(f"{item} {'new' if new else 'seen'}")
        long.append(f"{item} {'is new' if new else 'was there before'}.")
        if new:
            seen.append(item)
    phrasings = (
        "Remove what comes a second time, keep the order: {l}.",
        "Write {l} without repeats, in order of first appearance.",
    )
    return phrasings, "distinct", ", ".join(seen), steps, long


def _rotate(rng: random.Random, items: list[str]) -> _Worked:
    places = rng.randint(1, len(items) - 1)
    turned = items
    steps, long = [], []
    for _ in range(places):
        turned = [*turned[1:], turned[0]]
        steps.append(" ".join(turned))
        long.append(f"{turned[-1]} goes to the end: {' '.join(turned)}.")
    times = "once" if places == 1 else f"{places} times"
    phrasings = (
        f"Move the first item to the end, {times}: {{l}}.",
        f"Take {{l}} and move its first item to the end {times}. What is the list?",
    )
    return phrasings, f"rotate {places}", ", ".join(turned), steps, long


_WORK: dict[str, Callable[[random.Random, list[str]], _Worked]] = {
    "reverse": _reverse,
    "filter": _filter,
    "sum": _sum,
    "nth": _nth,
    "distinct": _distinct,
    "rotate": _rotate,
}

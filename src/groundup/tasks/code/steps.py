"""The steps that generated functions are put together from. Each is told in words, written in Python, and defined a second time
as the function that computes the expected results: the two definitions are held equal by running every solution (tests).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step on a value held in a variable."""

    short: str
    """Part of the function's name."""
    told: str
    """Goes on from "the function should ..."."""
    lines: tuple[str, ...]
    """Python lines that change `{v}`, the variable."""
    apply: Callable[[Any], Any]


def number_step(rng: random.Random) -> Step:
    """A step from a list of whole numbers to another."""
    k, size = rng.randint(2, 9), rng.randint(2, 5)
    return rng.choice(
        (
            Step(short="evens", told="keep only the even numbers", lines=("{v} = [n for n in {v} if n % 2 == 0]",),
                 apply=lambda xs: [x for x in xs if not x & 1]),
            Step(short="odds", told="keep only the odd numbers", lines=("{v} = [n for n in {v} if n % 2 == 1]",),
                 apply=lambda xs: [x for x in xs if x & 1]),
            Step(short=f"above_{k}", told=f"keep only the numbers greater than {k}", lines=(f"{{v}} = [n for n in {{v}} if n > {k}]",),
                 apply=lambda xs: list(filter(k.__lt__, xs))),
            Step(short=f"below_{10 * k}", told=f"keep only the numbers less than {10 * k}",
                 lines=(f"{{v}} = [n for n in {{v}} if n < {10 * k}]",), apply=lambda xs: list(filter((10 * k).__gt__, xs))),
            Step(short="positives", told="keep only the numbers greater than zero", lines=("{v} = [n for n in {v} if n > 0]",),
                 apply=lambda xs: [x for x in xs if x >= 1]),
            Step(short=f"divisible_by_{k}", told=f"keep only the numbers divisible by {k}",
                 lines=(f"{{v}} = [n for n in {{v}} if n % {k} == 0]",), apply=lambda xs: [x for x in xs if x // k * k == x]),
            Step(short=f"plus_{k}", told=f"add {k} to every number", lines=(f"{{v}} = [n + {k} for n in {{v}}]",),
                 apply=lambda xs: list(map(k.__add__, xs))),
            Step(short=f"times_{k}", told=f"multiply every number by {k}", lines=(f"{{v}} = [n * {k} for n in {{v}}]",),
                 apply=lambda xs: list(map(k.__mul__, xs))),
            Step(short="squares", told="square every number", lines=("{v} = [n * n for n in {v}]",),
                 apply=lambda xs: [x**2 for x in xs]),
            Step(short="absolute", told="take the absolute value of every number", lines=("{v} = [abs(n) for n in {v}]",),
                 apply=lambda xs: [max(x, -x) for x in xs]),
            Step(short="reversed", told="reverse the order", lines=("{v} = {v}[::-1]",), apply=lambda xs: list(reversed(xs))),
            Step(short="sorted", told="sort from smallest to largest", lines=("{v} = sorted({v})",), apply=sorted),
            Step(short="descending", told="sort from largest to smallest", lines=("{v} = sorted({v}, reverse=True)",),
                 apply=lambda xs: sorted(xs)[::-1]),
            Step(short=f"first_{size}", told=f"keep only the first {size} numbers", lines=(f"{{v}} = {{v}}[:{size}]",),
                 apply=lambda xs: [x for i, x in enumerate(xs) if i < size]),
            Step(short=f"last_{size}", told=f"keep only the last {size} numbers", lines=(f"{{v}} = {{v}}[-{size}:]",),
                 apply=lambda xs: [x for i, x in enumerate(xs) if i >= len(xs) - size]),
            Step(short="unique", told="keep only the first of equal numbers", lines=("{v} = list(dict.fromkeys({v}))",),
                 apply=lambda xs: [x for i, x in enumerate(xs) if x not in xs[:i]]),
            Step(short=f"every_{size}", told=f"keep every number whose position, counted from zero, is divisible by {size}",
                 lines=(f"{{v}} = {{v}}[::{size}]",), apply=lambda xs: [x for i, x in enumerate(xs) if i % size == 0]),
            Step(short="running_sums", told="replace every number by the sum of all numbers up to it",
                 lines=("sums = []", "total = 0", "for n in {v}:", "    total += n", "    sums.append(total)", "{v} = sums"),
                 apply=lambda xs: [sum(xs[: i + 1]) for i in range(len(xs))]),
        )
    )  # fmt: skip


def number_end(rng: random.Random) -> Step:
    """A last step from a list of whole numbers to what is returned."""
    k = rng.randint(2, 20)
    return rng.choice(
        (
            Step(short="list", told="return the list", lines=("return {v}",), apply=list),
            Step(short="sum", told="return their sum", lines=("return sum({v})",), apply=lambda xs: sum(xs)),
            Step(short="count", told="return how many there are", lines=("return len({v})",), apply=len),
            Step(short="max", told="return the largest, or 0 if there is none", lines=("return max({v}, default=0)",),
                 apply=lambda xs: sorted(xs)[-1] if xs else 0),
            Step(short="min", told="return the smallest, or 0 if there is none", lines=("return min({v}, default=0)",),
                 apply=lambda xs: sorted(xs)[0] if xs else 0),
            Step(short=f"count_over_{k}", told=f"return how many are greater than {k}",
                 lines=(f"return sum(1 for n in {{v}} if n > {k})",), apply=lambda xs: len(list(filter(k.__lt__, xs)))),
            Step(short=f"sum_mod_{k}", told=f"return the remainder of their sum divided by {k}",
                 lines=(f"return sum({{v}}) % {k}",), apply=lambda xs: sum(xs) - sum(xs) // k * k),
        )
    )  # fmt: skip


def word_step(rng: random.Random) -> Step:
    """A step from a list of words to another."""
    k, letter = rng.randint(2, 6), rng.choice("aeiorstln")
    return rng.choice(
        (
            Step(short="upper", told="write every word in capital letters", lines=("{v} = [w.upper() for w in {v}]",),
                 apply=lambda ws: [w.upper() for w in ws]),
            Step(short="reversed_words", told="spell every word backwards", lines=("{v} = [w[::-1] for w in {v}]",),
                 apply=lambda ws: ["".join(reversed(w)) for w in ws]),
            Step(short="backwards", told="reverse the order of the words", lines=("{v} = {v}[::-1]",),
                 apply=lambda ws: list(reversed(ws))),
            Step(short=f"longer_than_{k}", told=f"keep only the words of more than {k} letters",
                 lines=(f"{{v}} = [w for w in {{v}} if len(w) > {k}]",), apply=lambda ws: [w for w in ws if w[k:]]),
            Step(short=f"with_{letter}", told=f"keep only the words that contain the letter {letter}, small or capital",
                 lines=(f"{{v}} = [w for w in {{v}} if {letter!r} in w.lower()]",),
                 apply=lambda ws: [w for w in ws if {letter, letter.upper()} & set(w)]),
            Step(short=f"without_{letter}", told=f"leave out the words that contain the letter {letter}, small or capital",
                 lines=(f"{{v}} = [w for w in {{v}} if {letter!r} not in w.lower()]",),
                 apply=lambda ws: [w for w in ws if not {letter, letter.upper()} & set(w)]),
            Step(short="sorted", told="sort the words alphabetically", lines=("{v} = sorted({v})",), apply=sorted),
            Step(short="by_length", told="sort the words from shortest to longest, equally long ones in their order",
                 lines=("{v} = sorted({v}, key=len)",), apply=lambda ws: [w for n in range(40) for w in ws if len(w) == n]),
            Step(short="unique", told="keep only the first of equal words", lines=("{v} = list(dict.fromkeys({v}))",),
                 apply=lambda ws: [w for i, w in enumerate(ws) if w not in ws[:i]]),
            Step(short=f"cut_{k}", told=f"cut every word to its first {k} letters", lines=(f"{{v}} = [w[:{k}] for w in {{v}}]",),
                 apply=lambda ws: ["".join(c for i, c in enumerate(w) if i < k) for w in ws]),
            Step(short=f"first_{k}", told=f"keep only the first {k} words", lines=(f"{{v}} = {{v}}[:{k}]",),
                 apply=lambda ws: [w for i, w in enumerate(ws) if i < k]),
        )
    )  # fmt: skip


def word_end(rng: random.Random) -> Step:
    """A last step from a list of words to what is returned."""
    letter, mark = rng.choice("aeiorstln"), rng.choice("-_+./")
    return rng.choice(
        (
            Step(short="joined", told=f"return the words joined by {mark!r}", lines=(f"return {mark!r}.join({{v}})",),
                 apply=lambda ws: "".join(mark * (i > 0) + w for i, w in enumerate(ws))),
            Step(short="list", told="return the list of words", lines=("return {v}",), apply=list),
            Step(short="count", told="return how many words there are", lines=("return len({v})",), apply=len),
            Step(short="letters", told="return how many letters the words have together",
                 lines=("return sum(len(w) for w in {v})",), apply=lambda ws: len("".join(ws))),
            Step(short="longest", told="return the first of the longest words, or an empty string if there is none",
                 lines=('return max({v}, key=len, default="")',),
                 apply=lambda ws: next((w for n in range(40, 0, -1) for w in ws if len(w) == n), "")),
            Step(short=f"count_{letter}", told=f"return how often the letter {letter}, small or capital, occurs in them",
                 lines=(f"return sum(w.lower().count({letter!r}) for w in {{v}})",),
                 apply=lambda ws: sum(c in (letter, letter.upper()) for w in ws for c in w)),
        )
    )  # fmt: skip


def loop_step(rng: random.Random) -> Step:
    """What is done to a running total for each i: `apply` takes (total, i) and gives the new total."""
    k, factor = rng.randint(2, 9), rng.randint(2, 5)
    divisible = (f"    if i % {k} == 0:",)
    return rng.choice(
        (
            Step(short="add", told="add i to the total", lines=("    total += i",), apply=lambda t: t[0] + t[1]),
            Step(short="squares", told="add the square of i to the total", lines=("    total += i * i",),
                 apply=lambda t: t[0] + t[1] ** 2),
            Step(short=f"add_{factor}i", told=f"add {factor} times i to the total", lines=(f"    total += {factor} * i",),
                 apply=lambda t: t[0] + sum([t[1]] * factor)),
            Step(short=f"if_{k}_add", told=f"if i is divisible by {k}, add i to the total", lines=(*divisible, "        total += i"),
                 apply=lambda t: t[0] + (t[1] if t[1] // k * k == t[1] else 0)),
            Step(short=f"if_{k}_subtract", told=f"if i is divisible by {k}, subtract i from the total",
                 lines=(*divisible, "        total -= i"), apply=lambda t: t[0] - (t[1] if t[1] // k * k == t[1] else 0)),
            Step(short=f"if_{k}_double", told=f"if i is divisible by {k}, double the total",
                 lines=(*divisible, "        total *= 2"), apply=lambda t: t[0] << (t[1] // k * k == t[1])),
            Step(short="odd_up_even_down", told="if i is odd add it to the total, otherwise subtract it",
                 lines=("    if i % 2 == 1:", "        total += i", "    else:", "        total -= i"),
                 apply=lambda t: t[0] + (t[1] if t[1] & 1 else -t[1])),
            Step(short=f"over_{10 * k}_drop", told=f"if the total is greater than {10 * k}, subtract {10 * k} from it",
                 lines=(f"    if total > {10 * k}:", f"        total -= {10 * k}"),
                 apply=lambda t: t[0] - 10 * k * (t[0] > 10 * k)),
        )
    )  # fmt: skip

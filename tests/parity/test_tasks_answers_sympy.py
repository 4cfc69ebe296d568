"""Answers judged as sympy judges them, on fresh random expressions written by its LaTeX printer and as plain text."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from groundup.tasks.answers import answers_equal
from groundup.tasks.answers.expression import evaluate

sympy = pytest.importorskip("sympy")

CASES = 120


def fresh() -> random.Random:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    return random.Random(seed)


def number(rng: random.Random, depth: int, letters: bool = False) -> Any:
    """A random real number (or expression in x and y) of sympy's; never undefined."""
    if depth == 0:
        pick = rng.random()
        if letters and pick < 0.5:
            return sympy.Symbol(rng.choice("xy"))
        if pick < 0.85:
            return sympy.Rational(rng.randint(-12, 12), rng.choice((1, 1, 1, 2, 3, 5)))
        return sympy.sqrt(rng.randint(2, 15)) if pick < 0.95 or letters else sympy.pi
    a, b = number(rng, depth - 1, letters), number(rng, depth - 1, letters)
    way = rng.randrange(6)
    if way == 0:
        return a + b
    if way == 1:
        return a - b
    if way == 2:
        return a * b
    if way == 3:
        return a / b if not b.is_zero and b != 0 else a + 1
    if way == 4:
        return a ** rng.choice((2, 3)) if not letters or depth < 3 else a * 2
    return sympy.sqrt(a) if not a.free_symbols and a.is_nonnegative and sympy.count_ops(a) < 6 else -a


def is_fair(expression: Any) -> bool:
    """Something that a person would write: finite, real, of ordinary length and size."""
    if expression.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I) or len(sympy.latex(expression)) > 300:
        return False
    return bool(expression.free_symbols) or abs(sympy.N(expression)) < 10**12


def texts(expression: Any) -> list[str]:
    return [sympy.latex(expression), sympy.latex(expression, mul_symbol="times"), str(expression)]


@pytest.mark.row("12.7")
@pytest.mark.parametrize("letters", [False, True], ids=["numbers", "unknowns"])
def test_equal_expressions_are_equal_and_changed_ones_are_not(letters: bool) -> None:
    rng = fresh()
    done = 0
    while done < CASES:
        expression = number(rng, rng.choice((1, 2, 2, 3)), letters)
        rewritten = rng.choice((sympy.expand, sympy.together, sympy.radsimp if not letters else sympy.factor))(
            expression
        )
        if not is_fair(expression) or not is_fair(rewritten):
            continue
        done += 1
        other = rewritten + rng.choice((1, -1)) * sympy.Rational(1, rng.choice((1, 2, 1000)))
        for text in texts(rewritten):
            wanted = rng.choice(texts(expression))
            assert answers_equal(text, wanted), (text, wanted)
            assert answers_equal(f"$\\boxed{{{text}}}$", wanted), (text, wanted)
        for text in texts(other):
            if sympy.simplify(other - expression) != 0:
                assert not answers_equal(text, rng.choice(texts(expression))), (text, expression)


@pytest.mark.row("12.7")
def test_values_agree_to_fifty_digits() -> None:
    rng = fresh()
    done = 0
    while done < CASES:
        expression = number(rng, rng.choice((1, 2, 3)))
        if not is_fair(expression):
            continue
        done += 1
        for text in texts(expression):
            found, letters = evaluate(text.replace("\\left", "").replace("\\right", "").replace("\\,", " "))
            assert not letters
            if found.exact is not None:
                exact = sympy.Rational(found.exact.numerator, found.exact.denominator)
                assert exact == expression or sympy.simplify(expression - exact) == 0, text
            else:
                near = sympy.Float(str(found.near), 60)
                assert abs(near - sympy.N(expression, 60)) <= sympy.Float("1e-50", 60) * max(1, abs(near)), text


@pytest.mark.row("12.7")
def test_intervals_and_sets_agree() -> None:
    rng = fresh()
    for _ in range(200):
        a, b = sorted(rng.sample([sympy.Rational(rng.randint(-9, 9), rng.randint(1, 4)) for _ in range(30)], 2))
        if a == b:
            continue
        one, two = (sympy.Interval(a, b, rng.random() < 0.5, rng.random() < 0.5) for _ in range(2))
        assert bool(answers_equal(sympy.latex(one), sympy.latex(two))) == (one == two), (one, two)
        members = [sympy.Rational(rng.randint(0, 4), rng.randint(1, 2)) for _ in range(3)]
        others = rng.choice((members[::-1], [*members[:2], members[2] + rng.choice((0, 1))]))
        ours, theirs = sympy.FiniteSet(*members), sympy.FiniteSet(*others)
        assert bool(answers_equal(sympy.latex(ours), sympy.latex(theirs))) == (ours == theirs), (ours, theirs)

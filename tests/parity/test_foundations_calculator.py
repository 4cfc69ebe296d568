"""The calculator against Python's own arithmetic on random expressions, and everything it must refuse."""

from __future__ import annotations

import math
import os
import random

import pytest

from groundup.core.errors import DataError
from groundup.foundations.calculator import MAX_DEPTH, CalculatorError, calculate, written

pytestmark = pytest.mark.row("0.5")

SEED = int.from_bytes(os.urandom(4))


def real_abs(x: float) -> float:
    if isinstance(x, complex):
        raise TypeError
    return abs(x)


FUNCTIONS = {"sqrt": math.sqrt, "abs": real_abs, "sin": math.sin, "exp": math.exp, "max": max, "floor": math.floor}


def random_expression(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(
            [str(rng.randint(0, 99)), f"{rng.uniform(0, 9):.3f}", "pi", f"{rng.randint(1, 9)}e{rng.randint(-2, 2)}"]
        )
    kind = rng.random()
    if kind < 0.15:
        return f"{rng.choice('+-')}{random_expression(rng, depth - 1)}"
    if kind < 0.35:
        return f"({random_expression(rng, depth - 1)})"
    if kind < 0.5:
        name = rng.choice(list(FUNCTIONS))
        inside = random_expression(rng, depth - 1)
        return f"max({inside}, {random_expression(rng, depth - 1)})" if name == "max" else f"{name}({inside})"
    operator = rng.choice(["+", "-", "*", "/", "//", "%", "**"])
    space = rng.choice(["", " "])
    return f"{random_expression(rng, depth - 1)}{space}{operator}{space}{random_expression(rng, depth - 1)}"


def python_value(expression: str) -> object:
    """What Python makes of it; None where it has no value, or none that is a real and finite number."""
    try:
        value = eval(expression, {"__builtins__": {}, "pi": math.pi, **FUNCTIONS})
    except (ZeroDivisionError, ValueError, OverflowError, TypeError):  # TypeError: of complex numbers
        return None
    if isinstance(value, int):  # of any size: a float would overflow
        return value
    return value if isinstance(value, float) and math.isfinite(value) else None


def test_random_expressions_have_the_value_that_python_gives() -> None:
    rng = random.Random(SEED)
    compared = 0
    for _ in range(3000):
        # At most three levels: a power of a power of a power is refused for its size, where Python works it out.
        expression = random_expression(rng, rng.randint(0, 3))
        # What comes out even is whole here and a float in Python: beyond 2^53 the two have other remainders.
        if expression.count("**") > 1 or (
            ("**" in expression or "exp" in expression) and ("%" in expression or "//" in expression)
        ):
            continue
        try:
            given = calculate(expression)
        except DataError as error:  # asked in this order: what is refused for its size, Python would work at for hours
            assert "bits" in str(error) or "too large" in str(error) or python_value(expression) is None, (
                expression,
                SEED,
            )
            continue
        wanted = python_value(expression)
        if wanted is None:  # complex, or infinite on the way
            continue
        compared += 1
        if isinstance(given, int) and isinstance(wanted, int):
            assert given == wanted, (expression, SEED)
        else:
            assert given == pytest.approx(wanted, rel=1e-12, abs=1e-300), (expression, SEED)
    assert compared > 1500


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("2*(3+4)^2", "98"), ("-2^2", "-4"), ("2^3^2", "512"), ("2^-3^2", "0.001953125"), ("2(3+4)", "14"),
        ("2(3)^2", "18"), ("2pi", "6.28318530718"),
        ("10/5", "2"), ("7//2", "3"), ("3!!", "720"), ("2 × 3 − 6 ÷ 2", "3"), ("0.1+0.2", "0.3"), ("sqrt(16)", "4"), ("log(8, 2)", "3"),
        ("2^200", str(2**200)), ("10^400/10^399", "10"), ("round(2.567, 2)", "2.57"), ("gcd(12, 18)", "6"), (".5e1", "5"), ("(2)(3)", "6"),
        ("2^60000", "a number of about 18,062 digits"),
    ],
)  # fmt: skip
def test_values(expression: str, wanted: str) -> None:
    assert written(calculate(expression)) == wanted


@pytest.mark.parametrize(
    ("expression", "message", "position"),
    [
        ("", "ends where a number is missing", 0), ("2+", "ends where a number is missing", 2), ("(2", r"a '\)' is missing", 2),
        ("2)", "stands where the expression should end", 1), ("1 2", "stands where the expression should end", 2),
        ("2 $ 3", "'\\$' means nothing", 2),
        ("1/0", "division by zero", 1), ("0^-1", "division by zero", 1), ("1 + sqrt(-1)", "has no value", 4),
        ("foo(2)", "'foo' is not known", 0),
        ("min(1)", "takes 2 or more numbers, not 1", 0), ("sin(1, 2)", "takes 1 number, not 2", 0), ("9^9^9", "more than 65,536 bits", 1),
        ("2^70000", "more than 65,536 bits", 1), ("99999!", "too large", 5), ("(-8)^(1/3)", "no real value", 4), ("1e400", "too large", 0),
        ("exp(1000)", "too large", 0), ("gcd(1.5, 2)", "has no value", 0), ("round(1, 999999999)", "has no value", 0),
        ("9" * 5000, "is too long", 0),
        ("__import__('os')", "means nothing", 11), ("2..real", "means nothing", 2), ("sin", r"a '\(' is missing", 3),
    ],
)  # fmt: skip
def test_errors_name_the_place(expression: str, message: str, position: int) -> None:
    with pytest.raises(CalculatorError, match=message) as error:
        calculate(expression)
    assert error.value.position == position


def test_hostile_depth_and_length_are_refused() -> None:
    for expression in (
        "(" * 4000 + "1" + ")" * 4000,
        "-" * 9000 + "1",
        "2^" * 4000 + "1",
        "1" + "+1" * 9000,
        "sin(" * 500 + "1",
    ):
        with pytest.raises(DataError):
            calculate(expression)
    assert calculate("(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1)) == 1
    assert calculate("1" + "+1" * 4000) == 4001

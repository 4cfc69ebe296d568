"""Derivatives three ways: by differences, by dual numbers (forward mode), and what the chain rule makes of both.

A difference quotient with step h has an error of truncation, h (forward) or h² (central) or h⁴ (Richardson's extrapolation of two
central ones), and one of rounding, eps / h: so there is a best h, and never full precision. A dual number a + b·ε with ε² = 0 carries
the derivative through every operation exactly (Clifford 1873; Wengert 1964): right to the last digits, at the cost of one pass for
each input. Reverse mode, one pass for all inputs, is groundup.foundations.autograd. Left out: higher derivatives, complex steps.

Letters: D inputs, M outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .sparse import Array

Rule = Literal["forward", "central", "extrapolated"]
_EPSILON = float(np.finfo(np.float64).eps)
BEST_STEPS: dict[Rule, float] = {
    "forward": _EPSILON ** (1 / 2),
    "central": _EPSILON ** (1 / 3),
    "extrapolated": _EPSILON ** (1 / 5),
}
"""Where truncation and rounding are about equal, for a function and an x of size 1."""
ORDERS: dict[Rule, int] = {"forward": 1, "central": 2, "extrapolated": 4}
"""Power of h in the error of truncation."""


def difference(
    function: Callable[[float], float], x: float, *, rule: Rule = "central", step: float | None = None
) -> float:
    """Numeric derivative at x."""
    h = BEST_STEPS[rule] * max(1.0, abs(x)) if step is None else step
    if rule == "forward":
        return (function(x + h) - function(x)) / h
    central = (function(x + h) - function(x - h)) / (2 * h)
    if rule == "central":
        return central
    wide = (function(x + 2 * h) - function(x - 2 * h)) / (4 * h)
    return (4 * central - wide) / 3


def numeric_gradient(
    function: Callable[[Array], float], x: Array, *, rule: Rule = "central", step: float | None = None
) -> Array:
    """Partial derivatives [D] of a function of x [D]: one coordinate changed at a time."""
    partial: Array = numeric_jacobian(lambda v: np.array([function(v)]), x, rule=rule, step=step)[0]
    return partial


def numeric_jacobian(
    function: Callable[[Array], Array], x: Array, *, rule: Rule = "central", step: float | None = None
) -> Array:
    """[M, D]: the derivative of each output by each input."""

    def entry(m: int, d: int) -> float:
        def along(t: float) -> float:
            moved = np.array(x, np.float64)
            moved[d] = t
            return float(function(moved)[m])

        return difference(along, float(x[d]), rule=rule, step=step)

    return np.array([[entry(m, d) for d in range(len(x))] for m in range(len(function(x)))])


@dataclass(frozen=True, eq=False)
class Dual:
    """value + slope · ε. Every operation is its own rule of differentiation."""

    value: float
    slope: float = 0.0

    def __add__(self, other: Dual | float) -> Dual:
        o = _dual(other)
        return Dual(self.value + o.value, self.slope + o.slope)

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope)

    def __sub__(self, other: Dual | float) -> Dual:
        return self + -_dual(other)

    def __mul__(self, other: Dual | float) -> Dual:
        o = _dual(other)
        return Dual(self.value * o.value, self.slope * o.value + self.value * o.slope)

    def __truediv__(self, other: Dual | float) -> Dual:
        o = _dual(other)
        return Dual(self.value / o.value, (self.slope - self.value / o.value * o.slope) / o.value)

    def __pow__(self, power: float) -> Dual:
        return self.chain(self.value**power, power * self.value ** (power - 1) if power else 0.0)

    def __radd__(self, other: float) -> Dual:
        return self + other

    def __rsub__(self, other: float) -> Dual:
        return -self + other

    def __rmul__(self, other: float) -> Dual:
        return self * other

    def __rtruediv__(self, other: float) -> Dual:
        return _dual(other) / self

    def chain(self, value: float, derivative: float) -> Dual:
        """f of this number, where f has that value and derivative here: the chain rule."""
        return Dual(value, derivative * self.slope)


def _dual(x: Dual | float) -> Dual:
    return x if isinstance(x, Dual) else Dual(float(x))


def exp(x: Dual) -> Dual:
    value = math.exp(x.value)
    return x.chain(value, value)


def log(x: Dual) -> Dual:
    return x.chain(math.log(x.value), 1.0 / x.value)


def sin(x: Dual) -> Dual:
    return x.chain(math.sin(x.value), math.cos(x.value))


def cos(x: Dual) -> Dual:
    return x.chain(math.cos(x.value), -math.sin(x.value))


def tanh(x: Dual) -> Dual:
    value = math.tanh(x.value)
    return x.chain(value, 1.0 - value * value)


def sqrt(x: Dual) -> Dual:
    value = math.sqrt(x.value)
    return x.chain(value, 0.5 / value)


def derivative(function: Callable[[Dual], Any], x: float) -> float:
    """Exact derivative at x of a function written in operations and the functions above."""
    return _dual(function(Dual(x, 1.0))).slope


def gradient(function: Callable[[Sequence[Dual]], Any], x: Sequence[float] | Array) -> Array:
    """Exact partial derivatives [D]: one pass for each input, seeded with slope 1 there."""
    partial: Array = jacobian(lambda v: [function(v)], x)[0]
    return partial


def jacobian(function: Callable[[Sequence[Dual]], Sequence[Any]], x: Sequence[float] | Array) -> Array:
    """[M, D]"""
    columns = []
    for d in range(len(x)):
        seeded = [Dual(float(v), float(i == d)) for i, v in enumerate(x)]
        columns.append([_dual(made).slope for made in function(seeded)])
    return np.array(columns).T

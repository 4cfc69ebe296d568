"""Numbers as answers have them: exact fractions for as long as that lasts, else 100 decimal digits.

Two values are equal when both are exact and the same, or when they agree to 60 digits. Roots, powers of fractions and pi leave
the exact numbers; expressions short enough to be answers lose far fewer than 40 digits on the way, and two of them that
are different do not agree to 60 by chance. Every operation has a size limit, so nothing here can take long: what would pass
it raises Refused.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

_MAX_BITS = 8192
_MAX_EXPONENT = 2000
_MAX_FACTORIAL = 300
_SAME = Decimal(10) ** -60
_NOTHING = Decimal(10) ** -90  # what is left where two irrational numbers cancel
_CONTEXT = decimal.Context(prec=100, Emax=20_000, Emin=-20_000, traps=[
    decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow])  # fmt: skip
_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651328230664709384"
)


class Refused(Exception):
    """Not a value that is worked out here: too large, not real, or no number at all."""


@dataclass(frozen=True, slots=True)
class Value:
    """A real number: `exact`, or where that is None `near` to 100 digits."""

    exact: Fraction | None
    near: Decimal

    @staticmethod
    def of(number: Fraction | int) -> Value:
        number = Fraction(number)
        if max(number.numerator.bit_length(), number.denominator.bit_length()) > _MAX_BITS:
            raise Refused("too large")
        return Value(number, _near(number))

    def same(self, other: Value, *, relative_tolerance: float = 0.0) -> bool:
        if self.exact is not None and other.exact is not None and not relative_tolerance:
            return self.exact == other.exact
        with decimal.localcontext(_CONTEXT):
            apart, size = abs(self.near - other.near), max(abs(self.near), abs(other.near))
            allowed = Decimal(relative_tolerance) * abs(other.near) if relative_tolerance else Decimal(0)
            return apart <= max(allowed, _SAME * size, _NOTHING)


def _near(number: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(number.numerator), Decimal(number.denominator))


def _inexact(near: Decimal) -> Value:
    return Value(None, near)


PI = _inexact(_CONTEXT.plus(_PI))
E = _inexact(_CONTEXT.exp(Decimal(1)))


def add(a: Value, b: Value) -> Value:
    if a.exact is not None and b.exact is not None:
        return Value.of(a.exact + b.exact)
    return _inexact(_CONTEXT.add(a.near, b.near))


def negative(a: Value) -> Value:
    return Value(None if a.exact is None else -a.exact, a.near.copy_negate())


def multiply(a: Value, b: Value) -> Value:
    if a.exact is not None and b.exact is not None:
        return Value.of(a.exact * b.exact)
    return _within(lambda: _CONTEXT.multiply(a.near, b.near))


def divide(a: Value, b: Value) -> Value:
    if a.exact is not None and b.exact is not None:
        if not b.exact:
            raise Refused("division by zero")
        return Value.of(a.exact / b.exact)
    return _within(lambda: _CONTEXT.divide(a.near, b.near))


def power(a: Value, b: Value) -> Value:
    """a to the power b. Refused for powers too large to write out and for roots of negative numbers."""
    if a.exact is not None and b.exact is not None:
        top, bottom = b.exact.numerator, b.exact.denominator
        bits = max(a.exact.numerator.bit_length(), a.exact.denominator.bit_length())
        if abs(top) > _MAX_EXPONENT or (a.exact not in (0, 1, -1) and bits * abs(top) > _MAX_BITS):
            raise Refused("too large a power")
        if not a.exact and top <= 0:
            raise Refused("zero to the power zero or below")
        raised = Value.of(a.exact**top)
        return raised if bottom == 1 else root(raised, bottom)
    if b.exact is not None and b.exact.denominator == 1 and abs(b.exact) <= _MAX_EXPONENT:
        whole = Decimal(b.exact.numerator)
        return _within(lambda: _CONTEXT.power(a.near, whole))
    if a.near <= 0:
        raise Refused("a power of a number below zero")
    return _within(lambda: _CONTEXT.power(a.near, b.near))


def root(a: Value, degree: int) -> Value:
    """The real root of the degree: exact where it is a fraction."""
    if not 1 < degree <= 100:
        raise Refused("no root of that degree")
    if a.near < 0:
        if degree % 2 == 0:
            raise Refused("an even root of a number below zero")
        return negative(root(negative(a), degree))
    if a.exact is not None:
        top, bottom = _whole_root(a.exact.numerator, degree), _whole_root(a.exact.denominator, degree)
        if top is not None and bottom is not None:
            return Value.of(Fraction(top, bottom))
    if not a.near:
        return Value.of(0)
    if degree == 2:
        return _inexact(_CONTEXT.sqrt(a.near))
    return _within(lambda: _CONTEXT.power(a.near, _CONTEXT.divide(Decimal(1), Decimal(degree))))


def logarithm(a: Value) -> Value:
    if a.near <= 0:
        raise Refused("the logarithm of a number not above zero")
    return Value.of(0) if a.exact == 1 else _within(lambda: _CONTEXT.ln(a.near))


def factorial(a: Value) -> Value:
    if a.exact is None or a.exact.denominator != 1 or not 0 <= a.exact <= _MAX_FACTORIAL:
        raise Refused("no factorial of that")
    return Value.of(math.factorial(int(a.exact)))


def absolute(a: Value) -> Value:
    return negative(a) if a.near < 0 else a


def _whole_root(number: int, degree: int) -> int | None:
    """The exact whole root, or None."""
    if degree == 2:
        found = math.isqrt(number)
    else:
        guess = _CONTEXT.power(Decimal(number), _CONTEXT.divide(Decimal(1), Decimal(degree))) if number else Decimal(0)
        if guess > Decimal(10) ** 60:  # beyond what 100 digits can round to a whole number with care
            return None
        found = int(guess.to_integral_value())
    return found if found**degree == number else None


def _within(work: Callable[[], Decimal]) -> Value:
    try:
        return _inexact(work())
    except decimal.DecimalException:
        raise Refused("not a number of ordinary size") from None

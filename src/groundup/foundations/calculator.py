"""A calculator for expressions as people write them: its own reading of the text, no `eval`.

    expression: sum;  sum: product {(+ | -) product};  product: signed {(* | / | // | %) signed | signed}
    signed: (+ | -) signed | power;  power: atom {!} [(^ | **) signed];  atom: number | name | name(sum, ...) | (sum)

So 2(3 + 4) is a product, -2^2 is -4 and 2^3^2 is 2^9. Whole numbers stay whole and exact however long, within a limit on their
size: an expression is not to fill the memory. Precedence climbing (Clarke 1986; Pratt 1973). Left out: variables, units, complex numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from ..core.errors import DataError

Number: TypeAlias = int | float

MAX_LENGTH = 10_000
"""Characters of an expression."""
MAX_DEPTH = 100
"""Brackets within brackets: each is a call within a call, and Python allows a thousand."""
MAX_BITS = 1 << 16
"""Of a whole number: about 20,000 digits."""
_MAX_DIGITS = 4000
"""That are read or written; Python refuses beyond 4,300."""

CONSTANTS: Mapping[str, float] = MappingProxyType({"pi": math.pi, "e": math.e, "tau": math.tau})
_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\*\*|//|[-+*/%^(),!×÷−·]))"
)
_SAME = {"×": "*", "·": "*", "÷": "/", "−": "-", "**": "^"}
_BINARY = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2, "^": 4}
_IMPLICIT, _SIGN = 2, 3


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    """number, name, end, or the operator itself"""
    text: str
    position: int


class CalculatorError(DataError):
    """What is wrong with an expression, and at which character (counted from 0)."""

    def __init__(self, message: str, position: int, expression: str) -> None:
        shown = expression if len(expression) <= 80 else ""
        super().__init__(
            f"{message}, at character {position + 1}" + (f"\n  {shown}\n  {' ' * position}^" if shown else "")
        )
        self.position = position


def tokens(expression: str) -> list[Token]:
    """Everything in an expression, and `end`. CalculatorError for a character that means nothing here."""
    found = []
    at, length = 0, len(expression.rstrip())
    while at < length:
        match = _TOKEN.match(expression, at)
        if match is None:
            at += len(expression[at:]) - len(expression[at:].lstrip())
            raise CalculatorError(f"{expression[at]!r} means nothing in an expression", at, expression)
        number, name, operator = match.groups()
        text = number or name or _SAME.get(operator, operator)
        found.append(
            Token("number" if number else "name" if name else text, text, match.end() - len(match[0].lstrip()))
        )
        at = match.end()
    return [*found, Token("end", "", length)]


def calculate(expression: str) -> Number:
    """The value of an expression. CalculatorError says what is wrong and where."""
    if len(expression) > MAX_LENGTH:
        raise DataError(f"the expression has {len(expression)} characters; the limit is {MAX_LENGTH}")
    parser = _Parser(expression)
    value = parser.sum()
    parser.expect("end")
    return value


def written(value: Number) -> str:
    """As text: whole numbers whole, others to 12 digits (what is beyond is rounding)."""
    if isinstance(value, int):
        digits = int(max(value.bit_length() - 1, 0) * math.log10(2)) + 1
        return (
            str(value) if digits < 4000 else f"a number of about {digits:,} digits"
        )  # Python refuses to write longer ones
    return f"{value:.12g}"


class _Parser:
    """Works values out as it reads; `depth` counts how deep it is in brackets and signs."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens = tokens(expression)
        self.place = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        token = self.next
        self.place += 1
        return token

    def expect(self, kind: str) -> None:
        if self.next.kind != kind:
            raise self.error(
                f"{self.next.text!r} stands where the expression should end"
                if kind == "end"
                else f"a {kind!r} is missing"
            )
        self.place += 1

    def error(self, message: str, token: Token | None = None) -> CalculatorError:
        return CalculatorError(message, (token or self.next).position, self.expression)

    def sum(self, least: int = 1) -> Number:
        """An expression of operators that bind at least as tightly as `least`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} brackets, signs and powers within one another")
        value = self.signed()
        while True:
            token = self.next
            implicit = token.kind in ("name", "(")
            strength = _IMPLICIT if implicit else _BINARY.get(token.kind, 0)
            if strength == 0 or strength < least:
                break
            if not implicit:
                self.take()
            # What stands to the right of ^ may be signed, and powers group to the right: 2^-3^2 is 2^(-(3^2)).
            right = self.sum(_SIGN if token.kind == "^" else strength + 1)
            value = self.applied("*" if implicit else token.kind, value, right, token)
        self.depth -= 1
        return value

    def signed(self) -> Number:
        if self.next.kind in ("+", "-"):
            sign = self.take()
            value = self.sum(_SIGN)
            return -value if sign.kind == "-" else value
        value = self.atom()
        while self.next.kind == "!":
            value = self.applied_function("factorial", [value], self.take())
        return value

    def atom(self) -> Number:
        token = self.take()
        if token.kind == "number":
            if len(token.text) > _MAX_DIGITS:
                raise self.error(f"a number of {len(token.text)} digits is too long", token)
            return self.checked(int(token.text) if token.text.isdigit() else float(token.text), token)
        if token.kind == "(":
            value = self.sum()
            self.expect(")")
            return value
        if token.kind == "name":
            if token.text in CONSTANTS:
                return CONSTANTS[token.text]
            if token.text not in FUNCTIONS:
                known = ", ".join((*CONSTANTS, *FUNCTIONS))
                raise self.error(f"{token.text!r} is not known; known are {known}", token)
            return self.applied_function(token.text, self.arguments(), token)
        raise self.error(
            "a number is missing" if token.kind != "end" else "the expression ends where a number is missing", token
        )

    def arguments(self) -> list[Number]:
        self.expect("(")
        values: list[Number] = []
        if self.next.kind != ")":
            values.append(self.sum())
            while self.next.kind == ",":
                self.take()
                values.append(self.sum())
        self.expect(")")
        return values

    def applied(self, operator: str, a: Number, b: Number, token: Token) -> Number:
        if operator in ("/", "//", "%") and b == 0:
            raise self.error("division by zero", token)
        if operator == "^" and a == 0 and b < 0:
            raise self.error("zero to a negative power is a division by zero", token)
        if (
            operator == "^"
            and isinstance(a, int)
            and isinstance(b, int)
            and abs(a) > 1
            and (abs(a).bit_length() - 1) * b > MAX_BITS
        ):
            raise self.error(f"the result would have more than {MAX_BITS:,} bits", token)
        try:
            return self.checked(_OPERATIONS[operator](a, b), token)
        except OverflowError:
            raise self.error("the result is too large", token) from None

    def applied_function(self, name: str, values: list[Number], token: Token) -> Number:
        function, low, high = FUNCTIONS[name]
        if not low <= len(values) <= high:
            wanted = f"{low}" if low == high else f"{low} or more" if high > 9 else f"{low} to {high}"
            raise self.error(f"{name} takes {wanted} number{'s' * (wanted != '1')}, not {len(values)}", token)
        try:
            return self.checked(function(*values), token)
        except (ValueError, TypeError, ZeroDivisionError):
            raise self.error(f"{name}({', '.join(map(written, values))}) has no value", token) from None
        except OverflowError:
            raise self.error("the result is too large", token) from None

    def checked(self, value: Number | complex, token: Token) -> Number:
        if isinstance(value, complex):
            raise self.error("a negative number to a power that is not whole has no real value", token)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error("the result is too large", token)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise self.error(f"the result would have more than {MAX_BITS:,} bits", token)
        return value


def _divide(a: Number, b: Number) -> Number:
    """Whole where it comes out even."""
    return a // b if isinstance(a, int) and isinstance(b, int) and a % b == 0 else a / b


def _factorial(n: Number) -> int:
    if n != int(n) or n > 5000:  # 5000! has 54,000 bits
        raise OverflowError if n > 5000 else ValueError
    return math.factorial(int(n))


def _round(x: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > 400:  # ten to that power is worked out
        raise ValueError
    return round(x, digits) if digits else round(x)


_OPERATIONS: Mapping[str, Callable[[Number, Number], Number]] = MappingProxyType(
    {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": _divide,
        "//": lambda a, b: a // b,
        "%": lambda a, b: a % b,
        "^": lambda a, b: a**b,
    }
)
FUNCTIONS: Mapping[str, tuple[Callable[..., Number], int, int]] = MappingProxyType(
    {
        "sqrt": (
            lambda x: math.isqrt(x) if isinstance(x, int) and x >= 0 and math.isqrt(x) ** 2 == x else math.sqrt(x),
            1,
            1,
        ),
        "abs": (abs, 1, 1),
        "round": (_round, 1, 2),
        "floor": (math.floor, 1, 1),
        "ceil": (math.ceil, 1, 1),
        "exp": (math.exp, 1, 1),
        "ln": (math.log, 1, 1),
        "log": (lambda x, base=10: math.log10(x) if base == 10 else math.log(x, base), 1, 2),
        "sin": (math.sin, 1, 1),
        "cos": (math.cos, 1, 1),
        "tan": (math.tan, 1, 1),
        "asin": (math.asin, 1, 1),
        "acos": (math.acos, 1, 1),
        "atan": (math.atan, 1, 1),
        "min": (min, 2, 100),
        "max": (max, 2, 100),
        "gcd": (math.gcd, 2, 100),
        "factorial": (_factorial, 1, 1),
    }
)
"""name -> (function, fewest arguments, most)."""

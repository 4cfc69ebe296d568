"""A small reader of expressions, plain or LaTeX, that works them out as it reads: no tree is kept and nothing is ever run.

    sum      = product (("+" | "-") product)*
    product  = signed (("*" | "/" | nothing) signed)*          3x, 2\\sqrt{3} and (1)(2) are products
    signed   = ("-" | "+")* power
    power    = suffixed ("^" signed)?                            right to left, before a sign: -2^2 = -4
    suffixed = atom ("!" | "%")*
    atom     = number | mixed number | letter | "(" sum ")" | "{" sum "}" | "|" sum "|" | \\frac | \\sqrt | function | \\pi

A product without a sign binds as one with: 1/3x is (1/3)x. Letters stand for unknowns: the caller gives each a value, and two
expressions in unknowns are the same when they agree at several points (Schwartz 1980; Zippel 1979). Trigonometry is not
worked out; such answers are compared as texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from . import value as v
from .value import Refused, Value

_MAX_TOKENS = 400
_MAX_DEPTH = 40
_MAX_DIGITS = 300

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+|\.(?=\\overline))?(?:\\overline\{\d+\})?|\.\d+)(?P<exp>[eE][+-]?\d+(?![\w.]))?"
    r"|(?P<command>\\[a-zA-Z]+)"
    r"|(?P<word>[a-zA-Z]+)"
    r"|(?P<sign>\*\*|[-+*/^!%(){}\[\]|])"
)
_FUNCTIONS = {"sqrt": "sqrt", "ln": "ln", "exp": "exp", "pi": "pi", "frac": "frac", "abs": "abs", "log": "log"}
_PRODUCT = {"cdot": "*", "times": "*", "div": "/", "ast": "*"}
_FRACTIONS = {"frac", "dfrac", "tfrac", "cfrac"}
_GREEK = frozenset((
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta",
    "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi",
    "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Phi",
    "Psi", "Omega",
))  # fmt: skip
_OPENS = {"(": ")", "{": "}", "[": "]"}
_LETTERS_OF_TWO = re.compile(r"[a-z]{2}", re.IGNORECASE)


def evaluate(text: str, letters: Mapping[str, Fraction] | None = None) -> tuple[Value, frozenset[str]]:
    """The value of an expression and the letters in it. Raises Refused for anything that is not one.

    letters: values of the unknowns; one that is not named gets a value of its own, the same at every call.
    """
    reader = _Reader(_tokens(text), letters or {})
    found = reader.sum()
    if reader.position != len(reader.tokens):
        raise Refused(f"{reader.peek()!r} does not fit")
    return found, frozenset(reader.letters)


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) pairs; a space is kept only between two numbers, where it makes a mixed number."""
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or len(tokens) > _MAX_TOKENS:
            raise Refused("no expression")
        position = match.end()
        kind = match.lastgroup or ""
        if kind == "space":
            continue
        if kind in ("number", "exp"):
            tokens.append(("number", match[0]))
        elif kind == "command":
            name = match[0][1:]
            if name in _PRODUCT:
                tokens.append(("sign", _PRODUCT[name]))
            elif name in _FUNCTIONS or name in _FRACTIONS:
                tokens.append(("name", "frac" if name in _FRACTIONS else name))
            elif name in ("lvert", "rvert", "vert"):
                tokens.append(("sign", "|"))
            elif name in _GREEK:
                tokens.append(("letter", name))
            else:
                raise Refused(f"\\{name} is not worked out")
        elif kind == "word":
            if match[0] in _FUNCTIONS:
                tokens.append(("name", match[0]))
            elif len(match[0]) == 1 or _LETTERS_OF_TWO.fullmatch(match[0]):
                tokens.extend(("letter", letter) for letter in match[0])
            else:
                raise Refused("words")
        else:
            tokens.append(("sign", "^" if match[0] == "**" else match[0]))
    if not tokens:
        raise Refused("nothing")
    return tokens


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]], values: Mapping[str, Fraction]) -> None:
        self.tokens, self.values = tokens, values
        self.position = self.depth = self.bars = 0
        self.letters: set[str] = set()

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        place = self.position + ahead
        return self.tokens[place] if place < len(self.tokens) else ("end", "")

    def take(self, sign: str) -> bool:
        if self.peek() == ("sign", sign):
            self.position += 1
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            raise Refused(f"{sign!r} is missing")

    def sum(self) -> Value:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Refused("nested too deeply")
        total = self.product()
        while True:
            if self.take("+"):
                total = v.add(total, self.product())
            elif self.take("-"):
                total = v.add(total, v.negative(self.product()))
            else:
                self.depth -= 1
                return total

    def product(self) -> Value:
        total = self.signed()
        while True:
            if self.take("*"):
                total = v.multiply(total, self.signed())
            elif self.take("/"):
                total = v.divide(total, self.signed())
            elif self._another_factor():
                total = v.multiply(total, self.power())
            else:
                return total

    def _another_factor(self) -> bool:
        kind, text = self.peek()
        if kind == "number":
            # 2 3 is no product; (2)3 and x3 are, as far as anybody writes them
            return self.tokens[self.position - 1][0] != "number"
        return kind in ("letter", "name") or text in ("(", "{", "[") or (text == "|" and not self.bars)

    def signed(self) -> Value:
        minus = False
        while True:
            if self.take("-"):
                minus = not minus
            elif not self.take("+"):
                break
        found = self.power()
        return v.negative(found) if minus else found

    def power(self) -> Value:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Refused("nested too deeply")
        base = self.suffixed()
        if self.take("^"):
            base = v.power(base, self.signed())
        self.depth -= 1
        return base

    def suffixed(self) -> Value:
        found = self.atom()
        while True:
            if self.take("!"):
                found = v.factorial(found)
            elif self.take("%"):
                found = v.divide(found, Value.of(100))
            else:
                return found

    def atom(self) -> Value:
        kind, text = self.peek()
        if kind == "number":
            self.position += 1
            return self._number(text)
        if kind == "letter":
            self.position += 1
            if text == "e":
                return v.E
            self.letters.add(text)
            return Value.of(self.values.get(text, unknown(text, 0)))
        if kind == "name":
            self.position += 1
            return self._named(text)
        if text in _OPENS:
            return self.group()
        if text == "|" and not self.bars:
            self.position += 1
            self.bars += 1
            inside = self.sum()
            self.expect("|")
            self.bars -= 1
            return v.absolute(inside)
        raise Refused(f"{text!r} does not fit" if text else "it breaks off")

    def group(self) -> Value:
        """( ), { } or [ ] round a sum; bars inside stand for themselves again."""
        text = self.peek()[1]
        if text not in _OPENS:
            raise Refused("a group is missing")
        self.position += 1
        bars, self.bars = self.bars, 0
        inside = self.sum()
        self.bars = bars
        self.expect(_OPENS[text])
        return inside

    def _number(self, text: str) -> Value:
        whole = read_number(text)
        if whole.denominator == 1 and text.isdigit():
            mixed = self._mixed_fraction()
            if mixed is not None:
                return Value.of(whole + mixed)
        return Value.of(whole)

    def _mixed_fraction(self) -> Fraction | None:
        """The 1/2 of 3 1/2 or 3\\frac{1}{2}: a fraction of two plain whole numbers, the upper the smaller."""
        kinds = [self.peek(i) for i in range(7)]
        if kinds[0][0] == "number" and kinds[1] == ("sign", "/") and kinds[2][0] == "number":
            top, bottom, length = kinds[0][1], kinds[2][1], 3
        elif kinds[0] == ("name", "frac") and [kinds[i][1] for i in (1, 3, 4, 6)] == ["{", "}", "{", "}"]:
            top, bottom, length = kinds[2][1], kinds[5][1], 7
        else:
            return None
        if not (top.isdigit() and bottom.isdigit()) or max(len(top), len(bottom)) > 20 or int(top) >= int(bottom):
            return None
        self.position += length
        return Fraction(int(top), int(bottom))

    def _named(self, name: str) -> Value:
        if name == "pi":
            return v.PI
        if name == "frac":
            top = self.group()
            return v.divide(top, self.group())
        if name == "sqrt":
            degree = 2
            if self.peek() == ("sign", "["):
                wanted = self.group().exact
                if wanted is None or wanted.denominator != 1:
                    raise Refused("no root of that degree")
                degree = int(wanted)
            return v.root(self.group() if self.peek()[1] in _OPENS else self.atom(), degree)
        argument = self.group() if self.peek()[1] in _OPENS else self.suffixed()
        if name == "ln":
            return v.logarithm(argument)
        if name == "log":
            return v.divide(v.logarithm(argument), v.logarithm(Value.of(10)))
        if name == "exp":
            return v.power(v.E, argument)
        return v.absolute(argument)


def read_number(text: str) -> Fraction:
    """A number of digits, with thousands separators, a decimal part, repeating digits, a power of ten."""
    text, _, repeating = text.replace(",", "").partition("\\overline{")
    mantissa, _, exponent = text.lower().partition("e")
    if (
        len(mantissa) > _MAX_DIGITS
        or len(repeating) > _MAX_DIGITS
        or len(exponent) > 5
        or abs(int(exponent or 0)) > 1000
    ):
        raise Refused("too large")
    number = Fraction(mantissa) * Fraction(10) ** int(exponent or 0)
    if repeating:
        digits = repeating.rstrip("}")
        decimals = len(mantissa.partition(".")[2])
        number += Fraction(int(digits), (10 ** len(digits) - 1) * 10**decimals)
    return number


def unknown(letter: str, point: int) -> Fraction:
    """A value for a letter, different for every letter and point, above 1 so that roots and logarithms have one."""
    seed = sum(ord(character) * 31**place for place, character in enumerate(letter[:8]))
    return 1 + Fraction((seed * 7919 + point * 104729) % 9973 + 1, 997 + 2 * point)

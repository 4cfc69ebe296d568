"""A calculator, right."""

import re


def calculate(expression):
    tokens = re.findall(r"\d+\.\d+|\d+|\S", expression)
    place = 0

    def peek():
        return tokens[place] if place < len(tokens) else ""

    def take():
        nonlocal place
        place += 1
        return tokens[place - 1]

    def total():
        value = product()
        while peek() in ("+", "-"):
            value = value + product() if take() == "+" else value - product()
        return value

    def product():
        value = signed()
        while peek() in ("*", "/"):
            value = value * signed() if take() == "*" else value / signed()
        return value

    def signed():
        if peek() == "-":
            take()
            return -signed()
        return power()

    def power():
        base = atom()
        if peek() == "^":
            take()
            return base ** signed()
        return base

    def atom():
        if peek() == "(":
            take()
            value = total()
            if peek() != ")":
                raise ValueError("a parenthesis is not closed")
            take()
            return value
        if not re.fullmatch(r"\d+(\.\d+)?", peek()):
            raise ValueError(f"a number was expected, not {peek()!r}")
        return float(take())

    value = total()
    if peek():
        raise ValueError(f"{peek()!r} is left over")
    return value

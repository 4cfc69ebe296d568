"""Real tools for tool-use traces: each a JSON schema and a Python function that really runs. Pure, offline, quick.

`checked_arguments` holds a call against its schema: the part of JSON Schema that tool descriptions use (type, properties,
required, enum, minimum, maximum, items, minItems, maxItems, maxLength). Unknown arguments are refused.
"""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from ...core.errors import DataError


class ToolError(Exception):
    """What the tool answers instead of a result."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments, an object."""
    run: Callable[..., Any]
    """Called with the checked arguments; a JSON-able result, or ToolError."""

    @property
    def schema(self) -> dict[str, Any]:
        """The tool as the OpenAI API and chat templates take it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}

    def call(self, arguments: Mapping[str, Any]) -> str:
        """The result, or {"error": ...}, as JSON text. DataError when the arguments do not fit the schema."""
        checked_arguments(arguments, self.parameters, self.name)
        try:
            result = self.run(**arguments)
        except ToolError as error:
            result = {"error": str(error)}
        return json.dumps(result, ensure_ascii=False)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, Mapping),
    "null": lambda v: v is None,
}


def checked_arguments(value: Any, schema: Mapping[str, Any], where: str) -> None:
    """Raise DataError naming the argument that does not fit `schema`."""
    kinds = schema.get("type", "object")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(_TYPES[kind](value) for kind in kinds):
        raise DataError(f"{where}: must be {' or '.join(kinds)}, not {json.dumps(value, default=str)[:60]}")
    if "enum" in schema and value not in schema["enum"]:
        raise DataError(f"{where}: must be one of {', '.join(map(str, schema['enum']))}, not {value!r}")
    if _TYPES["number"](value) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        raise DataError(f"{where}: {value} is not within {schema.get('minimum', '')} .. {schema.get('maximum', '')}")
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        raise DataError(f"{where}: has {len(value)} characters, at most {schema['maxLength']}")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            raise DataError(f"{where}: has {len(value)} items")
        for i, item in enumerate(value):
            checked_arguments(item, schema.get("items", {"type": list(_TYPES)}), f"{where}[{i}]")
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                raise DataError(f"{where}: {name} is required")
        for name, inner in value.items():
            if name not in properties:
                raise DataError(f"{where}: {name!r} is no argument of it")
            checked_arguments(inner, properties[name], f"{where}.{name}")


# ------------------------------------------------------------------------------------------------------- calculator

_OPERATORS: Mapping[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_LARGEST = Fraction(10) ** 30
_HIGHEST_POWER = 32


def calculate(expression: str) -> int | float:
    """Exact in between (fractions): 0.1 + 0.2 is 0.3."""
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ToolError(f"not an expression: {expression[:60]}") from None
    return int(value) if value.denominator == 1 else round(float(value), 10)


def _value(node: ast.AST) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        value = Fraction(str(node.value))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _value(node.operand) * (-1 if isinstance(node.op, ast.USub) else 1)
    elif isinstance(node, ast.BinOp):
        value = _combined(node.op, _value(node.left), _value(node.right))
    else:
        raise ToolError("only numbers, + - * / % ** and brackets are understood")
    if abs(value) > _LARGEST:
        raise ToolError("the result is too large")
    return value


def _combined(sign: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    if isinstance(sign, (ast.Div, ast.Mod)):
        if right == 0:
            raise ToolError("division by zero")
        return left / right if isinstance(sign, ast.Div) else left % right
    if isinstance(sign, ast.Pow):
        if right.denominator != 1 or abs(right) > _HIGHEST_POWER or (left == 0 and right < 0):
            raise ToolError(f"powers are whole numbers up to {_HIGHEST_POWER}")
        return left ** int(right)
    known = _OPERATORS.get(type(sign))
    if known is None:
        raise ToolError("only numbers, + - * / % ** and brackets are understood")
    return known(left, right)


# ---------------------------------------------------------------------------------------------------- calendar, units

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ToolError(f"no such day: {text[:20]} (write YYYY-MM-DD)") from None


def add_days(day: str, days: int) -> dict[str, str]:
    try:
        there = _day(day) + timedelta(days=days)
    except OverflowError:
        raise ToolError("the calendar ends before that") from None
    return {"date": there.isoformat(), "weekday": WEEKDAYS[there.weekday()]}


def days_between(start: str, end: str) -> dict[str, int]:
    return {"days": (_day(end) - _day(start)).days}


UNITS: Mapping[str, tuple[str, Fraction]] = {
    "m": ("length", Fraction(1)), "km": ("length", Fraction(1000)), "cm": ("length", Fraction(1, 100)),
    "mm": ("length", Fraction(1, 1000)), "mile": ("length", Fraction("1609.344")), "foot": ("length", Fraction("0.3048")),
    "inch": ("length", Fraction("0.0254")), "yard": ("length", Fraction("0.9144")),
    "kg": ("mass", Fraction(1)), "g": ("mass", Fraction(1, 1000)), "pound": ("mass", Fraction("0.45359237")),
    "ounce": ("mass", Fraction("0.028349523125")),
    "s": ("time", Fraction(1)), "minute": ("time", Fraction(60)), "hour": ("time", Fraction(3600)), "day": ("time", Fraction(86400)),
    "litre": ("volume", Fraction(1)), "ml": ("volume", Fraction(1, 1000)),
}  # fmt: skip
"""Unit -> (quantity, size in its first unit). Feet, pounds and the rest as the international agreement of 1959 has them."""


def convert(value: float, unit: str, to: str) -> dict[str, Any]:
    (quantity, size), (other, other_size) = UNITS[unit], UNITS[to]
    if quantity != other:
        raise ToolError(f"{unit} is a {quantity}, {to} a {other}")
    result = Fraction(str(value)) * size / other_size
    return {"value": int(result) if result.denominator == 1 else float(f"{float(result):.9g}"), "unit": to}


# ------------------------------------------------------------------------------------------------------------- look up

STOCK: Mapping[str, tuple[int, str]] = {
    "apple juice": (14, "A3"), "bread knife": (6, "C1"), "candles": (120, "B2"), "copper wire": (35, "D4"), "envelopes": (500, "B1"),
    "garden gloves": (22, "C3"), "green paint": (9, "D1"), "hammer": (11, "D2"), "lamp oil": (4, "B4"), "light bulbs": (64, "B3"),
    "nails": (2500, "D3"), "notebooks": (83, "A1"), "pencils": (240, "A2"), "picture frames": (17, "C2"), "rope": (40, "D5"),
    "tea towels": (31, "C4"), "torch": (0, "B5"), "wood glue": (13, "D6"),
}  # fmt: skip
"""Article -> (number in stock, shelf): an invented shop, so that nothing can be known without asking."""


def look_up(article: str) -> dict[str, Any]:
    if article.lower() not in STOCK:
        raise ToolError(f"no article {article[:40]!r}")
    number, shelf = STOCK[article.lower()]
    return {"article": article.lower(), "in_stock": number, "shelf": shelf}


def _object(required: tuple[str, ...], **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_DAY = {"type": "string", "description": "a day, YYYY-MM-DD", "maxLength": 10}
_UNIT = {"type": "string", "enum": list(UNITS)}
CALCULATOR = Tool(
    name="calculate",
    description="The value of an arithmetic expression.",
    parameters=_object(
        ("expression",), expression={"type": "string", "description": "such as (3 + 4) * 2.5", "maxLength": 200}
    ),
    run=calculate,
)
ADD_DAYS = Tool(
    name="add_days",
    description="The date and weekday a number of days after a day (before it, if negative).",
    parameters=_object(
        ("day", "days"), day=_DAY, days={"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000}
    ),
    run=add_days,
)
DAYS_BETWEEN = Tool(
    name="days_between",
    description="How many days there are from one day to another.",
    parameters=_object(("start", "end"), start=_DAY, end=_DAY),
    run=days_between,
)
CONVERT = Tool(
    name="convert_unit",
    description="A quantity in another unit of length, mass, time or volume.",
    parameters=_object(
        ("value", "unit", "to"), value={"type": "number", "minimum": -1e15, "maximum": 1e15}, unit=_UNIT, to=_UNIT
    ),
    run=convert,
)
LOOK_UP = Tool(
    name="look_up_stock",
    description="How many of an article the shop has, and on which shelf.",
    parameters=_object(("article",), article={"type": "string", "description": "its name", "maxLength": 60}),
    run=look_up,
)
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in (CALCULATOR, ADD_DAYS, DAYS_BETWEEN, CONVERT, LOOK_UP)}

"""Questions that need a tool, with the call that answers them and the sentence that its result is told in.

A grammar per tool: the same draw gives the question, the call and the way of telling, so that a trace is right by
construction once the tool has run. Some questions lead to an error of the tool, some need no tool at all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from .tools import ADD_DAYS, CALCULATOR, CONVERT, DAYS_BETWEEN, LOOK_UP, STOCK, UNITS, Tool


@dataclass(frozen=True, kw_only=True)
class ToolQuestion:
    text: str
    tool: Tool | None
    """None: to be answered without a tool, with `answer`."""
    arguments: Mapping[str, Any]
    tell: Callable[[Any], str]
    """The tool's result (parsed) -> the answer in words."""
    answer: str = ""


def draw_question(chance: random.Random, *, no_tool_share: float = 0.1) -> ToolQuestion:
    if chance.random() < no_tool_share:
        text, answer = chance.choice(_WITHOUT_TOOL)
        return ToolQuestion(text=text, tool=None, arguments={}, tell=str, answer=answer)
    return chance.choice(_GRAMMARS)(chance)


def _told(chance: random.Random, *forms: str) -> Callable[[Any], str]:
    form = chance.choice(forms)

    def tell(result: Any) -> str:
        if isinstance(result, Mapping) and "error" in result:
            return f"That did not work: {result['error']}."
        return form.format_map({"result": spoken(result), **(result if isinstance(result, Mapping) else {})})

    return tell


def spoken(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _product(chance: random.Random) -> ToolQuestion:
    a, b = chance.randint(12, 999), chance.randint(12, 99)
    text, expression = chance.choice(
        (
            (f"What is {a} times {b}?", f"{a} * {b}"),
            (f"Work out {a} * {b} for me.", f"{a} * {b}"),
            (f"A box holds {b} tins. How many tins are in {a} boxes?", f"{a} * {b}"),
            (f"I pay {a} a month. What is that in {b} months?", f"{a} * {b}"),
        )
    )
    tell = _told(chance, "It is {result}.", "The result is {result}.", "That makes {result}.")
    return ToolQuestion(text=text, tool=CALCULATOR, arguments={"expression": expression}, tell=tell)


def _expression(chance: random.Random) -> ToolQuestion:
    a, b, c = (chance.randint(2, 400) for _ in range(3))
    expression = chance.choice(
        (f"({a} + {b}) * {c}", f"{a} - {b} * {c}", f"{a} * {a} + {b}", f"{a} / {chance.choice((0, 4, 5, 8))}")
    )
    text = chance.choice(("What is {e}?", "Please calculate {e}.", "How much is {e}?", "Give me the value of {e}."))
    tell = _told(chance, "It is {result}.", "The value is {result}.")
    return ToolQuestion(
        text=text.format(e=expression), tool=CALCULATOR, arguments={"expression": expression}, tell=tell
    )


def _percent(chance: random.Random) -> ToolQuestion:
    share, whole = chance.choice((3, 5, 7, 12, 15, 19, 35)), chance.randint(20, 4000)
    text = chance.choice((f"How much is {share} percent of {whole}?", f"What is {share}% of {whole}?"))
    tell = _told(chance, "It is {result}.", f"{share} percent of {whole} is {{result}}.")
    return ToolQuestion(text=text, tool=CALCULATOR, arguments={"expression": f"{whole} * {share} / 100"}, tell=tell)


def _a_day(chance: random.Random) -> date:
    return date(1990, 1, 1) + timedelta(days=chance.randrange(25_000))


def _later(chance: random.Random) -> ToolQuestion:
    day, days = _a_day(chance).isoformat(), chance.choice((7, 10, 30, 45, 90, 100, 365)) + chance.randrange(20)
    text, days = chance.choice(
        (
            (f"Which day is {days} days after {day}?", days),
            (f"On {day} I planted seeds that need {days} days. When are they ready?", days),
            (f"What date was it {days} days before {day}?", -days),
            (f"The bill of {day} is due in {days} days. On what weekday is that?", days),
        )
    )
    tell = _told(chance, "It is {weekday}, {date}.", "That is a {weekday}: {date}.")
    return ToolQuestion(text=text, tool=ADD_DAYS, arguments={"day": day, "days": days}, tell=tell)


def _between(chance: random.Random) -> ToolQuestion:
    first = _a_day(chance)
    start, end = first.isoformat(), (first + timedelta(days=chance.randrange(1, 900))).isoformat()
    text = chance.choice(
        (f"How many days are there from {start} to {end}?", f"How many nights is a stay from {start} to {end}?")
    )
    tell = _told(chance, "There are {days}.", "It is {days} in all.")
    return ToolQuestion(text=text, tool=DAYS_BETWEEN, arguments={"start": start, "end": end}, tell=tell)


def _unit(chance: random.Random) -> ToolQuestion:
    unit = chance.choice(list(UNITS))
    same = chance.random() < 0.93  # now and then a question that has no answer
    quantity, size = UNITS[unit]
    alike = [u for u, (q, other) in UNITS.items() if q == quantity and u != unit and 1e-4 < size / other < 1e4]
    to = chance.choice(alike if same else [u for u, (q, _) in UNITS.items() if q != quantity])
    value = chance.choice((chance.randint(2, 500), round(chance.uniform(0.5, 40), 1)))
    text = chance.choice(("Convert {v} {u} to {t}.", "How much is {v} {u} in {t}?", "{v} {u} in {t}, please."))
    tell = _told(chance, f"{value} {unit} is {{value}} {{unit}}.", "That is {value} {unit}.")
    arguments = {"value": value, "unit": unit, "to": to}
    return ToolQuestion(text=text.format(v=value, u=unit, t=to), tool=CONVERT, arguments=arguments, tell=tell)


_NOT_SOLD = ("anchor", "blue paint", "door bells", "ink", "saddle", "violin strings")


def _stock(chance: random.Random) -> ToolQuestion:
    article = chance.choice(list(STOCK) if chance.random() < 0.93 else list(_NOT_SOLD))
    text, form = chance.choice(
        (
            ("How many {a} are in stock?", "There are {in_stock} in stock."),
            ("Do we have any {a}?", "We have {in_stock} of them, on shelf {shelf}."),
            ("On which shelf do I find the {a}?", "Look on shelf {shelf}."),
            ("Where is the {a} kept, and how much is left?", "On shelf {shelf}; {in_stock} left."),
        )
    )
    return ToolQuestion(
        text=text.format(a=article), tool=LOOK_UP, arguments={"article": article}, tell=_told(chance, form)
    )


_GRAMMARS: tuple[Callable[[random.Random], ToolQuestion], ...] = (
    _product, _expression, _percent, _later, _between, _unit, _stock,
)  # fmt: skip
_WITHOUT_TOOL = (
    ("Hello!", "Hello! What can I do for you?"),
    ("Good morning.", "Good morning! How can I help?"),
    ("Thank you, that was all.", "You are welcome."),
    ("What can you do?", "I can calculate, count days, convert units and look up the stock of the shop."),
    ("Can you convert units?", "Yes. Tell me the value, its unit and the unit you want."),
    ("Can you count days for me?", "Yes. Give me two days, or one day and a number of days."),
    ("Are you a person?", "No, I am a program that answers questions."),
    ("Please wait a moment.", "Of course. I am here."),
)

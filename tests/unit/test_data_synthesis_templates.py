"""Template makers: what they say is right, in the shape that training reads; the tools really run."""

from __future__ import annotations

import json
import random
import re
import secrets
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from groundup.core.errors import ConfigError, DataError
from groundup.data.messages import read_examples
from groundup.data.split import SPLITS, Split
from groundup.data.synthesis.conversations import flow_fault
from groundup.data.synthesis.template_conversations import GRAMMARS, TemplateConversations
from groundup.data.synthesis.tool_traces import TemplateToolTraces, uses_result
from groundup.data.synthesis.tools import STOCK, TOOLS, UNITS, ToolError, calculate, checked_arguments, convert
from groundup.data.synthesis.write import write_made

pytestmark = pytest.mark.row("8.3")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@pytest.fixture
def seed() -> int:
    seed = secrets.randbits(32)
    print("seed", seed)
    return seed


@pytest.mark.parametrize("maker", [TemplateConversations(), TemplateToolTraces(num_questions=3)], ids=lambda m: m.type)
def test_rows_are_instruct_rows_that_flow_and_depend_on_the_seed_only(maker: Any, seed: int, tmp_path: Path) -> None:
    rows = list(maker.make(None, count=200, seed=seed))
    assert rows == list(maker.make(None, count=200, seed=seed))
    assert rows != list(maker.make(None, count=200, seed=seed + 1))
    assert len({row.id for row in rows}) == 200
    write_made(rows, tmp_path, Split(by="document"))
    read = {row["id"]: row for split in SPLITS for row in read_examples(tmp_path, split)}
    for row in rows:
        assert read[row.id]["messages"] == row.row["messages"]
        assert read[row.id].get("tools") == row.row.get("tools")
        fault = flow_fault(row.row["messages"], max_similarity=1.0)
        # The same answer may be right twice (a number that did not change); nothing else may be wrong.
        assert fault is None or fault[0] == "repeated turn", (fault, row)
        asked = [text for text in row.questions if not re.search(r"\d", text)]
        assert len(asked) == len(set(asked)) or "tool" in row.row["kind"]


def test_answers_of_lists_and_tallies_follow_from_what_was_said(seed: int) -> None:
    """An independent reading of the conversation, sentence by sentence, arrives at every answer."""
    kinds: set[str] = set()
    for made in TemplateConversations(min_turns=3, goodbye_share=0.0).make(None, count=400, seed=seed):
        kind, items, number, known = made.row["kind"], [], 0, {}
        kinds.add(kind)
        for asked, answer in zip(made.questions, made.answers, strict=True):
            if kind == "conversation_tally":
                change = [int(n) for n in re.findall(r"\d+", asked)]
                if asked.startswith("I have"):
                    number = change[0]
                elif change:
                    number += change[0] * (-1 if re.search("lose|away|sell", asked) else 1)
                assert re.findall(r"\d+", answer) == [str(number)]
            elif kind == "conversation_list":
                said = re.findall(r"[a-z]+", asked)
                if m := re.match(r"(?:Start a shopping list with|Please note for shopping:|I need|Add|Also|Put) (.*?)(?: on the list too)?\.(?: Make a list\.)?$", asked):  # fmt: skip  # noqa: E501
                    items += re.split(r", | and ", m[1])
                elif m := re.match(r"(?:Take (\w+) off|I have (\w+) already|No (\w+) after all)\.", asked):
                    items.remove(next(g for g in m.groups() if g))
                if answer.startswith("Your list:"):
                    assert answer == f"Your list: {', '.join(items)}."
                elif answer.startswith("There"):
                    assert f" {NUMBERS[len(items)]} " in answer or str(len(items)) in answer
                elif answer.startswith("Yes"):
                    assert any(item in said for item in items)
                elif answer.startswith("No,"):
                    assert not any(item in said for item in items)
                else:
                    assert answer == "Your list is empty." and not items
            else:
                what = next(k for k, w in {"name": "name|am |Who am", "place": "live|home is|town", "pet": "have|keep|animals|pet", "colour": "colour"}.items() if re.search(w, asked))  # fmt: skip  # noqa: E501
                if asked.endswith("?"):
                    assert answer == "You have not told me yet." if what not in known else known[what] in answer
                else:
                    known[what] = re.split(r"name is |am |live in |home is in |I have |I keep |colour is |colour ", asked)[-1][:-1]  # fmt: skip
    assert kinds == {f"conversation_{name}" for name in GRAMMARS}


def test_every_tool_answer_tells_what_the_tool_gave(seed: int) -> None:
    used, errors = set(), 0
    for made in TemplateToolTraces(num_questions=2, no_tool_share=0.2).make(None, count=400, seed=seed):
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in made.row["tools"]}
        assert set(schemas) == set(TOOLS)
        messages = made.row["messages"]
        for i, message in enumerate(messages):
            if not message.get("tool_calls"):
                continue
            (call,) = message["tool_calls"]
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            used.add(name)
            checked_arguments(arguments, schemas[name], name)
            result = messages[i + 1]
            assert (result["role"], result["name"], result["tool_call_id"]) == ("tool", name, call["id"])
            assert result["content"] == TOOLS[name].call(arguments)  # it ran, and runs the same again
            errors += "error" in result["content"]
            assert uses_result(messages[i + 2]["content"], result["content"], arguments), messages[i : i + 3]
    assert used == set(TOOLS) and errors > 0


def test_calculator_is_exact_and_takes_nothing_else(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(300):
        numbers = [chance.randint(1, 99) for _ in range(4)]
        signs = [chance.choice("+-*/") for _ in range(3)]
        text = f"({numbers[0]} {signs[0]} {numbers[1]}) {signs[1]} {numbers[2]} {signs[2]} {numbers[3]}"
        exact = eval(re.sub(r"\d+", lambda m: f"Fraction({m[0]})", text), {"Fraction": Fraction})
        assert calculate(text) == pytest.approx(float(exact), rel=1e-9, abs=1e-9)
    assert calculate("0.1 + 0.2") == 0.3 and calculate("7 % 4") == 3 and calculate("-2 ** 2") == -4
    wrong = ["__import__('os')", "a + 1", "9 ** 9 ** 9", "1 / 0", "'a' * 3", "(" * 300, "True", "1e400", "", "2 ** 0.5"]
    for text in [*wrong, "1 if 1 else 2", "[1][0]", "1 << 2", "1; 2"]:
        with pytest.raises(ToolError):
            calculate(text)


def test_calendar_and_units(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(200):
        day, days = date(1900, 1, 1) + timedelta(days=chance.randrange(90_000)), chance.randint(-40_000, 40_000)
        there = day + timedelta(days=days)
        told = json.loads(TOOLS["add_days"].call({"day": day.isoformat(), "days": days}))
        assert told == {"date": there.isoformat(), "weekday": there.strftime("%A")}
        back = json.loads(TOOLS["days_between"].call({"start": day.isoformat(), "end": there.isoformat()}))
        assert back == {"days": days}
        unit = chance.choice(list(UNITS))
        to = chance.choice([u for u in UNITS if UNITS[u][0] == UNITS[unit][0]])
        value = round(chance.uniform(1, 1000), 2)
        there_and_back = convert(convert(value, unit, to)["value"], to, unit)["value"]
        assert there_and_back == pytest.approx(value, rel=1e-7)
    assert convert(26.2, "mile", "km")["value"] == pytest.approx(42.164813, abs=1e-6)
    assert convert(1, "pound", "g") == {"value": 453.59237, "unit": "g"}
    assert "error" in TOOLS["convert_unit"].call({"value": 1, "unit": "kg", "to": "m"})
    assert "error" in TOOLS["add_days"].call({"day": "2023-02-29", "days": 1})
    assert json.loads(TOOLS["look_up_stock"].call({"article": "Rope"}))["in_stock"] == STOCK["rope"][0]


@pytest.mark.parametrize(
    ("tool", "arguments", "named"),
    [
        ("calculate", {}, "expression is required"),
        ("calculate", {"expression": 3}, "must be string"),
        ("calculate", {"expression": "1", "more": 1}, "'more' is no argument"),
        ("add_days", {"day": "2020-01-01", "days": 1.5}, "must be integer"),
        ("add_days", {"day": "2020-01-01", "days": True}, "must be integer"),
        ("add_days", {"day": "2020-01-01", "days": 10**9}, "not within"),
        ("add_days", {"day": "2020-01-01T00:00", "days": 1}, "at most 10"),
        ("convert_unit", {"value": 1, "unit": "parsec", "to": "m"}, "must be one of"),
    ],
)
def test_arguments_that_do_not_fit_are_named(tool: str, arguments: dict[str, object], named: str) -> None:
    with pytest.raises(DataError, match=named):
        TOOLS[tool].call(arguments)


def test_configs_are_checked() -> None:
    for wrong in ({"tools": ("calculat",)}, {"tools": ()}, {"num_questions": 0}, {"no_tool_share": 1.0}):
        with pytest.raises(ConfigError):
            TemplateToolTraces(**wrong)  # type: ignore[arg-type]
    for other in ({"grammars": ("lists",)}, {"min_turns": 5, "max_turns": 4}, {"goodbye_share": 2.0}):
        with pytest.raises(ConfigError):
            TemplateConversations(**other)  # type: ignore[arg-type]

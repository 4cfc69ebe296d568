"""Tool-use traces: a question, a call, the tool's real result, an answer that uses it; as messages and tools.

`ToolTraces` has a model do it: the model sees the schemas, its call is held against the schema, the tool runs, the result goes
back, and the answer must have the result in it (after Toolformer's and ToolLLM's execution checks; Schick et al. 2023, Qin et
al. 2023). `TemplateToolTraces` writes the same traces from our own grammar: right by construction, no model needed.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ...core.config import did_you_mean
from ...core.errors import ConfigError, DataError
from ...core.protocols import Generator
from ...core.types import Completion, Message
from .made import Asking, Attempts, Made, ask, seed_of, turn
from .tool_questions import ToolQuestion, draw_question
from .tools import TOOLS, Tool

CALLING = (
    "You answer with the help of tools. To call one, write only\n"
    '<tool_call>\n{{"name": "...", "arguments": {{...}}}}\n</tool_call>\n'
    "and wait for its result. Then answer in one sentence that has the result in it. If no tool is needed, answer at once.\n\n"
    "Tools:\n{tools}"
)
ASKING = (
    "Write one question of a person whose answer needs this tool, with all the values that its arguments need. Do not name "
    "the tool. Write the question only.\n\n{tool}"
)
_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_NUMBER = re.compile(r"-?\d(?:\d|,(?=\d{3}))*(?:\.\d+)?(?:[eE][+-]?\d+)?")


def read_call(text: str) -> tuple[str, dict[str, Any]] | None:
    """(tool, arguments) of the call in a text: in <tool_call> marks, or the text is one JSON object. None without one;
    DataError for one that is no call.
    """
    marked = _CALL.search(text)
    plain = text.strip()
    if marked is None and not (plain.startswith("{") and plain.endswith("}")):
        if "<tool_call>" in text:
            raise DataError("the call is not closed, or holds no JSON object")
        return None
    try:
        call = json.loads(marked[1] if marked else plain)
    except (ValueError, RecursionError):
        raise DataError("the call is not valid JSON") from None
    arguments = call.get("arguments", call.get("parameters"))
    if not isinstance(call.get("name"), str) or not isinstance(arguments, dict):
        raise DataError("a call has a name and an object of arguments")
    return call["name"], arguments


def uses_result(answer: str, result: str, arguments: Mapping[str, Any]) -> bool:
    """Whether an answer tells a tool's result: its error as some sort of failure, else one of its values that was not
    among the arguments already (numbers as numbers: 1,234.50 is 1234.5).
    """
    value = json.loads(result)
    lower = answer.lower()
    if isinstance(value, dict) and "error" in value:
        return bool(re.search(r"\b(not|no|cannot|can't|couldn't|error|unable|fail\w*|zero|invalid)\b", lower))
    known = [str(given).lower() for given in arguments.values()]
    said = {float(number.replace(",", "")) for number in _NUMBER.findall(answer)}
    for part in value.values() if isinstance(value, dict) else [value]:
        if isinstance(part, (int, float)) and any(abs(part - n) <= 1e-3 * abs(part) for n in said):
            return True
        if isinstance(part, str) and part.lower() not in known and part.lower() in lower:
            return True
    return isinstance(value, dict) and value.get("in_stock") == 0 and bool(re.search(r"\b(no|none|out of)\b", lower))


def _chosen(names: Sequence[str]) -> list[Tool]:
    return [TOOLS[name] for name in names]


def _check(names: Sequence[str]) -> None:
    for name in names:
        if name not in TOOLS:
            raise ConfigError(f"no tool {name!r}", path="tools", hint=did_you_mean(name, list(TOOLS)))
    if not names:
        raise ConfigError("needs at least one tool", path="tools")


def _drawn(chance: random.Random, tools: Sequence[Tool], no_tool_share: float) -> ToolQuestion:
    while True:
        question = draw_question(chance, no_tool_share=no_tool_share)
        if question.tool is None or question.tool in tools:
            return question


def _called(number: str, tool: Tool, arguments: Mapping[str, Any], result: str) -> list[dict[str, Any]]:
    call = {"id": f"call_{number}", "type": "function", "function": {"name": tool.name, "arguments": dict(arguments)}}
    return [
        turn("assistant", "", tool_calls=[call]),
        turn("tool", result, name=tool.name, tool_call_id=call["id"]),
    ]


def _row(kind: str, seed: int, number: int, messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> Made:
    row = {
        "messages": list(messages),
        "tools": [tool.schema for tool in tools],
        "kind": kind,
        "id": f"{kind}/{seed}/{number}",
    }
    return Made(row=row)


@dataclass(frozen=True, kw_only=True)
class TemplateToolTraces:
    """Traces from our own grammar; the tools really run."""

    tools: tuple[str, ...] = tuple(TOOLS)
    num_questions: int = 1
    """Questions in one conversation, up to this many."""
    no_tool_share: float = 0.1
    """Share of questions that are to be answered without a tool."""
    type: Literal["template_tool_traces"] = "template_tool_traces"
    needs_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check(self.tools)
        if self.num_questions < 1:
            raise ConfigError(f"must be at least 1, not {self.num_questions}", path="num_questions")
        if not 0 <= self.no_tool_share < 1:
            raise ConfigError(f"must be at least 0 and below 1, not {self.no_tool_share}", path="no_tool_share")

    def prompts(self) -> Mapping[str, str]:
        return {}

    def make(self, generator: Generator | None, *, count: int, seed: int) -> Iterator[Made]:
        tools = _chosen(self.tools)
        for number in range(count):
            chance = random.Random(seed_of(seed, self.type, number))
            messages: list[dict[str, Any]] = []
            for part in range(chance.randint(1, self.num_questions)):
                question = _drawn(chance, tools, self.no_tool_share)
                messages.append(turn("user", question.text))
                if question.tool is None:
                    messages.append(turn("assistant", question.answer))
                    continue
                result = question.tool.call(question.arguments)
                messages += _called(f"{number}_{part}", question.tool, question.arguments, result)
                messages.append(turn("assistant", question.tell(json.loads(result))))
            shown = list(tools)
            chance.shuffle(shown)
            yield _row(self.type, seed, number, messages, shown)


@dataclass(frozen=True, kw_only=True)
class ToolTraces:
    """A model calls the tools."""

    tools: tuple[str, ...] = tuple(TOOLS)
    questions: Literal["templates", "model"] = "templates"
    """Who asks: our grammar, whose right call is known and must be met in its result, or the model."""
    native: bool = False
    """Hand the schemas to the chat template or endpoint (`tools`) instead of writing them into the system message."""
    no_tool_share: float = 0.1
    attempts_per_row: int = 4
    asking: Asking = field(default_factory=Asking)
    type: Literal["tool_traces"] = "tool_traces"
    needs_model: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check(self.tools)
        if self.attempts_per_row < 1:
            raise ConfigError(f"must be at least 1, not {self.attempts_per_row}", path="attempts_per_row")
        if not 0 <= self.no_tool_share < 1:
            raise ConfigError(f"must be at least 0 and below 1, not {self.no_tool_share}", path="no_tool_share")

    def prompts(self) -> Mapping[str, str]:
        return {"calling": CALLING, **({"asking": ASKING} if self.questions == "model" else {})}

    def make(self, generator: Generator | None, *, count: int, seed: int) -> Iterator[Made]:
        assert generator is not None
        attempts = Attempts(count=count, per_row=self.attempts_per_row)
        while size := attempts.left(self.asking.batch_size):
            first = attempts.tried
            for made in self._batch(generator, range(first, first + size), seed):
                yield attempts.note(made)

    def _batch(self, generator: Generator, numbers: Sequence[int], seed: int) -> list[Made]:
        tools = _chosen(self.tools)
        questions = self._questions(generator, numbers, tools, seed)
        traces: list[list[dict[str, Any]]] = [[turn("user", text)] for text, _ in questions]
        first = self._say(generator, traces, numbers, tools, seed, "call")
        rows: dict[int, Made] = {}
        waiting: list[tuple[int, str, Mapping[str, Any]]] = []
        for i, (number, completion) in enumerate(zip(numbers, first)):
            fault = self._take_call(traces[i], completion, questions[i][1], tools, number, waiting, i)
            made = _row(self.type, seed, number, traces[i], tools)
            rows[i] = made.drop(self.type, *fault) if fault else made
        going = [i for i, _, _ in waiting]
        answers = self._say(generator, [traces[i] for i in going], [numbers[i] for i in going], tools, seed, "answer")
        for (i, result, arguments), answer in zip(waiting, answers):
            text = answer.text.strip()
            made = _row(self.type, seed, numbers[i], [*traces[i], turn("assistant", text)], tools)
            if answer.finish_reason == "length":
                made = made.drop(self.type, "answer cut off")
            elif not text or "<tool_call>" in text:
                made = made.drop(self.type, "no answer after the result")
            elif not uses_result(text, result, arguments):
                made = made.drop(self.type, "the answer does not use the result", f"{result[:60]}: {text[:60]}")
            rows[i] = made
        return [rows[i] for i in range(len(numbers))]

    def _questions(
        self, generator: Generator, numbers: Sequence[int], tools: Sequence[Tool], seed: int
    ) -> list[tuple[str, ToolQuestion | None]]:
        chances = [random.Random(seed_of(seed, self.type, "question", number)) for number in numbers]
        if self.questions == "templates":
            drawn = [_drawn(chance, tools, self.no_tool_share) for chance in chances]
            return [(question.text, question) for question in drawn]
        prompts: list[list[Message]] = [
            [turn("user", ASKING.format(tool=json.dumps(chance.choice(tools).schema["function"])))]
            for chance in chances
        ]
        draws = [seed_of(seed, self.type, "ask", number) for number in numbers]
        return [(c.text.strip().strip('"'), None) for c in ask(generator, prompts, self.asking, seeds=draws)]

    def _say(
        self, generator: Generator, traces: Sequence[list[dict[str, Any]]], numbers: Sequence[int],
        tools: Sequence[Tool], seed: int, step: str,
    ) -> list[Completion]:  # fmt: skip
        if not traces:
            return []
        native = self.native and "chat" in generator.capabilities.abilities
        system = CALLING.format(tools="\n".join(json.dumps(tool.schema["function"]) for tool in tools))
        prompts = [trace if native else [turn("system", system), *map(_as_text, trace)] for trace in traces]
        template = {"tools": [tool.schema for tool in tools]} if native else None
        draws = [seed_of(seed, self.type, step, number) for number in numbers]
        return ask(generator, prompts, self.asking, seeds=draws, template=template)

    def _take_call(
        self, trace: list[dict[str, Any]], completion: Completion, question: ToolQuestion | None, tools: Sequence[Tool],
        number: int, waiting: list[tuple[int, str, Mapping[str, Any]]], place: int,
    ) -> tuple[str, str] | None:  # fmt: skip
        """Add the model's first message, and the tool's after a call, to the trace; (reason, detail) of a fault."""
        text = completion.text.strip()
        if not trace[0]["content"]:
            return "no question", ""
        try:
            call = read_call(text)
        except DataError as error:
            return "malformed call", str(error)
        if call is None:
            trace.append(turn("assistant", text))
            if not text:
                return "no answer", ""
            wanted = question is None or question.tool is not None
            return ("no call where a tool is needed", text[:60]) if wanted else None
        if question is not None and question.tool is None:
            return "a call where none is needed", str(call)[:60]
        tool = next((tool for tool in tools if tool.name == call[0]), None)
        if tool is None:
            return "unknown tool", call[0][:60]
        try:
            result = tool.call(call[1])
        except DataError as error:
            return "arguments do not fit the schema", str(error)
        if question is not None and question.tool is not None:
            right = question.tool.call(question.arguments)
            if tool is not question.tool or json.loads(result) != json.loads(right):
                return "wrong call", f"{json.dumps(call[1])[:60]} gives {result[:40]}, right is {right[:40]}"
        elif question is None and result.startswith('{"error"'):
            return "the tool failed", result[:80]
        trace += _called(str(number), tool, call[1], result)
        waiting.append((place, result, call[1]))
        return None


def _as_text(message: Mapping[str, Any]) -> dict[str, Any]:
    """Calls and results in words, for models whose template has no place for them."""
    if message.get("tool_calls"):
        function = message["tool_calls"][0]["function"]
        return turn("assistant", f"<tool_call>\n{json.dumps(function, ensure_ascii=False)}\n</tool_call>")
    if message["role"] == "tool":
        return turn("user", f"<tool_response>\n{message['content']}\n</tool_response>")
    return dict(message)

"""Chat templates: a list of messages to the one text a model reads, and which characters of it a training run learns.

Compatible with Hugging Face's: the same Jinja dialect, variables and `{% generation %}` blocks, so strings and loss masks
equal those of transformers' `apply_chat_template`. Templates are untrusted and run in `jinja_sandbox`. Left out: templates as
Python callables, and several conversations at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from ..core.errors import RequestError, TokenizerError
from ..core.types import Message
from .jinja_sandbox import Budget, LimitExceeded, Refused, SafeEnvironment, spending

MAX_SOURCE_CHARS = 200_000
"""The longest published templates have about 30,000."""
MAX_STEPS = 400_000
MAX_OUTPUT_CHARS = 1_000_000
MAX_SECONDS = 0.2
"""CPU time of a rendering, full garbage collections left out. An ordinary one takes 0.3 ms; one operation on the largest values
takes up to 50 ms more."""

DEFAULT_SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

DEFAULT_CHAT_TEMPLATE = """\
{%- set rest = messages -%}
{%- if messages and messages[0]['role'] == 'system' -%}
    {%- set system = messages[0]['content'] -%}
    {%- set rest = messages[1:] -%}
{%- endif -%}
{%- if system is defined or tools -%}
    {{- '<|im_start|>system\\n' -}}
    {{- system if system is defined else '' -}}
    {%- if tools -%}
        {{- '\\n\\n' if system is defined and system else '' -}}
        {{- 'You can call these functions, described by JSON Schema:\\n<tools>' -}}
        {%- for tool in tools -%}
            {{- '\\n' ~ (tool | tojson) -}}
        {%- endfor -%}
        {{- '\\n</tools>\\nTo call one, write <tool_call>{"name": ..., "arguments": {...}}</tool_call>.' -}}
    {%- endif -%}
    {{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in rest -%}
    {{- '<|im_start|>' ~ message['role'] ~ '\\n' -}}
    {%- if message['role'] == 'assistant' -%}
        {%- generation -%}
            {%- if message['reasoning_content'] -%}
                {{- '<think>\\n' ~ message['reasoning_content'] ~ '\\n</think>\\n\\n' -}}
            {%- endif -%}
            {{- message['content'] if message['content'] else '' -}}
            {%- for call in message['tool_calls'] or [] -%}
                {%- set function = call['function'] if call['function'] is defined else call -%}
                {{- '\\n' if message['content'] or not loop.first else '' -}}
                {{- '<tool_call>{"name": ' ~ (function['name'] | tojson) ~ ', "arguments": ' -}}
                {%- set arguments = function['arguments'] | default({}, true) -%}
                {{- arguments if arguments is string else arguments | tojson -}}
                {{- '}</tool_call>' -}}
            {%- endfor -%}
            {{- '<|im_end|>' -}}
        {%- endgeneration -%}
    {%- else -%}
        {{- message['content'] ~ '<|im_end|>' -}}
    {%- endif -%}
    {{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
"""ChatML (OpenAI's markers) with a system turn only where there is one, tools, calls and their results, thoughts, and the loss
marked. Thoughts of earlier turns stay, so what was written is never changed by what follows; who wants them gone leaves
`reasoning_content` out.
"""

_GENERATION = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
_REASONING = ("reasoning_content", "thinking", "reasoning")


class ChatTemplate:
    """A compiled template.

    source: Jinja text. special_tokens: variables such as bos_token and eos_token. Raises TokenizerError where the source is
    not a template. Rendering may be called from many threads at once.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        if len(source) > MAX_SOURCE_CHARS:
            raise TokenizerError(f"the chat template has {len(source):,} characters, more than {MAX_SOURCE_CHARS:,}")
        self.source = source
        self.special_tokens = dict(special_tokens or {})
        self.marks_generation = bool(_GENERATION.search(source))
        """Whether the template says itself what is to be learned."""
        try:
            self._template = SafeEnvironment().from_string(source)
        except TemplateSyntaxError as error:
            raise TokenizerError(
                f"the chat template is not valid Jinja, line {error.lineno}: {error.message}"
            ) from error
        except (TemplateError, SyntaxError, RecursionError, MemoryError, ValueError, OverflowError) as error:
            raise TokenizerError(f"the chat template cannot be compiled: {_short(error)}") from error

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **variables: Any,
    ) -> str:
        """The text of a conversation; add_generation_prompt opens the assistant's next turn.

        Raises RequestError where the messages are malformed or the template refuses them, naming the message, and
        TokenizerError where the template itself fails or goes beyond its limits (250 ms, 1,000,000 characters).
        """
        values = self._values(messages, tools, variables)
        return self._run(values, add_generation_prompt, _budget())[0]

    def _values(self, messages: Sequence[Message], tools: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {
                "documents": None,
                **self.special_tokens,
                **{name: _plain(value, name) for name, value in variables.items()},
                "messages": _plain_messages(messages),
                "tools": None if tools is None else _plain(list(tools), "tools"),
            }
        except RecursionError:
            raise RequestError("the messages hold values that are nested too deeply", param="messages") from None

    def _run(
        self, values: Mapping[str, Any], add_generation_prompt: bool, budget: Budget
    ) -> tuple[str, list[tuple[int, int]]]:
        """Text, and the spans of its generation blocks."""
        try:
            return self._pieces({**values, "add_generation_prompt": add_generation_prompt}, budget)
        except LimitExceeded as error:
            raise TokenizerError(
                f"the chat template was stopped: {error}",
                hint="shorten the conversation, or use a template from a source you trust",
            ) from error
        except Refused as error:
            index = self._first_refused(values, budget)
            where = "these messages" if index is None else f"messages[{index}]"
            param = "messages" if index is None else f"messages[{index}]"
            raise RequestError(f"the chat template refuses {where}: {error}", param=param) from error
        except Exception as error:  # a template is a stranger's program: whatever it raises is its fault
            index = self._first_refused(values, budget)
            where = "" if index is None else f" at messages[{index}]"
            raise TokenizerError(f"the chat template fails{where}: {_short(error)}") from error

    def _pieces(self, values: Mapping[str, Any], budget: Budget) -> tuple[str, list[tuple[int, int]]]:
        budget.rendered, budget.generated = 0, []
        pieces = []
        with spending(budget):
            context = self._template.new_context(dict(values))
            for piece in self._template.root_render_func(context):
                pieces.append(piece)
                budget.rendered += len(piece)
                if budget.rendered > MAX_OUTPUT_CHARS:
                    raise LimitExceeded(f"it writes more than {MAX_OUTPUT_CHARS:,} characters")
        return "".join(pieces), budget.generated

    def _first_refused(self, values: Mapping[str, Any], budget: Budget) -> int | None:
        """Index of the message at which rendering longer and longer beginnings first fails, within what is left to spend."""
        for count in range(1, len(values["messages"]) + 1):
            try:
                self._pieces({**values, "messages": values["messages"][:count], "add_generation_prompt": False}, budget)
            except LimitExceeded:
                return None
            except Exception:
                return count - 1
        return None

    def render_with_spans(
        self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] | None = None, **variables: Any
    ) -> tuple[str, list[tuple[int, int]]]:
        """The text of a whole conversation and the [start, end) characters of it that the assistant wrote, in order; the mark
        that ends its turn belongs to it.

        Where the template has `{% generation %}` blocks they say it. Else each assistant turn is what is added between
        rendering the messages before it, with the generation prompt, and with it; that every beginning of the conversation is
        rendered as a beginning of the whole is checked. Raises TokenizerError where it is not (a template that moves or
        rewrites earlier turns), because no exact mask exists then.
        """
        values = self._values(messages, tools, variables)
        budget = _budget()
        text, spans = self._run(values, False, budget)
        return text, (spans if self.marks_generation else self._spans_by_prefix(text, values))

    def _spans_by_prefix(self, text: str, values: Mapping[str, Any]) -> list[tuple[int, int]]:
        spans = []
        messages = values["messages"]
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._run({**values, "messages": messages[:i]}, True, _budget())[0]
            after = self._run({**values, "messages": messages[: i + 1]}, False, _budget())[0]
            if not after.startswith(before) or not text.startswith(after):
                shown, other = (before, after) if not after.startswith(before) else (after, text)
                at = next((j for j, (a, b) in enumerate(zip(shown, other)) if a != b), min(len(shown), len(other)))
                raise TokenizerError(
                    f"what the assistant wrote in messages[{i}] cannot be found: with later messages the chat template "
                    f"writes {other[at : at + 40]!r} where it wrote {shown[at : at + 40]!r} (character {at}), so it "
                    "changes earlier text",
                    hint="mark the assistant's text in the template with {% generation %} ... {% endgeneration %}",
                )
            added = after[len(before) :]
            kept = len(added) if self._ends_white(added, values, i) else len(added.rstrip())
            spans.append((len(before), len(before) + kept))
        return spans

    def _ends_white(self, added: str, values: Mapping[str, Any], index: int) -> bool:
        """Whether white space is all that ends a turn, and so is learned. Behind a mark that ends the turn it is not: generation
        stops at the mark.
        """
        bare = added.rstrip()
        message = values["messages"][index]
        content = message.get("content")
        if not bare or not isinstance(content, str):
            return not bare
        if not content.strip() or not bare.endswith(content.rstrip()):
            return False
        # The content may itself end with what looks like the mark: ask again with a content that does not.
        probe = [*values["messages"][:index], {**message, "content": "x"}]
        return self._run({**values, "messages": probe}, False, _budget())[0].rstrip().endswith("x")


def describe(template: ChatTemplate) -> dict[str, Any]:
    """What a template does, found by rendering: generation_prompt and end_of_turn (texts around an assistant's turn; None where
    it cannot be told), system and tools (whether it shows them), marks_generation, and an example.
    """
    question = {"role": "user", "content": "QUESTION"}
    talk = [question, {"role": "assistant", "content": "ANSWER"}]
    tool = {"type": "function", "function": {"name": "TOOL", "parameters": {"type": "object", "properties": {}}}}

    def shows(word: str, messages: Sequence[Message], tools: Any = None) -> bool:
        try:
            return word in template.render(messages, tools=tools)
        except (RequestError, TokenizerError):
            return False

    found: dict[str, Any] = {
        "characters": len(template.source),
        "marks_generation": template.marks_generation,
        "system": shows("SYSTEM", [{"role": "system", "content": "SYSTEM"}, *talk]),
        "tools": shows("TOOL", talk, [tool]),
        "generation_prompt": None,
        "end_of_turn": None,
        "example": None,
    }
    try:
        before, asked = template.render([question]), template.render([question], add_generation_prompt=True)
        if asked.startswith(before):
            found["generation_prompt"] = asked[len(before) :]
        found["example"], spans = template.render_with_spans(talk)
        said = found["example"][spans[-1][0] : spans[-1][1]] if spans else ""
        if "ANSWER" in said:
            found["end_of_turn"] = said.rpartition("ANSWER")[2]
    except (RequestError, TokenizerError):
        pass
    return found


def _budget() -> Budget:
    return Budget(steps=MAX_STEPS, chars=MAX_OUTPUT_CHARS, seconds=MAX_SECONDS)


def _short(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _plain_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as the plain JSON values a template may see. Reasoning is given under each name that templates read."""
    plain = []
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        if not isinstance(message, Mapping):
            raise RequestError(f"{where} must be an object, not {type(message).__name__}", param=where)
        if not isinstance(message.get("role"), str):
            raise RequestError(f"{where} has no role", param=f"{where}.role", hint='{"role": "user", "content": ...}')
        made = _plain(message, where)
        reasoning = next((made[name] for name in _REASONING if made.get(name) is not None), None)
        if reasoning is not None:
            made = {"thinking": reasoning, **made, "reasoning_content": reasoning}
        if isinstance(made.get("tool_calls"), list):
            made["tool_calls"] = [_with_arguments(call) for call in made["tool_calls"]]
        plain.append(made)
    return plain


def _with_arguments(call: Any) -> Any:
    """A call whose arguments are JSON text, OpenAI's way, with the object that templates expect: a text would be written with
    its quotes escaped.
    """
    if not isinstance(call, dict):
        return call
    if isinstance(call.get("function"), dict):
        return {**call, "function": _with_arguments(call["function"])}
    if not isinstance(call.get("arguments"), str):
        return call
    try:
        parsed = json.loads(call["arguments"])
    except (ValueError, RecursionError):
        return call
    return {**call, "arguments": parsed} if isinstance(parsed, dict) else call


def _plain(value: Any, where: str) -> Any:
    """The value rebuilt from exact JSON types: no object with methods of its own reaches a template."""
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, where) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(item, where) for item in value]
    raise RequestError(f"{where} holds a {type(value).__name__}, which is not a JSON value", param=where)


def load_chat_template(directory: Path) -> ChatTemplate | None:
    """The chat template of a model directory: `chat_template.jinja`, else `chat_template` in `tokenizer_config.json` (a
    text, or a list of named ones of which `default` counts). None where there is none. Special tokens come from
    `special_tokens_map.json` and `tokenizer_config.json`.
    """
    config = _read_object(directory / "tokenizer_config.json")
    special = _special_tokens(_read_object(directory / "special_tokens_map.json")) | _special_tokens(config)
    file = directory / "chat_template.jinja"
    if file.is_file():
        try:
            return ChatTemplate(file.read_text(encoding="utf-8"), special)
        except (OSError, UnicodeDecodeError) as error:
            raise TokenizerError(f"{file} cannot be read: {error}") from error
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {t["name"]: t["template"] for t in found if isinstance(t, dict) and {"name", "template"} <= t.keys()}
        found = named.get("default", next(iter(named.values()), None))
    if found is None:
        return None
    if not isinstance(found, str):
        raise TokenizerError(
            f"{directory / 'tokenizer_config.json'}: chat_template must be text or a list of named texts, "
            f"not {type(found).__name__}"
        )
    return ChatTemplate(found, special)


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{path} cannot be read: {_short(error)}", hint="fetch the file again") from error
    if not isinstance(value, dict):
        raise TokenizerError(f"{path} must hold an object, not {type(value).__name__}")
    return value


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """name_token -> text; an entry is a text or an object with `content`."""
    found = {}
    for name, value in config.items():
        if name.endswith("_token"):
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                found[name] = text
    return found

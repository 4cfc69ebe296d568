"""What a message, a list of messages and a list of tools must be, and their one form here.

    message  {"role", "content", "tool_calls"?, "reasoning_content"?, "name"?, ...}   other fields are kept
    call     {"type": "function", "function": {"name", "arguments": {...}}, "id"?, ...}
    tool     {"type": "function", "function": {"name", "description"?, "parameters"?}}

A content of text parts is joined, bare calls and tools are put into their `function`, arguments written as JSON text become
the object that chat templates expect. Every DataError names the field. Left out: images and sounds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import DataError

ROLES = ("system", "developer", "user", "assistant", "tool")


def shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, default=str)[:60]


def valid_text(value: Any, where: str) -> str:
    """`value` where it is text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise DataError(f"{where} must be text, not {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} has half a surrogate pair at character {error.start}, which is no text",
            hint="the file was cut inside an escape such as \\ud83d\\ude00; repair the row",
        ) from None
    return value


def field_text(row: Mapping[str, Any], field: str, where: str) -> str:
    return valid_text(row.get(field), f"{where}: {field}")


def optional_text(row: Mapping[str, Any], field: str, where: str) -> str:
    """The text of a field that may be missing or null: then nothing."""
    return "" if row.get(field) is None else field_text(row, field, where)


def message_list(value: Any, where: str, field: str = "messages") -> list[dict[str, Any]]:
    """At least one message, each in the form above."""
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: {field} must be a list of at least one message, not {shown(value)}")
    return [message(item, f"{where}: {field}[{i}]") for i, item in enumerate(value)]


def message(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{where} must be an object, not {shown(value)}")
    if value.get("role") not in ROLES:
        raise DataError(f"{where}.role must be one of {', '.join(ROLES)}, not {shown(value.get('role'))}")
    content = _joined_parts(value.get("content"))
    made = {**value, "content": content}
    calls = value.get("tool_calls")
    if calls is not None and calls != []:
        if value["role"] != "assistant":
            raise DataError(f"{where}.tool_calls: only the assistant calls tools, not {value['role']}")
        made["tool_calls"] = call_list(calls, f"{where}.tool_calls")
    else:
        made.pop("tool_calls", None)
    if content is not None or not made.get("tool_calls"):
        valid_text(content, f"{where}.content")
    return made


def _joined_parts(content: Any) -> Any:
    if isinstance(content, list) and content and all(map(_is_text_part, content)):
        return "".join(part["text"] for part in content)
    return content


def _is_text_part(part: Any) -> bool:
    return isinstance(part, Mapping) and set(part) == {"type", "text"} and isinstance(part["text"], str)


def call_list(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise DataError(f"{where} must be a list of calls, not {shown(value)}")
    return [_call(item, f"{where}[{i}]") for i, item in enumerate(value)]


def _call(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{where} must be an object with a function, not {shown(value)}")
    if "function" not in value and "name" in value:
        rest = {key: item for key, item in value.items() if key not in ("name", "arguments")}
        function = {key: value[key] for key in ("name", "arguments") if key in value}
    else:
        rest = {key: item for key, item in value.items() if key != "function"}
        function = value.get("function")  # type: ignore[assignment]
    if not isinstance(function, Mapping):
        raise DataError(f"{where}.function must be an object with a name, not {shown(function)}")
    valid_text(function.get("name"), f"{where}.function.name")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        parsed = parsed_json(arguments)
        arguments = parsed if isinstance(parsed, dict) else arguments
    return {**rest, "type": rest.get("type", "function"), "function": {**function, "arguments": arguments}}


def tool_list(value: Any, where: str, field: str = "tools") -> list[dict[str, Any]]:
    """Tools from a list, or from a list written as JSON text; nothing and empty are no tools."""
    if isinstance(value, str):
        parsed = parsed_json(value) if value.strip() else []
        if parsed is _NOT_JSON:
            raise DataError(f"{where}: {field} is text, but not the JSON of a list of tools: {shown(value)}")
        value = parsed
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"{where}: {field} must be a list of tools, or its JSON text, not {shown(value)}")
    return [_tool(item, f"{where}: {field}[{i}]") for i, item in enumerate(value)]


def _tool(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{where} must be an object that describes a function, not {shown(value)}")
    if "function" not in value and "name" in value:
        value = {"type": "function", "function": dict(value)}
    if not isinstance(value.get("function"), Mapping):
        raise DataError(f"{where}.function must be an object with a name, not {shown(value.get('function'))}")
    valid_text(value["function"].get("name"), f"{where}.function.name")
    return dict(value)


class _NotJson:
    pass


_NOT_JSON: Any = _NotJson()


def parsed_json(text: str) -> Any:
    """The value, or an object that is none of JSON's where the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def is_json(value: Any) -> bool:
    return value is not _NOT_JSON


def needs_assistant(messages: Sequence[Mapping[str, Any]], where: str, field: str = "messages") -> None:
    if not any(item["role"] == "assistant" for item in messages):
        raise DataError(f"{where}: {field} has no message of the assistant, so there is nothing to learn")


def plain_turns(messages: Sequence[Mapping[str, Any]], where: str, form: str) -> tuple[str | None, list[str]]:
    """(system text or None, texts of user, assistant, user, ..., assistant): what forms without roles can hold.

    Raises DataError naming the first message that they cannot.
    """
    first = 1 if messages and messages[0]["role"] == "system" else 0
    for i, item in enumerate(messages):
        here = f"{where}: {form} cannot hold messages[{i}]"
        if set(item) != {"role", "content"}:
            more = ", ".join(sorted(set(item) - {"role", "content"}))
            raise DataError(f"{here}: it has {more}", hint="write messages or sharegpt instead")
        expected = "system" if i < first else ("user", "assistant")[(i - first) % 2]
        if item["role"] != expected:
            raise DataError(f"{here}: it is of {item['role']} where {expected} is due", hint="write messages instead")
    turns = [str(item["content"]) for item in messages[first:]]
    if not turns or len(turns) % 2:
        raise DataError(f"{where}: {form} cannot hold a conversation that does not end with the assistant")
    return (str(messages[0]["content"]) if first else None), turns

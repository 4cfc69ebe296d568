"""Forms of instruction data: Alpaca, ShareGPT, messages (ChatML's and OpenAI's), prompt and completion.

Each is a pair of functions between a row of the form and {"messages", "tools"?}. What of it a form cannot say, its writer
refuses. Alpaca's instruction and input become one message with an empty line between (Taori et al. 2023 keep them apart in
their prompt); its `system` and `history`, and ShareGPT's function_call and observation turns, are as LLaMA-Factory reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..core.errors import DataError
from .chat_checks import (
    call_list,
    field_text,
    is_json,
    message_list,
    needs_assistant,
    optional_text,
    parsed_json,
    plain_turns,
    shown,
    tool_list,
    valid_text,
)

SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "gpt": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
}
"""`from` -> role; the first of a role is the one that is written."""
_FROM = {role: name for name, role in reversed(SHAREGPT_ROLES.items()) if name != "function_call"}


def alpaca_prompt(row: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The messages before the answer: system, history, instruction and input."""
    parts = [field_text(row, "instruction", where), optional_text(row, "input", where)]
    question = "\n\n".join(part for part in parts if part)
    if not question:
        raise DataError(f"{where}: instruction and input are both empty")
    system = optional_text(row, "system", where)
    messages = [{"role": "system", "content": system}] if system else []
    history = row.get("history")
    if history is not None and not isinstance(history, list):
        raise DataError(f"{where}: history must be a list of [question, answer], not {shown(history)}")
    for i, pair in enumerate(history or []):
        if not isinstance(pair, list) or len(pair) != 2:
            raise DataError(f"{where}: history[{i}] must be [question, answer], not {shown(pair)}")
        for k, role in enumerate(("user", "assistant")):
            messages.append({"role": role, "content": valid_text(pair[k], f"{where}: history[{i}][{k}]")})
    return [*messages, {"role": "user", "content": question}]


def alpaca_fields(system: str | None, turns: list[str]) -> dict[str, Any]:
    """Fields of the messages before the answer; `turns` ends with the question."""
    made: dict[str, Any] = {"instruction": turns[-1], "input": ""}
    if system is not None:
        made["system"] = system
    if len(turns) > 1:
        made["history"] = [[turns[i], turns[i + 1]] for i in range(0, len(turns) - 1, 2)]
    return made


def read_alpaca(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    answer = {"role": "assistant", "content": field_text(row, "output", where)}
    return {"messages": [*alpaca_prompt(row, where), answer], **read_tools(row, where)}


def write_alpaca(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    system, turns = plain_turns(values["messages"], where, "alpaca")
    fields = alpaca_fields(system, turns[:-1])
    made = {"instruction": fields.pop("instruction"), "input": fields.pop("input"), "output": turns[-1], **fields}
    return {**made, **write_tools_text(values)}


def read_messages_row(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    messages = message_list(row.get("messages"), where)
    needs_assistant(messages, where)
    return {"messages": messages, **read_tools(row, where)}


def write_messages_row(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {name: values[name] for name in ("messages", "tools") if name in values}


def read_sharegpt(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise DataError(f"{where}: conversations must be a list of at least one turn, not {shown(turns)}")
    messages = [sharegpt_message(turn, f"{where}: conversations[{i}]") for i, turn in enumerate(turns)]
    system = optional_text(row, "system", where)
    if system:
        if messages[0]["role"] == "system":
            raise DataError(f"{where}: system is there twice, as a field and as conversations[0]", hint="keep one")
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages, **read_tools(row, where)}


def read_sharegpt_instruct(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    values = read_sharegpt(row, where)
    needs_assistant(values["messages"], where, "conversations")
    return values


def sharegpt_message(turn: Any, where: str) -> dict[str, Any]:
    if not isinstance(turn, Mapping):
        raise DataError(f"{where} must be an object with from and value, not {shown(turn)}")
    name = turn.get("from")
    if name not in SHAREGPT_ROLES:
        raise DataError(f"{where}.from must be one of {', '.join(SHAREGPT_ROLES)}, not {shown(name)}")
    rest = {key: value for key, value in turn.items() if key not in ("from", "value")}
    for key in ("role", "content", "tool_calls"):
        if key in rest:
            raise DataError(f"{where} has {key} beside from and value", hint="keep one of the two forms")
    value = valid_text(turn.get("value"), f"{where}.value")
    if name != "function_call":
        return {"role": SHAREGPT_ROLES[name], "content": value, **rest}
    calls = parsed_json(value)
    if not is_json(calls) or not isinstance(calls, dict | list) or calls == []:
        raise DataError(f"{where}.value must be the JSON of a call or of a list of calls, not {shown(value)}")
    listed = calls if isinstance(calls, list) else [calls]
    return {"role": "assistant", "content": None, "tool_calls": call_list(listed, f"{where}.value"), **rest}


def sharegpt_turn(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    rest = {key: value for key, value in message.items() if key not in ("role", "content", "tool_calls")}
    if not message.get("tool_calls"):
        name = _FROM.get(message["role"])
        if name is None:
            raise DataError(f"{where}: sharegpt has no role {message['role']!r}", hint="write messages instead")
        return {"from": name, "value": message["content"], **rest}
    if message["content"]:
        raise DataError(f"{where}: sharegpt cannot hold a call and a text in one turn", hint="write messages instead")
    calls = []
    for call in message["tool_calls"]:
        extra = {key: value for key, value in call.items() if key not in ("type", "function")}
        calls.append({**call["function"], **extra})
    value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
    return {"from": "function_call", "value": value, **rest}


def sharegpt_turns(messages: list[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    return [sharegpt_turn(message, f"{where}: messages[{i}]") for i, message in enumerate(messages)]


def write_sharegpt(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {"conversations": sharegpt_turns(values["messages"], where), **write_tools_text(values)}


def read_prompt_completion(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    prompt = message_list(row.get("prompt"), where, "prompt")
    completion = message_list(row.get("completion"), where, "completion")
    needs_assistant(completion, where, "completion")
    return {"messages": [*prompt, *completion], **read_tools(row, where)}


def write_prompt_completion(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    messages = values["messages"]
    last = max(i for i, message in enumerate(messages) if message["role"] == "assistant")
    if last == 0:
        raise DataError(f"{where}: messages[0] is the assistant's, so there is no prompt")
    made = {"prompt": messages[:last], "completion": messages[last:]}
    return {**made, **({"tools": values["tools"]} if "tools" in values else {})}


def read_prompt_completion_text(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    question = {"role": "user", "content": field_text(row, "prompt", where)}
    answer = {"role": "assistant", "content": field_text(row, "completion", where)}
    return {"messages": [question, answer], **read_tools(row, where)}


def write_prompt_completion_text(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    question, answer = one_turn(values["messages"], where, "prompt_completion_text")
    return {"prompt": question, "completion": answer, **write_tools_text(values)}


def one_turn(messages: list[dict[str, Any]], where: str, form: str) -> tuple[str, str]:
    """The texts of one question and its answer, where that is all there is."""
    system, turns = plain_turns(messages, where, form)
    if system is not None or len(turns) != 2:
        raise DataError(
            f"{where}: {form} holds one question and its answer, not {len(messages)} messages",
            hint=f"write {form.removesuffix('_text')} instead, which holds messages",
        )
    return turns[0], turns[1]


def read_tools(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    tools = tool_list(row.get("tools"), where)
    return {"tools": tools} if tools else {}


def write_tools_text(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tools as the JSON text of bare functions, the way of these forms."""
    if "tools" not in values:
        return {}
    tools = values["tools"]
    bare = all(set(tool) == {"type", "function"} and tool["type"] == "function" for tool in tools)
    plain = bare and not any("function" in tool["function"] for tool in tools)
    return {"tools": json.dumps([t["function"] for t in tools] if plain else tools, ensure_ascii=False)}

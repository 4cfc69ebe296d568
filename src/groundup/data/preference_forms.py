"""Forms of preference pairs and of single answers with a thumb up or down.

TRL's: `prompt`, `chosen`, `rejected` as messages or as text; without a prompt, which is then what both have in common;
`prompt`, `completion`, `label`. hh-rlhf's dialogues (Bai et al. 2022) are one text per side, "\\n\\nHuman: ...\\n\\nAssistant: ...".
Alpaca's and ShareGPT's fields with chosen and rejected, and `messages` with a label, are as LLaMA-Factory has them. What of a
row a form cannot say, its writer refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import DataError
from .chat_checks import field_text, message_list, plain_turns, shown
from .instruct_forms import (
    alpaca_fields,
    alpaca_prompt,
    read_sharegpt,
    read_tools,
    sharegpt_message,
    sharegpt_turn,
    sharegpt_turns,
    write_tools_text,
)

_HUMAN, _ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
_DIALOGUE_TURN = re.compile(r"\n\n(Human|Assistant):")
SIDES = ("chosen", "rejected")


def is_dialogue(text: Any) -> bool:
    return isinstance(text, str) and text.startswith(_HUMAN)


def read_dialogue(text: str, where: str) -> list[dict[str, Any]]:
    """The messages of "\\n\\nHuman: ...\\n\\nAssistant: ..."; the one space after each colon is not theirs."""
    marks = list(_DIALOGUE_TURN.finditer(text))
    if not marks or marks[0].start() != 0:
        raise DataError(f"{where} must begin with {_HUMAN!r}, not {shown(text)}")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        {"role": roles[mark[1]], "content": text[mark.end() : end].removeprefix(" ")}
        for mark, end in zip(marks, ends, strict=True)
    ]


def write_dialogue(messages: Sequence[Mapping[str, Any]], where: str) -> str:
    pieces = []
    for i, message in enumerate(messages):
        if message["role"] not in ("user", "assistant") or set(message) != {"role", "content"}:
            raise DataError(f"{where}: dialogues cannot hold messages[{i}], which is of {message['role']}")
        pieces.append(f"{_HUMAN if message['role'] == 'user' else _ASSISTANT} {message['content']}")
    return "".join(pieces)


def pair(
    prompt: list[dict[str, Any]], chosen: list[dict[str, Any]], rejected: list[dict[str, Any]], where: str
) -> dict[str, Any]:
    """The canonical row, where there is a prompt and each side is the assistant's."""
    if not prompt:
        raise DataError(f"{where}: there is no prompt: chosen and rejected differ from their first message on")
    for name, side in zip(SIDES, (chosen, rejected), strict=True):
        if not side or side[0]["role"] != "assistant":
            raise DataError(
                f"{where}: {name} must begin with the assistant, not {shown(side[0]['role'] if side else None)}"
            )
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def cut_common(
    chosen: list[dict[str, Any]], rejected: list[dict[str, Any]], where: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """(prompt, chosen, rejected): the prompt is what both begin with, up to the assistant's answer in which they part."""
    at, most = 0, min(len(chosen), len(rejected)) - 1
    while at < most and chosen[at] == rejected[at]:
        at += 1
    while at and (chosen[at]["role"] != "assistant" or rejected[at]["role"] != "assistant"):
        at -= 1
    return chosen[:at], chosen[at:], rejected[at:]


def read_explicit(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    prompt, chosen, rejected = (message_list(row.get(name), where, name) for name in ("prompt", *SIDES))
    return {**pair(prompt, chosen, rejected, where), **read_tools(row, where)}


def write_explicit(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {name: values[name] for name in ("prompt", *SIDES, "tools") if name in values}


def read_explicit_text(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    prompt = prompt_messages(field_text(row, "prompt", where), where)
    sides = [[_answer(field_text(row, name, where), row["prompt"])] for name in SIDES]
    return {**pair(prompt, sides[0], sides[1], where), **read_tools(row, where)}


def prompt_messages(text: str, where: str) -> list[dict[str, Any]]:
    """A prompt that is text: a dialogue that waits for the assistant, else one question."""
    if not _is_open_dialogue(text):
        return [{"role": "user", "content": text}]
    return read_dialogue(text, f"{where}: prompt")[:-1]


def _is_open_dialogue(text: str) -> bool:
    return is_dialogue(text) and text.rstrip(" ").endswith(_ASSISTANT)


def _answer(text: str, written: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text.removeprefix(" ") if _is_open_dialogue(written) else text}


def write_explicit_text(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    prompt, answers = text_prompt(values, where, "preference_text"), []
    for name in SIDES:
        answers.append(only_text(values[name], "assistant", f"{where}: preference_text cannot hold {name}"))
    return {"prompt": prompt, **dict(zip(SIDES, answers, strict=True)), **write_tools_text(values)}


def text_prompt(values: Mapping[str, Any], where: str, form: str) -> str:
    return only_text(values["prompt"], "user", f"{where}: {form} cannot hold prompt")


def only_text(messages: Sequence[Mapping[str, Any]], role: str, where: str) -> str:
    """The text of the one message of `role`, where that is all there is."""
    if len(messages) != 1 or messages[0]["role"] != role or set(messages[0]) != {"role", "content"}:
        raise DataError(
            f"{where}: it is more than one text of {role}", hint="write the form without _text, which holds messages"
        )
    return str(messages[0]["content"])


def read_implicit(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    sides = [message_list(row.get(name), where, name) for name in SIDES]
    values = pair(*cut_common(sides[0], sides[1], where), where)
    said = row.get("prompt")
    if said is not None and said not in [message["content"] for message in values["prompt"]]:
        raise DataError(
            f"{where}: prompt is none of the messages that chosen and rejected have in common: {shown(said)}"
        )
    return {**values, **read_tools(row, where)}


def write_implicit(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    made = {name: [*values["prompt"], *values[name]] for name in SIDES}
    return {**made, **({"tools": values["tools"]} if "tools" in values else {})}


def read_dialogues(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    sides = [read_dialogue(field_text(row, name, where), f"{where}: {name}") for name in SIDES]
    return {**pair(*cut_common(sides[0], sides[1], where), where), **read_tools(row, where)}


def write_dialogues(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    made = {name: write_dialogue([*values["prompt"], *values[name]], where) for name in SIDES}
    return {**made, **write_tools_text(values)}


def read_implicit_text(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The prompt is the longest beginning that both have, back to where a word begins."""
    chosen, rejected = (field_text(row, name, where) for name in SIDES)
    at = next((i for i, (a, b) in enumerate(zip(chosen, rejected)) if a != b), min(len(chosen), len(rejected)))
    while at and not (chosen[at - 1].isspace() and not chosen[at : at + 1].isspace()):
        at -= 1
    if not at:
        raise DataError(f"{where}: chosen and rejected have no beginning in common, which would be the prompt",
                        hint="give the prompt in a field of its own: prompt")  # fmt: skip
    prompt = [{"role": "user", "content": chosen[:at]}]
    sides = [[{"role": "assistant", "content": text[at:]}] for text in (chosen, rejected)]
    return {**pair(prompt, sides[0], sides[1], where), **read_tools(row, where)}


def write_implicit_text(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    made = write_explicit_text(values, where)
    prompt = made.pop("prompt")
    return {**made, **{name: prompt + made[name] for name in SIDES}}


def read_alpaca_pair(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    prompt = alpaca_prompt(row, where)
    sides = [[{"role": "assistant", "content": field_text(row, name, where)}] for name in SIDES]
    return {**pair(prompt, sides[0], sides[1], where), **read_tools(row, where)}


def write_alpaca_pair(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    texts = [only_text(values[name], "assistant", f"{where}: alpaca_preference cannot hold {name}") for name in SIDES]
    system, turns = plain_turns([*values["prompt"], *values["chosen"]], where, "alpaca_preference")
    return {**alpaca_fields(system, turns[:-1]), **dict(zip(SIDES, texts, strict=True)), **write_tools_text(values)}


def read_sharegpt_pair(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    values = read_sharegpt(row, where)
    sides = [[sharegpt_message(row.get(name), f"{where}: {name}")] for name in SIDES]
    prompt = values.pop("messages")
    return {**values, **pair(prompt, sides[0], sides[1], where)}


def write_sharegpt_pair(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    made: dict[str, Any] = {"conversations": sharegpt_turns(values["prompt"], where)}
    for name in SIDES:
        if len(values[name]) != 1:
            raise DataError(f"{where}: sharegpt_preference holds one turn as {name}, not {len(values[name])}")
        made[name] = sharegpt_turn(values[name][0], f"{where}: {name}")
    return {**made, **write_tools_text(values)}


def _labelled(
    prompt: list[dict[str, Any]], completion: list[dict[str, Any]], row: Mapping[str, Any], where: str
) -> dict[str, Any]:
    if not isinstance(row.get("label"), bool):
        raise DataError(f"{where}: label must be true or false, not {shown(row.get('label'))}")
    if not prompt:
        raise DataError(f"{where}: there is no prompt before the assistant's answer")
    if not completion or completion[0]["role"] != "assistant":
        found = completion[0]["role"] if completion else None
        raise DataError(f"{where}: the answer must begin with the assistant, not {shown(found)}")
    return {"prompt": prompt, "completion": completion, "label": row["label"], **read_tools(row, where)}


def read_feedback_row(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    prompt, completion = (message_list(row.get(name), where, name) for name in ("prompt", "completion"))
    return _labelled(prompt, completion, row, where)


def write_feedback_row(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {name: values[name] for name in ("prompt", "completion", "label", "tools") if name in values}


def read_feedback_text(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    prompt = prompt_messages(field_text(row, "prompt", where), where)
    answer = _answer(field_text(row, "completion", where), row["prompt"])
    return _labelled(prompt, [answer], row, where)


def write_feedback_text(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    answer = only_text(values["completion"], "assistant", f"{where}: feedback_text cannot hold completion")
    prompt = text_prompt(values, where, "feedback_text")
    return {"prompt": prompt, "completion": answer, "label": values["label"], **write_tools_text(values)}


def read_feedback_messages(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    messages = message_list(row.get("messages"), where)
    asked = [i for i, message in enumerate(messages) if message["role"] not in ("assistant", "tool")]
    at = asked[-1] + 1 if asked else 0
    return _labelled(messages[:at], messages[at:], row, where)


def write_feedback_messages(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    made = {"messages": [*values["prompt"], *values["completion"]], "label": values["label"]}
    return {**made, **({"tools": values["tools"]} if "tools" in values else {})}

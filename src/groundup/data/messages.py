"""Conversations to fine-tune on: the one shape they have here, and readers for the files that users bring.

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "kind": "...", "id": "..."}

A file may be JSON lines or one JSON list, compressed or not, with rows of `messages`, or of `prompt` and `completion`. Other
forms (Alpaca, ShareGPT, preference pairs) are not read yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.types import TaskExample
from .documents import read_rows
from .files import find_files, read_bytes

ROLES = ("system", "developer", "user", "assistant", "tool")
_LIMIT_BYTES = 1 << 31


def read_examples(directory: Path | str, split: str) -> Iterator[dict[str, Any]]:
    """Rows of one split of an `instruct` directory: messages, kind, id, and `code` where a function is to be completed."""
    for number, row in read_rows(Path(directory) / f"{split}.jsonl"):
        yield checked(row, f"{directory}/{split}.jsonl, row {number}", default_id=f"{split}:{number}")


def read_questions(directory: Path, split: str) -> Iterator[TaskExample]:
    """Examples of one split of an `instruct` directory; rows that do not end with a text of the assistant's are left out.
    DataError names the row that is malformed.
    """
    for row in read_examples(directory, split):
        *prompt, last = row["messages"]
        if prompt and last["role"] == "assistant" and isinstance(last["content"], str):
            meta = {"kind": str(row["kind"])}
            if isinstance(row.get("code"), str):
                meta["code"] = row["code"]
            yield TaskExample(id=str(row["id"]), prompt=prompt, answer=last["content"], meta=meta)


def read_messages(path: Path | str) -> Iterator[dict[str, Any]]:
    """Rows of the user's own files (a file, folder or glob) in the shape above; tools and other fields are kept.

    Raises DataError naming the file, the row and the field.
    """
    for file in find_files(str(path)):
        where = str(file.path)
        for number, row in _objects(read_bytes(file, limit_bytes=_LIMIT_BYTES), where):
            yield checked(row, f"{where}, row {number}", default_id=f"{file.name}:{number}")


def _objects(data: bytes, where: str) -> Iterator[tuple[int, Any]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8: {error}") from None
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), start=1)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not a valid JSON list: {error}") from None
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{where}, row {number}: not valid JSON: {error}", hint="one JSON object per line"
                ) from None


def checked(row: Any, where: str, *, default_id: str) -> dict[str, Any]:
    """`row` in the one shape. DataError names the field that is wrong."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: must be an object, not {type(row).__name__}")
    if "messages" in row:
        messages = _messages(row["messages"], where)
    elif "prompt" in row or "completion" in row:
        messages = [
            {"role": "user", "content": _text(row, "prompt", where)},
            {"role": "assistant", "content": _text(row, "completion", where)},
        ]
    else:
        raise DataError(
            f"{where}: needs messages, or prompt and completion; it has {', '.join(map(repr, row)) or 'nothing'}",
            hint='{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
        )
    rest = {key: value for key, value in row.items() if key not in ("messages", "prompt", "completion")}
    return {"messages": messages, "kind": "user", "id": default_id, **rest}


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise DataError(f"{where}: {field} must be text, not {_shown(value)}")
    _valid(value, f"{where}: {field}")
    return value


def _valid(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} has half a surrogate pair at character {error.start}, which is no text",
            hint="the file was cut inside an escape such as \\ud83d\\ude00; repair the row",
        ) from None


def _messages(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: messages must be a list of at least one message, not {_shown(value)}")
    for i, message in enumerate(value):
        here = f"{where}: messages[{i}]"
        if not isinstance(message, Mapping):
            raise DataError(f"{here} must be an object, not {_shown(message)}")
        if message.get("role") not in ROLES:
            raise DataError(f"{here}.role must be one of {', '.join(ROLES)}, not {_shown(message.get('role'))}")
        calls = message["role"] == "assistant" and message.get("tool_calls")
        if not isinstance(message.get("content"), str) and not (calls and message.get("content") is None):
            raise DataError(f"{here}.content must be text, not {_shown(message.get('content'))}")
        _valid(message.get("content") or "", f"{here}.content")
    if not any(message["role"] == "assistant" for message in value):
        raise DataError(f"{where}: messages has no message of the assistant, so there is nothing to learn")
    return [dict(message) for message in value]


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, default=str)[:60]

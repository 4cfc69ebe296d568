"""Users' own conversations: two row forms, and errors that name file, row and field."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundup.core.errors import DataError
from groundup.data import read_messages

pytestmark = pytest.mark.row("8.1")

_TOOL = {"type": "function", "function": {"name": "f"}}
_HI = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def test_both_forms_in_lines_lists_and_compressed(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"messages": _HI, "id": "mine", "tools": [_TOOL]},
        {"prompt": "2 + 2?", "completion": "4"},
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "a.jsonl").write_text(lines + "\n\n")
    (tmp_path / "b.json").write_text(json.dumps(rows))
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name in ("a.jsonl", "b.json", "c.jsonl.gz"):
        first, second = read_messages(tmp_path / name)
        assert first == {"messages": _HI, "kind": "user", "id": "mine", "tools": [_TOOL]}
        assert [m["content"] for m in second["messages"]] == ["2 + 2?", "4"]
        assert second["id"] == f"{name}:2" and set(second) == {"messages", "kind", "id"}
    assert len(list(read_messages(tmp_path))) == 6


def test_a_tool_call_needs_no_content(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}]}
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": [_HI[0], call, {"role": "tool", "content": "1"}]}))
    assert next(read_messages(tmp_path / "a.jsonl"))["messages"][1] == {
        **call,
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}],
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", r"row 2: not valid JSON"),
        ("[1]", r"row 2: must be an object, not list"),
        ('{"text": "x"}', r"row 2: the row is of no known form: it has 'text'$"),
        ('{"prompt": "x"}', r"row 2: .* it has 'prompt'; prompt_completion would need completion$"),
        ('{"prompt": "x", "completion": null}', r"row 2: completion must be text, not nothing"),
        ('{"prompt": 3, "completion": "x"}', r"row 2: prompt must be text, not 3"),
        ('{"messages": {}}', r"row 2: messages must be a list of at least one message, not \{\}"),
        ('{"messages": []}', r"row 2: messages must be a list"),
        ('{"messages": ["x"]}', r'row 2: messages\[0\] must be an object, not "x"'),
        ('{"messages": [{"role": "bot", "content": "x"}]}', r"row 2: messages\[0\].role must be one of .*, not \"bot\""),
        (json.dumps({"messages": [*_HI, {"role": "user"}]}), r"row 2: messages\[2\].content must be text, not nothing"),
        (json.dumps({"messages": _HI[:1]}), r"row 2: messages has no message of the assistant"),
        ('{"prompt": "\\ud83d", "completion": "x"}', r"row 2: prompt has half a surrogate pair at character 0"),
        ('{"messages": [{"role": "assistant", "content": "\\ud83d"}]}', r"row 2: messages\[0\].content has half"),
    ],
)  # fmt: skip
def test_errors_name_file_row_and_field(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n' + row + "\n")
    with pytest.raises(DataError, match=r"mine\.jsonl, " + message):
        list(read_messages(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(st.characters(), max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["messages", "role", "content", "prompt", "completion"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_is_read_or_refused(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(value))
    try:
        for row in read_messages(path):
            json.dumps(row, ensure_ascii=False).encode()
    except DataError as error:
        assert "a.jsonl" in str(error)

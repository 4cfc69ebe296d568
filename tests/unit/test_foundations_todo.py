"""The to-do list: what it keeps, what a failed write leaves behind, and files that are no list."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.core.errors import ArtifactError, DataError
from groundup.foundations.todo import TodoList

pytestmark = pytest.mark.row("0.5")


def test_add_complete_remove(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "todo.jsonl"
    items = TodoList(path, now=lambda: datetime(2025, 3, 1, 12, tzinfo=UTC))
    assert items.items() == [] and not path.exists()
    for text in ("water the plants", "  café ☕ ", "read"):
        items.add(text)
    items.complete(2)
    items.remove(1)
    again = TodoList(path).items()
    assert [(item.id, item.text, item.done) for item in again] == [
        (2, "café ☕", "2025-03-01T12:00:00+00:00"),
        (3, "read", None),
    ]
    assert [item.id for item in TodoList(path).items(done=True)] == [2]
    assert TodoList(path).complete(2).done == "2025-03-01T12:00:00+00:00"
    assert TodoList(path).add("new").id == 4


@pytest.mark.parametrize("text", ["", "   ", "two\nlines"])
def test_what_is_no_item(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="one line of text"):
        TodoList(tmp_path / "t.jsonl").add(text)


def test_a_number_that_is_not_there(tmp_path: Path) -> None:
    for deed in (TodoList.complete, TodoList.remove):
        with pytest.raises(DataError, match="no item 5 among 0"):
            deed(TodoList(tmp_path / "t.jsonl"), 5)


def test_a_failed_write_leaves_the_list_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.jsonl"
    items = TodoList(path)
    items.add("first")
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ArtifactError, match="No space"):
        items.add("second")
    assert path.read_bytes() == before and [item.text for item in items.items()] == ["first"]
    monkeypatch.undo()
    assert TodoList(path).add("second").id == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not json\n", "row 1: is no item"),
        (
            b'{"id": 1, "text": "a", "added": "x"}\n{"id": 1, "text": "b", "added": "x"}\n',
            "row 2: the number 1 is there twice",
        ),
        (b'{"id": true, "text": "a", "added": "x"}\n', "row 1: an item has a whole number"),
        (b'{"id": 1, "text": "a", "added": "x", "more": 1}\n', "row 1: is no item"),
        (b"\xff\xfe\n", "is not UTF-8"),
        (b"[" * 100_000, "row 1: is no item"),
    ],
)
def test_files_that_are_no_list(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        TodoList(tmp_path / "t.jsonl")
    assert (tmp_path / "t.jsonl").read_bytes() == content


def test_the_verbs(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        return CliRunner().invoke(cli, [*arguments], catch_exceptions=False).output

    file = ["--file", str(tmp_path / "t.jsonl")]
    assert run("todo", "add", "water", "the", "plants", *file) == "added: 1  water the plants\n"
    assert json.loads(run("todo", "done", "1", "--json", *file))["done"]["id"] == 1
    assert json.loads(run("todo", "list", "--json", *file))["items"][0]["text"] == "water the plants"
    assert "nothing to do" in run("todo", "list", "--open", *file)
    assert run("todo", "remove", "1", *file).startswith("removed: 1")
    assert run("calc", "2*(3+4)^2") == "98\n"
    assert json.loads(run("calc", "-2^2", "--json")) == {"expression": "-2^2", "value": -4, "text": "-4"}

"""Rows of data a page at a time, and windows of tokens, against reading everything."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.core.artifact import seal
from groundup.core.errors import DataError
from groundup.data.shards import Index, TokenShards, write_index, write_shard
from groundup.data.tokens import tokenizer_identity
from groundup.studio.data_rows import (
    RowFile,
    RowFiles,
    data_stages,
    facts_of,
    head_of,
    matcher,
    runs_with_data,
    size_of,
    title_of,
    token_window,
    tokenizer_of,
    turns_of,
)
from groundup.tokenizers.char import CharTokenizer

pytestmark = pytest.mark.row("L.8")


def _rows(draw: np.random.Generator, count: int) -> list[dict[str, Any]]:
    letters = list('ab\n"\\é☃ \u2028')
    return [
        {"id": f"{i}.txt", "text": "".join(draw.choice(letters, size=int(draw.integers(0, 60)))), "source": "made"}
        for i in range(count)
    ]


def _write(path: Path, rows: list[dict[str, Any]], *, ascii_only: bool = False, end: str = "\n") -> Path:
    path.write_text(
        end.join(json.dumps(row, ensure_ascii=ascii_only) for row in rows) + end, encoding="utf-8", newline=""
    )
    return path


def test_rows_by_number_are_the_rows_of_the_file(tmp_path: Path, draw: np.random.Generator) -> None:
    rows = _rows(draw, 200)
    for ascii_only, end in ((False, "\n"), (True, "\n\n"), (False, "\r\n")):
        file = RowFile(_write(tmp_path / "train.jsonl", rows, ascii_only=ascii_only, end=end))
        assert len(file) == len(rows)
        numbers = draw.permutation(len(rows))[:40]
        assert file.rows(numbers) == [rows[n] for n in numbers]
    (tmp_path / "train.jsonl").write_text(json.dumps(rows[0]))  # without a last line's end
    assert RowFile(tmp_path / "train.jsonl").rows([0]) == [rows[0]]
    (tmp_path / "train.jsonl").write_text("")
    assert len(RowFile(tmp_path / "train.jsonl")) == 0


def test_a_search_finds_what_a_scan_finds(tmp_path: Path, draw: np.random.Generator) -> None:
    rows = _rows(draw, 300)
    file = RowFile(_write(tmp_path / "train.jsonl", rows, ascii_only=True))
    for wanted in ("É", 'a"', "\\", "b\n", "17.txt", "MADE", "absent"):  # escaped in the file, as typed in the search
        expected = [
            i for i, row in enumerate(rows) if any(wanted.casefold() in str(v).casefold() for v in row.values())
        ]
        found, more = file.search(matcher(wanted))
        assert found.tolist() == expected and not more, wanted
    found, more = file.search(matcher(".txt"), most=10)
    assert found.tolist() == list(range(10)) and more
    assert file.search(matcher(".txt"), most=300)[1] is False


def test_reasons_filter_exactly() -> None:
    row = {"id": "a", "reason": "too short", "head": "Hi"}
    assert matcher("", "too short")(row) and matcher("HI", "too short")(row)
    assert not matcher("", "short")(row) and not matcher("no", "too short")(row)


def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    line = json.dumps({"id": "x", "text": "a" * 10_000}).encode() + b"\n"
    with open(path, "wb") as file:
        for _ in range(4000):
            file.write(line)
    tracemalloc.start()
    opened = RowFile(path)
    assert len(opened) == 4000 and len(opened.rows([3999])) == 1
    assert opened.search(matcher("b"))[0].size == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < path.stat().st_size * 0.6  # 40 MB; two blocks of 8 MB and the mask over one


def test_broken_rows_are_shown_as_broken(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"id": "a"\n[1]\n\xff\n{"id": "ok", "text": "fine"}\n')
    first, second, third, last = RowFile(path).rows(range(4))
    assert "row 1: not valid JSON" in first["broken"] and "must be an object, not list" in second["broken"]
    assert "broken" in third and last == {"id": "ok", "text": "fine"}
    assert head_of(first).startswith("train.jsonl, row 1") and turns_of(first) == []
    with pytest.raises(DataError, match="cannot be read"):
        RowFile(tmp_path / "none.jsonl")


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    files, path = RowFiles(), _write(tmp_path / "train.jsonl", [{"id": "a"}])
    one = files.get(path)
    assert files.get(path) is one
    _write(path, [{"id": "a"}, {"id": "b"}])
    assert len(files.get(path)) == 2
    for number in range(20):
        files.get(_write(tmp_path / f"{number}.jsonl", [{"id": "a"}]))
    assert len(files._open) == 8
    with pytest.raises(DataError, match="cannot be read"):
        files.get(tmp_path / "none.jsonl")


def test_every_shape_of_row_is_told() -> None:
    talk = {
        "id": "t",
        "kind": "summary",
        "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}],
    }
    assert turns_of(talk) == [("user", "Why?"), ("assistant", "So.")] and size_of(talk) == 7
    assert facts_of(talk) == [("kind", "summary")] and head_of(talk) == "Why?"
    called = {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}, "odd"]}
    assert turns_of(called) == [("assistant", '[{"id": 1}]'), ("?", "odd")]
    pair = {
        "prompt": [{"role": "user", "content": "p"}],
        "chosen": [{"role": "assistant", "content": "c"}],
        "rejected": "r",
    }
    assert turns_of(pair) == [("user", "p"), ("chosen: assistant", "c"), ("rejected", "r")]
    assert turns_of({"source": "ein Haus", "target": "a house"}) == [("source", "ein Haus"), ("target", "a house")]
    dropped = {
        "id": "d",
        "reason": "too short",
        "detail": "3 of 50",
        "source": "s",
        "characters": 1234,
        "head": "The beginning",
    }
    assert turns_of(dropped) == [("beginning", "The beginning")] and size_of(dropped) == 1234
    assert facts_of(dropped) == [
        ("reason", "too short"),
        ("detail", "3 of 50"),
        ("source", "s"),
        ("characters", "1,234"),
    ]
    document = {"id": "", "text": "a\n b " * 100, "source": "", "meta": {"format": "python"}}
    assert title_of(document, 4) == "row 5" and len(head_of(document)) == 160 and "\n" not in head_of(document)
    assert ("format", "python") in facts_of(document) and ("characters", "500") in facts_of(document)
    assert turns_of({"words": ["a"], "tags": [1]}) == [("row", '{\n "words": [\n  "a"\n ],\n "tags": [\n  1\n ]\n}')]


def _artifact(path: Path, kind: str, **facts: Any) -> None:
    (path / "card.json").write_text(
        json.dumps({"kind": kind, "splits": {"train": {"tokens": 5}, "test": {"tokens": 0}}})
    )
    seal(path, kind=kind, facts=facts)


def test_stages_with_data_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    for name in ("pairs", "data", "broken", "half.partial"):
        (run / name).mkdir(parents=True)
        _write(run / name / "train.jsonl", [{"id": "a"}])
        _artifact(run / name, "documents")
    _write(run / "data" / "dropped.jsonl", [{"id": "b"}])
    (run / "data" / "test.jsonl").write_text("")
    (run / "broken" / "card.json").write_text("{")
    (run / "resolved.json").write_text(json.dumps({"data": {}, "pairs": {}}))
    assert [(s.name, s.files) for s in data_stages(run)] == [("data", ("train", "dropped")), ("pairs", ("train",))]
    assert runs_with_data(tmp_path / "runs") == ["one"] and runs_with_data(tmp_path / "none") == []


def _shards(folder: Path, tokenizer: CharTokenizer, texts: list[str]) -> Path:
    folder.mkdir(parents=True)
    eos = tokenizer.special_ids["<|endoftext|>"]
    documents = [np.array([*tokenizer.encode(text), eos]) for text in texts]
    shards = tuple(
        write_shard(folder, f"train-{i:05d}", part, dtype="uint16", text_bytes=1)
        for i, part in enumerate((documents[:1], documents[1:]))
    )
    index = Index(
        format=1, dtype="uint16", vocab_size=tokenizer.vocab_size, eos_id=eos, tokenizer=tokenizer_identity(tokenizer),
        splits={"train": shards},
    )  # fmt: skip
    write_index(folder, index)
    return folder


def test_a_window_of_tokens_over_shard_borders(tmp_path: Path) -> None:
    tokenizer = CharTokenizer.train(["abcé <"], special_tokens=["<|endoftext|>"])
    shards = TokenShards.open(_shards(tmp_path / "tokens", tokenizer, ["ab", "c a", "éb"]), "train")
    window = token_window(shards, tokenizer, 1, 5)
    assert [p.shown for p in window.pieces] == ["b", "<|endoftext|>", "c", "·", "a"]
    assert list(window.documents) == [0, 0, 1, 1, 1] and list(window.ends) == [False, True, False, False, False]
    last = token_window(shards, tokenizer, 10_000, 5)
    assert last.start == shards.num_tokens - 1 and len(last.pieces) == 1 and last.ends == [True]
    assert token_window(shards, tokenizer, -3, 2).start == 0
    other = CharTokenizer.train(["ab"])
    assert any(p.shown.startswith("⟨") for p in token_window(shards, other, 0, 10).pieces)  # ids beyond its vocabulary


def test_only_the_tokenizer_that_made_the_tokens_reads_them(tmp_path: Path) -> None:
    right, wrong = CharTokenizer.train(["abc"]), CharTokenizer.train(["xyz"])
    opened = {"a-wrong": wrong, "right": right}
    for name, tokenizer in opened.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text("{}")
        seal(tmp_path / name, kind="tokenizer")
        assert tokenizer_identity(tokenizer)
    assert tokenizer_of(tmp_path, tokenizer_identity(right), lambda path: opened[path.name]) is right
    with pytest.raises(DataError, match="is the one that made these tokens"):
        tokenizer_of(tmp_path, "0" * 64, lambda path: opened[path.name])
    seal(tmp_path / "right", kind="tokenizer", facts={"figures": {"identity": "known"}})
    assert tokenizer_of(tmp_path, "known", lambda path: opened[path.name]) is right

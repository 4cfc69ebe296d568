"""Instruction pairs from Python source and from texts."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from groundup.core.types import Document
from groundup.data.instruct import PHRASINGS, Pairs, build_pairs, example_of, write_pairs
from groundup.data.messages import read_examples
from groundup.data.python_pairs import is_test, module_name, pairs_of, parse_source, summary_of
from groundup.data.sources import stdlib_files
from groundup.data.text_pairs import cut_passage, passages_of, title_of

_CODE = '''"""Tools for ropes."""

import os

os.abort()  # would end the process if this were ever run


def splice(left: str, right: str, *, overlap: int = 3) -> str:
    """Join two ropes end to end. The overlap is in turns.

    Raises ValueError if there is too little rope.
    """
    if overlap > len(left):
        raise ValueError("too little rope")
    return left[:-overlap] + right  # the turns of the left are given up


def main():
    return 0


class Rope:
    """A rope."""

    def cut(self, at):
        """Cut the rope at a place and return both ends."""
        # A place is counted from the left.
        return self.text[:at], self.text[at:]

    def _secret(self, x):
        return x

    def long(self):
        """Do a very long thing step by step."""
''' + "".join(f"        step_{i} = {i}\n" for i in range(30))


def python(code: str = _CODE, name: str = "ropes/knots.py") -> Document:
    return Document(id=name, text=code, meta={"format": "python"})


def built(documents: dict[str, list[Document]], **options: Any) -> Pairs:
    settings: dict[str, Any] = {"seed": 1, "min_python_pairs": 1, "max_per_kind": 1000, "max_ratio": 100.0, **options}
    return build_pairs(lambda split: documents.get(split, []), **settings)


@pytest.mark.row("8.1")
def test_pairs_of_a_module() -> None:
    tree = parse_source(_CODE)
    assert tree is not None
    pairs = {(p.kind, p.id.partition("::")[2].partition("/")[0]): p for p in pairs_of(python(), tree)}
    assert {key for key in pairs} == {
        ("module", "splice"), ("module", "main"), ("module", "Rope"),
        ("summary", "splice"), ("signature", "splice"), ("complete", "splice"),
        ("summary", "Rope.cut"), ("signature", "Rope.cut"), ("complete", "Rope.cut"),
        ("summary", "Rope.long"), ("signature", "Rope.long"),
    }  # fmt: skip
    assert pairs["module", "splice"].answer == "ropes.knots"
    call = pairs["summary", "splice"]
    assert call.slots["call"] == "ropes.knots.splice(left: str, right: str, *, overlap: int=3)"
    assert call.answer == "Join two ropes end to end."
    assert pairs["summary", "Rope.cut"].slots["call"] == "ropes.knots.Rope.cut(at)"
    signature = pairs["signature", "splice"]
    assert signature.answer == "def splice(left: str, right: str, *, overlap: int=3) -> str:"
    body = pairs["complete", "Rope.cut"]
    assert body.answer == "    # A place is counted from the left.\n    return self.text[:at], self.text[at:]"


@pytest.mark.row("8.1")
def test_a_completed_function_is_the_function() -> None:
    """Question and answer together have the tree of the original, comments kept."""
    checked = 0
    for file in stdlib_files():
        if file.name not in ("textwrap.py", "statistics.py", "asyncio/locks.py", "mailbox.py"):
            continue
        text = file.path.read_text(encoding="utf-8")
        tree = parse_source(text)
        assert tree is not None
        trees: dict[str, list[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                node.decorator_list = []
                trees.setdefault(node.name, []).append(_bare(node))
        for pair in pairs_of(Document(id=file.name, text=text, meta={"format": "python"}), tree):
            if pair.kind == "complete":
                (made,) = ast.parse(pair.extra["code"] + pair.answer).body
                assert isinstance(made, (ast.FunctionDef, ast.AsyncFunctionDef))
                assert _bare(made) in trees[made.name], pair.id
                assert pair.slots["code"] == pair.extra["code"].rstrip("\n")
                checked += 1
    assert checked > 50


def _bare(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return "\n".join([ast.unparse(node.args), *map(ast.unparse, node.body[1:])])


def test_nothing_is_run_or_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ropes", None)
    assert built({"train": [python()]}).by_split["train"]


@pytest.mark.parametrize("code", ["def f(:\n", "\0", "(" * 3000, "x = 1\n" * 3, "print 'old'", ""])
def test_source_that_does_not_parse_gives_no_pair(code: str) -> None:
    assert built({"train": [python(code)]}, min_python_pairs=0).by_split["train"] == []


@pytest.mark.parametrize(
    ("documentation", "summary"),
    [
        ("Return the sum of two numbers. And more.", "Return the sum of two numbers."),
        ("Return the\nsum of two numbers\n\nDetails.", "Return the sum of two numbers"),
        ("Use e.g. this one. Then that.", "Use e.g. this one."),
        ("f(x) -> int", ""),
        (">>> f(1)\n2", ""),
        ("Too short", ""),
        ("word " * 100, ""),
    ],
)
def test_summaries(documentation: str, summary: str) -> None:
    assert summary_of(documentation) == summary


def test_names_of_modules_and_tests() -> None:
    assert module_name("a/b/__init__.py") == "a.b"
    assert module_name("a/b.py@validation") == "a.b"
    assert is_test("test/x.py") and is_test("a/tests/b.py") and is_test("a/test_b.py")
    assert not is_test("unittest/case.py") and not is_test("a/testing.py")
    assert built({"train": [python(name="tests/knots.py")]}, min_python_pairs=0).by_split["train"] == []


@pytest.mark.row("8.1")
def test_held_out_pairs_are_from_held_out_documents_and_new() -> None:
    """The same function in two files: its question is asked in train, and in no other split again."""
    other = "def untangle(rope):\n    '''Take every knot out of the rope.'''\n    return rope.replace('x', '')\n"
    documents = {
        "train": [python(name="a/one.py")],
        "validation": [python(name="a/one.py"), python(other, name="a/two.py")],
    }
    pairs = built(documents)
    questions = {s: {str(p.slots) + p.kind for p in rows} for s, rows in pairs.by_split.items()}
    assert questions["train"] and questions["validation"] and not questions["train"] & questions["validation"]
    assert all(p.id.startswith("a/two.py::") for p in pairs.by_split["validation"])
    assert pairs.left_out["the same question again"] > 0


def test_a_name_in_two_modules_is_not_asked_for() -> None:
    pairs = built({"train": [python(name="one.py")], "test": [python("def splice(x):\n    return x\n", "two.py")]})
    asked = {p.slots["name"] for rows in pairs.by_split.values() for p in rows if p.kind == "module"}
    assert asked == {"main", "Rope"}


@pytest.mark.row("8.1")
def test_kinds_are_balanced_and_phrasings_all_used() -> None:
    functions = "\n\n".join(
        f'def turn_{i}(x):\n    """Turn the rope {i} times around."""\n    return x * {i}' for i in range(200)
    )
    more = "\n\n".join(f"def other_{i}(x):\n    return x" for i in range(900))
    pairs = built({"train": [python(functions + "\n\n" + more)]}, max_ratio=2.0)
    counts = Counter(p.kind for p in pairs.by_split["train"])
    assert counts == {"module": 400, "summary": 200, "signature": 200, "complete": 200}
    capped = Counter(p.kind for p in built({"train": [python(functions)]}, max_per_kind=50).by_split["train"])
    assert set(capped.values()) == {50}
    examples = [example_of(p, 1) for p in pairs.by_split["train"]]
    assert examples == [example_of(p, 1) for p in pairs.by_split["train"]]
    for kind in counts:
        openings = {phrase.partition("{")[0] for phrase in PHRASINGS[kind]} - {""}
        said = [e["messages"][0]["content"] for e in examples if e["kind"] == kind]
        assert all(any(text.startswith(opening) for text in said) for opening in openings)
    kinds = [p.kind for p in pairs.by_split["train"][:60]]
    assert len(set(kinds)) == 4, "kinds are not mixed"


_STORY = "The boat left the harbour at dawn. Anna stood at the rail and watched the lamps go out. " * 12


@pytest.mark.row("8.1")
def test_texts_give_pairs_where_there_is_no_python() -> None:
    notes = [
        Document(id=f"n{i}.md", text=f"# Note {i}\n\n{_STORY}\n\n{i} {_STORY}", meta={"format": "markdown"})
        for i in range(4)
    ]
    pairs = built({"train": notes[:3], "validation": notes[3:]})
    assert set(pairs.counts()["train"]) == {"continue", "source", "opening"} == set(pairs.counts()["validation"])
    for rows in pairs.by_split.values():
        for pair in rows:
            assert 0 < len(pair.answer) <= 420
            if pair.kind == "continue":
                number = pair.id[1]
                whole = " ".join(notes[int(number)].text.split())
                assert " ".join(f"{pair.slots['passage']} {pair.answer}".split()) in whole
            if pair.kind == "source":
                assert pair.answer == f"Note {pair.id[1]}"
    assert built({"train": [python()]}, min_python_pairs=5).counts()["train"].keys().isdisjoint({"continue", "source"})
    both = built({"train": [python(), *notes]}, min_python_pairs=500).counts()["train"]
    assert both["continue"] and both["summary"]


def test_one_text_is_not_asked_for_by_name() -> None:
    book = Document(id="book.txt", text=_STORY * 5, meta={"format": "text"})
    assert set(built({"train": [book]}).counts()["train"]) == {"continue"}
    part = Document(id="a.txt#7", text=_STORY, meta={"format": "text", "part": 7})
    assert title_of(part) == "" and title_of(book) == "book.txt"


def test_passages_cover_a_text_in_order() -> None:
    text = "\n\n".join(f"{i}: {_STORY}" for i in range(5))
    passages = list(passages_of(text))
    assert all(100 <= len(p) <= 700 for p in passages)
    place = 0
    for passage in passages:
        place = text.index(passage, place) + len(passage)
    assert sum(map(len, passages)) > 0.97 * len(text)
    assert cut_passage("x" * 300) is None
    for unspaced in ("これは長い文です。" * 60, "x" * 3000):
        assert all(len(p) <= 700 for p in passages_of(unspaced))
    assert cut_passage("これは長い文です。" * 30) is not None


@pytest.mark.row("8.1")
def test_written_pairs_read_back(tmp_path: Path) -> None:
    pairs = built(
        {
            "train": [python()],
            "validation": [python("def tie(x):\n    '''Tie one knot more.'''\n    return x\n", "t.py")],
        }
    )
    characters = write_pairs(pairs, tmp_path, seed=1)
    for split, rows in pairs.by_split.items():
        read = list(read_examples(tmp_path, split))
        assert read == [example_of(p, 1) for p in rows]
        assert characters[split] == sum(len(e["messages"][1]["content"]) for e in read)
        for example in read:
            assert [m["role"] for m in example["messages"]] == ["user", "assistant"]
            assert ("code" in example) == (example["kind"] == "complete")

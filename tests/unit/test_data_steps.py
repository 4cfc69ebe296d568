"""Document steps: every rule, every reason, and an account that adds up."""

from __future__ import annotations

import ast
import base64
import random
import string
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core.config import parse
from groundup.core.errors import ConfigError
from groundup.core.types import Document
from groundup.data.dedup import DuplicateLines, ExactDuplicates
from groundup.data.filters import BasicFilters, Normalise
from groundup.data.split import Split, hash_position
from groundup.data.stages import DocumentsStage
from groundup.data.steps import STANDARD_STEPS, Pipeline

_PROSE = (
    "The harbour was quiet before the storm came in from the west. Two boats had not come back yet. "
    "Anna counted the lamps along the pier, and then she counted them again.\n"
)


def documents(*texts: str, kind: str = "text") -> list[Document]:
    return [Document(id=f"d{i}", text=text, meta={"format": kind}) for i, text in enumerate(texts)]


_RNG = random.Random(3)
_BLOB = base64.b64encode(_RNG.randbytes(2000)).decode()


@pytest.mark.row("6.3")
@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        (_PROSE, "text", None),
        ("日本語の文章もそのまま残るべきです。" * 2 + "句読点があってもなくても、文字は文字である。これは例文だ。", "text", None),
        ("हिन्दी में लिखा हुआ यह वाक्य भी अक्षरों से बना है और इसे रखा जाना चाहिए।", "text", None),
        ("def f(x):\n    return x + 1\n\n\ndef g(x):\n    return f(x) * 2\n", "python", None),
        ("short", "text", "too short"),
        (_PROSE * 200_000, "text", "too long"),
        ("0101 1101 0.5 3.25 " * 40, "text", "few letters"),
        (_PROSE + "\ufffd" * 20, "text", "unprintable characters"),
        ("x = '" + "ab " * 500 + "'\ny = 1\n", "python", "long lines"),
        ("".join(f"value_{i} = call({'argument, ' * 12})\n" for i in range(9)), "python", "long lines"),
        ("\n".join([_PROSE.strip(), *["Subscribe to our newsletter"] * 5]), "text", "repeated lines"),
        ("import x\ndata = '''\n" + "\n".join(_BLOB[i : i + 76] for i in range(0, 2000, 76)) + "'''", "python", "encoded blob"),
        ("def again():\n    pass\n" * 3000, "python", "repeats itself"),
    ],
)  # fmt: skip
def test_basic_filters(text: str, kind: str, reason: str | None) -> None:
    (judged,) = BasicFilters()(documents(text, kind=kind))
    assert judged.dropped == (f"basic_filters: {reason}" if reason else None)
    assert judged.text == text
    if reason:
        assert any(c.isdigit() for c in judged.meta["detail"])


def test_long_lines_are_fine_in_prose() -> None:
    words = _RNG.choices([w for w in _PROSE.split()], k=2000)
    (judged,) = BasicFilters(min_compressed=0)(documents(" ".join(words)))
    assert judged.dropped is None


@pytest.mark.row("6.3")
def test_normalise_counts_what_it_changes() -> None:
    same, changed = Normalise()(documents("fine", "two\r\nlines"))
    assert (same.text, dict(same.meta)) == ("fine", {"format": "text"})
    assert changed.text == "two\nlines" and changed.meta["counts"] == {"normalise: documents changed": 1}


@pytest.mark.row("6.4")
def test_exact_duplicates_keep_the_first_and_name_it() -> None:
    rows = list(ExactDuplicates()(documents("a b", "c", "a  b\n", "c", "A b")))
    assert [d.dropped is None for d in rows] == [True, True, False, False, True]
    assert [d.meta.get("detail") for d in rows[2:4]] == ["same as d0", "same as d1"]


@pytest.mark.row("6.4")
def test_duplicate_lines_go_after_the_limit() -> None:
    notice = "All rights reserved by the publishers of this page."
    texts = [f"{_PROSE}{notice}\n{notice}\nNumber {i} has a sentence of its own, and so it stays.\n" for i in range(5)]
    texts = [text.replace(_PROSE, f"{i} {_PROSE}") for i, text in enumerate(texts)]
    rows = list(DuplicateLines(max_copies=2)(documents(*texts)))
    assert [row.text.count(notice) for row in rows] == [2, 2, 0, 0, 0]
    assert all(row.text.count("has a sentence of its own") == 1 and row.dropped is None for row in rows)
    assert [row.meta.get("counts") for row in rows[1:3]] == [None, {"duplicate_lines: lines removed": 2}]


@pytest.mark.row("6.4")
def test_a_document_of_repeated_lines_is_dropped() -> None:
    line = "This very line stands in every one of these documents."
    rows = list(DuplicateLines(max_copies=1)(documents(line, line, f"{line}\nshort")))
    assert [row.dropped for row in rows] == [None, *["duplicate_lines: nothing left but lines of other documents"] * 2]


@pytest.mark.row("6.4")
def test_source_still_parses_when_its_repeated_comments_are_gone() -> None:
    code = '''# Licensed to nobody in particular, under no conditions.
class Thing:
    """A docstring whose line is long enough to be looked at."""

    def method(self):
        raise NotImplementedError("subclasses must override this method")
'''
    rows = list(DuplicateLines(max_copies=1, min_left=1)(documents(*[code] * 4, kind="python")))
    assert [row.text.count("Licensed") for row in rows] == [1, 0, 0, 0]
    assert all(row.text.count("NotImplementedError") == row.text.count("docstring whose") == 1 for row in rows)
    for row in rows:
        ast.parse(row.text)


def test_steps_leave_dropped_documents_alone() -> None:
    gone = Document(id="x", text="\r\n", dropped="read: binary file")
    for step in STANDARD_STEPS:
        assert list(step([gone, gone])) == [gone, gone]


class _Halve:
    """A step of a user."""

    def __call__(self, rows: Iterable[Document]) -> Iterator[Document]:
        for number, row in enumerate(rows):
            yield row.drop("halve: odd one") if number % 2 and row.dropped is None else row


@pytest.mark.row("6.3")
@given(st.lists(st.text(string.ascii_lowercase + " \n\r", max_size=120), max_size=30))
def test_the_account_adds_up(texts: list[str]) -> None:
    pipeline = Pipeline([*((step.type, step) for step in STANDARD_STEPS), ("halve", _Halve())])
    rows = list(pipeline(documents(*texts)))
    table = pipeline.table()
    assert [row["step"] for row in table] == ["source", *(s.type for s in STANDARD_STEPS), "halve"]
    assert table[0]["documents"] == len(rows) == len(texts)
    for before, after in pairwise(table):
        assert before["documents"] - after["documents"] == sum(after["dropped"].values())
        assert all(reason.startswith(after["step"]) for reason in after["dropped"])
    assert table[-1]["documents"] == sum(row.dropped is None for row in rows)
    assert table[-1]["characters"] == sum(len(row.text) for row in rows if row.dropped is None)


@pytest.mark.row("6.8")
def test_a_document_stays_in_its_split() -> None:
    ids = [f"folder/file_{i}.txt" for i in range(4000)]
    split = Split(validation=0.1, test=0.2)
    where = dict(zip(ids, split.assign([hash_position(i) for i in ids])))
    some = ids[::3]
    assert split.assign([hash_position(i) for i in some]) == [where[i] for i in some]
    shares = [sum(w == s for w in where.values()) / len(ids) for s in range(3)]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.025)  # five standard deviations at most


@pytest.mark.row("6.8")
@pytest.mark.parametrize("count", [1, 2, 3, 20, 40])
def test_no_wanted_split_stays_empty_while_train_can_spare_one(count: int) -> None:
    where = Split(by="document", validation=0.001, test=0.001).assign([hash_position(str(i)) for i in range(count)])
    assert 0 in where
    assert len(set(where)) == min(3, count)
    assert set(Split(by="document", validation=0, test=0).assign([0.0, 0.5])) == {0}


@pytest.mark.row("6.8")
@given(st.text(max_size=200), st.floats(0, 0.49), st.floats(0, 0.49))
def test_parts_by_position_are_the_whole(text: str, validation: float, test: float) -> None:
    split = Split(by="position", validation=validation, test=test)
    parts = split.cut(text)
    assert "".join(parts) == text
    for part, fraction in zip(parts, split.fractions):
        assert abs(len(part) - fraction * len(text)) <= 2
    assert test > 0 or parts[2] == ""


def test_the_way_follows_the_number_of_documents() -> None:
    assert [Split().way(n) for n in (1, 19, 20)] == ["position", "position", "document"]
    assert Split(by="position").way(10**6) == "position"
    with pytest.raises(ConfigError, match="below 1 together"):
        Split(validation=0.6, test=0.4)
    with pytest.raises(ConfigError, match="split"):
        parse(DocumentsStage, {"type": "documents", "split": {"by": "size"}})

"""Rows of every form: read and written in the same form they are the same rows; in another form they say the same."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from groundup.core.errors import ConfigError, DataError
from groundup.data.files import find_files
from groundup.data.row_files import read_objects, write_objects
from groundup.data.rows import FORMS, SHAPE_FIELDS, Row, form_named, read_row, rename, same, write_row

pytestmark = pytest.mark.row("8.1")

TEXTS = ["", " ", "\n", "hi", " two\n\nparts ", "日本語 é", '{"name": "f"}', "[]", "<|im_end|>", "\n\nHuman: x", "null", "0",
         "\u2028line", "👩‍👩‍👧", "\x00", "\\u00e9", "the answer is 4"]  # fmt: skip


class Rows:
    """Random rows of each form, as odd as the form permits."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def text(self, *, full: bool = False) -> str:
        made = "".join(self.rng.choice(TEXTS) for _ in range(self.rng.randint(0, 3)))
        return made + "x" if full else made

    def json(self, depth: int = 0) -> Any:
        pick = self.rng.randint(0, 6 if depth < 2 else 4)
        return [lambda: None, lambda: self.rng.random() < 0.5, lambda: self.rng.randint(-3, 2**40), lambda: self.rng.random(),
                self.text, lambda: [self.json(depth + 1) for _ in range(self.rng.randint(0, 3))],
                lambda: {self.text(): self.json(depth + 1) for _ in range(self.rng.randint(0, 2))}][pick]()  # fmt: skip

    def maybe(self, name: str, *values: Any) -> dict[str, Any]:
        return {name: self.rng.choice(values)} if self.rng.random() < 0.5 else {}

    def function(self) -> dict[str, Any]:
        made = {"name": self.text(full=True)}
        return {**made, **self.maybe("description", "what it does"), **self.maybe("parameters", {"type": "object"}, {})}

    def tools(self) -> dict[str, Any]:
        bare = [self.function() for _ in range(self.rng.randint(0, 2))]
        full = [{"type": "function", "function": f} for f in bare]
        return self.maybe(
            "tools", bare, full, json.dumps(bare), json.dumps(full, indent=1), json.dumps(bare, ensure_ascii=False), "", None, []
        )  # fmt: skip

    def call(self) -> dict[str, Any]:
        arguments = self.rng.choice([{}, {"a": self.json()}, json.dumps({"a": self.json()}), "not json", "[1]"])
        function = {"name": self.text(full=True), "arguments": arguments}
        return self.rng.choice(
            [function, {"type": "function", "function": function}, {"id": "call_1", "function": function}, {"function": {"name": "f"}}]
        )  # fmt: skip

    def message(self, role: str, *, plain: bool = False) -> dict[str, Any]:
        made: dict[str, Any] = {"role": role, "content": self.text()}
        if plain:
            return made
        if role == "assistant" and self.rng.random() < 0.3:
            calls = [self.call() for _ in range(self.rng.randint(1, 2))]
            made = {"role": role, "tool_calls": calls, **self.maybe("content", None, "", self.text())}
        elif self.rng.random() < 0.1:
            made["content"] = [{"type": "text", "text": self.text()} for _ in range(2)]
        elif self.rng.random() < 0.1:
            made["tool_calls"] = self.rng.choice([None, []])
        more = {
            **self.maybe("name", "Ann"),
            **self.maybe("reasoning_content", self.text()),
            **self.maybe("weight", 0, 1),
        }
        return {**made, **more} if self.rng.random() < 0.3 else made

    def talk(self, *, plain: bool = False, end: str = "assistant") -> list[dict[str, Any]]:
        made = [self.message("system", plain=plain)] if self.rng.random() < 0.4 else []
        for _ in range(self.rng.randint(0, 2)):
            made += [self.message("user", plain=plain), self.message("assistant", plain=plain)]
            if not plain and self.rng.random() < 0.3:
                made += [self.message("tool"), self.message("assistant")]
        made.append(self.message("user", plain=plain))
        return [*made, self.message("assistant", plain=plain)] if end == "assistant" else made

    def turn(self, *names: str) -> dict[str, Any]:
        name = self.rng.choice(names)
        value = self.text()
        if name == "function_call":
            calls = [{"name": "f", "arguments": self.rng.choice([{"b": [1]}, '{"b":1}', {}])} for _ in range(2)]
            value = self.rng.choice(
                [json.dumps(calls[0]), json.dumps(calls), json.dumps(calls[0], separators=(",", ":"))]
            )
        return {"from": name, "value": value, **self.maybe("weight", 1)}

    def turns(self) -> list[dict[str, Any]]:
        made = [self.turn("human", "user") for _ in range(self.rng.randint(0, 1))]
        for _ in range(self.rng.randint(1, 3)):
            made += [
                self.turn("human", "observation", "tool", "user"),
                self.turn("gpt", "chatgpt", "function_call", "bard"),
            ]
        return [self.turn("system"), *made] if self.rng.random() < 0.3 else made

    def alpaca(self) -> dict[str, Any]:
        pairs = [[self.text(), self.text()] for _ in range(self.rng.randint(0, 2))]
        return {
            "instruction": self.text(full=True),
            **self.maybe("input", "", None, self.text()),
            **self.maybe("system", "", None, self.text()),
            **self.maybe("history", pairs, [], None),
        }

    def dialogue(self, answers: list[str]) -> list[str]:
        def said(who: str, text: str) -> str:
            return f"\n\n{who}:{self.rng.choice([' ', ' ', '', '  '])}{text}"

        head = said("Human", "question") + "".join(
            said(self.rng.choice(["Human", "Assistant"]), self.rng.choice(["", "so\n", " what? "])) for _ in range(3)
        )
        return [f"{head}\n\nHuman: and?{said('Assistant', answer)}" for answer in answers]

    def form(self, name: str) -> dict[str, Any]:
        rng, two = self.rng, [self.text(), self.text()]
        label = {"label": rng.random() < 0.5}
        sides = dict(zip(("chosen", "rejected"), two, strict=True))
        if name == "alpaca":
            made = {**self.alpaca(), "output": self.text()}
        elif name == "sharegpt":
            made = {"conversations": self.turns(), **self.tools()}
            if made["conversations"][0]["from"] != "system":
                made |= self.maybe("system", "", None, self.text())
        elif name == "messages":
            made = {"messages": self.talk(), **self.tools()}
        elif name in ("prompt_completion", "feedback"):
            made = {"prompt": self.talk(end="user"), "completion": [self.message("assistant")], **self.tools()}
            if rng.random() < 0.3:
                made["completion"] += [self.message("tool"), self.message("assistant")]
            if name == "feedback":
                made |= label
        elif name in ("prompt_completion_text", "feedback_text"):
            made = {"prompt": self.text(), "completion": self.text(), **(label if name == "feedback_text" else {})}
        elif name in ("preference", "preference_implicit"):
            prompt, answers = self.talk(end="user"), [[self.message("assistant")] for _ in range(2)]
            if name == "preference":
                made = {"prompt": prompt, "chosen": answers[0], "rejected": answers[1], **self.tools()}
            else:
                made = {"chosen": prompt + answers[0], "rejected": prompt + answers[1], **self.tools()}
                if rng.random() < 0.3 and isinstance(prompt[-1]["content"], str):
                    made["prompt"] = prompt[-1]["content"]
        elif name == "preference_text":
            made = {"prompt": self.text(), **sides}
            if rng.random() < 0.3:
                made["prompt"] = "\n\nHuman: a\n\nAssistant: b\n\nHuman:c\n\nAssistant:"
                made |= {"chosen": " yes", "rejected": "no"}
        elif name == "preference_implicit_text":
            made = {side: "common words " + text for side, text in sides.items()}
        elif name == "dialogues":
            made = dict(
                zip(("chosen", "rejected"), self.dialogue([rng.choice(["a", " b\n", ""]) for _ in "ab"]), strict=True)
            )
        elif name == "alpaca_preference":
            made = {**self.alpaca(), **sides}
        elif name == "sharegpt_preference":
            made = {"conversations": [*self.turns(), {"from": "human", "value": "?"}],
                    "chosen": self.turn("gpt", "function_call"), "rejected": self.turn("gpt", "bing"), **self.tools()}  # fmt: skip
        else:
            assert name == "feedback_messages", name
            made = {"messages": self.talk(), **label, **self.tools()}
        extra = {"id": self.json(), "kind": "k", "score é": self.json(), "note": None}
        return {**made, **{key: extra[key] for key in rng.sample(sorted(extra), rng.randint(0, 3))}}


@pytest.fixture
def rows() -> Rows:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    return Rows(random.Random(seed))


@pytest.mark.parametrize("name", FORMS)
def test_read_and_written_in_the_same_form_rows_are_the_same(name: str, rows: Rows) -> None:
    for _ in range(300):
        row = rows.form(name)
        before = json.dumps(row)
        made = read_row(row, None if name != "alpaca" else FORMS[name], "f, row 1")
        assert made.form == name and made.shape == FORMS[name].shape
        assert json.dumps(row) == before, "reading changed the row"
        assert same(write_row(made, FORMS[name]), row), (row, made)
        extra = row.keys() - set(FORMS[name].columns)
        assert all(same(made.values[key], row[key]) for key in extra)


@pytest.mark.parametrize("name", FORMS)
def test_written_in_any_form_a_row_says_the_same_or_is_refused(name: str, rows: Rows) -> None:
    """And through a third form back. What was read is then the whole truth: nothing but `values` goes on."""
    done = dict.fromkeys((f.name for f in FORMS.values() if f.shape == FORMS[name].shape), 0)
    for _ in range(150):
        row = read_row(rows.form(name), FORMS[name], "f, row 1")
        for target in done:
            try:
                written = write_row(row, FORMS[target])
            except DataError:
                continue
            assert same(json.loads(json.dumps(written)), written)
            again = read_row(written, FORMS[target], "g, row 1")
            assert same(again.values, row.values), (target, row, written)
            done[target] += 1
    most = {"instruct": "messages", "preference": "preference", "feedback": "feedback"}[FORMS[name].shape]
    assert done[most] == 150, "the form that is the shape itself holds every row"
    assert done[name] == 150


@pytest.mark.parametrize("name", FORMS)
def test_a_plain_row_can_be_written_in_every_form(name: str) -> None:
    shape = FORMS[name].shape
    values: dict[str, Any] = {
        "instruct": {"messages": [_U, _A]},
        "preference": {"prompt": [_U], "chosen": [_A], "rejected": [{**_A, "content": "b"}]},
        "feedback": {"prompt": [_U], "completion": [_A], "label": False},
    }[shape]
    if name == "preference_implicit_text":
        values["prompt"] = [{**_U, "content": "what? "}]
    written = write_row(Row(shape, values, "messages"), FORMS[name])
    assert read_row(written, FORMS[name], "").values == values
    assert write_row(read_row(written, FORMS[name], ""), FORMS[name]) == written


def test_a_changed_row_is_written_as_it_is_now() -> None:
    row = read_row({"instruction": "a", "input": "b", "output": "c"}, None, "f, row 1")
    assert row.values["messages"][0]["content"] == "a\n\nb"
    changed = Row(
        row.shape,
        {"messages": [{"role": "user", "content": "z"}, row.values["messages"][1]]},
        row.form,
        "",
        row.differs,
    )
    assert write_row(changed, FORMS["alpaca"]) == {"instruction": "z", "input": "", "output": "c"}


@pytest.mark.parametrize(
    "ending", [".jsonl", ".ndjson", ".json", ".jsonl.gz", ".json.gz", ".jsonl.xz", ".json.bz2", ".parquet"]
)
def test_files_hold_the_very_same_rows(ending: str, rows: Rows, tmp_path: Path) -> None:
    for name in FORMS:
        made = [rows.form(name) for _ in range(12)]
        path = tmp_path / f"{name}{ending}"
        assert write_objects(made, path) == 12
        read = list(read_objects(find_files(str(path))[0]))
        assert [number for number, _ in read] == ([*range(1, 13)])
        assert all(same(a, b) for a, (_, b) in zip(made, read, strict=True)), name
    empty = tmp_path / f"empty{ending}"
    assert write_objects([], empty) == 0
    assert list(read_objects(find_files(str(empty))[0])) == []


def test_parquet_keeps_what_it_can_in_its_own_types(tmp_path: Path) -> None:
    import pyarrow.parquet

    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [
        {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]}]  # fmt: skip
    write_objects(
        [{"messages": talk, "id": 1, "odd": 1}, {"messages": talk[:1], "id": 2, "odd": "b"}], tmp_path / "a.parquet"
    )
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert (
        str(table.schema.field("messages").type).startswith("list<") and str(table.schema.field("odd").type) == "string"
    )
    assert table["odd"].to_pylist() == ["1", '"b"'] and table["messages"].to_pylist()[0][0]["content"] == "a"


def test_objects_without_a_field_go_through_parquet(tmp_path: Path) -> None:
    rows = [{"id": {}, "deep": [{"a": {}}]}, {"id": {}, "deep": []}]
    write_objects(rows, tmp_path / "a.parquet")
    assert [row for _, row in read_objects(find_files(str(tmp_path / "a.parquet"))[0])] == rows


def test_parquet_of_others_has_nulls_for_missing_fields(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"messages": [{"role": "user", "content": "a", "name": None}, {"role": "assistant", "content": "b", "name": "B"}],
             "system": None}]  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert next(read_objects(find_files(str(tmp_path / "a.parquet"))[0]))[1] == {
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "name": "B"}]
    }
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"b\.parquet is not a readable Parquet file"):
        list(read_objects(find_files(str(tmp_path / "b.parquet"))[0]))


def test_half_a_surrogate_in_a_field_of_the_users_own_is_kept(tmp_path: Path) -> None:
    row = {"prompt": "é", "completion": "b", "note": "\ud83d"}
    write_objects([row], tmp_path / "a.jsonl")
    assert next(read_objects(find_files(str(tmp_path / "a.jsonl"))[0]))[1] == row


def test_unknown_endings_are_refused(tmp_path: Path) -> None:
    for name in ("a.txt", "a", "a.parquet.gz"):
        with pytest.raises(DataError, match="this ending"):
            write_objects([{}], tmp_path / name)


_U, _A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"instruction": "a", "output": "b", "chosen": "c", "rejected": "d"}, "fits alpaca .* and alpaca_preference"),
        ({"messages": [_U, _A], "instruction": "a", "output": "b"}, "fits alpaca .* and messages"),
        ({"messages": [_U, _A], "prompt": "a", "completion": "b"}, "fits messages .* and prompt_completion_text"),
        ({"prompt": "a", "answer": "b"}, "'prompt', 'answer'; prompt_completion would need completion"),
        ({}, "it has nothing"),
        ({"instruction": "", "input": "", "output": "b"}, "instruction and input are both empty"),
        ({"instruction": "a", "output": 3}, "output must be text, not 3"),
        ({"instruction": "a", "output": "b", "history": [["x"]]}, r"history\[0\] must be \[question, answer\]"),
        ({"instruction": "a", "output": "b", "history": [["x", 1]]}, r"history\[0\]\[1\] must be text, not 1"),
        ({"instruction": "a", "output": "b", "messages": 1}, "fits alpaca"),
        ({"conversations": []}, "conversations must be a list"),
        ({"conversations": [{"from": "robot", "value": "x"}]}, r'conversations\[0\]\.from must be one of .*, not "robot"'),
        ({"conversations": [{"from": "human", "value": None}]}, r"conversations\[0\]\.value must be text"),
        ({"conversations": [{"from": "function_call", "value": "f(x)"}]}, r"conversations\[0\]\.value must be the JSON of a call"),
        ({"conversations": [{"from": "function_call", "value": "{}"}]}, r"conversations\[0\]\.value\[0\]\.function must be"),
        ({"conversations": [{"from": "human", "value": "x"}]}, "conversations has no message of the assistant"),
        ({"conversations": [{"from": "system", "value": "x"}, {"from": "gpt", "value": ""}], "system": "y"}, "system is there twice"),
        ({"messages": [_U, {**_U, "tool_calls": [{"name": "f"}]}, _A]}, r"messages\[1\]\.tool_calls: only the assistant"),
        ({"messages": [_U, {**_A, "tool_calls": "x"}]}, r"messages\[1\]\.tool_calls must be a list"),
        ({"messages": [_U, {**_A, "tool_calls": [{"function": {}}]}]}, r"tool_calls\[0\]\.function\.name must be text"),
        ({"messages": [_U, _A], "tools": "{"}, "tools is text, but not the JSON"),
        ({"messages": [_U, _A], "tools": {"a": 1}}, "tools must be a list"),
        ({"messages": [_U, _A], "tools": [{"function": {"name": 1}}]}, r"tools\[0\]\.function\.name must be text, not 1"),
        ({"prompt": [_U], "completion": "x"}, "completion must be a list"),
        ({"prompt": [_U], "completion": [_U]}, "completion has no message of the assistant"),
        ({"prompt": [_U], "chosen": [_U], "rejected": [_A]}, "chosen must begin with the assistant, not \"user\""),
        ({"prompt": "x", "chosen": "y", "rejected": None}, "rejected must be text, not nothing"),
        ({"prompt": [_U], "chosen": "y", "rejected": [_A]}, "chosen must be a list"),
        ({"chosen": [_A], "rejected": [_A]}, "there is no prompt"),
        ({"chosen": "yes", "rejected": "no"}, "no beginning in common"),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "c"}, r"rejected must begin with '\\n\\nHuman:'"),
        ({"prompt": "a", "completion": "b", "label": 1}, "label must be true or false, not 1"),
        ({"messages": [_A], "label": True}, "there is no prompt"),
        ({"messages": [_U], "label": True}, "the answer must begin with the assistant, not nothing"),
    ],
)  # fmt: skip
def test_errors_name_row_and_field(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"^f\.json, row 7: .*{message}|^f\.json, row 7: {message}"):
        read_row(row, None, "f.json, row 7")


def test_a_form_that_cannot_say_it_says_why() -> None:
    call = {
        "role": "assistant",
        "content": "wait",
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}],
    }
    made = read_row({"messages": [_U, call, {"role": "tool", "content": "1"}, _A]}, None, "f, row 2")
    for name, message in (
        ("alpaca", r"f, row 2: alpaca cannot hold messages\[1\]: it has tool_calls"),
        ("sharegpt", r"f, row 2: messages\[1\]: sharegpt cannot hold a call and a text"),
        ("prompt_completion_text", "cannot hold"),
        ("preference", "f, row 2: messages rows are instruct data and preference is preference data"),
    ):
        with pytest.raises(DataError, match=message):
            write_row(made, FORMS[name])
    with pytest.raises(DataError, match="field 'input' of its own"):
        write_row(read_row({"messages": [_U, _A], "input": 3}, None, "f, row 1"), FORMS["alpaca"])
    with pytest.raises(ConfigError, match=r"no row form 'sharegtp'.*sharegpt"):
        form_named("sharegtp")


def test_columns_are_renamed() -> None:
    assert rename({"prompt": "a", "answer": "b"}, {"completion": "answer"}, "f") == {"prompt": "a", "completion": "b"}
    assert rename({"a": 1, "b": 2}, {"a": "b", "b": "a"}, "f") == {"b": 1, "a": 2}
    with pytest.raises(DataError, match="has no field 'x', which is to be completion"):
        rename({"prompt": "a"}, {"completion": "x"}, "f")
    with pytest.raises(DataError, match="has 'completion' already"):
        rename({"completion": "a", "x": "b"}, {"completion": "x"}, "f")


# Rows, form and shape of every real file; None: rows that are of none.
REAL = {
    "instruct/alpaca_data_1k.json.gz": (1000, "alpaca"),
    "instruct/alpaca_en_demo.json.gz": (999, "alpaca"),
    "instruct/alpaca_zh_demo.json.gz": (1000, "alpaca"),
    "instruct/alpaca_eval.jsonl.gz": (805, "alpaca"),
    "instruct/identity.json": (91, "alpaca"),
    "instruct/instruction-data.json": (1100, "alpaca"),
    "instruct/glaive_toolcall_en_demo.json.gz": (300, "sharegpt"),
    "instruct/dolly_151.jsonl.gz": (151, None),
    "instruct/mt_bench_question.jsonl": (80, None),
    "instruct/mt_bench_reference_gpt4.jsonl": (30, None),
    "instruct/seed_tasks.jsonl": (175, None),
    "instruct/user_oriented_instructions.jsonl": (252, None),
    "preference/hh_harmless_base_test.jsonl.gz": (2312, "dialogues"),
    "preference/dpo_en_demo.json.gz": (300, "sharegpt_preference"),
    "preference/kto_en_demo.json.gz": (300, "feedback_messages"),
    "preference/instruction-data-with-preference.json": (1100, None),
    "preference/alpaca_eval_vicuna13b_vs_gpt4turbo.json.gz": (805, None),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str, shared_data: Path, tmp_path: Path) -> None:
    count, form = REAL[name]
    file = find_files(str(shared_data / name))[0]
    found = list(read_objects(file))
    assert len(found) == count
    if form is None:
        for number, row in found:
            with pytest.raises(DataError, match=rf"row {number}: the row (is of no known form|fits)"):
                read_row(row, None, f"{name}, row {number}")
    columns = {"completion": "answer"} if "dolly" in name else {}
    meant = {
        "dolly_151.jsonl.gz": "prompt_completion_text",
        "instruction-data-with-preference.json": "alpaca_preference",
    }
    form = meant.get(file.name, form)
    if form is None:
        return
    raw = [rename(row, columns, name) for _, row in found]
    made = [
        read_row(row, FORMS[form] if file.name in meant else None, f"{name}, row {n}") for n, row in enumerate(raw, 1)
    ]
    assert {row.form for row in made} == {form}
    assert all(same(write_row(row, FORMS[form]), old) for row, old in zip(made, raw, strict=True))
    own = {"instruct": "messages", "preference": "preference", "feedback": "feedback"}[made[0].shape]
    for ending in ("jsonl.gz", "parquet"):
        path = tmp_path / f"out.{ending}"
        write_objects((write_row(row, FORMS[own]) for row in made), path)
        again = [read_row(row, FORMS[own], "") for _, row in read_objects(find_files(str(path))[0])]
        assert all(same(a.values, b.values) for a, b in zip(again, made, strict=True))
        back = [
            write_row(Row(a.shape, a.values, form, "", m.differs), FORMS[form])
            for a, m in zip(again, made, strict=True)
        ]
        assert all(same(a, b) for a, b in zip(back, raw, strict=True))


def test_lines_with_other_ends_and_marks(tmp_path: Path) -> None:
    text = '\ufeff{"prompt": "a", "completion": "b"}\r\n\r\n{"prompt": "c", "completion": "d"}'
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    assert [n for n, _ in read_objects(find_files(str(tmp_path / "a.jsonl.gz"))[0])] == [1, 3]


def test_shapes_do_not_share_a_field_with_another_meaning() -> None:
    assert set(SHAPE_FIELDS) == {form.shape for form in FORMS.values()}

"""Sources: what a path means, every format, and errors that name the file and the row."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundup.core.config import parse
from groundup.core.errors import ConfigError, DataError, MissingDependency
from groundup.core.types import Document
from groundup.data.sources import FilesSource, HuggingFaceSource, StdlibSource, stated_licence, stdlib_files
from groundup.data.stages import DocumentsStage


def read(path: Path | str, **options: object) -> list[Document]:
    return list(FilesSource(path=str(path), **options).documents())  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "__pycache__").mkdir()
    for name in ("b.txt", "a.md", "sub/c.rst", "sub/deeper/d.py", ".hidden/e.txt", "__pycache__/f.py", ".g.txt"):
        (tmp_path / name).write_text(f"text of {name}\n")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\0\0")
    (tmp_path / "odd.txt").write_bytes(b"PK\0\0")
    return tmp_path


@pytest.mark.row("6.1")
def test_a_folder_in_the_order_of_its_paths(folder: Path) -> None:
    found = read(folder)
    kept = [d for d in found if d.dropped is None]
    assert [d.id for d in kept] == ["a.md", "b.txt", "sub/c.rst", "sub/deeper/d.py"]
    assert [d.text for d in kept] == [f"text of {d.id}\n" for d in kept]
    assert [d.meta["format"] for d in kept] == ["markdown", "text", "rst", "python"]
    assert {d.id: d.dropped for d in found if d.dropped} == {
        "odd.txt": "read: binary file",
        "photo.jpg": "read: unknown suffix .jpg",
    }


@pytest.mark.row("6.1")
def test_a_file_and_a_glob_and_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [d.id for d in read(folder / "b.txt")] == ["b.txt"]
    assert [d.id for d in read(f"{folder}/**/*.[rp]*") if not d.dropped] == ["sub/c.rst", "sub/deeper/d.py"]
    assert [d.id for d in read(f"{folder}/su*")] == ["sub/c.rst", "sub/deeper/d.py"]
    monkeypatch.setenv("HOME", str(folder))
    assert [d.id for d in read("~/sub")] == ["c.rst", "deeper/d.py"]
    assert FilesSource(path=str(folder / "sub")).name == FilesSource(path="~/sub").name == "files under ~/sub"
    monkeypatch.chdir(folder)
    assert [d.id for d in read("sub/*.rst")] == ["c.rst"]
    with pytest.raises(DataError, match="nowhere does not exist"):
        read(folder / "nowhere")
    with pytest.raises(DataError, match="no file under"):
        read(f"{folder}/*.zzz")


@pytest.mark.row("6.1")
def test_compressed_text_and_its_faults(tmp_path: Path) -> None:
    for suffix, module in ((".gz", gzip), (".xz", lzma), (".bz2", bz2)):
        path = tmp_path / f"a.txt{suffix}"
        path.write_bytes(module.compress(b"squeezed " * 1000))  # type: ignore[attr-defined]
        assert read(path)[0].text == "squeezed " * 1000
        with pytest.raises(DataError, match="more than 100 bytes"):
            read(path, max_file_bytes=100)
        path.write_bytes(path.read_bytes()[:-6])
        with pytest.raises(DataError, match=f"a.txt\\{suffix} cannot be read"):
            read(path)
    dropped = read(tmp_path, on_error="drop")
    assert [d.dropped for d in dropped] == ["read: unreadable file"] * 3
    assert "cannot be read" in dropped[0].meta["detail"]


@pytest.mark.row("6.1")
def test_one_file_as_many_documents(tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    path.write_text("One.\nStill one.\n\n \nTwo.\n\n\nThree.\n")
    assert [d.text for d in read(path, documents_per="blank_lines")] == ["One.\nStill one.", "Two.", "Three."]
    assert [d.id for d in read(path, documents_per="line")] == [f"stories.txt#{n}" for n in (1, 2, 3, 4)]
    path.write_text("One.\n\nSame.<|end|>\nTwo.<|end|>\n")
    assert [d.text for d in read(path, separator="<|end|>")] == ["One.\n\nSame.", "Two."]
    # Without the separator in it, the next rule goes.
    assert len(read(path, separator="@@", documents_per="line")) == 3
    path.write_text("Preface.\nCHAPTER 1\na\n\nb\nCHAPTER 2\nc")
    assert [d.text for d in read(path, document_start="^CHAPTER ")] == [
        "Preface.",
        "CHAPTER 1\na\n\nb",
        "CHAPTER 2\nc",
    ]
    path.write_text("One.\n\nStill one.\nTwo.\n\nStill two.\nThree.")
    assert [d.text for d in read(path, document_start=r"(?<=[^\n]\n)(?=[^\n])")] == [
        "One.\n\nStill one.",
        "Two.\n\nStill two.",
        "Three.",
    ]
    with pytest.raises(DataError, match="not a regular expression"):
        read(path, document_start="(")


@pytest.mark.row("6.1")
def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        {"text": "first"},
        {"content": "second", "other": 1},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"conversations": [{"from": "human", "value": "Hi"}]},
    ]
    path.write_text("\n\n".join(json.dumps(r) for r in rows))
    found = read(path)
    assert [d.text for d in found] == ["first", "second", "user: Hi\n\nassistant: Hello", "human: Hi"]
    assert [d.id for d in found] == ["a.jsonl:1", "a.jsonl:3", "a.jsonl:5", "a.jsonl:7"]
    path.write_text('{"story": "s", "note": "n"}\n')
    assert [d.text for d in read(path, text_field="note")] == ["n"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": ', "row 2: not valid JSON"),
        ("[1]", "row 2: must be an object.*not list"),
        ('{"title": "x"}', "row 2: has no 'text' field; it has 'title'"),
        ('{"text": 5}', "row 2: 'text' must be text.*not int"),
        ('{"messages": [{"role": "user"}]}', r"row 2, messages\[0\]: a message needs role and content"),
        ("[" * 100_000, "row 2: not valid JSON"),
        ('{"text": ' + "9" * 5000 + "}", "row 2: not valid JSON"),
    ],
)
def test_a_wrong_row_is_named_or_dropped(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\n' + row + '\n{"text": "fine too"}\n')
    with pytest.raises(DataError, match=f"a.jsonl, {message}"):
        read(path)
    found = read(path, on_error="drop")
    assert [d.dropped for d in found] == [None, "read: malformed row", None]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    data=st.binary(max_size=200),
    suffix=st.sampled_from((".jsonl", ".csv", ".txt", ".html", ".py", ".txt.gz", ".parquet")),
)
def test_any_bytes_are_documents_or_a_data_error(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    try:
        read(path)
    except DataError as error:
        assert "a" + suffix in str(error)


@pytest.mark.row("6.1")
def test_csv_and_tsv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,"two\nlines, and ""quotes"""\n2,' + "x" * 200_000 + "\n")
    (tmp_path / "b.tsv").write_text("content\tn\nplain\t1\n")
    found = read(tmp_path)
    assert [d.text[:20] for d in found] == ['two\nlines, and "quot', "x" * 20, "plain"]
    (tmp_path / "a.csv").write_text("id,name\n1,x\n")
    with pytest.raises(DataError, match=r"a\.csv, row 2: has no 'text' field; it has 'id', 'name'") as caught:
        read(tmp_path)
    assert "text_field" in caught.value.hint


@pytest.mark.row("6.1")
def test_parquet_reads_what_pyarrow_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [f"row {i} é" for i in range(2500)]
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"id": list(range(2500)), "text": texts}), path, row_group_size=700)
    found = read(path)
    assert [d.text for d in found] == texts
    assert found[-1].id == "a.parquet:2500"
    with pytest.raises(DataError, match="row 1: has no 'story' field"):
        read(path, text_field="story")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependency) as caught:
        read(path)
    assert caught.value.hint == "pip install 'groundup[data]'"


@pytest.mark.row("6.2")
def test_repaired_encodings_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "b.html").write_text("<title>T</title><body><p>Body text.</p></body>")
    first, second = read(tmp_path)
    assert (first.text, first.meta["repaired"]) == ("naïve", "not UTF-8, read as Windows-1252")
    assert (second.text, second.meta["title"]) == ("Body text.", "T")


@pytest.mark.row("6.1")
def test_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    files = stdlib_files()
    names = [f.name for f in files]
    assert names == sorted(names) and len(names) > 500
    assert {"json/decoder.py", "asyncio/events.py", "textwrap.py"} <= set(names)
    assert not any("site-packages" in n or "__pycache__" in n or n.startswith("_sysconfigdata") for n in names)
    few = [f for f in files if f.name in ("textwrap.py", "pydoc_data/topics.py")]
    monkeypatch.setattr("groundup.data.sources.stdlib_files", lambda: few)
    found = {d.id: d for d in StdlibSource().documents()}
    assert "class TextWrapper" in found["textwrap.py"].text and found["textwrap.py"].meta["format"] == "python"
    page = found["pydoc_data/topics.py#assert"]
    assert page.meta == {"format": "rst", "title": "assert"} and "assert_stmt" in page.text
    assert "Python Software Foundation" in stated_licence(StdlibSource())
    one = StdlibSource().fingerprint()
    monkeypatch.setattr("groundup.data.sources.stdlib_files", lambda: few[:1])
    assert StdlibSource().fingerprint() != one


@pytest.mark.row("6.1")
def test_the_quickstart_recipe_takes_a_path(folder: Path) -> None:
    """`data.source.path=...` over `{type: stdlib}` reads that path instead, with every option of files."""
    stage = parse(DocumentsStage, {"type": "documents", "source": {"type": "stdlib", "path": str(folder)}})
    ids = [d.id for d in stage.source.documents()]
    assert ids == [d.id for d in read(folder)]
    assert stage.fingerprint() == FilesSource(path=str(folder)).fingerprint() != ""
    assert "Python Software Foundation" not in stated_licence(stage.source)
    lines = StdlibSource(path=str(folder / "b.txt"), documents_per="line")
    assert [d.id for d in lines.documents()] == ["b.txt#1"]
    before = stage.fingerprint()
    (folder / "b.txt").write_text("changed")
    assert stage.fingerprint() != before


def test_config_errors_name_the_place() -> None:
    with pytest.raises(ConfigError, match=r"source\.pth: unknown key"):
        parse(DocumentsStage, {"type": "documents", "source": {"type": "stdlib", "pth": "x"}})
    with pytest.raises(ConfigError, match="no part of type 'filez'"):
        parse(DocumentsStage, {"type": "documents", "source": {"type": "filez"}})
    with pytest.raises(ConfigError, match="documents_per"):
        parse(DocumentsStage, {"type": "documents", "source": {"type": "stdlib", "documents_per": "page"}})


def test_a_hub_data_set_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependency) as caught:
        list(HuggingFaceSource(dataset="roneneldan/TinyStories").documents())
    assert caught.value.hint == "pip install 'groundup[hub]'"


def test_a_hub_data_set_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def load_dataset(*args: object, **kwargs: object) -> object:
            if args[0] == "offline":
                raise ConnectionError("no route")
            return [{"text": "a"}, {"text": "b"}, {"other": 1}]

    monkeypatch.setitem(sys.modules, "datasets", Library)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'offline' cannot be read: ConnectionError") as caught:
        list(HuggingFaceSource(dataset="offline").documents())
    assert "data.source.path" in caught.value.hint
    assert [d.text for d in HuggingFaceSource(dataset="x", max_documents=2).documents()] == ["a", "b"]
    with pytest.raises(DataError, match="x, row 2: has no text in 'text'; it has 'other'"):
        list(HuggingFaceSource(dataset="x").documents())

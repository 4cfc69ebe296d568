"""One file to documents, by its suffix: text, Markdown, source code, HTML, JSON lines, CSV, Parquet.

A wrong row is an error that names the file and the row. A file that is no text at all is passed on as a dropped document,
so that it is counted.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..core.errors import DataError, MissingDependency
from ..core.types import Document
from ..text.decode import decode, looks_binary
from ..text.html import main_text
from .files import FoundFile, read_bytes

_CODE_SUFFIXES = (
    ".c .h .cc .cpp .cxx .hpp .cs .rs .go .java .kt .js .mjs .ts .jsx .tsx .rb .php .swift .scala .sh .sql .lua .r "
    ".jl .hs .ml .clj .ex .erl .pl .zig .nim .dart .css .vue"
)
FORMATS: dict[str, str] = {
    **dict.fromkeys((".txt", ".text", ".tex", ".srt", ""), "text"),
    **dict.fromkeys((".md", ".markdown", ".mdx"), "markdown"),
    ".rst": "rst",
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    **dict.fromkeys((".py", ".pyi"), "python"),
    **dict.fromkeys(_CODE_SUFFIXES.split(), "code"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    ".parquet": "parquet",
}
CODE = frozenset(("python", "code"))
ROWS = frozenset(("jsonl", "csv", "parquet"))
_TEXT_FIELDS = ("text", "content", "body", "story", "document")
_MESSAGE_FIELDS = ("messages", "conversations")
_MAX_FIELD = 2**31 - 1  # what a C long holds everywhere
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


@dataclass(frozen=True, kw_only=True)
class FileReading:
    """How files are turned into documents."""

    documents_per: Literal["file", "blank_lines", "line"] = "file"
    """What one document is in a text file: the file, what stands between blank lines, or a line."""
    separator: str | None = None
    """A string that ends a document inside a text file, for example "<|endoftext|>". Files that have it are cut there."""
    document_start: str | None = None
    """Regular expression; in text files without the separator, a document starts wherever it matches (`^` is the start of
    a line): "^CHAPTER " for a book, "(?<=[^\\n]\\n)(?=[^\\n])" for texts whose blank lines are inside documents."""
    text_field: str | None = None
    """Column of jsonl, csv and parquet; by default text, content, body, story, document or messages."""
    on_error: Literal["stop", "drop"] = "stop"
    """What a malformed row or an unreadable file does: stop with its name, or be dropped with its reason."""
    max_file_bytes: int = 1 << 31
    """Limit for one file after decompression."""
    licence: str = ""
    """What may be done with the text; written on the data card."""


def read_file(file: FoundFile, how: FileReading, *, source: str) -> Iterator[Document]:
    """The documents of one file, in order. Ids are the file's name, with `:row` or `#piece` where there are several."""
    kind = FORMATS.get(file.suffix)
    try:
        if kind == "parquet":
            yield from _rows(file, _parquet_rows(file, how), how, source, kind)
            return
        data = read_bytes(file, limit_bytes=how.max_file_bytes)
        if looks_binary(data):
            yield Document(id=file.name, text="", source=source, dropped="read: binary file")
            return
        decoded = decode(data, python=kind == "python")
        meta: dict[str, Any] = {
            "format": kind or "text",
            **({"repaired": decoded.repaired} if decoded.repaired else {}),
        }
        if kind == "jsonl":
            yield from _rows(file, _jsonl_rows(file, decoded.text, how), how, source, kind)
        elif kind == "csv":
            yield from _rows(file, _csv_rows(file, decoded.text), how, source, kind)
        elif kind == "html":
            title, text = main_text(decoded.text)
            yield Document(id=file.name, text=text, source=source, meta={**meta, "title": title})
        else:
            yield from _pieces(file.name, decoded.text, how, source, meta)
    except DataError as error:
        if how.on_error == "stop":
            raise
        yield Document(
            id=file.name, text="", source=source, meta={"detail": str(error)}, dropped="read: unreadable file"
        )


def _pieces(name: str, text: str, how: FileReading, source: str, meta: Mapping[str, Any]) -> Iterator[Document]:
    if how.separator and how.separator in text:
        parts = text.split(how.separator)
    elif how.document_start:
        parts = _cut_at_starts(text.replace("\r\n", "\n"), how.document_start)
    elif how.documents_per == "line":
        parts = text.splitlines()
    elif how.documents_per == "blank_lines":
        parts = _BLANK_LINES.split(text.replace("\r\n", "\n"))
    else:
        yield Document(id=name, text=text, source=source, meta=meta)
        return
    solid = (part.strip() for part in parts)
    for number, part in enumerate((part for part in solid if part), start=1):
        yield Document(id=f"{name}#{number}", text=part, source=source, meta={**meta, "part": number})


def _cut_at_starts(text: str, start: str) -> list[str]:
    try:
        starts = [match.start() for match in re.finditer(start, text, re.MULTILINE)]
    except re.error as error:
        raise DataError(
            f"document_start {start!r} is not a regular expression: {error}", hint="for example '^CHAPTER '"
        ) from None
    return [text[here:there] for here, there in zip([0, *starts], [*starts, len(text)])]


def _rows(
    file: FoundFile, rows: Iterator[tuple[int, Any]], how: FileReading, source: str, kind: str
) -> Iterator[Document]:
    for number, row in rows:
        name = f"{file.name}:{number}"
        try:
            if isinstance(row, DataError):
                raise row
            text = _row_text(row, how.text_field, f"{file.path}, row {number}")
        except DataError as error:
            if how.on_error == "stop":
                raise
            yield Document(id=name, text="", source=source, meta={"detail": str(error)}, dropped="read: malformed row")
            continue
        yield Document(id=name, text=text, source=source, meta={"format": kind, "part": number})


def _row_text(row: Any, field: str | None, where: str) -> str:
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: must be an object with a text field, not {type(row).__name__}")
    known = (field,) if field else (*_TEXT_FIELDS, *_MESSAGE_FIELDS)
    name = next((f for f in known if row.get(f) is not None), None)
    if name is None:
        raise DataError(
            f"{where}: has no {field or 'text'!r} field; it has {', '.join(map(repr, row)) or 'none'}",
            hint="name the column: data.source.text_field=NAME",
        )
    value = row[name]
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(m, Mapping) for m in value):
        return "\n\n".join(_turn(message, f"{where}, {name}[{i}]") for i, message in enumerate(value))
    raise DataError(f"{where}: {name!r} must be text or a list of messages, not {type(value).__name__}")


def _turn(message: Mapping[str, Any], where: str) -> str:
    role, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
    if not isinstance(role, str) or not isinstance(content, str):
        raise DataError(f"{where}: a message needs role and content, both text; it has {', '.join(map(repr, message))}")
    return f"{role}: {content}"


def _jsonl_rows(file: FoundFile, text: str, how: FileReading) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, parse_row(line, f"{file.path}, row {number}")


def parse_row(line: str, where: str) -> Any:
    """A JSON value, or the DataError that says why it is none (returned, so that the caller decides what it does)."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return DataError(f"{where}: not valid JSON: {error}", hint="one JSON object per line; repair or remove the row")


def _csv_rows(file: FoundFile, text: str) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(_MAX_FIELD)  # the default, 131,072 characters, is less than one long article
    delimiter = "\t" if file.suffix == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        yield reader.line_num, DataError(f"{file.path}, row {reader.line_num}: not valid CSV: {error}")


def _parquet_rows(file: FoundFile, how: FileReading) -> Iterator[tuple[int, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependency("pyarrow", extra="data", purpose=f"reading {file.path.name}") from None
    try:
        table = pyarrow.parquet.ParquetFile(file.path)
        wanted = {how.text_field} if how.text_field else {*_TEXT_FIELDS, *_MESSAGE_FIELDS}
        columns = [name for name in table.schema_arrow.names if name in wanted]
        number = 0
        for batch in table.iter_batches(batch_size=1024, columns=columns or None):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{file.path} is not a readable Parquet file: {error}") from None

"""Files of rows, in and out: JSON lines, one JSON list, Parquet; JSON plain or compressed.

Parquet keeps a column in Arrow's own types where reading it back gives the very same values in the same order (a field that is missing and one
that is null are one thing there); any other column is kept as JSON text, and the file's metadata names it, so that no value
changes. What other programs wrote is read with nulls inside objects taken as missing fields. Memory holds one JSON file, or
one batch of a Parquet file; a Parquet file being written is held whole.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..core.artifact import atomic_write
from ..core.errors import DataError, MissingDependency
from .files import COMPRESSED, FoundFile, read_bytes
from .rows import same

_LIMIT_BYTES = 1 << 31
_JSON_COLUMNS = b"groundup.json_columns"
WRITTEN_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")


def read_objects(file: FoundFile) -> Iterator[tuple[int, Any]]:
    """(row number from 1, value) of a file; in JSON lines the row number is that of the line. DataError names both."""
    if file.suffix == ".parquet":
        yield from _parquet_rows(file)
        return
    where = str(file.path)
    try:
        text = read_bytes(file, limit_bytes=_LIMIT_BYTES).decode("utf-8-sig")
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


def write_objects(rows: Iterable[Mapping[str, Any]], path: Path | str) -> int:
    """Write `rows` as the suffix of `path` says, whole or not at all; returns how many there were."""
    path = Path(path)
    found = FoundFile(path.name, path)
    if found.suffix not in WRITTEN_SUFFIXES or (found.suffix == ".parquet" and path.suffix != ".parquet"):
        raise DataError(
            f"{path.name}: rows cannot be written to a file with this ending",
            hint=f"end it with {', '.join(WRITTEN_SUFFIXES)}; JSON also with .gz, .bz2 or .xz after it",
        )
    if found.suffix == ".parquet":
        return _write_parquet(list(rows), path)
    count = 0
    as_list = found.suffix == ".json"
    with atomic_write(path) as raw, _compressing(raw, path) as file:
        for count, row in enumerate(rows, start=1):
            if as_list:
                file.write(b"[\n" if count == 1 else b",\n")
            file.write(encoded(row))
            if not as_list:
                file.write(b"\n")
        if as_list:
            file.write(b"\n]\n" if count else b"[]\n")
    return count


def encoded(row: Any) -> bytes:
    """One line of JSON; half a surrogate pair, which UTF-8 has not, stays the escape that it was."""
    try:
        return json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(row).encode()


@contextmanager
def _compressing(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    suffix = path.suffix.lower()
    if suffix not in COMPRESSED:
        yield raw
    elif suffix == ".gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:  # the same rows, the same bytes
            yield file  # type: ignore[misc]
    else:
        with (bz2.BZ2File if suffix == ".bz2" else lzma.LZMAFile)(raw, "wb") as file:
            yield file


def _pyarrow(purpose: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependency("pyarrow", extra="data", purpose=purpose) from None
    return pyarrow


def _parquet_rows(file: FoundFile) -> Iterator[tuple[int, Any]]:
    pyarrow = _pyarrow(f"reading {file.path.name}")
    try:
        table = pyarrow.parquet.ParquetFile(file.path)
        as_json = set(json.loads((table.schema_arrow.metadata or {}).get(_JSON_COLUMNS, b"[]")))
        number = 0
        for batch in table.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                where = f"{file.path}, row {number}"
                yield (
                    number,
                    {name: _value(v, name in as_json, f"{where}: {name}") for name, v in row.items() if v is not None},
                )
    except (OSError, pyarrow.ArrowException, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file.path} is not a readable Parquet file: {error}") from None


def _value(value: Any, as_json: bool, where: str) -> Any:
    if not as_json:
        return _without_nulls(value)
    try:
        return json.loads(value)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where} should be JSON text and is not: {error}") from None


def _without_nulls(value: Any) -> Any:
    """What a reader makes of Arrow's values: fields that are null are not there, but for a message's content."""
    if isinstance(value, dict):
        kept = ("content",) if "role" in value else ()
        return {key: _without_nulls(item) for key, item in value.items() if item is not None or key in kept}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _write_parquet(rows: list[Mapping[str, Any]], path: Path) -> int:
    pyarrow = _pyarrow(f"writing {path.name}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    arrays, as_json = [], []
    for name in names:
        array = _native(pyarrow, [row.get(name) for row in rows], [name in row for row in rows])
        if array is None:
            as_json.append(name)
            values = [encoded(row[name]).decode() if name in row else None for row in rows]
            array = pyarrow.array(values, pyarrow.string())
        arrays.append(array)
    table = pyarrow.Table.from_arrays(arrays, names=names)
    table = table.replace_schema_metadata({_JSON_COLUMNS: json.dumps(as_json).encode()} if as_json else None)
    with atomic_write(path) as file:
        pyarrow.parquet.write_table(table, file)
    return len(rows)


def _native(pyarrow: Any, values: list[Any], there: list[bool]) -> Any:
    """An Arrow array that reads back as these very values, or None where there is none."""
    if any(value is None and is_there for value, is_there in zip(values, there, strict=True)):
        return None
    try:
        array = pyarrow.array(values)
    except (pyarrow.ArrowException, ValueError, TypeError, OverflowError, UnicodeError):
        return None
    if _has_empty_struct(pyarrow, array.type):  # Parquet cannot hold an object that never has a field
        return None
    read = [_without_nulls(item) for item in array.to_pylist()]
    return array if all(map(same, read, values)) and all(map(_in_order, read, values)) else None


def _has_empty_struct(pyarrow: Any, kind: Any) -> bool:
    if pyarrow.types.is_struct(kind) and kind.num_fields == 0:
        return True
    return any(_has_empty_struct(pyarrow, kind.field(i).type) for i in range(kind.num_fields))


def _in_order(a: Any, b: Any) -> bool:
    """Whether the fields of equal values stand in the same order: a template writes arguments in theirs. Of a message itself
    the order says nothing.
    """
    if isinstance(a, dict):
        return ("role" in a or list(a) == list(b)) and all(_in_order(value, b[key]) for key, value in a.items())
    return not isinstance(a, list) or all(map(_in_order, a, b))

"""Tables: a CSV, TSV or JSON-lines file (plain, compressed, or the one such file in a zip) into typed columns, split.

    columns.safetensors   of every column: float64 [N], NaN where missing; or int32 [N] codes of a category, -1 where missing;
                          and uint8 [N] `split`, an index into SPLITS
    card.json README.md   names, kinds and categories of the columns, the target, what was left out and why

A column is of numbers if everything in it is a number, of categories if not; codes such as 020 are categories. Free text, and numbers that
only count the rows, are told but not kept: no model here could use them. Equal rows always fall into one split. Nothing is guessed where
a guess could be wrong in silence: a column that is nearly all numbers stops with the row and column that are not. Left out: dates,
several tables, files larger than memory.
"""

from __future__ import annotations

import csv
import io
import json
import math
import numbers
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ..core.artifact import atomic_write
from ..core.config import Use, did_you_mean, load_user_part, node
from ..core.errors import ArtifactError, ConfigError, DataError
from ..core.recipe import StageContext
from .card import read_card, write_card
from .files import FoundFile, find_files, fingerprint, read_bytes
from .made.houses import HousesConfig
from .split import SPLITS, Split, hash_position

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
ColumnKind = Literal["number", "category", "text", "row number"]
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
ARRAYS, _SPLIT = "columns.safetensors", "split"
_LIMIT_BYTES = 1 << 30
_MAX_FIELD = 2**31 - 1
_NEARLY_ALL = 0.9
"""Share of numbers from which a column is meant to be of numbers, so that what is none is an error."""
_FEW = 20
"""Distinct values that any column of categories may have; beyond that, a column where over half differ is free text."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CODE = re.compile(r"0\d+")
_TABLES = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": ""}

MadeNode: Any = node(HousesConfig)


@dataclass(frozen=True, eq=False)
class Column:
    name: str
    kind: ColumnKind
    values: Array
    """number: float64 [N], NaN is missing. category: int32 [N], an index into `categories`, -1 is missing."""
    categories: tuple[str, ...] = ()

    @property
    def missing(self) -> Array:
        """bool [N]"""
        return np.isnan(self.values) if self.kind == "number" else self.values < 0


@dataclass(frozen=True, eq=False)
class TypedTable:
    columns: tuple[Column, ...]
    """Those of numbers and categories, in the order of the file, the target among them."""
    target: str | None
    split: Array
    """uint8 [N]: an index into SPLITS."""
    left_out: tuple[Mapping[str, Any], ...] = ()
    """name, kind, distinct, missing of the others."""
    source: str = ""
    missing: tuple[str, ...] = MISSING
    """What was written where a value is missing."""

    def __len__(self) -> int:
        return len(self.split)

    def column(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        names = [c.name for c in self.columns]
        raise ConfigError(f"the table has no column {name!r}", hint=did_you_mean(name, names))

    @property
    def features(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.name != self.target)

    def rows(self, which: Array) -> TypedTable:
        """The rows with these numbers, or where a bool [N] is True."""
        columns = tuple(Column(c.name, c.kind, c.values[which], c.categories) for c in self.columns)
        return replace(self, columns=columns, split=self.split[which])


@dataclass(frozen=True, kw_only=True)
class TableStage:
    """Read a table, find out what its columns are, split its rows."""

    path: str | None = None
    """A .csv, .tsv or .jsonl file, plain, .gz, .bz2, .xz, or a .zip with one such file; null: the one that `made` makes."""
    made: MadeNode = HousesConfig()
    target: str | None = None
    """The column to be predicted; rows without it are left out."""
    categories: tuple[str, ...] = ()
    """Columns that are categories though all that is in them is numbers."""
    drop: tuple[str, ...] = ()
    """Columns that are not read."""
    missing: tuple[str, ...] = MISSING
    """What is written where a value is missing."""
    separator: str = ""
    """Between the fields; "": a comma in .csv (a semicolon, where the header has those instead), a tab in .tsv."""
    split: Split = field(default_factory=lambda: Split(by="document", validation=0.0, test=0.2))
    type: Literal["table"] = "table"
    kind = "table"

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return "" if self.path is None else fingerprint(find_files(self.path))

    def run(self, context: StageContext) -> Mapping[str, Any]:
        header, rows, source = self._read(context.seed, context.recipe_directory)
        for option, names in (("drop", self.drop), ("categories", self.categories)):
            for name in names:
                if name not in header:
                    raise ConfigError(f"{source} has no column {name!r}", path=f"{context.name}.{option}",
                                      hint=did_you_mean(name, header))  # fmt: skip
        if self.target is not None and (self.target not in header or self.target in self.drop):
            raise ConfigError(
                f"{source} has no column {self.target!r} to predict; it has {', '.join(header)}",
                path=f"{context.name}.target",
                hint=did_you_mean(self.target, header),
            )
        kept, without_target = rows, 0
        if self.target is not None:
            place = header.index(self.target)
            kept = [row for row in rows if row[1][place] not in self.missing]
            without_target = len(rows) - len(kept)
            if not kept:
                raise DataError(
                    f"{source}, column {self.target!r}: every value is missing, so there is nothing to learn"
                )
        columns, left_out = [], []
        for place, name in enumerate(header):
            if name in self.drop:
                continue
            found = self._column(name, [(number, row[place]) for number, row in kept], source)
            if isinstance(found, Column):
                columns.append(found)
            else:
                left_out.append(found)
        if self.target is not None and self.target not in [c.name for c in columns]:
            raise DataError(f"{source}, column {self.target!r}: is free text or the number of the row; neither can be predicted",
                            hint="choose another target; a class has few values")  # fmt: skip
        positions = [hash_position(json.dumps(row, ensure_ascii=False)) for _, row in kept]
        split = np.array(self.split.assign(positions), np.uint8)
        if not (split == 0).any():
            raise DataError(
                f"{source}: no row is left for training", hint="make split.validation and split.test smaller"
            )
        table = TypedTable(tuple(columns), self.target, split, tuple(left_out), source, self.missing)
        equal = len(kept) - len({tuple(row) for _, row in kept})
        write_table(context.directory, table, {"rows_without_target": without_target, "equal_rows": equal})
        return {
            "rows": len(kept),
            "columns": {"number": sum(c.kind == "number" for c in columns),
                        "category": sum(c.kind == "category" for c in columns)},
            "left_out": {str(found["name"]): found["kind"] for found in left_out},
            "target": self.target,
            "rows_without_target": without_target,
            "equal_rows": equal,
            "missing": int(sum(c.missing.sum() for c in columns)),
            "splits": {name: int((split == i).sum()) for i, name in enumerate(SPLITS)},
        }  # fmt: skip

    def _read(self, seed: int, root: Path) -> tuple[list[str], list[tuple[int, list[str]]], str]:
        """(names of the columns, (line, fields) of every row, what was read)."""
        if self.path is None:
            made = load_user_part(self.made, root=root)(**self.made.args) if isinstance(self.made, Use) else self.made
            header, rows = made.rows(seed)
            return header, list(enumerate(rows, start=2)), f"made {self.made.type}"
        files = find_files(self.path)
        if len(files) != 1:
            raise DataError(
                f"{self.path} is {len(files)} files; a table is one", hint=f"for example data.path={files[0].path}"
            )
        suffix, text = _text(files[0])
        source = str(files[0].path)
        if _TABLES[suffix]:
            header, found = _rows(text, self._separator(suffix, text), source)
        else:
            header, found = _json_rows(text, source)
        if not found:
            raise DataError(f"{source} has no rows", hint="a table has a line of names and a line for each row")
        return header, found, source

    def _separator(self, suffix: str, text: str) -> str:
        if self.separator:
            return self.separator
        first = text.partition("\n")[0]
        return ";" if suffix == ".csv" and ";" in first and "," not in first else _TABLES[suffix]

    def _column(self, name: str, values: Sequence[tuple[int, str]], source: str) -> Column | dict[str, Any]:
        """values: (line, field). What is left out comes back as what is told of it."""
        present = [(line, value) for line, value in values if value not in self.missing]
        if not present:
            raise DataError(
                f"{source}, column {name!r}: every value is missing (from row {values[0][0]} on)",
                hint=f"leave the column out: data.drop='[{name}]'",
            )
        numeric = [value for _, value in present if _NUMBER.fullmatch(value.strip())]
        coded = name in self.categories or any(_CODE.fullmatch(value) for value in numeric)
        if len(numeric) == len(present) and not coded:
            array = np.array([math.nan if v in self.missing else float(v) for _, v in values])
            if np.isinf(array).any():
                line, value = values[int(np.isinf(array).argmax())]
                raise DataError(f"{source}, row {line}, column {name!r}: {value} is beyond the range of a float")
            if len(array) > _FEW and name != self.target and (np.diff(array) == 1).all():
                return {"name": name, "kind": "row number", "distinct": len(array), "missing": 0}
            return Column(name, "number", array)
        if len(numeric) >= _NEARLY_ALL * len(present) and not coded:
            line, value = next((line, v) for line, v in present if not _NUMBER.fullmatch(v.strip()))
            raise DataError(
                f"{source}, row {line}, column {name!r}: {value[:40]!r} is no number, but {len(numeric):,} of the column's "
                f"{len(present):,} values are",
                hint=f"correct it; if it means missing, list it in data.missing; if these are names, data.categories='[{name}]'",
            )
        counts = Counter(value for _, value in present)
        if len(counts) > _FEW and 2 * len(counts) > len(present) and name not in self.categories:
            return {"name": name, "kind": "text", "distinct": len(counts), "missing": len(values) - len(present)}
        names = sorted(counts, key=lambda c: (float(c), c)) if len(numeric) == len(present) else sorted(counts)
        place = {category: i for i, category in enumerate(names)}
        codes = np.array([-1 if v in self.missing else place[v] for _, v in values], np.int32)
        return Column(name, "category", codes, tuple(names))


def _text(file: FoundFile) -> tuple[str, str]:
    """(.csv, .tsv or .jsonl; contents)."""
    name, path = file.name, file.path
    suffix = file.suffix
    if suffix == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                members = [m for m in archive.infolist() if Path(m.filename).suffix.lower() in _TABLES]
                if len(members) != 1:
                    raise DataError(f"{path} holds {len(members)} tables; there must be one .csv, .tsv or .jsonl in it",
                                    hint="unpack it and name the file")  # fmt: skip
                if members[0].file_size > _LIMIT_BYTES:
                    raise DataError(f"{path}: {members[0].filename} unfolds to over {_LIMIT_BYTES:,} bytes, the limit")
                name, data = members[0].filename, archive.read(members[0])
                suffix = Path(name).suffix.lower()
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
            raise DataError(f"{path} cannot be read: {error}", hint="copy it again") from None
    elif suffix in _TABLES:
        data = read_bytes(file, limit_bytes=_LIMIT_BYTES)
    else:
        raise DataError(f"{path}: the suffix {suffix!r} does not say that it is a table",
                        hint="tables are .csv, .tsv, .jsonl, also .gz, .bz2, .xz, or the one in a .zip")  # fmt: skip
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, row {line}: byte {error.start} ({data[error.start]: #04x}) is not UTF-8",
            hint=f"iconv -f LATIN1 -t UTF-8 {path} > table.csv",
        ) from None
    if "\0" in text:
        raise DataError(
            f"{path}, row {text.count(chr(10), 0, text.index(chr(0))) + 1}: holds a zero byte; is this a table?"
        )
    if not text.strip():
        raise DataError(f"{path} is empty", hint="a table has a line of names and a line for each row")
    return suffix, text


def _rows(text: str, separator: str, source: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows = []
    try:
        header = [name.strip() or f"column {i}" for i, name in enumerate(next(reader), start=1)]
        for row in reader:
            if not row or (len(header) > 1 and not any(row)):
                continue  # a blank line
            if len(row) != len(header):
                raise DataError(
                    f"{source}, row {reader.line_num}: has {len(row)} fields, the header has {len(header)}"
                    + (f" (the first too many: {row[len(header)]!r:.40})" if len(row) > len(header)
                       else f" (none for column {header[len(row)]!r})"),
                    hint="is the separator right (data.separator), and are fields that hold it quoted?",
                )  # fmt: skip
            rows.append((reader.line_num, [value.strip() for value in row]))
    except csv.Error as error:
        raise DataError(f"{source}, row {reader.line_num}: not valid CSV: {error}") from None
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise DataError(
            f"{source}, row 1: the column {repeated[0]!r} stands in the header twice", hint="give it another name"
        )
    return header, rows


def _json_rows(text: str, source: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Rows of objects; what an object does not have is missing."""
    objects = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{source}, row {number}: not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{source}, row {number}: must be an object, not {type(row).__name__}")
        objects.append(
            (number, {name: plain_field(v, f"{source}, row {number}, column {name!r}") for name, v in row.items()})
        )
    header = list(dict.fromkeys(name for _, row in objects for name in row))
    return header, [(number, [row.get(name, "") for name in header]) for number, row in objects]


def plain_field(value: Any, where: str) -> str:
    """A JSON value as it would be written in a CSV file. DataError for lists and objects."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if isinstance(value, str):
        return value.strip()
    raise DataError(f"{where}: a field is text or a number, not a {type(value).__name__}")


def number_of(value: str, where: str, missing: Sequence[str] = MISSING) -> float:
    """A field of a column of numbers; NaN where it is missing. DataError where it is neither."""
    if value in missing:
        return math.nan
    if not _NUMBER.fullmatch(value):
        raise DataError(f"{where}: {value[:40]!r} is no number, as this column was when the model was trained")
    return float(value)


def write_table(directory: Path, table: TypedTable, more: Mapping[str, Any]) -> None:
    from safetensors.numpy import save

    arrays = {f"{i}": np.ascontiguousarray(column.values) for i, column in enumerate(table.columns)}
    with atomic_write(directory / ARRAYS) as file:
        file.write(save({**arrays, _SPLIT: table.split}))
    card = {
        "kind": "table",
        "source": table.source,
        "rows": len(table),
        "target": table.target,
        "missing_words": list(table.missing),
        **more,
        "splits": {name: {"rows": int((table.split == i).sum())} for i, name in enumerate(SPLITS)},
        "columns": [
            {"name": c.name, "kind": c.kind, "missing": int(c.missing.sum())}
            | ({"categories": list(c.categories)} if c.kind == "category" else {})
            for c in table.columns
        ],
        "left_out": [dict(found) for found in table.left_out],
    }
    write_card(
        directory, card, title=f"Table: {Path(table.source).name}", text="Typed columns (see `groundup.data.table`)."
    )


def read_table(directory: Path | str) -> TypedTable:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    card = read_card(directory)
    if card.get("kind") != "table":
        raise DataError(f"{directory} holds no table", hint="make it with a stage of type table")
    try:
        arrays = load_file(Path(directory) / ARRAYS)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{directory}/{ARRAYS} cannot be read: {error}", hint="run its recipe again") from None
    columns = tuple(
        Column(c["name"], c["kind"], arrays[str(i)], tuple(c.get("categories", ())))
        for i, c in enumerate(card["columns"])
    )
    left_out, missing = tuple(card["left_out"]), tuple(card["missing_words"])
    return TypedTable(columns, card["target"], arrays[_SPLIT], left_out, card["source"], missing)

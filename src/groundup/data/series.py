"""Series: one column of a CSV or TSV file (plain or compressed) as numbers in order of time, or prices of our own making.

    series.safetensors    float64 [N] `values`
    labels.json           the date of every value; empty without dates
    card.json README.md   the name, what was left out

Rows are taken in the order in which they stand; with a column of dates in ISO form, out-of-order or repeated dates are an error, because a
forecast would learn from what had not happened yet. Rows without a number are left out and counted. Left out: several series in one
file, filling in missing days, time zones.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.artifact import atomic_write, read_json, write_json
from ..core.config import node
from ..core.errors import ArtifactError, ConfigError, DataError
from ..core.exhibits import Plot, Series, plain
from ..core.recipe import StageContext
from .card import read_card, write_card
from .files import find_files, fingerprint, read_bytes
from .made.prices import PricesConfig

ARRAYS, LABELS = "series.safetensors", "labels.json"
FEWEST = 60
_LIMIT_BYTES = 1 << 28
_EMPTY = ("", "NA", "N/A", "NaN", "nan", "null", "-", ".")

PricesNode: Any = node(PricesConfig)


@dataclass(frozen=True, kw_only=True)
class SeriesStage:
    path: str | None = None
    """A CSV or TSV file with a line of column names; null: `made`."""
    value: str = "close"
    """The column with the numbers."""
    date: str | None = "date"
    """The column with the times; null where there is none."""
    made: PricesNode = PricesConfig()
    type: Literal["series"] = "series"
    kind = "series"

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return "" if self.path is None else fingerprint(find_files(self.path))

    def run(self, context: StageContext) -> Mapping[str, Any]:
        from safetensors.numpy import save

        if self.path is None:
            labels, values = self.made.series(context.seed)
            empty = 0
            name = "prices of our own making"
        else:
            labels, values, empty = self._read(self.path)
            name = f"{self.value} of {Path(self.path).name}"
        with atomic_write(context.directory / ARRAYS) as file:
            file.write(save({"values": values}))
        write_json(context.directory / LABELS, labels)
        write_card(
            context.directory,
            {"kind": "series", "source": name, "count": len(values), "left_out": empty},
            title=f"Series: {name}",
            text="Read it with `groundup.data.series.read_series`.",
        )
        plot = Plot(
            title=name, kind="lines", series=[Series(name=name, x=list(range(len(values))), y=values.tolist())],
            x_label=f"{labels[0]} to {labels[-1]}" if labels else "position",
        )  # fmt: skip
        return {
            "values": len(values), "left_out": empty, "first": labels[0] if labels else None,
            "last": labels[-1] if labels else None, "smallest": float(values.min()), "largest": float(values.max()),
            "exhibits": plain(plot),
        }  # fmt: skip

    def _read(self, path: str) -> tuple[list[str], np.ndarray, int]:
        found = find_files(path)
        if len(found) != 1:
            raise DataError(f"{path} is {len(found)} files; a series is a column of one", hint="name the file itself")
        try:
            text = read_bytes(found[0], limit_bytes=_LIMIT_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8: byte {error.start}", hint="iconv -f LATIN1 -t UTF-8") from None
        first = text.partition("\n")[0]
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in first else ",")
        names = rows.fieldnames or []
        for key, wanted in (("value", self.value), ("date", self.date)):
            if wanted is not None and wanted not in names:
                raise ConfigError(
                    f"{path} has no column {wanted!r}; it has {', '.join(map(repr, names[:12])) or 'none'}",
                    path=key, hint=f"name one of them, or {key}=null" if key == "date" else "name one of them",
                )  # fmt: skip
        labels: list[str] = []
        values: list[float] = []
        empty = 0
        for row in rows:
            written = (row[self.value] or "").strip()
            if written in _EMPTY:
                empty += 1
                continue
            values.append(_number(written, f"{path}, line {rows.line_num}, column {self.value!r}"))
            if self.date is not None:
                labels.append((row[self.date] or "").strip())
        self._check(path, labels, values)
        return labels, np.array(values), empty

    def _check(self, path: str, labels: list[str], values: list[float]) -> None:
        if len(values) < FEWEST:
            raise DataError(f"{path} has {len(values)} numbers; a series needs at least {FEWEST}")
        dates = all(len(label) >= 10 and label[4] == label[7] == "-" for label in labels)
        for before, after in pairwise(labels) if dates else ():
            if after <= before:
                raise DataError(
                    f"{path}: {after} comes after {before}, so the rows are not in order of time, each once",
                    hint="sort the file by its date; for several series in one file, give each a file of its own",
                )


def _number(written: str, where: str) -> float:
    try:
        value = float(written.replace("_", "x"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {written[:40]!r} is no number", hint="no thousands separators; a point for decimals")
    return value


def read_series(directory: Path) -> tuple[np.ndarray, list[str], str]:
    """(values [N], labels, name) of a series stage. ArtifactError when a file is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    card = read_card(directory)
    try:
        values: np.ndarray = load_file(directory / ARRAYS)["values"]
    except (SafetensorError, OSError, KeyError) as error:
        raise ArtifactError(f"{directory / ARRAYS} cannot be read: {error}", hint="run its recipe again") from None
    return values, list(read_json(directory / LABELS)), str(card["source"])

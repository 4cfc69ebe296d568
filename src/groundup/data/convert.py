"""Files of post-training rows from one form to another: what `groundup data convert` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from .files import find_files
from .row_files import read_objects, write_objects
from .rows import form_named, read_row, rename, write_row

_SHOWN_ERRORS = 5


def convert_rows(
    source: str,
    target: Path,
    *,
    to: str,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
    skip_errors: bool = False,
) -> dict[str, Any]:
    """Read `source` (a file, folder or glob; of `form`, else told by each row's fields) and write it to `target` in form `to`.

    `columns` are {name that a form knows: name in the file}. Returns rows, from (form -> rows), left_out and left_out_first.
    Raises DataError at the first row that is wrong or that `to` cannot hold, unless skip_errors; then nothing is written.
    """
    wanted, given = form_named(to), None if form is None else form_named(form)
    found: Counter[str] = Counter()
    errors: list[str] = []
    skipped = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal skipped
        for file in find_files(source):
            for number, raw in read_objects(file):
                where = f"{file.path}, row {number}"
                try:
                    row = read_row(rename(raw, columns or {}, where), given, where)
                    made = write_row(row, wanted)
                except DataError as error:
                    if not skip_errors:
                        raise
                    skipped += 1
                    if len(errors) < _SHOWN_ERRORS:
                        errors.append(error.message)
                    continue
                found[row.form] += 1
                yield made

    written = write_objects(rows(), target)
    return {
        "rows": written, "to": to, "path": str(target), "from": dict(found),
        "left_out": skipped, "left_out_first": errors,
    }  # fmt: skip

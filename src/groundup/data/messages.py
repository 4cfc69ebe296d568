"""Post-training data as everything after the data stages sees it: rows of one shape, from an artifact or the user's own files.

    instruct     {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "tools"?, "kind", "id"}
    preference   {"prompt": [...], "chosen": [...], "rejected": [...], "tools"?, "kind", "id"}
    feedback     {"prompt": [...], "completion": [...], "label": true, "tools"?, "kind", "id"}

Which forms a user's file may have is said by `groundup.data.rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.types import TaskExample
from .documents import read_rows
from .files import find_files
from .row_files import read_objects
from .rows import FORMS, Form, Shape, detect, read_values

_OWN_FORMS = {"instruct": FORMS["messages"], "preference": FORMS["preference"], "feedback": FORMS["feedback"]}


def read_examples(directory: Path | str, split: str) -> Iterator[dict[str, Any]]:
    """Rows of one split of an `instruct` directory: messages, tools where there are any, kind, id, and the row's other
    fields (`code` where a function is to be completed). DataError names the row that is malformed.
    """
    return _read_split(directory, split, "instruct")


def read_preferences(directory: Path | str, split: str) -> Iterator[dict[str, Any]]:
    """Rows of one split of a `preference` directory: prompt, chosen, rejected, each a list of messages, kind, id, ..."""
    return _read_split(directory, split, "preference")


def read_feedback(directory: Path | str, split: str) -> Iterator[dict[str, Any]]:
    """Rows of one split of a `feedback` directory: prompt and completion as lists of messages, label, kind, id, ..."""
    return _read_split(directory, split, "feedback")


def _read_split(directory: Path | str, split: str, shape: Shape) -> Iterator[dict[str, Any]]:
    for number, row in read_rows(Path(directory) / f"{split}.jsonl"):
        own = _OWN_FORMS[shape]
        form = own if all(name in row for name in own.columns[: own.needed]) else None
        yield checked(row, f"{directory}/{split}.jsonl, row {number}", f"{split}:{number}", shape=shape, form=form)


def read_questions(directory: Path, split: str) -> Iterator[TaskExample]:
    """Examples of one split of an `instruct` directory; rows that do not end with a text of the assistant's are left out.
    DataError names the row that is malformed.
    """
    for row in read_examples(directory, split):
        *prompt, last = row["messages"]
        if prompt and last["role"] == "assistant" and isinstance(last["content"], str):
            meta = {"kind": str(row["kind"])}
            if isinstance(row.get("code"), str):
                meta["code"] = row["code"]
            yield TaskExample(id=str(row["id"]), prompt=prompt, answer=last["content"], meta=meta)


def read_messages(path: Path | str) -> Iterator[dict[str, Any]]:
    """Instruct rows of the user's own files (a file, folder or glob) in any form; tools and other fields are kept.

    Raises DataError naming the file, the row and the field.
    """
    for file in find_files(str(path)):
        for number, row in read_objects(file):
            yield checked(row, f"{file.path}, row {number}", f"{file.name}:{number}", shape="instruct")


def checked(row: Any, where: str, default_id: str, *, shape: Shape, form: Form | None = None) -> dict[str, Any]:
    """`row` in the one way that its shape is written. DataError where it is of another shape, or names the field that is wrong."""
    if form is None and isinstance(row, Mapping):
        form = detect(row, where)
    if form is not None and form.shape != shape:
        raise DataError(
            f"{where}: this is a row of {form.shape} data ({form.name}), where {shape} data is due",
            hint=f"a stage of type rows with format: {form.name} reads it",
        )
    values = read_values(row, form, where)[1]
    return {**values, "kind": values.get("kind", "user"), "id": values.get("id", default_id)}

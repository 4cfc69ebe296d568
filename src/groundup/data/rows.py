"""Rows of post-training data: every form that they come in, told apart by their fields, read and written without loss.

Three shapes, whose names are TRL's; each row may carry other fields, which are kept:

    instruct     {"messages": [...], "tools"?: [...]}
    preference   {"prompt": [...], "chosen": [...], "rejected": [...], "tools"?: [...]}
    feedback     {"prompt": [...], "completion": [...], "label": true or false, "tools"?: [...]}

A row that was read is written in its own form as it came, as long as its values were not changed. Written in another form it
says all it said, which is checked by reading it back; a form that cannot say it refuses, naming what stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..core.config import did_you_mean
from ..core.errors import ConfigError, DataError
from . import instruct_forms as i
from . import preference_forms as p
from .chat_checks import shown

Shape: TypeAlias = Literal["instruct", "preference", "feedback"]
SHAPE_FIELDS: dict[str, tuple[str, ...]] = {
    "instruct": ("messages", "tools"),
    "preference": ("prompt", "chosen", "rejected", "tools"),
    "feedback": ("prompt", "completion", "label", "tools"),
}


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write rows of a shape."""

    name: str
    shape: Shape
    columns: tuple[str, ...]
    """Its fields; a row has at least the first ones up to `needed`."""
    needed: int
    fits: Callable[[Mapping[str, Any]], bool]
    """Whether a row that has the needed fields is of this form (its types tell text from messages)."""
    read: Callable[[Mapping[str, Any], str], dict[str, Any]]
    write: Callable[[Mapping[str, Any], str], dict[str, Any]]


def _lists(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: any(isinstance(row[name], list) for name in names)


def _no_lists(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: not _lists(*names)(row)


def _is_label(row: Mapping[str, Any]) -> bool:
    """A thumb, also one written as 0 or 1, which is then refused by name; any other label is a field of the user's own."""
    return isinstance(row.get("label"), bool | int)


_ALPACA = ("system", "history", "tools")
_PAIR = ("prompt", "chosen", "rejected")
_ANSWER = ("prompt", "completion")

_FORMS = (
    Form("alpaca", "instruct", ("instruction", "output", "input", *_ALPACA), 2, lambda row: True,
         i.read_alpaca, i.write_alpaca),
    Form("sharegpt", "instruct", ("conversations", "system", "tools"), 1,
         lambda row: not isinstance(row.get("chosen"), Mapping), i.read_sharegpt_instruct, i.write_sharegpt),
    Form("messages", "instruct", ("messages", "tools"), 1, lambda row: not _is_label(row),
         i.read_messages_row, i.write_messages_row),
    Form("prompt_completion", "instruct", (*_ANSWER, "tools"), 2,
         lambda row: not _is_label(row) and _lists(*_ANSWER)(row), i.read_prompt_completion, i.write_prompt_completion),
    Form("prompt_completion_text", "instruct", (*_ANSWER, "tools"), 2,
         lambda row: not _is_label(row) and not _lists(*_ANSWER)(row),
         i.read_prompt_completion_text, i.write_prompt_completion_text),
    Form("preference", "preference", (*_PAIR, "tools"), 3, _lists("prompt"), p.read_explicit, p.write_explicit),
    Form("preference_text", "preference", (*_PAIR, "tools"), 3, _no_lists(*_PAIR),
         p.read_explicit_text, p.write_explicit_text),
    Form("preference_implicit", "preference", ("chosen", "rejected", "prompt", "tools"), 2,
         lambda row: _lists("chosen", "rejected")(row) and not isinstance(row.get("prompt"), list),
         p.read_implicit, p.write_implicit),
    Form("dialogues", "preference", ("chosen", "rejected", "tools"), 2,
         lambda row: "prompt" not in row and "instruction" not in row and p.is_dialogue(row["chosen"]),
         p.read_dialogues, p.write_dialogues),
    Form("preference_implicit_text", "preference", ("chosen", "rejected", "tools"), 2,
         lambda row: not {"prompt", "instruction", "conversations"} & row.keys()
         and not p.is_dialogue(row["chosen"]) and _no_lists("chosen", "rejected")(row),
         p.read_implicit_text, p.write_implicit_text),
    Form("alpaca_preference", "preference", ("instruction", "chosen", "rejected", "input", *_ALPACA), 3,
         lambda row: True, p.read_alpaca_pair, p.write_alpaca_pair),
    Form("sharegpt_preference", "preference", ("conversations", "chosen", "rejected", "system", "tools"), 3,
         lambda row: True, p.read_sharegpt_pair, p.write_sharegpt_pair),
    Form("feedback", "feedback", (*_ANSWER, "label", "tools"), 3,
         lambda row: _is_label(row) and _lists(*_ANSWER)(row), p.read_feedback_row, p.write_feedback_row),
    Form("feedback_text", "feedback", (*_ANSWER, "label", "tools"), 3,
         lambda row: _is_label(row) and not _lists(*_ANSWER)(row), p.read_feedback_text, p.write_feedback_text),
    Form("feedback_messages", "feedback", ("messages", "label", "tools"), 2, _is_label,
         p.read_feedback_messages, p.write_feedback_messages),
)  # fmt: skip
FORMS: dict[str, Form] = {form.name: form for form in _FORMS}
FORM_NAMES = tuple(FORMS)


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Row:
    """A row in its shape, and what its own form said otherwise than this library would write it."""

    shape: Shape
    values: dict[str, Any]
    form: str
    where: str = ""
    """File and row number, for errors."""
    differs: Mapping[str, Any] = field(default_factory=dict)


def form_named(name: str) -> Form:
    if name not in FORMS:
        raise ConfigError(
            f"there is no row form {name!r}. {did_you_mean(name, FORM_NAMES)}", hint=", ".join(FORM_NAMES)
        )
    return FORMS[name]


def detect(row: Mapping[str, Any], where: str) -> Form:
    """The one form that a row's fields fit. DataError where there is none, or more than one."""
    found = [form for form in _FORMS if all(name in row for name in form.columns[: form.needed]) and form.fits(row)]
    if len(found) == 1:
        return found[0]
    if found:
        fits = " and ".join(f"{form.name} ({', '.join(form.columns[: form.needed])})" for form in found)
        raise DataError(
            f"{where}: the row fits {fits}",
            hint=f"say which one is meant: --from {found[0].name}, or in a recipe format: {found[0].name}",
        )
    raise DataError(
        f"{where}: the row is of no known form: it has {', '.join(map(repr, row)) or 'nothing'}{_nearest(row)}",
        hint="rename its fields (--column completion=answer), or write rows such as "
        '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
    )


def _nearest(row: Mapping[str, Any]) -> str:
    """The forms that a row misses by the fewest fields."""
    missing: dict[tuple[str, ...], str] = {}
    for form in _FORMS:
        needed = form.columns[: form.needed]
        gone = tuple(name for name in needed if name not in row)
        if gone and len(gone) < len(needed):
            missing.setdefault(gone, form.name)
    least = min(map(len, missing), default=0)
    found = [f"{name} would need {' and '.join(gone)}" for gone, name in missing.items() if len(gone) == least]
    return f"; {', '.join(found)}" if found else ""


def read_values(row: Any, form: Form | None, where: str) -> tuple[Form, dict[str, Any]]:
    """(the form, the values in its shape with the row's other fields). DataError names the field that is wrong."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: must be an object, not {type(row).__name__}")
    form = form or detect(row, where)
    values = form.read(row, where)
    for name, value in row.items():
        if name in form.columns:
            continue
        if name in SHAPE_FIELDS[form.shape]:
            raise DataError(
                f"{where}: has {name!r} beside the fields of {form.name}, and both would be {name}",
                hint=f"rename or remove the field {name!r}",
            )
        values[name] = value
    return form, values


def read_row(row: Any, form: Form | None, where: str) -> Row:
    """A row of `form`, or of the form that its fields fit."""
    form, values = read_values(row, form, where)
    try:
        made = _written(values, form, where)
    except DataError:
        made = {}
    names = dict.fromkeys([*row, *made])
    differs = {
        name: row.get(name, _ABSENT) for name in names if not same(row.get(name, _ABSENT), made.get(name, _ABSENT))
    }
    return Row(shape=form.shape, values=values, form=form.name, where=where, differs=differs)


def write_row(row: Row, form: Form) -> dict[str, Any]:
    """The row in `form`. DataError where the form cannot say all of it."""
    if form.shape != row.shape:
        raise DataError(
            f"{row.where}: {row.form} rows are {row.shape} data and {form.name} is {form.shape} data",
            hint=f"for {row.shape}: " + ", ".join(f.name for f in _FORMS if f.shape == row.shape),
        )
    if row.form == form.name and row.differs:
        try:
            made = _written(row.values, form, row.where)
        except DataError:
            made = {}
        made = {name: value for name, value in {**made, **row.differs}.items() if value is not _ABSENT}
        if _reads_as(made, form, row.values):
            return made
    made = _written(row.values, form, row.where)
    if not _reads_as(made, form, row.values):
        raise DataError(
            f"{row.where}: {form.name} cannot hold this row: read back it would say something else",
            hint="write messages (or preference, feedback) instead, which hold everything",
        )
    return made


def _written(values: Mapping[str, Any], form: Form, where: str) -> dict[str, Any]:
    made = form.write(values, where)
    for name, value in values.items():
        if name not in SHAPE_FIELDS[form.shape]:
            if name in form.columns:
                raise DataError(f"{where}: has a field {name!r} of its own, which in {form.name} means something else",
                                hint=f"rename or remove the field {name!r}")  # fmt: skip
            made[name] = value
    return made


def _reads_as(made: Mapping[str, Any], form: Form, values: Mapping[str, Any]) -> bool:
    try:
        return same(read_values(made, form, "")[1], dict(values))
    except DataError:
        return False


def same(a: Any, b: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (a != a and b != b)


def rename(row: Any, columns: Mapping[str, str], where: str) -> Any:
    """`row` with fields under other names: {name that a form knows: name in the file}."""
    if not columns or not isinstance(row, Mapping):
        return row
    for name, old in columns.items():
        if old not in row:
            raise DataError(f"{where}: has no field {old!r}, which is to be {name}; it has {', '.join(map(repr, row))}")
        if name in row and name not in columns.values():
            raise DataError(f"{where}: has {name!r} already, so {old!r} cannot become it: {shown(row[name])}")
    back = {old: name for name, old in columns.items()}
    return {back.get(name, name): value for name, value in row.items()}

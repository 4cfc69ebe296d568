"""What there is to learn a row by: its lesson, its labs, its exercises, found where they are.

Labs and lessons are files of the checkout (`labs/chNN_name/lesson.md`, `lab_3_2_name.py`), since a learner opens and changes them;
exercises come with the package (learn/exercises/). A lab or exercise belongs to the row that its id begins with: 5.4, 5.4b, 5.4c.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..core.config import did_you_mean
from ..core.errors import ConfigError

_LAB = re.compile(r"lab_(\d+)_(\d+)([b-z]?)_\w+\.py$")
_ROW = re.compile(r"(\d+\.\d+)[b-z]?$")


def labs_folder() -> Path | None:
    """`labs/` of the checkout that this package lies in, or of the current folder; None where there is none."""
    for root in (Path(__file__).resolve().parents[3], Path.cwd()):
        if (root / "labs").is_dir():
            return root / "labs"
    return None


def row_of(content_id: str) -> str:
    """The row that a lab or exercise belongs to."""
    match = _ROW.match(content_id)
    if match is None:
        raise ConfigError(f"{content_id!r} is no id of a row, lab or exercise; they look like 5.4 or 5.4b")
    return match[1]


def all_labs() -> dict[str, Path]:
    """Id -> file, in the order of the roadmap."""
    folder = labs_folder()
    found = {}
    for path in sorted(folder.glob("ch*/lab_*.py")) if folder else ():
        match = _LAB.match(path.name)
        if match:
            found[f"{match[1]}.{match[2]}{match[3]}"] = path
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def lab(lab_id: str) -> Path:
    labs = all_labs()
    if lab_id not in labs:
        hint = did_you_mean(lab_id, list(labs)) if labs else "labs are in a checkout: git clone, then run this there"
        raise ConfigError(f"there is no lab {lab_id!r}; there are {', '.join(labs) or 'none here'}", hint=hint)
    return labs[lab_id]


@dataclass(frozen=True, kw_only=True)
class LabFacts:
    """What a lab says of itself, read from its source: nothing is run."""

    id: str
    path: Path
    title: str
    seconds: float
    """Of computing, on two ordinary cores; 0 where it does not say."""


def lab_facts(lab_id: str) -> LabFacts:
    """From its `Lab("3.2", title=..., seconds=...)`."""
    path = lab(lab_id)
    title, seconds = "", 0.0
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):  # a learner is in the middle of changing it
        tree = ast.Module(body=[], type_ignores=[])
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Lab":
            given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            title = str(given.get("title", ""))
            said = given.get("seconds", 0)
            seconds = float(said) if isinstance(said, (int, float)) else 0.0
            break
    return LabFacts(id=lab_id, path=path, title=title, seconds=seconds)


def labs_of(row_id: str) -> tuple[str, ...]:
    return tuple(name for name in all_labs() if row_of(name) == row_id)


def exercises_of(row_id: str) -> tuple[str, ...]:
    from .exercises import EXERCISES

    return tuple(name for name in EXERCISES if row_of(name) == row_id)


def lesson_path(chapter: int | str) -> Path | None:
    """lesson.md of the chapter; None where there is none (yet)."""
    folder = labs_folder()
    return next(iter(sorted(folder.glob(f"ch{chapter:0>2}_*/lesson.md"))), None) if folder else None


@cache
def lesson_of(row_id: str) -> Path | None:
    """lesson.md of the row's chapter, where it has a heading for the row (`## 5.4 ...`)."""
    path = lesson_path(row_id.partition(".")[0])
    told = path is not None and re.search(rf"^#+ {re.escape(row_id)}\b", path.read_text(encoding="utf-8"), re.M)
    return path if told else None


def _order(content_id: str) -> tuple[int, int, str]:
    match = re.match(r"(\d+)\.(\d+)(\w*)", content_id)
    assert match is not None
    return int(match[1]), int(match[2]), match[3]

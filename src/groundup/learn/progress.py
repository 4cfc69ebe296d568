"""What a learner has done: an append-only record in SQLite, in the user's data folder.

One row per fact (an exercise passed, a lab finished, a row or a capstone marked as done, a plan made), each with its time and its
details as JSON. Writers wait for each other; a kill loses at most the fact that was being written. Export and import are JSON, and
importing the same file twice adds nothing.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from ..core.artifact import write_json
from ..core.errors import ArtifactError, DataError

Kind = Literal["exercise", "lab", "row", "capstone", "plan", "prediction"]
FORMAT = 1
_WAIT_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (
  id TEXT PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_kind ON facts (kind, name);
"""


@dataclass(frozen=True, kw_only=True)
class Fact:
    id: str
    time: str
    """UTC, ISO 8601."""
    kind: Kind
    name: str
    """Of the exercise (5.4), lab (3.2), row (5.4), capstone (P.7) or path."""
    detail: Mapping[str, Any]


def data_folder() -> Path:
    """GROUNDUP_HOME, or the platform's folder for an application's data."""
    named = os.environ.get("GROUNDUP_HOME")
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "groundup"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "groundup"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "groundup"


class Progress:
    """The record in one file; every call opens and closes it, so any number of windows may be open."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or data_folder() / "progress.db"

    def add(self, kind: Kind, name: str, detail: Mapping[str, Any] | None = None) -> Fact:
        """Write one fact down; it is on disk when this returns."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        fact = Fact(id=uuid.uuid4().hex, time=now, kind=kind, name=name, detail=dict(detail or {}))
        self._insert([fact])
        return fact

    def facts(self, kind: Kind | None = None) -> list[Fact]:
        """Oldest first."""
        if not self.path.is_file():
            return []
        where, given = ("WHERE kind = ?", (kind,)) if kind else ("", ())
        with self._open() as db:
            found = db.execute(f"SELECT id, time, kind, name, detail FROM facts {where} ORDER BY time, id", given)
            return [Fact(id=i, time=t, kind=k, name=n, detail=json.loads(d)) for i, t, k, n, d in found]

    def names(self, kind: Kind) -> set[str]:
        """Of what was done and not taken back."""
        return names_in(self.facts(kind), kind)

    def last(self, kind: Kind) -> Fact | None:
        found = self.facts(kind)
        return found[-1] if found else None

    def export(self, path: Path) -> int:
        """Everything as JSON; returns how many facts."""
        found = self.facts()
        facts = [{"id": f.id, "time": f.time, "kind": f.kind, "name": f.name, "detail": dict(f.detail)} for f in found]
        write_json(path, {"format": FORMAT, "facts": facts})
        return len(found)

    def read_in(self, path: Path) -> int:
        """Add the facts of an exported file that are not here yet; returns how many. All of them or, on DataError, none."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read as JSON: {error}") from None
        if not isinstance(raw, dict) or raw.get("format") != FORMAT or not isinstance(raw.get("facts"), list):
            raise DataError(
                f"{path} is no progress file of format {FORMAT}", hint="groundup progress --export FILE writes one"
            )
        facts = [_checked(fact, f"{path}, fact {n}") for n, fact in enumerate(raw["facts"], start=1)]
        return self._insert(facts)

    def _insert(self, facts: list[Fact]) -> int:
        rows = [(f.id, f.time, f.kind, f.name, json.dumps(f.detail, ensure_ascii=False)) for f in facts]
        with self._open() as db, db:
            before = db.total_changes
            db.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?, ?)", rows)
            return db.total_changes - before

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self.path, timeout=_WAIT_SECONDS)) as db:
                # A write-ahead log lets one window read while another writes; FULL puts every commit on the disk.
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                db.executescript(_SCHEMA)
                yield db
        except sqlite3.DatabaseError as error:
            raise ArtifactError(
                f"{self.path}: {error}",
                hint=f"move it away and read an export back in: mv {self.path} {self.path}.broken",
            ) from None


def names_in(facts: Iterable[Fact], kind: Kind) -> set[str]:
    """`Progress.names` of facts that were read already, oldest first: the newest fact of a name counts."""
    done = {fact.name: not fact.detail.get("undone", False) for fact in facts if fact.kind == kind}
    return {name for name, is_done in done.items() if is_done}


def _checked(raw: Any, where: str) -> Fact:
    if not isinstance(raw, Mapping):
        raise DataError(f"{where}: must be an object")
    for key in ("id", "time", "kind", "name"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            raise DataError(f"{where}: {key} must be text")
    if raw["kind"] not in get_args(Kind):
        raise DataError(f"{where}: kind {raw['kind']!r} is none of {', '.join(get_args(Kind))}")
    if not isinstance(raw.get("detail"), Mapping):
        raise DataError(f"{where}: detail must be an object")
    return Fact(id=raw["id"], time=raw["time"], kind=raw["kind"], name=raw["name"], detail=dict(raw["detail"]))

"""A run's figures and events as JSON lines: `metrics.jsonl` and `events.log`. No service is needed.

A tracker never stops the work it watches: when its disk is full or read-only it says so once and goes on. On resume it is
rewound, so that the file of a killed and resumed run reads as that of an uninterrupted one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .artifact import write_text

METRICS = "metrics.jsonl"
EVENTS = "events.log"


class JsonlTracker:
    """Appends `{"stage", "step", ...}` lines; one line is one write, so a kill cuts at most the last one."""

    def __init__(self, directory: Path, *, stage: str = "") -> None:
        self.directory = directory
        self.stage = stage
        self._complained = False

    def for_stage(self, stage: str) -> JsonlTracker:
        return JsonlTracker(self.directory, stage=stage)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._append(METRICS, {"stage": self.stage, "step": step, **metrics})

    def event(self, kind: str, message: str, **fields: Any) -> None:
        self._append(
            EVENTS,
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
                "stage": self.stage,
                "kind": kind,
                "message": message,
                **fields,
            },
        )

    def rewind(self, step: int) -> None:
        """Forget this stage's metrics of steps after `step` (and a last line that was cut)."""
        path = self.directory / METRICS
        if not path.exists():
            return
        kept = [row for row in read_lines(path) if row.get("stage") != self.stage or row.get("step", 0) <= step]
        try:
            write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        except Exception as error:
            self._complain(error)

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        try:
            with open(self.directory / name, "a", encoding="utf-8") as file:
                file.write(json.dumps(row, default=str) + "\n")
        except OSError as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            print(f"warning: the run's record cannot be written ({error}); the run goes on", file=sys.stderr)


class NullTracker:
    """Keeps nothing."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def event(self, kind: str, message: str, **fields: Any) -> None: ...

    def rewind(self, step: int) -> None: ...


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file; a last line that was cut by a kill is left out."""
    if not path.exists():
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row

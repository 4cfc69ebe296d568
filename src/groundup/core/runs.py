"""What has been run: the run directories under a folder, from their own records."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .artifact import read_json
from .errors import ArtifactError, GroundupError
from .recipe import REPORT, WRITTEN, read_report
from .tracking import EVENTS, METRICS

_LIVE_SECONDS = 30.0
"""A run whose record grew this recently is taken to be going on: the loop writes every few steps."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run directory, as far as it has come."""

    path: Path
    name: str
    """Of the recipe."""
    stages: Mapping[str, Mapping[str, Any]]
    """The finished ones, as in report.json: type, seconds, figures."""
    unfinished: tuple[str, ...]
    changed: float
    """When its record last grew; seconds since the epoch."""

    @property
    def seconds(self) -> float:
        """Of all finished stages."""
        return sum(stage["seconds"] or 0 for stage in self.stages.values())

    @property
    def is_live(self) -> bool:
        return bool(self.unfinished) and time.time() - self.changed < _LIVE_SECONDS


def is_run(path: Path) -> bool:
    return (path / REPORT).is_file() or (path / WRITTEN).is_file()


def read_run(path: Path) -> Run:
    """Raises ArtifactError for what is no run."""
    if not is_run(path):
        raise ArtifactError(f"{path} is not a run", hint="groundup runs lists the runs that exist")
    report = read_report(path) if (path / REPORT).is_file() else {}
    records = [path / name for name in (METRICS, EVENTS, REPORT, WRITTEN)]
    return Run(
        path=path,
        name=str(report.get("name") or read_json(path / WRITTEN).get("name") or path.name),
        stages=report.get("stages", {}),
        unfinished=tuple(sorted(p.name.removesuffix(".partial") for p in path.glob("*.partial"))),
        changed=max((p.stat().st_mtime for p in records if p.is_file()), default=0.0),
    )


def list_runs(directory: Path) -> list[Run]:
    """The runs in `directory`, by name; what cannot be read is left out. Raises ArtifactError where there is no such folder."""
    if not directory.is_dir():
        raise ArtifactError(f"{directory} does not exist", hint="groundup run recipes/quickstart.yaml")
    found = []
    for path in sorted(directory.iterdir()):
        try:
            found.append(read_run(path))
        except (GroundupError, OSError, KeyError, TypeError):
            continue
    return found

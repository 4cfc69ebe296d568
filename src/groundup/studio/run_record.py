"""What the page of one run follows: its record as it grows, read in a thread, from where the last look ended."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from groundup.core.artifact import read_seal
from groundup.core.errors import GroundupError
from groundup.core.run_figures import RunCurves, Tail, built_in_run, run_report, swapped_parts
from groundup.core.runs import Run, read_run
from groundup.core.tracking import EVENTS, METRICS

from .roofline import TrainingStep, training_stages, training_step
from .run_summary import StageState, stage_states

_MOST_EVENTS = 2000
"""Of the newest; samples and plans are a few hundred in the longest recipe."""


class Record:
    """One run's curves and events, and what is made of them. Only `look` reads files."""

    def __init__(self, path: Path) -> None:
        """Raises ArtifactError for what is no run."""
        self.path = path
        self.run: Run = read_run(path)
        self.report: dict[str, Any] = run_report(path)
        self.stages: list[StageState] = []
        self.kinds: dict[str, str] = {}
        """Finished stage -> the kind of artifact that it made."""
        self.steps: list[TrainingStep] = []
        self.swapped: dict[str, str] = {}
        self.built_in: Path | None = None
        """The run beside it with the built-in parts, where this one has swapped parts."""
        self.curves = RunCurves()
        self.events: deque[dict[str, Any]] = deque(maxlen=_MOST_EVENTS)
        self._metrics, self._log = Tail(path / METRICS), Tail(path / EVENTS)
        self._state: tuple[Any, ...] = ()

    def look(self) -> set[str]:
        """What changed since the last look: curves, events, stages. Raises ArtifactError when the run is gone."""
        changed: set[str] = set()
        while True:
            rows, anew = self._metrics.look()
            if anew:
                self.curves = RunCurves()
                changed.add("curves")
            if not rows:
                break
            self.curves.add(rows)
            changed.add("curves")
        while True:
            rows, anew = self._log.look()
            if anew:
                self.events.clear()
                changed.add("events")
            if not rows:
                break
            self.events.extend(rows)
            changed.add("events")
        self.run = read_run(self.path)
        state = (tuple(self.run.stages), self.run.unfinished, self.run.is_live, self.run.seconds)
        if state != self._state:
            self._state = state
            changed.add("stages")
            self._read_stages()
        if changed:
            events = tuple(self.events)
            found = (
                training_step(self.path, stage, self.curves, events) for stage in training_stages(self.path)
            )  # fmt: skip
            self.steps = [step for step in found if step is not None]
        return changed

    def _read_stages(self) -> None:
        self.report = run_report(self.path)
        self.stages = stage_states(self.run)
        self.kinds = {stage.name: _kind(self.path / stage.name) for stage in self.stages if stage.state == "done"}
        self.swapped = swapped_parts(self.path)
        self.built_in = built_in_run(self.path, (p for p in self.path.parent.iterdir() if p.is_dir()))


def _kind(directory: Path) -> str:
    """ "" where the stage left no artifact, or one that is broken."""
    try:
        return read_seal(directory).kind
    except (GroundupError, OSError, ValueError):  # the last two: a name that no file system takes
        return ""

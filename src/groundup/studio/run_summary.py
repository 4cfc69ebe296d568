"""A run in a few words and figures: for the list of runs, and for how far one has come. From the run's own records only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.core.errors import ArtifactError
from groundup.core.run_figures import Curve, RunCurves, is_number, read_resolved, run_report
from groundup.core.runs import Run, is_run
from groundup.evals.meanings import MEASURES
from groundup.evals.report.reading import best_row, evaluations, figures, measure_title, shown, stages

_KEYS_OF_THE_RUN = ("name", "description", "seed")
"""Of resolved.json. Not recipe.RUN_KEYS: a recipe's `base:` is gone by then, and a stage may be called base."""
_TILES = 4
_PREFERRED = ("val_loss", "loss", "accuracy", "val_accuracy", "perplexity", "documents_kept", "parameters")
"""Figures that a run without evaluations is known by, the most telling first."""
_PACE_LOGS = 3
"""Logs that the pace is averaged over: one may hold an evaluation, another none."""


def one_of(runs: Path, name: str) -> Path:
    """The run called `name`: a folder directly in `runs`. Raises ArtifactError for anything else."""
    path = runs / name
    if name in ("", ".", "..") or Path(name).name != name or "\0" in name or not is_run(path):
        raise ArtifactError(f"there is no run {name!r} in {runs}", hint=f"groundup runs {runs}")
    return path


def headline(report: Mapping[str, Any], curves: RunCurves) -> list[tuple[str, str]]:
    """(name, value) of the few figures that a run is known by: its evaluations, else the last validation loss."""
    made: dict[str, str] = {}
    for _, evaluation in evaluations(report):
        own, measure = best_row(evaluation), str(evaluation.get("measure"))
        if own is not None:
            share = measure in MEASURES and MEASURES[measure].share
            made.setdefault(measure_title(measure), shown(float(own["value"]), share=share))
    for stage in curves.stages:
        last = curves.last(stage)
        for name, title in (("val_loss", "Validation loss"), ("loss", "Loss")):
            if name in last:
                made[f"{title}, {stage}"] = shown(last[name])
                break
    if not made:
        for stage, entry in stages(report).items():
            for name in _PREFERRED:
                value = figures(entry).get(name)
                if is_number(value):
                    made.setdefault(f"{name.replace('_', ' ').capitalize()}, {stage}", shown(value))
    return list(made.items())[:_TILES]


def main_curve(curves: RunCurves) -> tuple[str, Curve]:
    """(what it is, the curve) that a small picture of the run shows: the longest loss of its stages."""
    found = [
        (f"{figure} of {stage}", curve)
        for stage in curves.stages
        for figure in ("val_loss", "loss")
        if (curve := curves.curve(stage, figure)).x
    ]
    return max(found, key=lambda pair: len(pair[1].x), default=("", Curve(x=(), values=())))


def sparkline(curve: Curve, *, width: float = 120.0, height: float = 28.0) -> str:
    """The points of an SVG polyline over that box, largest value at the top; "" below two points."""
    thin = curve.thinned(60)
    if len(thin.x) < 2:
        return ""
    left, right = thin.x[0], thin.x[-1]
    low, high = min(thin.values), max(thin.values)
    across, down = (right - left) or 1.0, (high - low) or 1.0
    return " ".join(
        f"{2 + (width - 4) * (x - left) / across:.1f},{2 + (height - 4) * (high - y) / down:.1f}"
        for x, y in zip(thin.x, thin.values)
    )


@dataclass(frozen=True, kw_only=True)
class StageState:
    name: str
    type: str
    state: str
    """done, running, stopped, waiting."""
    seconds: float | None
    figures: Mapping[str, Any]


def state_of(run: Run) -> str:
    """running, stopped (unfinished, and its record has not grown for a while) or done."""
    if run.is_live:
        return "running"
    planned = [name for name in read_resolved(run.path) if name not in _KEYS_OF_THE_RUN]
    return "done" if all(name in run.stages for name in planned) and not run.unfinished else "stopped"


def stage_states(run: Run) -> list[StageState]:
    """Every stage of the recipe, in order; what the report has beyond them comes last."""
    resolved = read_resolved(run.path)
    names = [name for name, node in resolved.items() if name not in _KEYS_OF_THE_RUN and isinstance(node, Mapping)]
    done = stages(run_report(run.path))
    made = []
    for name in dict.fromkeys([*names, *done]):
        entry = done.get(name, {})
        kind = str(entry.get("type") or resolved.get(name, {}).get("type", ""))
        if name in run.unfinished:  # it may be in the report of an earlier recipe
            state = "running" if run.is_live else "stopped"
        else:
            state = "done" if entry else "waiting"
        seconds = entry.get("seconds")
        made.append(
            StageState(
                name=name,
                type=kind,
                state=state,
                seconds=float(seconds) if is_number(seconds) else None,
                figures=figures(entry),
            )
        )
    return made


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the stage that trains has come."""

    stage: str
    step: int
    num_steps: int
    seconds_left: float | None
    """At the pace of its last logs; None before the first."""

    @property
    def share(self) -> float:
        return min(1.0, self.step / self.num_steps) if self.num_steps else 0.0


def progress(run: Run, curves: RunCurves, events: Sequence[Mapping[str, Any]]) -> Progress | None:
    """None when no stage with a plan of steps is unfinished."""
    for event in reversed(events):
        stage = str(event.get("stage", ""))
        if event.get("kind") != "plan" or stage not in run.unfinished:
            continue
        if not is_number(event.get("num_steps")):
            continue
        num_steps = int(event["num_steps"])
        step = int(curves.last(stage).get("step", 0))
        pace = curves.curve(stage, "step_seconds").values[-_PACE_LOGS:]
        left = (num_steps - step) * sum(pace) / len(pace) if pace else None
        return Progress(stage=stage, step=step, num_steps=num_steps, seconds_left=left)
    return None


@dataclass(frozen=True, kw_only=True)
class Sample:
    stage: str
    step: int
    prompt: str
    text: str


def samples(events: Sequence[Mapping[str, Any]]) -> list[Sample]:
    """What the model wrote while it was trained, the newest first."""
    return [
        Sample(
            stage=str(event.get("stage", "")),
            step=int(event["step"]) if is_number(event.get("step")) else 0,
            prompt=str(event.get("prompt", "")),
            text=str(event.get("message", "")),
        )
        for event in reversed(events)
        if event.get("kind") == "sample"
    ]


def trouble(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """What went wrong or was out of the ordinary on the way, the newest first."""
    return [
        f"{event.get('stage')}: {event.get('message')}"
        for event in reversed(events)
        if event.get("kind") not in ("plan", "sample")
    ]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A row of the list of runs."""

    run: Run
    state: str
    figures: Sequence[tuple[str, str]]
    curve_of: str
    points: str
    swapped: int


def listed(run: Run, curves: RunCurves) -> Listed:
    what, curve = main_curve(curves)
    report = run_report(run.path)
    return Listed(
        run=run,
        state=state_of(run),
        figures=headline(report, curves),
        curve_of=what,
        points=sparkline(curve),
        swapped=len(report.get("swaps") or {}),
    )


def ago(then: float) -> str:
    """A moment (seconds since the epoch) as how long ago it was."""
    seconds = max(0.0, time.time() - then)
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"

"""What runs recorded, read for pictures and comparisons: curves of metrics.jsonl, differences of recipes, two runs side by side.

Everything is read from the run directory as it is: of a run that goes on, was killed, or was edited. What cannot be read is
left out. A live record is read from where the last look ended (`Tail`), never again from the start.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np

from .artifact import read_json
from .config import find_uses
from .errors import GroundupError
from .recipe import REPORT, RESOLVED
from .tracking import METRICS, read_lines

Over = Literal["steps", "tokens", "seconds"]
MAX_POINTS = 600
"""Of a curve that is drawn: a picture is a few hundred pixels wide, more points only make it large."""
_TAIL_BYTES = 4 << 20
"""Of one look at a growing file; what is beyond comes with the next look."""
_NAMING = ("name", "description")
"""Keys of a recipe that say nothing of what is run."""


class Tail:
    """Reads the rows that a JSON-lines file has gained since the last look.

    A last line without its end is left for the next look. A file that was rewritten (a resumed run rewinds its record) is read
    from its start again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._file: tuple[int, int] | None = None

    def look(self) -> tuple[list[dict[str, Any]], bool]:
        """(new rows, whether they begin the file anew: what was read before no longer counts)."""
        try:
            with open(self.path, "rb") as file:
                state = os.fstat(file.fileno())
                anew = self._file is not None and (
                    self._file != (state.st_dev, state.st_ino) or state.st_size < self._offset
                )
                if anew:
                    self._offset = 0
                self._file = (state.st_dev, state.st_ino)
                file.seek(self._offset)
                data = file.read(_TAIL_BYTES)
        except OSError:  # not written yet, or being replaced just now
            return [], False
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) == _TAIL_BYTES:
            whole = len(data)  # a line longer than a look is no record
        self._offset += whole
        return [row for line in data[:whole].splitlines() if (row := _row(line)) is not None], anew


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One figure of one stage. `gaps` counts the values that were not finite and are left out."""

    x: Sequence[float]
    values: Sequence[float]
    gaps: int = 0

    def thinned(self, most: int = MAX_POINTS) -> Curve:
        """Averages of neighbours, so that no more than `most` points are left."""
        stride = math.ceil(len(self.x) / most)
        if stride <= 1:
            return self
        starts = np.arange(0, len(self.x), stride)
        counts = np.diff(np.append(starts, len(self.x)))
        x, values = (np.add.reduceat(np.asarray(v, dtype=np.float64), starts) / counts for v in (self.x, self.values))
        return Curve(x=x.tolist(), values=values.tolist(), gaps=self.gaps)

    def smoothed(self, weight: float) -> Curve:
        """An exponential moving average: `weight` of what was, the rest of what is. Divided by the sum of its weights, as Adam's
        moments are (Kingma and Ba 2015, section 3), so that its beginning is not drawn towards zero. 0 changes nothing.
        """
        if not 0 <= weight < 1:
            raise ValueError(f"the weight of an average must be at least 0 and below 1, not {weight}")
        made: list[float] = []
        average = total = 0.0
        for value in self.values:
            average, total = weight * average + (1 - weight) * value, weight * total + (1 - weight)
            made.append(average / total)
        return Curve(x=self.x, values=made, gaps=self.gaps)


@dataclass(slots=True)
class _Points:
    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    gaps: int = 0


class RunCurves:
    """The curves of a run, which grow row by row. Rows of metrics.jsonl: stage, step, and any figures."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._points: dict[str, dict[str, _Points]] = {}
        self._clock: dict[str, tuple[list[float], list[float], list[float]]] = {}
        self.add(rows)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            step = row.get("step")
            if not is_number(step):
                continue
            stage = str(row.get("stage", ""))
            figures = self._points.setdefault(stage, {})
            for name, value in row.items():
                if name in ("stage", "step") or isinstance(value, bool) or not isinstance(value, (int, float)):
                    continue
                points = figures.setdefault(str(name), _Points())
                if math.isfinite(value):
                    points.steps.append(float(step))
                    points.values.append(float(value))
                else:
                    points.gaps += 1
            self._tick(stage, float(step), row)

    def _tick(self, stage: str, step: float, row: Mapping[str, Any]) -> None:
        """The loop logs `tokens` so far and `step_seconds`, the wall time of a step since the last log, evaluations included."""
        each = row.get("step_seconds")
        if not is_number(each):
            return
        steps, tokens, seconds = self._clock.setdefault(stage, ([0.0], [0.0], [0.0]))
        if step <= steps[-1]:
            return
        seconds.append(seconds[-1] + float(each) * (step - steps[-1]))
        tokens.append(float(row["tokens"]) if is_number(row.get("tokens")) else tokens[-1])
        steps.append(step)

    @property
    def stages(self) -> tuple[str, ...]:
        """In the order in which they first recorded something."""
        return tuple(self._points)

    def figures(self, stage: str) -> tuple[str, ...]:
        return tuple(self._points.get(stage, ()))

    def curve(self, stage: str, figure: str, *, over: Over = "steps") -> Curve:
        """Empty where the stage has no such figure, or `over` is something that it did not record."""
        points = self._points.get(stage, {}).get(figure)
        if points is None:
            return Curve(x=(), values=())
        x = points.steps if over == "steps" else self._placed(stage, points.steps, over)
        return Curve(x=tuple(x), values=tuple(points.values) if x else (), gaps=points.gaps)

    def _placed(self, stage: str, at: Sequence[float], over: Over) -> list[float]:
        """Steps as tokens or seconds: as logged, in between on a straight line, beyond the last log at its pace."""
        if stage not in self._clock:
            return []
        steps, tokens, seconds = self._clock[stage]
        ticks = tokens if over == "tokens" else seconds
        if ticks[-1] <= 0:
            return []
        last_pace = (ticks[-1] - ticks[-2]) / (steps[-1] - steps[-2])
        where = np.asarray(at, dtype=np.float64)
        inside: list[float] = (np.interp(where, steps, ticks) + np.maximum(0.0, where - steps[-1]) * last_pace).tolist()
        return inside

    def last(self, stage: str) -> dict[str, float]:
        """The last finite value of every figure, and `step`: the last one that anything was recorded at."""
        figures = {name: p for name, p in self._points.get(stage, {}).items() if p.values}
        if not figures:
            return {}
        return {name: p.values[-1] for name, p in figures.items()} | {
            "step": max(p.steps[-1] for p in figures.values())
        }

    def seconds(self, stage: str) -> float:
        """Wall time of the steps that were logged; 0 where none was."""
        return self._clock[stage][2][-1] if stage in self._clock else 0.0


def read_curves(run: Path) -> RunCurves:
    """Every curve that a run directory has recorded so far; none where it recorded nothing."""
    try:
        return RunCurves(read_lines(run / METRICS))
    except OSError:
        return RunCurves()


def glance_curves(run: Path, *, blocks: int = 32, block_bytes: int = 1 << 16) -> RunCurves:
    """`read_curves` at the cost of a few megabytes: of a long record only blocks that lie evenly over it, the last rows among
    them. Enough for a small picture and the last values; not for positions in tokens or seconds.
    """
    path = run / METRICS
    try:
        size = path.stat().st_size
        if size <= blocks * block_bytes:
            return read_curves(run)
        curves = RunCurves()
        with open(path, "rb") as file:
            for number in range(blocks):
                start = number * (size - block_bytes) // (blocks - 1)
                file.seek(start)
                data = file.read(block_bytes)
                # Cut lines at either end are left out; the first block has no cut one in front.
                first = data.find(b"\n") + 1 if start else 0
                lines = data[first : data.rfind(b"\n") + 1].splitlines()
                curves.add(row for line in lines if (row := _row(line)) is not None)
        return curves
    except OSError:
        return RunCurves()


# ------------------------------------------------------------------------------------------------ recipes, side by side


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One place at which two recipes are not the same. None: that recipe has nothing there."""

    path: str
    left: Any
    right: Any


def recipe_differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """Where two resolved recipes differ, in the order of the left one; name and description are not looked at."""
    without = [{k: v for k, v in recipe.items() if k not in _NAMING} for recipe in (left, right)]
    return list(_differences("", *without))


def _differences(path: str, left: Any, right: Any) -> Iterator[Difference]:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        other_kind = any(left.get(tag) != right.get(tag) for tag in ("type", "use"))
        if path and other_kind:  # another part: its settings are not those of the first one
            yield Difference(path=path, left=left, right=right)
            return
        for key in [*left, *(key for key in right if key not in left)]:
            yield from _differences(f"{path}.{key}" if path else str(key), left.get(key), right.get(key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right)):
            yield from _differences(f"{path}.{number}", one, other)
    elif left != right or isinstance(left, bool) != isinstance(right, bool):
        yield Difference(path=path, left=left, right=right)


def read_resolved(run: Path) -> dict[str, Any]:
    """The recipe with every default filled in, as the run kept it; empty where it did not."""
    return _mapping_of(run / RESOLVED)


def run_report(run: Path) -> dict[str, Any]:
    """report.json; empty where there is none yet, or it is broken."""
    return _mapping_of(run / REPORT)


def _mapping_of(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (GroundupError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def swapped_parts(run: Path) -> dict[str, str]:
    """Dotted path -> `file.py:Name` of every part of the user's own that the run was made with."""
    return find_uses(read_resolved(run))


def built_in_run(run: Path, others: Iterable[Path]) -> Path | None:
    """The run among `others` that is `run` with the built-in parts in place of the swapped ones: the newest whose recipe is
    the same everywhere else. None when nothing is swapped or there is no such run.

    Budgets in seconds may differ: how many steps they gave is among the figures that are compared.
    """
    own = read_resolved(run)
    swapped = find_uses(own)
    if not swapped:
        return None
    found: list[tuple[float, Path]] = []
    for other in others:
        recipe = read_resolved(other)
        if not recipe or other == run or any(_is_below(path, swapped) for path in find_uses(recipe)):
            continue
        elsewhere = [d for d in recipe_differences(own, recipe) if not _is_below(d.path, swapped)]
        if all(d.path.rpartition(".")[2] == "budget_seconds" for d in elsewhere):
            found.append(((other / RESOLVED).stat().st_mtime, other))
    return max(found)[1] if found else None


def _is_below(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}.") for place in places)


# ------------------------------------------------------------------------------------------------- figures, side by side


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """What one training stage of one run came to. None: not recorded."""

    stage: str
    steps: float | None = None
    tokens: float | None = None
    parameters: float | None = None
    loss: float | None = None
    val_loss: float | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None
    peak_memory_bytes: float | None = None
    """Measured, beyond what the process held when training began."""
    seconds: float | None = None


_OF_STAGE = ("steps", "tokens", "parameters", "loss", "val_loss", "tokens_per_second", "mfu")


@dataclass(frozen=True, kw_only=True)
class StageComparison:
    """One training stage in two runs: `left` swapped or first, `right` built-in or second."""

    stage: str
    left: StageFigures
    right: StageFigures
    curves: Mapping[str, tuple[Curve, Curve]]
    """loss and val_loss, over what was asked for; only what both runs recorded."""


def stage_figures(report: Mapping[str, Any], curves: RunCurves, stage: str) -> StageFigures:
    """From report.json where the stage is finished, else from what metrics.jsonl says so far."""
    entry = _mapping(_mapping(report.get("stages")).get(stage))
    figures = {**curves.last(stage), **_mapping(entry.get("figures"))}
    if "step" in figures:
        figures.setdefault("steps", figures["step"])
    values = {name: figures.get(name) for name in _OF_STAGE}
    values["peak_memory_bytes"] = _mapping(figures.get("memory")).get("measured_bytes")
    values["seconds"] = entry.get("seconds") or curves.seconds(stage) or None
    return StageFigures(stage=stage, **{name: float(value) for name, value in values.items() if is_number(value)})


def compare_runs(left: Path, right: Path, *, over: Over = "steps") -> list[StageComparison]:
    """Every stage that recorded curves in both runs: loss curves, speed, memory. Of a swapped run and `built_in_run`, this is
    what the swapped part changed.
    """
    both = [(run_report(run), read_curves(run)) for run in (left, right)]
    (report, curves), (other_report, other_curves) = both
    made = []
    for stage in curves.stages:
        if stage not in other_curves.stages:
            continue
        pairs = {
            figure: (curves.curve(stage, figure, over=over), other_curves.curve(stage, figure, over=over))
            for figure in ("loss", "val_loss")
        }
        made.append(
            StageComparison(
                stage=stage,
                left=stage_figures(report, curves, stage),
                right=stage_figures(other_report, other_curves, stage),
                curves={name: pair for name, pair in pairs.items() if all(c.x for c in pair)},
            )
        )
    return made


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

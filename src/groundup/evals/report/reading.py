"""A run directory as the report needs it, whatever is missing or broken in it: a run that was killed has half of these files."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.artifact import read_json, read_seal
from ...core.errors import ArtifactError
from ...core.recipe import REPORT
from ...core.run_figures import Curve, read_curves
from ...core.tracking import EVENTS, read_lines
from ..meanings import MEASURES

Report = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that the page is made from."""

    report: Report
    curves: Mapping[str, Mapping[str, Curve]]
    """Stage -> figure -> curve."""
    events: Sequence[Mapping[str, Any]]
    models: Sequence[str]
    """Stages whose directory is a model, in order."""
    path: str
    """How a person would write the run directory in a command."""
    directory: Path | None = None
    """Where the run is; None for one that is not on disk."""


def read_run(directory: Path) -> Run:
    """Raises ArtifactError when there is no report.json or it is not a report."""
    report = read_json(directory / REPORT)
    if not isinstance(report, dict) or not isinstance(report.get("stages", {}), dict):
        raise ArtifactError(f"{directory / REPORT} is not a run's report", hint="run the recipe again: it is rewritten")
    return Run(
        report=report,
        curves=_curves(directory),
        events=list(read_lines(directory / EVENTS)),
        models=model_stages(report, directory),
        path=as_written(directory),
        directory=directory,
    )


def stages(report: Report) -> dict[str, Mapping[str, Any]]:
    """Stage name -> its entry; entries that are no mapping are left out."""
    found = report.get("stages")
    entries = found.items() if isinstance(found, Mapping) else ()
    return {str(name): entry for name, entry in entries if isinstance(entry, Mapping)}


def opening_swaps(report: Report) -> str:
    """What a command that opens the run's model ends with: the user's own parts inside of it, which have to be named again."""
    swaps = report.get("swaps")
    inside = [
        f" --swap {shlex.quote(f'{place}={part}')}"
        for place, part in (swaps.items() if isinstance(swaps, Mapping) else ())
        if stages(report).get(str(place).partition(".")[0], {}).get("type") == "decoder"
    ]
    return "".join(inside)


def figures(stage: Mapping[str, Any]) -> Mapping[str, Any]:
    found = stage.get("figures")
    return found if isinstance(found, Mapping) else {}


def evaluations(report: Report) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(stage, evaluation) of every stage that reports a list of `evaluations` with rows."""
    for name, stage in stages(report).items():
        listed = figures(stage).get("evaluations")
        for evaluation in listed if isinstance(listed, list) else []:
            if isinstance(evaluation, Mapping) and isinstance(evaluation.get("rows"), list):
                yield name, evaluation


def rows(evaluation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in evaluation["rows"] if isinstance(row, Mapping)]


def samples(report: Report) -> Iterator[Mapping[str, Any]]:
    for stage in stages(report).values():
        listed = figures(stage).get("samples")
        yield from (s for s in (listed if isinstance(listed, list) else []) if isinstance(s, Mapping))


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, scalar) of everything in a figure. A list of scalars stays one value."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)) and any(isinstance(v, (Mapping, list, tuple)) for v in value):
        for number, inner in enumerate(value, start=1):
            yield from flat(inner, f"{name}.{number}")
    else:
        yield name, value


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def shown(value: Any, *, share: bool = False) -> str:
    """A value as a person likes to read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if share and is_number(value):
        return f"{100 * value:.1f} %"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value and (abs(value) < 1e-3 or abs(value) >= 1e7):
            return f"{value:.3g}"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(v) for v in value) or "none"
    if isinstance(value, Mapping):
        return "none" if not value else "; ".join(f"{k}: {shown(v)}" for k, v in value.items())
    return str(value)


def duration(seconds: Any) -> str:
    if not is_number(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def data_size(count: Any) -> str:
    if not is_number(count):
        return "–"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:,.0f} bytes"


def words(name: str) -> str:
    """`bits_per_byte` as `bits per byte`."""
    return name.replace("_", " ")


def measure_title(measure: str) -> str:
    return MEASURES[measure].title if measure in MEASURES else words(measure)


def headline(run: Run) -> list[str]:
    """The run in a few plain sentences, made of whatever it has."""
    report = run.report
    done = stages(report)
    seconds = [s.get("seconds") for s in done.values() if is_number(s.get("seconds"))]
    sentences = []
    for stage in done.values():
        found = figures(stage)
        if is_number(found.get("documents_kept")):
            size = found.get("text_bytes")
            total = sum(v for v in size.values() if is_number(v)) if isinstance(size, Mapping) else size
            kept = f"{found['documents_kept']:,} documents"
            sentences.append(
                f"It learned from {kept}{f' ({data_size(total)} of text)' if is_number(total) else ''}, "
                f"a part of which was held back to test it."
            )
            break
    if seconds:
        sentences.append(f"All {len(done)} stages together took {duration(sum(seconds))}.")
    told: set[str] = set()
    for _, evaluation in evaluations(report):
        measure = str(evaluation.get("measure"))
        sentence = _comparison(evaluation)
        if sentence and measure not in told:
            sentences.append(sentence)
            told.add(measure)
    return sentences


def best_row(evaluation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The row of the model that was evaluated: the last that is no baseline."""
    own = [row for row in rows(evaluation) if not row.get("baseline") and is_number(row.get("value"))]
    return own[-1] if own else None


def _comparison(evaluation: Mapping[str, Any]) -> str:
    own = best_row(evaluation)
    baselines = [row for row in rows(evaluation) if row.get("baseline") and is_number(row.get("value"))]
    measure = evaluation.get("measure")
    if own is None or measure not in ("bits_per_byte", "exact_match", "functions_compile"):
        return ""
    value = float(own["value"])
    if measure == "bits_per_byte":
        xz = [row for row in baselines if str(row.get("name", "")).startswith("xz")]
        beside = min(xz or baselines, key=lambda row: float(row["value"]), default=None)
        start = f"It stores text it has never seen in {value:.3g} bits per byte"
        if beside is None:
            return f"{start}."
        return f"{start}; the simple way to do it ({beside.get('name')}) needs {float(beside['value']):.3g}."
    if measure == "functions_compile":
        return f"{100 * value:.0f} % of the functions it wrote are valid Python."
    best = max(baselines, key=lambda row: float(row["value"]), default=None)
    against = f"; {best.get('name')}: {100 * float(best['value']):.0f} %" if best else ""
    return f"It answered {100 * value:.0f} % of held-out questions word for word{against}."


def _curves(directory: Path) -> dict[str, dict[str, Curve]]:
    curves = read_curves(directory)
    return {
        stage: {name: curves.curve(stage, name).thinned() for name in curves.figures(stage)} for stage in curves.stages
    }


def model_stages(report: Report, directory: Path) -> list[str]:
    """Stages whose directory is a model, in order."""
    return [name for name in stages(report) if name == Path(name).name and _is_model(directory / name)]


def _is_model(directory: Path) -> bool:
    try:
        return read_seal(directory).kind == "model"
    except (ArtifactError, OSError, ValueError):  # the last two: a name that no file system takes
        return False


def as_written(directory: Path) -> str:
    """The path as a person would type it: relative where that is shorter."""
    relative = os.path.relpath(directory)
    return str(directory) if relative.startswith("..") else relative

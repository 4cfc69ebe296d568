"""The card that a run ends with on the terminal: what was made, how good it is beside the baselines, what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..meanings import KINDS, MEASURES
from .reading import (
    Report,
    as_written,
    best_row,
    duration,
    evaluations,
    figures,
    is_number,
    measure_title,
    model_stages,
    opening_swaps,
    rows,
    shown,
    stages,
)

if TYPE_CHECKING:
    from rich.console import RenderableType


def report_card(report: Report, run_directory: Path | str | None = None) -> RenderableType:
    """A rich panel from a run's report. With `run_directory` it ends with what to do next."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = []
    done = stages(report)
    seconds = Table.grid(padding=(0, 2))
    for name, stage in done.items():
        seconds.add_row(Text(name), Text(str(stage.get("type", "")), style="dim"), Text(duration(stage.get("seconds"))))
    if done:
        parts += [seconds, Text()]
    for table in _exhibited(done):
        parts += [table, Text()]
    measured = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("", "value", "95 % interval", "best baseline"):
        measured.add_column(title)
    for _, evaluation in evaluations(report):
        own = best_row(evaluation)
        if own is None:
            continue
        meaning = MEASURES.get(str(evaluation.get("measure")))
        share = bool(meaning and meaning.share)
        about = str(evaluation.get("about", ""))
        about = f", {KINDS.get(about, about)}" if about else ""
        baselines = [row for row in rows(evaluation) if row.get("baseline") and is_number(row.get("value"))]
        pick = max if meaning and meaning.higher_is_better else min
        best = pick(baselines, key=lambda row: float(row["value"])) if baselines else None
        measured.add_row(
            Text(measure_title(str(evaluation.get("measure"))) + about),
            Text(shown(own["value"], share=share), style="bold"),
            Text(f"{shown(own.get('low'), share=share)} to {shown(own.get('high'), share=share)}")
            if is_number(own.get("low"))
            else Text(),
            Text(f"{shown(best['value'], share=share)} {best.get('name', '')}" if best else "", style="dim"),
        )
    if measured.row_count:
        parts += [measured, Text()]
    if run_directory is not None:
        place = Path(as_written(Path(run_directory)))
        parts.append(Text(f"report    {place / 'report.html'}"))
        for name in model_stages(report, place)[-1:]:
            again = opening_swaps(report)
            parts += [
                Text(f"talk      groundup chat {place / name}{again}"),
                Text(f"serve     groundup serve {place / name}{again}"),
            ]
    total = sum(s["seconds"] for s in done.values() if is_number(s.get("seconds")))
    heading = Text(f" {report.get('name') or 'run'} · {duration(total)} ")
    return Panel(Group(*parts) if parts else Text("nothing was run"), title=heading, title_align="left", expand=False)


def _exhibited(done: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The tables that stages want shown."""
    from rich.table import Table
    from rich.text import Text

    for stage in done.values():
        listed = figures(stage).get("exhibits")
        for exhibit in listed if isinstance(listed, list) else []:
            if not isinstance(exhibit, Mapping) or exhibit.get("exhibit") != "table":
                continue
            made = Table(title=Text(str(exhibit.get("title", ""))), title_justify="left", box=None,
                         padding=(0, 2, 0, 0), header_style="dim")  # fmt: skip
            columns = exhibit.get("columns", [])
            for column in columns:
                made.add_column(Text(str(column)))
            for row in exhibit.get("rows", []):
                cells = [Text(value if isinstance(value, str) else shown(value)) for value in row]
                made.add_row(*cells[: len(columns)])
            yield made

"""Runs side by side: their loss curves, what they came to, and where their recipes differ."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nicegui import ui

from groundup.core.errors import GroundupError
from groundup.core.run_figures import (
    Curve,
    Difference,
    Over,
    RunCurves,
    StageFigures,
    read_curves,
    read_resolved,
    recipe_differences,
    run_report,
    stage_figures,
    swapped_parts,
)
from groundup.core.runs import list_runs
from groundup.evals.report.reading import as_written, data_size, duration, flat, shown

from ..app import Studio
from ..frame import SERIES, card, chart, command_line, empty, error_box, heading, style_sheet, working
from ..plots import lines, redraw
from ..run_summary import one_of

_MOST_RUNS = len(SERIES)
_MOST_DIFFERENCES = 200
_LONGEST_VALUE = 160
_ROWS = (
    ("val_loss", "Validation loss"),
    ("loss", "Training loss"),
    ("steps", "Steps"),
    ("tokens", "Tokens"),
    ("tokens_per_second", "Tokens a second"),
    ("mfu", "Share of the machine's peak"),
    ("peak_memory_bytes", "Peak memory"),
    ("seconds", "Time"),
    ("parameters", "Parameters"),
)
_LESS_IS_BETTER = {
    "val_loss": True,
    "loss": True,
    "tokens_per_second": False,
    "mfu": False,
    "peak_memory_bytes": True,
    "seconds": True,
}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One of the runs."""

    name: str
    curves: RunCurves
    report: Mapping[str, Any]
    resolved: Mapping[str, Any]
    swapped: Mapping[str, str]

    def figures(self, stage: str) -> StageFigures:
        return stage_figures(self.report, self.curves, stage)


def read_compared(paths: Sequence[Path]) -> list[Compared]:
    return [
        Compared(name=path.name, curves=read_curves(path), report=run_report(path), resolved=read_resolved(path),
                 swapped=swapped_parts(path))
        for path in paths
    ]  # fmt: skip


def shared_stages(runs: Sequence[Compared]) -> list[str]:
    """Stages with curves, in order; those of every run first."""
    named = list(dict.fromkeys(stage for run in runs for stage in run.curves.stages))
    return sorted(named, key=lambda stage: -sum(stage in run.curves.stages for run in runs))


def value_text(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "peak_memory_bytes":
        return data_size(value)
    if name == "seconds":
        return duration(value)
    return shown(
        value if name in ("val_loss", "loss") else value if name == "mfu" else round(value), share=name == "mfu"
    )


def against(name: str, value: float | None, first: float | None) -> tuple[str, str]:
    """(by how much it differs from the first run, better | worse | ""). Nothing where one of them is not known, or both are one."""
    if value is None or not first or value == first:
        return "", ""
    change = value / first - 1
    if abs(change) < 0.0005:
        return "same", ""
    better = _LESS_IS_BETTER.get(name)
    tone = "" if better is None else "better" if (change < 0) == better else "worse"
    return f"{change:+.1%}", tone


def add(studio: Studio) -> None:
    @studio.page("/runs/compare", "Compare runs")
    async def compare(runs: str = "") -> None:
        style_sheet("runs.css")
        heading("Compare runs", "The first one is what the others are measured against.")
        given = list(dict.fromkeys(name for name in runs.split(",") if name))[:_MOST_RUNS]
        everything = await asyncio.to_thread(_names, studio.config.runs)
        paths: list[Path] = []
        wrong: list[GroundupError] = []
        for name in given:
            try:
                paths.append(one_of(studio.config.runs, name))
            except GroundupError as error:
                wrong.append(error)
        chosen = [path.name for path in paths]

        def go(names: list[str]) -> None:
            if len(names) > 1:
                ui.navigate.to(f"/runs/compare?runs={','.join(quote(name, safe='') for name in names)}")

        picker = ui.select(
            everything, value=[n for n in chosen if n in everything], multiple=True, label="Runs", on_change=lambda event: go(event.value)
        ).props("outlined dense use-chips options-dense").classes("st-choice")  # fmt: skip
        picker.set_visibility(bool(everything))
        for refused in wrong:
            error_box(refused)
        if len(paths) < 2:
            with card():
                if len(everything) > 1:
                    empty("Pick two or more runs.")
                else:
                    empty("It takes two runs to compare. This makes another one:",
                          "groundup run recipes/quickstart.yaml --out runs/second model.hidden_size=128")  # fmt: skip
            return
        with ui.element("div") as place:
            pass
        await ui.context.client.connected()
        read = await working(place, "Reading the runs …", read_compared, paths)
        if read is not None and not place.is_deleted:
            place.delete()
            _Compare(read, paths).build()


def _names(runs: Path) -> list[str]:
    return [run.path.name for run in list_runs(runs)] if runs.is_dir() else []


class _Compare:
    def __init__(self, runs: list[Compared], paths: list[Path]) -> None:
        self.runs, self.paths = runs, paths
        self.stages = shared_stages(runs)
        self.stage = self.stages[0] if self.stages else ""
        self.figure = "val_loss"
        self.over: Over = "steps"
        self.log = False

    def build(self) -> None:
        if self.stages:
            with card("Curves"):
                self._curves()
            with card("Figures"):
                self.table = ui.element("div").classes("st-scroll").props('tabindex=0 role=region aria-label="Figures"')
            self._show()
        else:
            with card():
                empty("None of these runs recorded a curve.")
        for other in self.runs[1:]:
            self._differences(other)
        with card("On the command line"):
            for path in self.paths:
                command_line(f"groundup runs {as_written(path)} --json")

    def _curves(self) -> None:
        with ui.element("div").classes("st-row st-controls"):
            stage = ui.select(
                self.stages, value=self.stage, label="Stage", on_change=lambda event: self._choose(stage=event.value)
            ).props("outlined dense options-dense")
            stage.classes("st-small-choice")
            stage.set_visibility(len(self.stages) > 1)
            ui.toggle(
                {"val_loss": "Validation", "loss": "Training"},
                value=self.figure,
                on_change=lambda event: self._choose(figure=event.value),
            ).props('no-caps dense unelevated toggle-color=primary aria-label="Loss"')
            ui.toggle(
                {"steps": "Steps", "tokens": "Tokens", "seconds": "Seconds"},
                value="steps",
                on_change=lambda event: self._choose(over=event.value),
            ).props('no-caps dense unelevated toggle-color=primary aria-label="Over"')
            ui.switch("Log", on_change=lambda e: self._choose(log=bool(e.value))).props("dense")
        self.plot = chart(lines({}, x_label="step"), height="21rem", label="Loss of each run")
        self.none = ui.label("None of the runs recorded this.").classes("st-note")

    def _choose(self, **given: Any) -> None:
        for name, value in given.items():
            setattr(self, name, value)
        self._show()

    def _show(self) -> None:
        drawn: dict[str, Curve] = {
            run.name: run.curves.curve(self.stage, self.figure, over=self.over) for run in self.runs
        }
        colours = {name: SERIES[number % len(SERIES)] for number, name in enumerate(drawn)}
        drawn = {name: curve for name, curve in drawn.items() if curve.x}
        redraw(self.plot, lines(drawn, x_label={"steps": "step", "tokens": "tokens", "seconds": "seconds of training"}[self.over],
                                log_y=self.log, colours=colours))  # fmt: skip
        self.plot.set_visibility(bool(drawn))
        self.none.set_visibility(not drawn)
        self._figures()

    def _figures(self) -> None:
        self.table.clear()
        found = [run.figures(self.stage) for run in self.runs]
        with self.table, ui.element("table").classes("st-table"):
            with ui.element("thead"), ui.element("tr"):
                for name in ["", *(run.name for run in self.runs)]:
                    with ui.element("th").props("scope=col"):
                        ui.label(name)
            with ui.element("tbody"):
                for name, title in _ROWS:
                    values = [getattr(figures, name) for figures in found]
                    if all(value is None for value in values):
                        continue
                    with ui.element("tr"):
                        with ui.element("th").props("scope=row"):
                            ui.label(title)
                        for number, value in enumerate(values):
                            with ui.element("td").classes("st-number"):
                                ui.label(value_text(name, value))
                                if number:
                                    change, tone = against(name, value, values[0])
                                    if change:
                                        ui.label(change).classes(f"st-change st-{tone or 'same'}")

    def _differences(self, other: Compared) -> None:
        first = self.runs[0]
        found = recipe_differences(first.resolved, other.resolved)
        with card(f"{first.name} and {other.name}", note=_swaps(first, other)):
            if not found:
                ui.label("The recipes are the same.").classes("st-note")
                return
            with ui.element("div").classes("st-scroll").props('tabindex=0 role=region aria-label="Differences"'):
                self._difference_table(first, other, found)
            if len(found) > _MOST_DIFFERENCES:
                ui.label(f"The first {_MOST_DIFFERENCES} of {len(found)}; resolved.json of each run has all.").classes(
                    "st-note"
                )

    def _difference_table(self, first: Compared, other: Compared, found: list[Difference]) -> None:
        with ui.element("table").classes("st-table"):
            with ui.element("thead"), ui.element("tr"):
                for name in ("key", first.name, other.name):
                    with ui.element("th").props("scope=col"):
                        ui.label(name)
            with ui.element("tbody"):
                for difference in found[:_MOST_DIFFERENCES]:
                    with ui.element("tr"):
                        with ui.element("th").props("scope=row").classes("st-key"):
                            ui.label(difference.path)
                        for value in (difference.left, difference.right):
                            with ui.element("td").classes("st-mono"):
                                ui.label(part_text(value))


def part_text(value: Any) -> str:
    """A value of a recipe in one line: a part by its type, or the file and class that is in its place."""
    if isinstance(value, Mapping):
        named = str(value.get("use", "")).rpartition("/")[2] or str(value.get("type", ""))
        rest = ", ".join(
            f"{k} {shown(v)}"
            for k, v in flat({k: v for k, v in value.items() if k not in ("use", "type", "replaces")})
            if v not in (None, {}, [])
        )
        text = f"{named} ({rest})" if named and rest else named or rest or "none"
    else:
        text = shown(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _swaps(*runs: Compared) -> str:
    said = [
        f"{run.name} has {use.rpartition('/')[2]} at {place}." for run in runs for place, use in run.swapped.items()
    ]
    return " ".join(said)

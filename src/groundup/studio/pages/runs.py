"""The list of runs: what each is known by, how it went, which are going on; some of them to compare."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

from nicegui import ui

from groundup.core.artifact import SEAL
from groundup.core.run_figures import glance_curves
from groundup.core.runs import list_runs
from groundup.core.tracking import METRICS
from groundup.evals.report.reading import as_written, duration

from ..app import Studio
from ..frame import card, command_line, empty, heading, style_sheet, working
from ..run_summary import Listed, ago, listed
from . import compare, run

_LOOK_SECONDS = 3.0
_MOST_STAGES = 12


class Summaries:
    """The rows of the list; a run is read again when its record has changed."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._known: dict[Path, tuple[tuple[float, int, bool, int], Listed]] = {}

    def read(self) -> list[Listed]:
        """The newest first. Raises ArtifactError where the folder cannot be read."""
        found = list_runs(self._runs) if self._runs.is_dir() else []
        known, now = self._known, dict[Path, tuple[tuple[float, int, bool, int], Listed]]()
        for one in found:
            metrics = one.path / METRICS
            size = metrics.stat().st_size if metrics.is_file() else 0
            # A stage that ends without a record of its own (data, tokenizers) changes how many are done.
            stamp = (one.changed, size, one.is_live, len(one.stages) + len(list(one.path.glob(f"*/{SEAL}"))))
            old = known.get(one.path)
            now[one.path] = old if old and old[0] == stamp else (stamp, listed(one, glance_curves(one.path)))
        self._known = now
        return sorted((row for _, row in now.values()), key=lambda row: -row.run.changed)


def add(studio: Studio) -> None:
    summaries = Summaries(studio.config.runs)

    @studio.page("/runs", "Runs")
    async def runs() -> None:
        style_sheet("runs.css")
        heading("Runs", "Everything that was trained here. Open one to watch it learn, or pick some to compare.")
        view = _List(studio, summaries)
        with ui.element("div") as place:
            pass
        await ui.context.client.connected()
        rows = await working(place, "Reading the runs …", summaries.read)
        if rows is not None and not place.is_deleted:
            with place:
                view.build(rows)
                ui.timer(_LOOK_SECONDS, view.look)

    compare.add(studio)  # before run.add: "compare" is no run's name
    run.add(studio)


class _List:
    def __init__(self, studio: Studio, summaries: Summaries) -> None:
        self.runs = studio.config.runs
        self.summaries = summaries
        self.chosen: dict[str, bool] = {}
        self.shown: dict[str, Listed] = {}
        self.facts: dict[str, ui.element] = {}

    def build(self, rows: list[Listed]) -> None:
        self.place = ui.element("div").classes("st-runs")
        with self.place:
            self._fill(rows)

    def _fill(self, rows: list[Listed]) -> None:
        self.shown, self.facts = {row.run.path.name: row for row in rows}, {}
        self.chosen = {name: on for name, on in self.chosen.items() if name in self.shown}
        if not rows:
            with card():
                empty(
                    f"Nothing has been run in {as_written(self.runs)} yet. This trains a small model, from text to a chat, "
                    "in a few minutes:",
                    "groundup run recipes/quickstart.yaml",
                )
            return
        with ui.element("div").classes("st-row st-runs-bar"):
            self.button = ui.button("Compare", icon="compare_arrows", on_click=self._compare).props(
                "no-caps unelevated"
            )
            self.said = ui.label().classes("st-note").props("role=status")
        with ui.element("ul").classes("st-list").props('aria-label="Runs"'):
            for row in rows:
                with ui.element("li").classes("st-card st-run"):
                    self._row(row)
        command_line(f"groundup runs {as_written(self.runs)}")
        self._said()

    def _row(self, row: Listed) -> None:
        name = row.run.path.name
        box = ui.checkbox(
            value=self.chosen.get(name, False), on_change=lambda event, name=name: self._choose(name, bool(event.value))
        ).props("dense")
        box.props["aria-label"] = f"Compare {name}"
        with ui.element("div").classes("st-run-body"):
            with ui.link(target=f"/runs/{quote(name)}").classes("st-run-name"):
                ui.label(name)
            with ui.element("div").classes("st-run-facts") as facts:
                self._facts(row)
        self.facts[name] = facts

    def _facts(self, row: Listed) -> None:
        with ui.element("div").classes("st-run-line"):
            state_chip(row.state)
            if row.run.name != row.run.path.name:
                ui.label(f"recipe {row.run.name}")
            if row.swapped:
                ui.label(f"{row.swapped} swapped part{'s' if row.swapped > 1 else ''}")
            ui.label(duration(row.run.seconds))
            ui.label(ago(row.run.changed))
        with ui.element("div").classes("st-run-line st-run-stages"):
            for stage in list(row.run.stages)[:_MOST_STAGES]:
                ui.label(stage).classes("st-pill")
            for stage in row.run.unfinished:
                ui.label(stage).classes("st-pill st-pill-open").props('title="not finished"')
        with ui.element("div").classes("st-run-figures"):
            for what, value in row.figures:
                with ui.element("div").classes("st-figure"):
                    ui.label(value).classes("st-figure-value")
                    ui.label(what).classes("st-figure-name")
        if row.points:
            with ui.element("svg").classes("st-spark") as svg:
                ui.element("polyline").props["points"] = row.points
            svg.props.update({"viewBox": "0 0 120 28", "preserveAspectRatio": "none", "role": "img"})
            svg.props["aria-label"] = f"curve: {row.curve_of}"

    def _choose(self, name: str, on: bool) -> None:
        self.chosen[name] = on
        self._said()

    def _said(self) -> None:
        count = sum(self.chosen.values())
        self.button.set_enabled(count > 1)
        self.said.set_text("Pick two or more runs to compare." if count < 2 else f"{count} runs picked.")

    def _compare(self) -> None:
        names = [name for name in self.shown if self.chosen.get(name)]
        ui.navigate.to("/runs/compare?runs=" + ",".join(quote(name, safe="") for name in names))

    async def look(self) -> None:
        """Only what changed is put on the page anew: what somebody's keyboard is at stays."""
        rows = await asyncio.to_thread(self.summaries.read)
        if self.place.is_deleted:
            return
        if [row.run.path.name for row in rows] != list(self.shown):
            self.place.clear()
            with self.place:
                self._fill(rows)
            return
        for row in rows:
            name = row.run.path.name
            if row is not self.shown[name]:
                self.facts[name].clear()
                with self.facts[name]:
                    self._facts(row)
        self.shown = {row.run.path.name: row for row in rows}


_STATES = {
    "running": ("going on", "st-chip st-chip-live"),
    "stopped": ("not finished", "st-chip st-chip-open"),
    "done": ("finished", "st-chip"),
}


def state_chip(state: str) -> ui.label:
    text, classes = _STATES[state]
    return ui.label(text).classes(classes)

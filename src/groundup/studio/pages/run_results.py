"""What a run came to: each evaluation beside its baselines, what the model wrote when it was asked, tables and plots of stages."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial
from typing import Any

from nicegui import ui

from groundup.core.run_figures import is_number
from groundup.evals.meanings import BASELINES, KINDS, MEASURES, meaning_of
from groundup.evals.report.exhibits import picture
from groundup.evals.report.reading import evaluations, measure_title, rows, samples, shown

from ..frame import SERIES, card, chart, working
from ..plots import exhibit
from ..run_summary import StageState

_TABLE_ROWS = 40
_SAMPLES = 6
_MOST_SAMPLES = 48
_COLOURS = {
    "--ink": "#66726d",
    "--line": "#8a969166",
    "--first": SERIES[0],
    "--second": SERIES[1],
    "--quiet": "#8a9691",
}
"""The variables of the report's pictures, readable on light and dark."""


def how_good(report: Mapping[str, Any]) -> None:
    """A card for each evaluation: the models and the baselines that they must beat, with intervals."""
    explained: set[str] = set()
    for _, evaluation in evaluations(report):
        measure = str(evaluation.get("measure", ""))
        meaning = MEASURES.get(measure)
        about = KINDS.get(str(evaluation.get("about", "")), str(evaluation.get("about", "")))
        better = {True: "Higher is better.", False: "Lower is better.", None: ""}[
            meaning.higher_is_better if meaning else None
        ]
        told = f"{meaning.sentence if meaning else meaning_of(measure)} {better}".strip()
        told = "" if measure in explained else told
        explained.add(measure)
        with card(f"{measure_title(measure)}{f': {about}' if about else ''}", note=told) as box:
            _evaluation(rows(evaluation), share=bool(meaning and meaning.share))
        box.classes("st-half")


def _evaluation(listed: list[Mapping[str, Any]], *, share: bool) -> None:
    most = 1.0 if share else max((float(row["value"]) for row in listed if is_number(row.get("value"))), default=0.0)
    with ui.element("ul").classes("st-results"):
        for row in listed:
            name, value = str(row.get("name", "")), row.get("value")
            note = BASELINES.get(name, "") if row.get("baseline") else str(row.get("note", ""))
            with ui.element("li").classes("st-result st-baseline" if row.get("baseline") else "st-result"):
                with ui.element("div").classes("st-row-top"):
                    ui.label(name).classes("st-reason-name")
                    ui.label(shown(float(value) if is_number(value) else value, share=share)).classes("st-result-value")
                if is_number(value) and most > 0:
                    ui.element("div").classes("st-reason-bar").style(
                        f"width: {max(0.5, 100 * max(0.0, value) / most):.1f}%"
                    )
                ui.label(" · ".join(part for part in (_interval(row, share=share), _count(row), note) if part)).classes(
                    "st-row-head"
                )


def _interval(row: Mapping[str, Any], *, share: bool) -> str:
    low, high = row.get("low"), row.get("high")
    if not is_number(low) or not is_number(high) or low >= high:
        return ""
    return f"95 %: {shown(float(low), share=share)} to {shown(float(high), share=share)}"


def _count(row: Mapping[str, Any]) -> str:
    return f"of {row['count']:,}" if isinstance(row.get("count"), int) else ""


class Written:
    """What the models wrote when they were evaluated, with the verdict where there is one."""

    def __init__(self) -> None:
        self.most = _SAMPLES
        self.report: Mapping[str, Any] = {}
        with card(
            "What it writes", note="Asked by the evaluation; not picked: the first ones of each kind."
        ) as self.box:
            self.place = ui.element("div").classes("st-samples")
            self.more = ui.button("", on_click=self._more).props("flat no-caps color=primary").classes("st-more")

    def show(self, report: Mapping[str, Any]) -> None:
        self.report = report
        found = list(samples(report))
        self.box.set_visibility(bool(found))
        self.more.set_visibility(len(found) > self.most)
        self.more.set_text(f"Show {min(len(found), _MOST_SAMPLES) - self.most} more")
        self.place.clear()
        with self.place:
            for sample in found[: self.most]:
                self._sample(sample)

    def _sample(self, sample: Mapping[str, Any]) -> None:
        named = " · ".join(str(sample[key]) for key in ("model", "task", "kind") if sample.get(key))
        with ui.element("article").classes("st-sample"):
            with ui.element("div").classes("st-row-top"):
                ui.label(named).classes("st-note")
                if sample.get("verdict"):
                    ui.label(str(sample["verdict"])).classes(
                        "st-change " + ("st-better" if sample.get("right") else "st-worse")
                    )
            with ui.element("div").classes("st-mono st-sample-text").props("tabindex=0 role=group aria-label=Sample"):
                ui.label(str(sample.get("prompt", ""))).classes("st-given")
                ui.label(("\n" if sample.get("chat") else "") + (str(sample.get("text") or "") or "(nothing)")).classes(
                    "st-written"
                )
                if sample.get("answer") not in (None, ""):
                    ui.label(f"\nright answer: {sample['answer']}").classes("st-given")

    def _more(self) -> None:
        self.most = _MOST_SAMPLES
        self.show(self.report)


# ---------------------------------------------------------------------------------------------------------- exhibits


def exhibits(stage: StageState) -> None:
    """Tables and plots that the stage wants shown (core/exhibits.py), in order; what cannot be drawn is left out."""
    listed = stage.figures.get("exhibits")
    for number, given in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(given, Mapping):
            continue
        title = str(given.get("title", ""))
        if given.get("exhibit") == "table":
            with card(title, note=str(given.get("sentence", ""))):
                _table(given)
            continue
        options = exhibit(given)
        if options is None and given.get("kind") not in ("contours", "images"):
            continue
        with card(title, note=str(given.get("sentence", ""))) as box:
            if options:
                names = len(options["yAxis"].get("data", ())) if options["yAxis"].get("type") == "category" else 0
                chart(options, height=f"{max(16.0, 3 + 1.5 * names):.1f}rem", label=title)
            else:
                ui.timer(0.05, partial(_picture, ui.element("div"), given, title, f"{stage.name} {number}"), once=True)
        box.classes("st-half")


def _table(given: Mapping[str, Any]) -> None:
    """Scrolls in its own box where it is wide."""
    columns = [str(c) for c in given.get("columns") or ()]
    listed = [row for row in given.get("rows") or () if isinstance(row, (list, tuple))]
    with (
        ui.element("div").classes("st-scroll").props("tabindex=0 role=region") as box,
        ui.element("table").classes("st-table"),
    ):
        box.props["aria-label"] = str(given.get("title", "table"))
        with ui.element("thead"), ui.element("tr"):
            for column in columns:
                with ui.element("th").props("scope=col"):
                    ui.label(column)
        with ui.element("tbody"):
            for row in listed[:_TABLE_ROWS]:
                with ui.element("tr"):
                    for value in row:
                        number = is_number(value) or value is None
                        with ui.element("td").classes("st-number" if number else ""):
                            ui.label(shown(value))
    for note in given.get("notes") or ():
        ui.label(str(note)).classes("st-note")
    if len(listed) > _TABLE_ROWS:
        ui.label(f"The first {_TABLE_ROWS} of {len(listed):,} rows; all are in report.json.").classes("st-note")


async def _picture(place: ui.element, given: Mapping[str, Any], title: str, salt: str) -> None:
    """Contours and images as the report draws them; as the source of an image, in which nothing can run."""
    svg = await working(place, "Drawing …", picture, given, salt)
    if not svg or place.is_deleted:
        return
    for variable, colour in _COLOURS.items():  # an image knows nothing of the page that it is on
        svg = svg.replace(f"var({variable})", colour)
    with place:
        drawn = ui.element("img").classes("st-picture")
        drawn.props["src"] = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
        drawn.props["alt"] = title

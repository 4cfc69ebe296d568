"""Data: the documents that were kept and those that were dropped, with reasons; tokens as they lie in their shards; rows of talks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nicegui import ui

from groundup.evals.report.reading import as_written, data_size, shown, words

from ..app import Studio
from ..data_rows import DROPPED_ROWS, DataStage, RowFiles, data_stages, runs_with_data
from ..frame import card, command_line, empty, facts, heading, style_sheet
from ..run_summary import one_of
from .data_browsing import Browser
from .data_tokens import TokenWindow

_MOST_REASONS = 30
_SHOWN_FACTS = (
    "source",
    "licence",
    "split_by",
    "documents_in",
    "documents_kept",
    "documents_dropped",
    "vocab_size",
    "dtype",
    "eos_token",
)


def add(studio: Studio) -> None:
    files = RowFiles()

    @studio.page("/data", "Data")
    async def data(run: str = "", stage: str = "") -> None:
        style_sheet("runs.css")
        style_sheet("data.css")
        heading("Data", "What the models read, and what was kept from them: text, tokens, talks.")
        names = await asyncio.to_thread(runs_with_data, studio.config.runs)
        if run and run not in names:
            one_of(studio.config.runs, run)  # says that there is no such run
            with card():
                empty(
                    f"{run} has no data of its own: no documents, tokens or rows.",
                    f"groundup runs {as_written(studio.config.runs / run)}",
                )
            return
        if not names:
            with card():
                empty(f"There is no data in {as_written(studio.config.runs)} yet. This gathers some and trains on it:",
                      "groundup run recipes/quickstart.yaml")  # fmt: skip
            return
        chosen = run or names[0]
        path = one_of(studio.config.runs, chosen)
        stages = await asyncio.to_thread(data_stages, path)
        if not stages:
            with card():
                empty(
                    f"The data of {chosen} is broken: no artifact in it can be read.",
                    f"groundup data {as_written(path)}",
                )
            return
        shown_stage = next((s for s in stages if s.name == stage), stages[0])
        _choices(names, chosen, stages, shown_stage)
        with ui.element("div").classes("st-data") as place:
            pass
        await ui.context.client.connected()
        await _show(studio, files, path, shown_stage, place)


def _choices(names: list[str], run: str, stages: list[DataStage], stage: DataStage) -> None:
    def go(run: str, stage: str = "") -> None:
        ui.navigate.to(f"/data?run={quote(run, safe='')}" + (f"&stage={quote(stage, safe='')}" if stage else ""))

    with ui.element("div").classes("st-row"):
        ui.select(names, value=run, label="Run", on_change=lambda event: go(event.value)).props(
            "outlined dense options-dense"
        ).classes("st-choice")
        if len(stages) > 1:
            with ui.element("nav").classes("st-tabs").props('aria-label="Data of this run"'):
                for one in stages:
                    with ui.link(target=f"/data?run={quote(run, safe='')}&stage={quote(one.name, safe='')}").classes(
                        "st-tab"
                    ) as link:
                        ui.label(one.name)
                    if one is stage:
                        link.props("aria-current=page")


async def _show(studio: Studio, files: RowFiles, run: Path, stage: DataStage, place: ui.element) -> None:
    if place.is_deleted:
        return
    with place:
        browser = Browser(files, stage) if stage.files and stage.kind != "tokens" else None
        _card(stage, browser.only if browser and DROPPED_ROWS in stage.files else None)
        if stage.kind == "tokens":
            with card(
                "Tokens", note="As training reads them: one long row, in which a document follows the other."
            ) as box:
                window = TokenWindow(studio, run, stage)
            await window.build(box)
        elif browser:
            browser.build()
            await browser.show()
        else:
            with card():
                empty("This stage has no rows to look at.")
        command_line(_command(stage))


def _command(stage: DataStage) -> str:
    line = f"groundup data {as_written(stage.path)}"
    return f"{line} --dropped" if "dropped" in stage.files else line


def _card(stage: DataStage, only: Callable[[str], Any] | None = None) -> None:
    given = stage.card
    steps = [row for row in given.get("steps") or () if isinstance(row, Mapping)]
    dropped = given.get("dropped")
    reasons = (
        {str(k): v for k, v in dropped.items() if isinstance(v, (int, float))} if isinstance(dropped, Mapping) else {}
    )
    with card(str(given.get("title") or stage.name)) as box:
        pairs = [
            (words(name).capitalize(), shown(given[name])) for name in _SHOWN_FACTS if given.get(name) not in (None, "")
        ]
        for split, row in _mapping(given.get("splits")).items():
            if isinstance(row, Mapping):
                pairs.append((str(split).capitalize(), _split_text(row)))
        for name in ("changed", "left_out", "formats"):
            pairs += [
                (f"{words(name).capitalize()}: {key}", shown(value)) for key, value in _mapping(given.get(name)).items()
            ]
        facts(pairs)
    box.classes("st-half" if steps or reasons else "")
    if not steps and not reasons:
        return
    with card("Kept and dropped", note=_told(given)) as box:
        if steps:
            _funnel(steps)
        if reasons:
            with ui.element("h3"):
                ui.label("Reasons")
            _reason_bars(sorted(reasons.items(), key=lambda pair: -pair[1])[:_MOST_REASONS], only)
    box.classes("st-half")


def _reason_bars(counted: list[tuple[str, float]], only: Callable[[str], Any] | None) -> None:
    """How many documents each reason dropped; one that is clicked shows them."""
    most = max(count for _, count in counted) or 1
    with ui.element("ul").classes("st-reasons").props('aria-label="Dropped documents by reason"'):
        for reason, count in counted:
            with ui.element("li"), ui.element("button" if only else "div").classes("st-reason-row") as row:
                if only:
                    row.props("type=button").on("click", partial(only, reason))
                with ui.element("span").classes("st-row-top"):
                    ui.label(reason).classes("st-reason-name")
                    ui.label(f"{count:,}").classes("st-row-size")
                ui.element("span").classes("st-reason-bar").style(f"width: {max(1.0, 100 * count / most):.1f}%")


def _told(given: Mapping[str, Any]) -> str:
    before, after = given.get("documents_in"), given.get("documents_kept")
    if not isinstance(before, int) or not isinstance(after, int) or not before:
        return ""
    return f"{after:,} of {before:,} documents were kept ({after / before:.1%})."


def _funnel(steps: list[Mapping[str, Any]]) -> None:
    """How many documents each step left."""
    with (
        ui.element("div").classes("st-scroll").props('tabindex=0 role=region aria-label="Steps"'),
        ui.element("table").classes("st-table"),
    ):
        with ui.element("thead"), ui.element("tr"):
            for name in ("step", "documents left", "text"):
                with ui.element("th").props("scope=col"):
                    ui.label(name)
        with ui.element("tbody"):
            for row in steps:
                with ui.element("tr"):
                    with ui.element("th").props("scope=row"):
                        ui.label(words(str(row.get("step", ""))))
                    for name in ("documents", "characters"):
                        with ui.element("td").classes("st-number"):
                            ui.label(
                                data_size(row.get(name)).replace("bytes", "")
                                if name == "characters"
                                else shown(row.get(name))
                            )


def _split_text(row: Mapping[str, Any]) -> str:
    """Counts of a split as a person reads them."""
    said = []
    for name, value in row.items():
        if isinstance(value, (int, float)) and name not in ("shards", "bytes_per_token"):
            said.append(data_size(value) if name.endswith("_bytes") else f"{shown(value)} {words(name)}")
    return ", ".join(said)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

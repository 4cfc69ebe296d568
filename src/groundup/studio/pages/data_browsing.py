"""Rows of a data stage: pages of them, a search, the reasons of dropped documents, and one row to read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from ..data_rows import (
    DROPPED_ROWS,
    MOST_FOUND,
    PAGE_ROWS,
    DataStage,
    RowFile,
    RowFiles,
    facts_of,
    head_of,
    matcher,
    size_of,
    title_of,
    turns_of,
)
from ..frame import card, facts, working

_TEXT_CHARACTERS = 20_000
"""Of a text that are on the page at once; a document may be a book."""
_MOST_TURNS = 60


class Browser:
    def __init__(self, files: RowFiles, stage: DataStage) -> None:
        self.files, self.stage = files, stage
        self.split = stage.files[0]
        self.text = ""
        self.reason = ""
        self.page = 0
        self.file: RowFile | None = None
        self.found: NDArray[np.int64] | None = None
        """Rows that the search found; None without a search."""
        self.more = False
        self.searching = 0
        self.chosen: tuple[str, int] | None = None
        self.buttons: dict[int, ui.element] = {}
        """Of the rows on this page, by number."""
        self.rows: list[int] = []

    def build(self) -> None:
        names = {name: _name(name) for name in self.stage.files}
        with card("Browse") as left:
            with ui.element("div").classes("st-row st-controls"):
                self.splits = ui.toggle(
                    names, value=self.split, on_change=lambda event: self._choose(split=event.value)
                ).props('no-caps dense unelevated toggle-color=primary aria-label="Split"')
                self.splits.set_visibility(len(names) > 1)
            with ui.element("div").classes("st-row st-controls"):
                ui.input(placeholder="Search", on_change=lambda event: self._choose(text=str(event.value or ""))).props(
                    'outlined dense clearable debounce=400 aria-label="Search in these rows"'
                ).classes("st-search")
                reasons = self.stage.card.get("dropped")
                known = {str(k): f"{k} ({v})" for k, v in reasons.items()} if isinstance(reasons, Mapping) else {}
                self.reasons = ui.select(
                    {"": "every reason", **known},
                    value="",
                    label="Reason",
                    on_change=lambda event: self._choose(reason=event.value or ""),
                ).props("outlined dense options-dense")
                self.reasons.classes("st-search")
            self.status = ui.label().classes("st-note").props("role=status")
            self.place = ui.element("div")
            self.list = ui.element("ul").classes("st-rows").props('aria-label="Rows"')
            with ui.element("div").classes("st-row st-pager"):
                self.previous = ui.button(icon="chevron_left", on_click=lambda: self._turn(-1), color=None).props(
                    'flat round dense aria-label="Previous page"'
                )
                self.where = ui.label().classes("st-note")
                self.next = ui.button(icon="chevron_right", on_click=lambda: self._turn(1), color=None).props(
                    'flat round dense aria-label="Next page"'
                )
        left.classes("st-browse")
        with card() as right:
            self.reader = (
                ui.element("div").classes("st-reader").props('role=region aria-label="The chosen row" aria-live=polite')
            )
            with self.reader:
                ui.label("Pick a row to read it.").classes("st-note")
        right.classes("st-read")
        self._reasons_shown()

    async def _choose(self, **given: Any) -> None:
        for name, value in given.items():
            setattr(self, name, value)
        self.page = 0
        if "split" in given:
            self.chosen = None  # the row that is open is of another file: the first of this one takes its place
        self._reasons_shown()
        await self.show()

    def only(self, reason: str) -> None:
        """The documents that were dropped for that."""
        self.reasons.set_value(reason)
        self.splits.set_value(DROPPED_ROWS)
        ui.run_javascript("document.querySelector('.st-browse').scrollIntoView({block: 'nearest'})")

    def _reasons_shown(self) -> None:
        self.reasons.set_visibility(self.split == DROPPED_ROWS and len(self.reasons.options) > 2)

    async def _turn(self, by: int) -> None:
        self.page += by
        await self._rows()

    async def show(self) -> None:
        """The rows that the choices leave, from the first page."""
        self.searching += 1
        mine = self.searching
        reason = self.reason if self.split == DROPPED_ROWS else ""
        path = self.stage.path / f"{self.split}.jsonl"
        search = matcher(self.text, reason) if self.text or reason else None

        def work() -> tuple[RowFile, NDArray[np.int64] | None, bool]:
            file = self.files.get(path)
            found, more = file.search(search) if search else (None, False)
            return file, found, more

        done = await working(self.place, "Searching …" if search else "Reading …", work)
        if done is None or mine != self.searching or self.list.is_deleted:
            return
        self.file, self.found, self.more = done
        await self._rows()
        if self.chosen is None and self.rows:
            await self._read(self.rows[0], scroll=False)

    def _total(self) -> int:
        assert self.file is not None
        return len(self.file) if self.found is None else len(self.found)

    async def _rows(self) -> None:
        file = self.file
        if file is None:
            return
        total = self._total()
        pages = max(1, -(-total // PAGE_ROWS))
        self.page = max(0, min(self.page, pages - 1))
        places = np.arange(self.page * PAGE_ROWS, min(total, (self.page + 1) * PAGE_ROWS))
        numbers = places if self.found is None else self.found[places]
        rows = await asyncio.to_thread(file.rows, numbers)
        if self.list.is_deleted:
            return
        many = f"the first {MOST_FOUND:,} of those found" if self.more else f"{total:,} row{'s' if total != 1 else ''}"
        self.status.set_text(
            many if self.found is None else f"{many} found in {len(file):,}" if not self.more else many
        )
        self.where.set_text(f"{self.page + 1:,} / {pages:,}")
        self.previous.set_enabled(self.page > 0)
        self.next.set_enabled(self.page < pages - 1)
        self.rows = numbers.tolist()
        self.buttons = {}
        self.list.clear()
        with self.list:
            for number, row in zip(self.rows, rows):
                self._entry(number, row)

    def _entry(self, number: int, row: Mapping[str, Any]) -> None:
        with ui.element("li"):
            with ui.element("button").classes("st-row-button").props("type=button") as button:
                button.on("click", partial(self._read, number))
                with ui.element("span").classes("st-row-top"):
                    ui.label(title_of(row, number)).classes("st-row-title")
                    ui.label(f"{size_of(row):,}").classes("st-row-size").props('title="characters"')
                if row.get("reason"):
                    ui.label(str(row["reason"])).classes("st-reason")
                ui.label(head_of(row)).classes("st-row-head")
            self.buttons[number] = button
            if self.chosen == (self.split, number):
                button.props("aria-current=true")

    async def _read(self, number: int, *, scroll: bool = True) -> None:
        file = self.file
        if file is None:
            return
        before = self.buttons.get(self.chosen[1]) if self.chosen else None
        self.chosen = (self.split, number)
        (row,) = await asyncio.to_thread(file.rows, [number])
        if self.reader.is_deleted:
            return
        # Not drawn anew: the button that was pressed keeps the keyboard's focus.
        if before is not None:
            before.props(remove="aria-current")
        self.buttons[number].props("aria-current=true")
        self.reader.clear()
        with self.reader:
            with ui.element("h2"):
                ui.label(title_of(row, number))
            facts(facts_of(row))
            if "broken" in row:
                ui.label(str(row["broken"])).classes("gu-error")
            said = turns_of(row)
            for role, text in said[:_MOST_TURNS]:
                _Text(role, text, alone=len(said) == 1)
            if len(said) > _MOST_TURNS:
                ui.label(f"The first {_MOST_TURNS} of {len(said)} turns.").classes("st-note")
        if scroll:  # where the page is narrow the reader is below the list
            ui.run_javascript("document.querySelector('.st-read').scrollIntoView({block: 'nearest'})")


class _Text:
    """One text of a row, a stretch of it at a time."""

    def __init__(self, role: str, text: str, *, alone: bool) -> None:
        self.text, self.at = text, 0
        with ui.element("section").classes(f"st-turn st-turn-{_tone(role)}"):
            if not alone:
                ui.label(role).classes("st-role")
            self.shown = ui.label().classes("st-mono st-turn-text")
            self.shown.props["tabindex"] = 0
            self.shown.props["aria-label"] = f"{role}"
            self.shown.props["role"] = "document"
            if len(text) > _TEXT_CHARACTERS:
                with ui.element("div").classes("st-row st-pager"):
                    self.back = ui.button("Earlier", on_click=lambda: self._move(-1)).props(
                        "flat dense no-caps color=primary"
                    )
                    self.where = ui.label().classes("st-note")
                    self.on = ui.button("Further", on_click=lambda: self._move(1)).props(
                        "flat dense no-caps color=primary"
                    )
        self._move(0)

    def _move(self, by: int) -> None:
        self.at += by * _TEXT_CHARACTERS
        end = min(len(self.text), self.at + _TEXT_CHARACTERS)
        self.shown.set_text(self.text[self.at : end] or "(nothing)")
        if len(self.text) > _TEXT_CHARACTERS:
            self.where.set_text(f"{self.at + 1:,} to {end:,} of {len(self.text):,} characters")
            self.back.set_enabled(self.at > 0)
            self.on.set_enabled(end < len(self.text))


def _tone(role: str) -> str:
    """How a turn looks: who speaks, or which side of a preference it is."""
    for name in ("rejected", "chosen", "user", "assistant", "system"):
        if name in role:
            return name
    return "plain"


def _name(split: str) -> str:
    return "Dropped" if split == DROPPED_ROWS else split.capitalize()

"""A chapter: its rows beside, and of the chosen one the lesson, labs, exercises, and where it is in the library."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

from nicegui import ui

from groundup.core.errors import ConfigError, GroundupError
from groundup.learn.content import LabFacts, exercises_of, lab_facts, labs_of, lesson_path
from groundup.learn.progress import Progress
from groundup.learn.roadmap import Chapter, Row
from groundup.server.config import is_loopback

from ..app import Studio
from ..desk import Desk
from ..exercise_view import ExerciseView
from ..frame import card, command_line, empty, error_box, facts, heading, style_sheet, when_seen_again, working
from ..lab_pages import LabPages, Mode
from ..learner import Standing, minutes_told, read_standing, status_told
from ..lesson import Piece, command_lines, lesson_pieces


def add(studio: Studio) -> None:
    labs = LabPages()
    studio.closing.append(labs.close)

    @studio.page("/chapter/{number}", "Chapter")
    async def chapter(number: str, row: str = "", exercise: str = "") -> None:
        style_sheet("learn.css")
        read = await asyncio.to_thread(_read, number, row)
        ui.page_title(f"{read.chapter.number} {read.chapter.title} · groundup")
        page = _Page(studio, labs, read)
        page.build()
        when_seen_again(page.again)
        if page.waiting:
            await ui.context.client.connected()
            for name in page.waiting:
                await page.fill(name)
            if exercise in page.waiting:
                ui.navigate.to(f"#exercise-{exercise.replace('.', '-')}")


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What a page shows that is read from files."""

    standing: Standing
    chapter: Chapter
    row: Row | None
    lesson: tuple[Piece, ...]
    has_lesson: bool
    labs: tuple[LabFacts, ...]
    exercises: tuple[str, ...]


def _read(number: str, row_id: str) -> _Read:
    standing = read_standing(Progress())
    if not number.isdecimal():
        raise ConfigError(f"{number!r} is no chapter; they go from 0 to {standing.roadmap.chapters[-1].number}")
    chapter = standing.roadmap.chapter(int(number))
    row = standing.roadmap.row(row_id) if row_id else None
    if row is not None and row not in chapter.rows:
        raise ConfigError(f"row {row.id} is not in chapter {chapter.number}", hint=f"groundup roadmap {chapter.number}")
    path = lesson_path(chapter.number)
    return _Read(
        standing=standing, chapter=chapter, row=row, lesson=lesson_pieces(path, row.id if row else "") if path else (),
        has_lesson=path is not None, labs=tuple(lab_facts(name) for name in labs_of(row.id)) if row else (),
        exercises=exercises_of(row.id) if row else (),
    )  # fmt: skip


class _Page:
    def __init__(self, studio: Studio, labs: LabPages, read: _Read) -> None:
        self.studio, self.labs, self.read = studio, labs, read
        self.progress = Progress()
        self.waiting: dict[str, tuple[ui.label, ui.label, ui.element]] = {}
        """Exercises whose editors are made once the page is there: id -> title, state, place."""
        self.lab_states: dict[str, ui.label] = {}
        self.shows_record = False
        """While the mark is set to what the record says, which is not to be written down again."""

    def build(self) -> None:
        chapter, standing = self.read.chapter, self.read.standing
        part = standing.roadmap.parts[chapter.part]
        where = f"Part {part.number}, {part.title}" if part.number else "Before part 1"
        heading(
            f"{chapter.number} {chapter.title}",
            f"{where} · {chapter.difficulty} · {chapter.hours} hours · {standing.done_in(chapter)} of {len(chapter.rows)} rows done",
        )
        with ui.element("div").classes("ln-side"):
            with ui.element("nav").props('aria-label="Rows of the chapter"'):
                self.rows = ui.html(_rows(self.read), sanitize=False)
            with ui.element("nav").classes("ln-around").props('aria-label="Chapters before and after"'):
                for step, icon in ((-1, "arrow_back"), (1, "arrow_forward")):
                    near = chapter.number + step
                    if 0 <= near < len(standing.roadmap.chapters):
                        title = standing.roadmap.chapter(near).title
                        with ui.link(target=f"/chapter/{near}").props(f'title="{title}"'):
                            ui.icon(icon).props("aria-hidden=true")
                            ui.label(f"{near} {title}")
        with ui.element("div").classes("ln-main"):
            if self.read.row is None:
                self._overview()
            else:
                self._row(self.read.row)

    def _overview(self) -> None:
        chapter, roadmap = self.read.chapter, self.read.standing.roadmap
        part = roadmap.parts[chapter.part]
        with card("About this chapter") as box:
            box.classes("ln-sheet")
            _lesson(self.read.lesson)
            before = [roadmap.chapter(n) for n in chapter.requires]
            facts([
                ("Part", f"{part.number} {part.title}: {part.focus}" if part.number else part.title),
                *([("Good to know", ", ".join(chapter.needs))] if chapter.needs else []),
            ])  # fmt: skip
            if before:
                with ui.element("p").classes("ln-before"):
                    ui.label("Comes after")
                    for earlier in before:
                        ui.link(f"{earlier.number} {earlier.title}", f"/chapter/{earlier.number}")
            first = next((r for r in chapter.rows if r.id not in self.read.standing.rows), chapter.rows[0])
            with ui.link(target=f"/chapter/{chapter.number}?row={first.id}").classes("rm-go ln-gap"):
                ui.label(first.id).classes("rm-go-id")
                ui.label(first.title)
                ui.icon("arrow_forward").props("aria-hidden=true")
        if chapter.resources:
            with card("To read and to watch"), ui.element("ul").classes("ln-plain"):
                for source in chapter.resources:
                    with ui.element("li"):
                        ui.label(source)
        command_line(f"groundup roadmap {chapter.number}")

    def _row(self, row: Row) -> None:
        standing = self.read.standing
        with card() as box:
            box.classes("ln-sheet")
            with ui.element("div").classes("ln-title"):
                with ui.element("h2"):
                    ui.label(f"{row.id} {row.title}")
                ui.label(status_told(row.status).removeprefix("is ")).classes(f"ln-status ln-{row.status}")
                self.done = ui.checkbox("Done", value=row.id in standing.rows).props("dense").classes("ln-done-box")
                if row.id in standing.rows and row.id not in standing.marked:
                    self._earned()
                self.done.on_value_change(lambda: None if self.shows_record else self._mark())
            self.mark_problem = ui.element("div")
            if self.read.lesson:
                _lesson(self.read.lesson)
            else:
                told = (
                    "The lesson does not have this row yet"
                    if self.read.has_lesson
                    else "The lesson of this chapter is not written yet"
                )
                ui.label(f"{told}; what there is to read about it is below.").classes("st-note")
        for found in self.read.labs:
            self._lab(found)
        for name in self.read.exercises:
            self._exercise(name)
        self._library(row)

    def _earned(self) -> None:
        """Done by its exercises and labs: not the learner's to take back."""
        self.done.props('title="All its exercises are passed and its labs finished"')
        self.done.disable()

    async def _mark(self) -> None:
        row = self.read.row
        assert row is not None
        self.mark_problem.clear()
        detail = {} if self.done.value else {"undone": True}
        try:
            await asyncio.to_thread(lambda: self.progress.add("row", row.id, detail))
        except (GroundupError, OSError) as error:
            with self.mark_problem:
                error_box(error)
            return
        await self.again()

    async def again(self) -> None:
        """What is done, from the record."""
        row = self.read.row
        read = await asyncio.to_thread(_read, str(self.read.chapter.number), row.id if row else "")
        if self.rows.is_deleted:
            return
        self.rows.content = _rows(read)
        for name, state in self.lab_states.items():
            state.set_visibility(name in read.standing.labs)
        if row is not None:
            self.shows_record = True
            self.done.value = row.id in read.standing.rows
            self.shows_record = False
            if self.done.value and row.id not in read.standing.marked:
                self._earned()
            else:
                self.done.enable()

    # ------------------------------------------------------------------------------------------------------------- labs

    def _lab(self, found: LabFacts) -> None:
        with card() as box:
            box.classes("ln-sheet")
            with ui.element("div").classes("ln-title"):
                with ui.element("h2"):
                    ui.label(f"Lab {found.id}: {found.title}")
                self.lab_states[found.id] = ui.label("finished").classes("ln-status ln-works")
                self.lab_states[found.id].set_visibility(found.id in self.read.standing.labs)
            ui.label(f"Predict, run, compare, change, explain. It computes for {minutes_told(found.seconds)}.").classes(
                "st-note"
            )
            place = ui.element("div")
            if is_loopback(self.studio.config.server.host):
                modes: tuple[tuple[Mode, str, str], ...] = (
                    ("run", "Open the lab", "unelevated"),
                    ("edit", "With its code", "flat"),
                )
                with ui.element("div").classes("st-row"):
                    for mode, name, look in modes:
                        ui.button(name, on_click=partial(self._open_lab, found, mode, place)).props(
                            f"{look} no-caps color=primary"
                        )
                place.move(target_index=-1)
            command_line(f"groundup lab {found.id}")

    async def _open_lab(self, found: LabFacts, mode: Mode, place: ui.element) -> None:
        url = await working(place, "Starting the lab …", self.labs.open, found.path, mode)
        if url is None or place.is_deleted:
            return
        with place, ui.element("div").classes("ln-opened"):
            ui.icon("check_circle").props("aria-hidden=true")
            ui.link("The lab is open: go to it", url, new_tab=True).props('rel="noopener"')
            ui.label("It ends with the studio.").classes("st-note")
        ui.navigate.to(url, new_tab=True)

    # -------------------------------------------------------------------------------------------------------- exercises

    def _exercise(self, name: str) -> None:
        passed = name in self.read.standing.exercises
        with card() as box:
            box.classes("ln-sheet").props(f"id=exercise-{name.replace('.', '-')}")
            with ui.element("div").classes("ln-title"):
                with ui.element("h2"):
                    title = ui.label(f"Exercise {name}")
                state = ui.label("right" if passed else "").classes("ln-status ln-works")
                state.set_visibility(passed)
            place = ui.element("div")
        self.waiting[name] = (title, state, place)

    async def fill(self, name: str) -> None:
        """The exercise itself; its module takes a moment to load the first time."""
        title, state, place = self.waiting[name]
        desk = await working(place, "Loading …", Desk, name, self.studio.config.files)
        if desk is None or place.is_deleted:
            return
        title.text = f"Exercise {name}: {desk.exercise.title}"

        async def right() -> None:
            state.text = "right"
            state.set_visibility(True)
            await self.again()

        with place:
            try:
                ExerciseView(desk, self.progress, on_pass=right).build()
            except (GroundupError, OSError) as error:
                error_box(error)

    # ---------------------------------------------------------------------------------------------------------- library

    def _library(self, row: Row) -> None:
        with card("In the library") as box:
            box.classes("ln-sheet")
            if row.api:
                _addresses("Code", row.api)
            if row.tests:
                _addresses("Proved by", [f"tests/{test}" for test in row.tests])
            for recipe in row.recipes:
                command_line(f"groundup run recipes/{recipe}.yaml")
            if not (row.api or row.recipes):
                empty("Nothing of this row is in the library yet.", f"groundup roadmap {row.id}")
            if row.sources:
                with ui.element("h3"):
                    ui.label("Sources")
                with ui.element("ul").classes("ln-plain"):
                    for source in row.sources:
                        with ui.element("li"):
                            ui.label(source)


def _addresses(title: str, names: Sequence[str]) -> None:
    with ui.element("h3"):
        ui.label(title)
    with ui.element("ul").classes("ln-addresses"):
        for name in names:
            with ui.element("li"):
                ui.label(name).classes("st-mono")


def _lesson(pieces: Sequence[Piece]) -> None:
    with ui.element("div").classes("ln-lesson"):
        for piece in pieces:
            if piece.kind == "html":
                ui.html(piece.text, sanitize=False)
            else:
                for line in command_lines(piece.text):
                    command_line(line)


def _rows(read: _Read) -> str:
    """Links to every row; ours, and escaped all the same."""
    chapter, standing = read.chapter, read.standing
    here = "aria-current=page" if read.row is None else ""
    lines = [
        f'<a href="/chapter/{chapter.number}" {here}><span class="ln-id">{chapter.number}</span><span>About this chapter</span></a>'
    ]
    for row in chapter.rows:
        done = row.id in standing.rows
        told = "done" if done else status_told(row.status)
        dot = f'<i class="{"done" if done else row.status}"></i>'
        lines.append(
            f'<a href="/chapter/{chapter.number}?row={row.id}" {"aria-current=page" if row == read.row else ""}>'
            f'<span class="ln-id">{row.id}</span><span>{escape(row.title)}</span>'
            f'<span class="ln-mark rm-dots" role="img" aria-label="{told}" title="{told}">{dot}</span></a>'
        )
    return "".join(lines)

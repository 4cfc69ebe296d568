"""The roadmap, the first view: where one stands, what comes next, and the map of parts and chapters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from html import escape

from nicegui import ui

from groundup.core.errors import GroundupError
from groundup.learn.assessment import GOALS, recommend
from groundup.learn.paths import load_paths
from groundup.learn.plan import Item, make_plan
from groundup.learn.progress import Progress
from groundup.learn.projects import load_projects
from groundup.learn.standing import rows_done

from ..app import Studio
from ..frame import card, command_line, error_box, heading, style_sheet, when_seen_again
from ..learner import Standing, pace_told, read_standing
from ..map_drawing import map_html

_SHOWN = 4
"""Rows of the plan after the next one."""
_HOURS = 6.0
"""A week, where nothing else is said: two evenings and a morning."""


def add(studio: Studio) -> None:
    @studio.page("/", "Roadmap")
    async def roadmap() -> None:
        progress = Progress()
        standing = await asyncio.to_thread(read_standing, progress)
        style_sheet("learn.css")
        heading("Roadmap", "From linear algebra to a model in production: what there is, and how far you are.")
        with card() as box:
            box.classes("st-two-thirds rm-stand")
            _stand(standing)
        with card() as box:
            box.classes("st-third rm-step")
            _Next(progress, standing).build()
        ui.html(map_html(standing), sanitize=False).classes("rm-whole")
        ui.html(_legend(standing), sanitize=False).classes("rm-legend")
        with card("Projects") as box:
            box.classes("rm-projects")
            ui.html(_projects(standing), sanitize=False)
        command_line("groundup roadmap")

        async def seen() -> None:
            now = await asyncio.to_thread(read_standing, progress)
            if (now.counts(), now.step) != (standing.counts(), standing.step):
                ui.navigate.reload()

        when_seen_again(seen)


def _stand(standing: Standing) -> None:
    (_, done, total), *others = standing.counts()
    hours, all_hours = standing.hours
    share = 100 * done / total
    small = [(name, f"{n}", f"of {of}") for name, n, of in others] + [("hours", f"{hours:.0f}", f"of {all_hours}")]
    rest = "".join(
        f"<div><dt>{escape(name)}</dt><dd><b>{value}</b> <span>{escape(of)}</span></dd></div>"
        for name, value, of in small
    )
    ui.html(
        f'<h2>Where you stand</h2><p class="rm-big"><b>{done}</b> of {total} rows</p>'
        f'<div class="rm-bar" role="progressbar" aria-label="Rows done" aria-valuemin="0" aria-valuemax="{total}" '
        f'aria-valuenow="{done}"><span style="width: {share:.2f}%"></span></div><dl class="rm-figures">{rest}</dl>{_parts(standing)}',
        sanitize=False,
    )


def _parts(standing: Standing) -> str:
    """A line for each part: how much of it there is, and is done."""
    lines = []
    for part in standing.roadmap.parts:
        chapters = [c for c in standing.roadmap.chapters if c.part == part.number]
        done, total = sum(standing.done_in(c) for c in chapters), sum(len(c.rows) for c in chapters)
        lines.append(
            f"<li><span>{escape(part.title)}</span>"
            f'<span class="rm-bar rm-thin" aria-hidden="true"><span style="width: {100 * done / total:.2f}%"></span></span>'
            f"<span>{done} of {total}</span></li>"
        )
    return f'<ul class="rm-parts" aria-label="Rows done, by part">{"".join(lines)}</ul>'


def _legend(standing: Standing) -> str:
    counts = standing.statuses()
    words = {"works": "work", "partly": "work in part", "planned": "are planned"}
    status = "".join(f'<span><i class="{s}"></i>{counts[s]} {words[s]}</span>' for s in words)
    return f'<span class="rm-dots"><span><i class="done"></i>you have done it</span>{status}</span>'


def _projects(standing: Standing) -> str:
    chips = "".join(
        f'<a href="/projects?project={p.id}" class="{"done" if p.id in standing.projects else "" if p.recipes else "planned"}" '
        f'title="{"planned" if not p.recipes else "done" if p.id in standing.projects else "can be run"}">'
        f"<b>{p.id}</b>{escape(p.title)}</a>"
        for p in load_projects()
    )
    return f'<div class="rm-chips">{chips}</div>'


class _Next:
    """What comes next, or, without a plan, how to get one."""

    def __init__(self, progress: Progress, standing: Standing) -> None:
        self.progress, self.standing = progress, standing

    def build(self) -> None:
        plan, row = self.standing.plan, self.standing.next_row
        with ui.element("h2"):
            ui.label("Next" if row else "The plan is done" if plan else "Begin")
        if plan is None:
            ui.label("Choose a path; it becomes dates, and this place says what comes next.").classes("st-note")
            self._form()
            return
        left = [i for i in plan.items if not i.is_milestone and i.row not in self.standing.rows]
        if row:
            step = self.standing.step
            number, title = str(step["title"]).split(" ", 1)
            with ui.link(target=f"/chapter/{row.partition('.')[0]}?row={row}").classes("rm-go"):
                ui.label(number).classes("rm-go-id")
                ui.label(title)
                ui.icon("arrow_forward").props("aria-hidden=true")
            item = next(i for i in plan.items if i.row == row)
            ui.label(f"{_day(item.first)} to {_day(item.last)} · {item.hours:.1f} hours").classes("st-note rm-tight")
            self._after(left)
        told = [f"{plan.title}, {plan.hours_per_week:g} hours a week, until {_day(plan.end)}"]
        if left and len(left) < sum(not i.is_milestone for i in plan.items):
            told.append(f"{len(left)} rows left")
        ui.label(" · ".join(told)).classes("st-note rm-tight")
        ui.label(f"You are {pace_told(self.standing.days_ahead)}.").classes("rm-pace")
        with ui.expansion("Another plan").props("dense header-class=rm-expand").classes("rm-more"):
            self._form()

    def _after(self, left: Sequence[Item]) -> None:
        """The rows of the plan behind the next one."""
        if len(left) < 2:
            return
        with ui.element("ul").classes("rm-then").props('aria-label="Then"'):
            for item in left[1 : 1 + _SHOWN]:
                with ui.element("li"):
                    with ui.link(target=f"/chapter/{item.chapter}?row={item.row}"):
                        ui.label(item.title)
                    ui.label(_day(item.first)).classes("st-note")

    def _form(self) -> None:
        plan = self.standing.plan
        paths = {path.id: path.title for path in load_paths().paths}
        self.path = (
            ui.select(paths, value=plan.path if plan else "quick-start", label="Path", on_change=self._describe)
            .props("outlined dense options-dense")
            .classes("rm-field")
        )
        self.audience = ui.label().classes("st-note rm-tight")
        self._describe()
        with ui.element("div").classes("st-row st-nowrap rm-row"):
            self.hours = (
                ui.number("Hours a week", value=plan.hours_per_week if plan else _HOURS, min=1, max=80, step=1)
                .props("outlined dense")
                .classes("rm-field")
            )
            ui.button("Plan it", on_click=self._plan).props("unelevated no-caps color=primary")
        self.problem = ui.element("div")
        with ui.expansion("Which path fits me?", on_value_change=self._ask).props(
            "dense header-class=rm-expand"
        ) as box:
            box.classes("rm-more")
            self.questions = ui.element("div").classes("rm-questions")

    def _describe(self) -> None:
        self.audience.text = load_paths().path(str(self.path.value)).audience

    async def _plan(self) -> None:
        self.problem.clear()
        try:
            await asyncio.to_thread(self._make, str(self.path.value), float(self.hours.value or 0))
        except (GroundupError, OSError) as error:
            with self.problem:
                error_box(error)
            return
        ui.navigate.to("/")

    def _make(self, path: str, hours: float) -> None:
        """As `groundup plan --path PATH --hours HOURS` does."""
        done, start = rows_done(self.progress), date.today()
        plan = make_plan(path, hours_per_week=hours, start=start, done=done)
        self.progress.add("plan", plan.path, {"hours": hours, "start": str(start), "done": sorted(done)})

    def _ask(self) -> None:
        if self.questions.default_slot.children:
            return
        skills = load_paths().skills
        with self.questions:
            ui.label("1: never used it. 5: an expert. Nothing here shuts a door.").classes("st-note")
            self.scores = {}
            for name, skill in skills.items():
                with ui.element("div").classes("rm-question"):
                    ui.label(skill.title[:1].upper() + skill.title[1:])
                    self.scores[name] = ui.toggle([1, 2, 3, 4, 5], value=1).props(
                        f'dense unelevated no-caps size=sm toggle-color=primary role=group aria-label="{skill.title}, 1 to 5"'
                    )
            self.goal = (
                ui.select(GOALS, value="learn", label="I want to")
                .props("outlined dense options-dense")
                .classes("rm-field")
            )
            ui.button("Recommend", on_click=self._recommend).props("outline no-caps color=primary")
            self.found = ui.element("div").props("role=status").classes("rm-found")

    def _recommend(self) -> None:
        found = recommend({name: int(toggle.value) for name, toggle in self.scores.items()}, str(self.goal.value))
        self.path.value = found.path
        self.found.clear()
        with self.found:
            ui.label(found.title).classes("rm-pace")
            for reason in found.why:
                ui.label(reason).classes("st-note rm-tight")
            for line in found.refreshers:
                ui.label(f"Worth a look: {line}").classes("st-note rm-tight")


def _day(day: date) -> str:
    return f"{day.day} {day:%b}" if day.year == date.today().year else f"{day.day} {day:%b %Y}"

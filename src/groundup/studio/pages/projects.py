"""Projects: what each takes, what of it is done, the command that runs it; steps to tick, and the mark."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from html import escape
from pathlib import Path

from nicegui import ui

from groundup.learn.progress import Progress
from groundup.learn.projects import Project, load_projects, mark, project, requirements, runs_by_recipe, steps_done

from ..app import Studio
from ..frame import card, command_line, error_box, heading, style_sheet
from ..learner import Standing, read_standing


def add(studio: Studio) -> None:
    @studio.page("/projects", "Projects")
    async def projects(project: str = "") -> None:
        progress = Progress()
        standing, runs, state = await asyncio.to_thread(_read, progress, studio.config.runs)
        style_sheet("learn.css")
        heading("Projects", "What you can show: one command each, on data of your own.")
        chosen = project or next((p.id for p in load_projects() if p.id not in standing.projects), "P.1")
        with ui.element("nav").classes("ln-side").props('aria-label="Projects"'):
            ui.html(_list(standing, chosen), sanitize=False)
        with ui.element("div").classes("ln-main"):
            _Sheet(progress, chosen, standing, runs, state).build()


def _read(progress: Progress, runs: Path) -> tuple[Standing, dict[str, Path], dict[str, tuple[bool, frozenset[str]]]]:
    return read_standing(progress), runs_by_recipe(runs), steps_done(progress)


def _list(standing: Standing, chosen: str) -> str:
    """Links to every project; ours, and escaped all the same."""
    lines = []
    for found in load_projects():
        done = found.id in standing.projects
        kind = "done" if done else "works" if found.recipes else "planned"
        told = "done" if done else "can be run" if found.recipes else "planned"
        lines.append(
            f'<a href="/projects?project={found.id}" {"aria-current=page" if found.id == chosen else ""}>'
            f'<span class="ln-id">{found.id}</span><span>{escape(found.title)}</span>'
            f'<span class="ln-mark rm-dots" role="img" aria-label="{told}" title="{told}"><i class="{kind}"></i></span></a>'
        )
    return "".join(lines)


class _Sheet:
    """One project."""

    def __init__(
        self, progress: Progress, project_id: str, standing: Standing, runs: Mapping[str, Path],
        state: Mapping[str, tuple[bool, frozenset[str]]],
    ) -> None:  # fmt: skip
        self.progress = progress
        self.project: Project = project(project_id)
        self.standing, self.runs = standing, runs
        self.done, self.ticked = state.get(project_id, (False, frozenset[str]()))

    def build(self) -> None:
        chosen = self.project
        with card() as box:
            box.classes("ln-sheet")
            with ui.element("div").classes("ln-title"):
                with ui.element("h2"):
                    ui.label(f"{chosen.id} {chosen.title}")
                self.mark = (
                    ui.checkbox("Done", value=self.done, on_change=self._keep).classes("ln-done-box").props("dense")
                )
            needs = requirements(chosen, rows=self.standing.rows, recipes=self.runs)
            with ui.element("h3"):
                ui.label("What it takes")
            with ui.element("ul").classes("ln-list"):
                for need in needs:
                    with ui.element("li").classes("ln-met" if need.met else ""):
                        ui.icon("check_circle" if need.met else "radio_button_unchecked").props(
                            f'aria-label="{"done" if need.met else "not yet"}" role=img'
                        )
                        if need.row:
                            ui.link(need.told, f"/chapter/{need.row.partition('.')[0]}?row={need.row}")
                        else:
                            ui.label(need.told)
            with ui.element("h3"):
                ui.label("What makes it yours")
            self.boxes = {
                step: ui.checkbox(step, value=step in self.ticked, on_change=self._keep)
                .props("dense")
                .classes("ln-step")
                for step in chosen.steps
            }
            self.problem = ui.element("div")
            if chosen.recipes:
                with ui.element("h3"):
                    ui.label("Run it")
                command_line(chosen.command_line())
                ui.label("On data of your own:").classes("st-note ln-gap")
                command_line(chosen.command_line(own=True))
                for other in chosen.recipes[1:]:
                    ui.label("Another way to it:").classes("st-note ln-gap")
                    command_line(f"groundup run recipes/{other}.yaml")
            with ui.element("h3"):
                ui.label("Keep it")
            command_line(f"groundup progress --done {chosen.id} --portfolio portfolio.html")
        command_line(f"groundup roadmap {chosen.id}")

    async def _keep(self) -> None:
        ticked = [step for step, box in self.boxes.items() if box.value]
        done = bool(self.mark.value)
        self.problem.clear()
        try:
            await asyncio.to_thread(lambda: mark(self.progress, self.project.id, done=done, steps=ticked))
        except Exception as error:  # shown where the tick was made: a tick that is not kept must not look kept
            with self.problem:
                error_box(error)

"""An exercise in the page: what is asked, an editor over the learner's own file, the grader, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.elements.codemirror import CodeMirror

from groundup.core.errors import GroundupError
from groundup.learn.exercises.exercise import Verdict
from groundup.learn.progress import Progress

from .desk import Changed, Desk
from .frame import command_line, error_box, working

_KEYS = "Ctrl+Enter checks. Tab indents; Escape, then Tab, leaves the editor."

_FOCUS = (
    "(function seek(n) { const box = document.querySelector('#%s .cm-content');"
    " if (box) box.focus(); else if (n) setTimeout(() => seek(n - 1), 50); })(60)"
)
"""The editor is made by a module that the browser loads when it is first needed."""


class ExerciseView:
    """One exercise of one open tab. on_pass: called once it is right, when the record has it."""

    def __init__(self, desk: Desk, progress: Progress, *, on_pass: Callable[[], Awaitable[None]]) -> None:
        self.desk, self.progress, self.on_pass = desk, progress, on_pass
        self.busy = False

    def build(self) -> None:
        exercise = self.desk.exercise
        self.place = ui.element("div").classes("ln-exercise")
        with self.place:
            if self.desk.begun:
                self._editor(self.desk.read())
            else:
                ui.label(f"You write {exercise.entry}. It is checked on fresh random cases:").classes("st-note")
                with ui.element("ul").classes("ln-plain"):
                    for check in exercise.checks:
                        with ui.element("li"):
                            ui.label(check.name)
                with ui.expansion("The file that you begin with").props("dense header-class=rm-expand") as box:
                    box.classes("rm-more")
                    ui.label(exercise.template).classes("gu-code ln-template").props("tabindex=0")
                with ui.element("div").classes("st-row"):
                    ui.button("Start", icon="edit", on_click=self._start).props("unelevated no-caps color=primary")
                    ui.label(f"writes {self.desk.path}").classes("st-note ln-path")
                self.problem = ui.element("div")

    async def _start(self) -> None:
        self.problem.clear()
        try:
            text = await asyncio.to_thread(self.desk.start)
        except (GroundupError, OSError) as error:
            with self.problem:
                error_box(error)
            return
        self.place.clear()
        with self.place:
            self._editor(text)
            ui.run_javascript(_FOCUS % self.editor.html_id)

    def _editor(self, text: str) -> None:
        exercise = self.desk.exercise
        with ui.element("div").classes("ln-editor").props(f'role=group aria-label="Editor of {self.desk.path.name}"'):
            self.editor = ui.codemirror(
                text,
                language="Python",
                theme="githubLight",
                line_wrapping=True,
                keymap={"Mod-Enter": CodeMirror.KeyBinding(self.check)},
            ).classes("ln-code")
        with ui.element("div").classes("st-row ln-tools"):
            self.check_button = ui.button("Check", icon="task_alt", on_click=self.check).props(
                "unelevated no-caps color=primary"
            )
            ui.button("Save", on_click=self._save).props("flat no-caps color=primary")
            self.note = ui.label(str(self.desk.path)).classes("st-note ln-path").props("role=status")
        ui.label(_KEYS).classes("st-note ln-keys")
        self.found = ui.element("div").classes("ln-verdict").props("aria-live=polite")
        command_line(self.desk.check_line)
        if exercise.sources:
            ui.label(f"Source: {'; '.join(exercise.sources)}").classes("st-note ln-gap")

    async def _save(self) -> bool:
        try:
            await asyncio.to_thread(self.desk.save, str(self.editor.value))
        except Changed as error:
            self._changed(error)
            return False
        except (GroundupError, OSError) as error:
            self._problem(error)
            return False
        self.note.text = f"Saved to {self.desk.path}"
        return True

    async def check(self) -> None:
        """Save and grade."""
        if self.busy:
            return
        self.busy = True
        self.check_button.disable()
        try:
            if not await self._save():
                return
            text = str(self.editor.value)
            verdict = await working(
                self.found, "Fresh random cases, in a process of their own …", self.desk.check, text, self.progress
            )
            if verdict is not None and not self.found.is_deleted:
                self._show(verdict)
                if verdict.passed:
                    await self.on_pass()
        finally:
            self.busy = False
            if not self.check_button.is_deleted:
                self.check_button.enable()

    def _problem(self, error: Exception) -> None:
        self.found.clear()
        with self.found:
            error_box(error)

    def _changed(self, error: Changed) -> None:
        """Two versions: neither is lost without being asked for."""
        self._problem(error)
        with self.found, ui.element("div").classes("st-row ln-gap"):
            ui.button("Load the file", on_click=self._load).props("outline no-caps color=primary")
            ui.button("Keep what is here", on_click=self._over).props("flat no-caps color=primary")

    async def _load(self) -> None:
        try:
            source = await asyncio.to_thread(self.desk.read)
            if not self.editor.is_deleted:
                self.editor.value = source
        except GroundupError as error:
            self._problem(error)
            return
        self.found.clear()
        self.note.text = f"Loaded {self.desk.path}"

    async def _over(self) -> None:
        try:
            await asyncio.to_thread(lambda: self.desk.save(str(self.editor.value), over=True))
        except (GroundupError, OSError) as error:
            self._problem(error)
            return
        self.found.clear()
        self.note.text = f"Saved to {self.desk.path}"

    def _show(self, verdict: Verdict) -> None:
        self.found.clear()
        with self.found:
            with ui.element("ul").classes("ln-list ln-checks"):
                for name in verdict.held:
                    _line("check_circle", "holds", name, "ln-met")
                if not verdict.passed:
                    _line("cancel", "fails", verdict.failed, "ln-unmet")
            if verdict.passed:
                self._right(verdict)
            else:
                self._wrong(verdict)
            if verdict.printed.strip():
                with ui.expansion("What it printed").props("dense header-class=rm-expand").classes("rm-more"):
                    ui.label(verdict.printed).classes("gu-code").props("tabindex=0")
            if verdict.tier != "isolated":
                ui.label("This machine has no isolated sandbox: the file ran in a plain process with limits.").classes(
                    "st-note"
                )

    def _right(self, verdict: Verdict) -> None:
        figures = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in verdict.figures.items() if k != "seed")
        ui.label(f"Right: {self.desk.exercise.title}.").classes("ln-right")
        ui.label(figures).classes("st-note")
        if self.desk.swap_line:
            ui.label("Now in the real system:").classes("ln-gap")
            command_line(self.desk.swap_line)

    def _wrong(self, verdict: Verdict) -> None:
        if verdict.mistake:
            with ui.element("div").classes("ln-mistake"):
                ui.label("What it looks like").classes("st-note")
                ui.label(verdict.mistake)
        ui.label(verdict.message).classes("gu-code ln-message").props('tabindex=0 aria-label="What was seen"')
        hints = [hint for hint in self.desk.hints(verdict) if hint]
        if not hints:
            return
        box = ui.element("ol").classes("ln-hints").props('aria-label="Hints"')
        shown = 0

        def more() -> None:
            nonlocal shown
            with box, ui.element("li"):
                ui.label(hints[shown])
            shown += 1
            button.text = f"Another hint ({shown + 1} of {len(hints)})"
            button.set_visibility(shown < len(hints))

        button = ui.button(f"A hint (1 of {len(hints)})", icon="lightbulb", on_click=more).props(
            "flat no-caps color=primary"
        )


def _line(icon: str, told: str, text: str, kind: str) -> None:
    with ui.element("li").classes(kind):
        ui.icon(icon).props(f'role=img aria-label="{told}"')
        ui.label(text)

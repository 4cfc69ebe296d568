"""One run: how far it is, its curves as they grow, what it wrote, what it made, and where it stands on the machine's roofline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nicegui import ui

from groundup.core.errors import GroundupError
from groundup.core.run_figures import Curve, Over, is_number
from groundup.evals.report.page import PAGE
from groundup.evals.report.reading import as_written, duration, flat, shown, words

from ..app import Studio
from ..frame import SERIES, card, chart, command_line, empty, facts, heading, style_sheet, working
from ..plots import lines, redraw
from ..run_record import Record
from ..run_summary import StageState, ago, headline, one_of, progress, samples, state_of, trouble
from .roof import Roof
from .run_results import Written, exhibits, how_good

_LOOK_SECONDS = 2.0
_SMALL = (
    # figure, title, what it says, from zero, logarithmic
    ("tokens_per_second", "Throughput", "tokens a second", True, False),
    ("lr", "Learning rate", "how far a step goes", True, False),
    ("grad_norm", "Gradient norm", "before clipping", False, True),
)
_OTHERS = (
    "reward",
    "pass_rate",
    "val_exact_match",
    "rewards/accuracies",
    "val_accuracy",
    "accuracy",
    "val_bits_per_byte",
)
"""Further figures, the most telling first."""
_SMOOTHED_POINTS = 20_000
"""An average over more would hold up the page."""
_SAMPLES = 6
_MOST_SAMPLES = 60
_MOST_FIGURES = 60


def add(studio: Studio) -> None:
    machine: dict[str, tuple[float, float]] = {}

    @studio.page("/runs/{name}", "Run")
    async def run(name: str) -> None:
        style_sheet("runs.css")
        path = one_of(studio.config.runs, name)
        ui.page_title(f"{name} · groundup")
        view = RunPage(studio, Record(path), machine)
        view.head()
        with ui.element("div") as place:
            pass
        await ui.context.client.connected()
        done = await working(place, "Reading the record …", view.record.look)
        if done is not None and not place.is_deleted:
            place.delete()
            view.build()
            ui.timer(_LOOK_SECONDS, view.look)


class RunPage:
    def __init__(self, studio: Studio, record: Record, machine: dict[str, tuple[float, float]]) -> None:
        self.studio, self.record, self.machine = studio, record, machine
        self.content = ui.context.slot.parent
        self.stage = ""
        self.over: Over = "steps"
        self.log = False
        self.smoothing = 0.0
        self.samples_shown = _SAMPLES

    # ------------------------------------------------------------------------------------------------------- the frame

    def head(self) -> None:
        path = self.record.path
        heading(path.name, str(self.record.report.get("description") or ""))
        with ui.element("div").classes("st-row st-run-tools"):
            self.chip = ui.element("div")
            ui.link("All runs", "/runs").classes("st-tool")
            name = quote(path.name, safe="")
            self.chat = ui.link("Chat", f"/chat?model={quote(str(path), safe='')}").classes("st-tool")
            ui.link("Its data", f"/data?run={name}").classes("st-tool")
            ui.link("Compare", f"/runs/compare?runs={name}").classes("st-tool")

    def build(self) -> None:
        """In the page's content, from the record as it was read."""
        with self.content:
            self.top = ui.element("div").classes("st-figures").props('role=group aria-label="Headline figures"')
            self.going = ui.element("div")
            with card() as self.curve_card:
                self._curves()
            self.curve_card.classes("st-two-thirds")
            with card("Stages") as stages:
                self.stage_place = ui.element("ol").classes("st-stages")
            stages.classes("st-third")
            self.small: dict[str, tuple[ui.element, ui.echart]] = {}
            for figure, title, note, from_zero, log in _SMALL:
                with card(title, note=note) as box:
                    drawn = chart(self._small(figure, from_zero, log), height="10rem", label=f"{title} over steps")
                box.classes("st-quarter")
                self.small[figure] = (box, drawn)
            with card() as self.other_card:
                self.other_choice = ui.select([""], value="", label="Another figure", on_change=self._redraw_other).props(
                    "borderless dense options-dense"
                ).classes("st-other-choice")  # fmt: skip
                self.other = chart(lines({}, x_label=""), height="10rem", label="Another figure over steps")
            self.other_card.classes("st-quarter")
            self.roof = Roof(self.studio, self.record, self.machine)
            self.roof.build()
            with card(
                "What it wrote on the way", note="The recipe's prompts, continued at each evaluation."
            ) as self.sample_card:
                self.sample_place = ui.element("div").classes("st-samples")
                self.earlier = ui.button("", on_click=self._more).props("flat no-caps color=primary").classes("st-more")
            self.written = Written()
            self.swap_place = ui.element("div")
            self.trouble_place = ui.element("div")
            self.found_place = ui.element("div").classes("st-found")
            with card("On the command line"):
                command_line(f"groundup runs {as_written(self.record.path)}")
                ui.label(f"The whole report as one file: {as_written(self.record.path / PAGE)}").classes("st-note")
        self._show({"curves", "events", "stages"})

    async def look(self) -> None:
        try:
            changed = await asyncio.to_thread(self.record.look)
        except (GroundupError, OSError) as error:
            if not self.content.is_deleted:
                self.going.clear()
                with self.going:
                    empty(f"{error}")
            return
        if changed and not self.content.is_deleted:
            self._show(changed)

    def _show(self, changed: set[str]) -> None:
        if "curves" in changed:
            self._redraw()
            self.roof.refresh()
        if changed & {"curves", "stages"}:
            self._headline()
        if "events" in changed:
            self._samples()
            self._trouble()
        self._going()
        if "stages" in changed:
            self._stages()
            self._found()
            self._swapped()

    # ------------------------------------------------------------------------------------------------- how it stands

    def _headline(self) -> None:
        figures = headline(self.record.report, self.record.curves)
        self.top.set_visibility(bool(figures))
        self.top.clear()
        with self.top:
            for what, value in figures:
                with ui.element("div").classes("st-card st-figure"):
                    ui.label(value).classes("st-figure-value")
                    ui.label(what).classes("st-figure-name")

    def _going(self) -> None:
        from .runs import state_chip

        run = self.record.run
        self.chip.clear()
        with self.chip, ui.element("div").classes("st-row"):
            state_chip(state_of(run))
            ui.label(
                f"{duration(run.seconds)} in {'finished stages' if run.unfinished else 'all'} · changed {ago(run.changed)}"
            ).classes("st-note")
        self.going.clear()
        now = progress(run, self.record.curves, self.record.events)
        self.going.set_visibility(bool(run.unfinished))
        if not run.unfinished:
            return
        with self.going, card():
            if now is None:
                ui.label(f"{', '.join(run.unfinished)}: at work, no step recorded yet." if run.is_live
                         else f"{', '.join(run.unfinished)}: begun and not finished.")  # fmt: skip
            else:
                left = (
                    f"about {duration(now.seconds_left)} left" if now.seconds_left is not None else "measuring its pace"
                )
                with ui.element("div").classes("st-row st-progress-line"):
                    ui.label(now.stage).classes("st-strong")
                    ui.label(f"step {now.step:,} of {now.num_steps:,}")
                    ui.label(left if run.is_live else f"last news {ago(run.changed)}")
                bar = ui.linear_progress(now.share, show_value=False, size="8px").props("rounded instant-feedback")
                bar.props["aria-label"] = f"{now.stage}: step {now.step} of {now.num_steps}"
            if not run.is_live:
                ui.label("If it was stopped, the same command goes on where it was.").classes("st-note")

    def _stages(self) -> None:
        self.stage_place.clear()
        with self.stage_place:
            for stage in self.record.stages:
                with ui.element("li").classes(f"st-stage st-stage-{stage.state}"):
                    ui.icon(_ICONS[stage.state]).props("aria-hidden=true")
                    with ui.element("div"):
                        with ui.element("div").classes("st-row st-stage-head"):
                            ui.label(stage.name).classes("st-strong")
                            ui.label(duration(stage.seconds) if stage.seconds is not None else stage.state).classes(
                                "st-note"
                            )
                        ui.label(f"{words(stage.type)}{_made(self.record.kinds, stage)}").classes("st-note")
        self.chat.set_visibility("model" in self.record.kinds.values())

    # ------------------------------------------------------------------------------------------------------- curves

    def _curves(self) -> None:
        stages = [s for s in self.record.curves.stages if self._losses(s)]
        with ui.element("div").classes("st-card-head"):
            with ui.element("h2"):
                ui.label("Loss")
            self.stage_choice = ui.select(
                stages or [""],
                value=self._main(stages) if stages else "",
                label="Stage",
                on_change=lambda event: self._choose(stage=event.value),
            ).props("outlined dense options-dense")
            self.stage_choice.classes("st-small-choice")
            self.stage_choice.set_visibility(len(stages) > 1)
        self.stage = self.stage_choice.value or ""
        with ui.element("div").classes("st-row st-controls"):
            ui.toggle({"steps": "Steps", "tokens": "Tokens", "seconds": "Seconds"}, value="steps",
                      on_change=lambda event: self._choose(over=event.value)).props(
                'no-caps dense unelevated toggle-color=primary aria-label="Over"')  # fmt: skip
            ui.switch("Log", on_change=lambda event: self._choose(log=bool(event.value))).props("dense")
            with ui.element("label").classes("st-slider"):
                ui.label("Smoothing")
                ui.slider(min=0, max=0.98, step=0.02, value=0, on_change=lambda event: self._choose(smoothing=event.value)).props(
                    'aria-label="Smoothing of the training loss"')  # fmt: skip
        self.loss = chart(lines({}, x_label="step"), height="19rem", label="Training and validation loss")
        self.none = ui.element("div")
        with self.none:
            empty("No loss has been recorded yet.")

    def _main(self, stages: list[str]) -> str:
        """The stage that is being trained, else the one with the longest record."""
        curves = self.record.curves
        live = [s for s in stages if s in self.record.run.unfinished]
        return live[-1] if live else max(stages, key=lambda s: max(len(curves.curve(s, f).x) for f in self._losses(s)))

    def _losses(self, stage: str) -> list[str]:
        return [f for f in ("loss", "val_loss") if self.record.curves.curve(stage, f).x]

    def _choose(self, **given: Any) -> None:
        for name, value in given.items():
            setattr(self, name, value)
        self._redraw()

    def _redraw(self) -> None:
        curves = self.record.curves
        stages = [s for s in curves.stages if self._losses(s)]
        if stages and stages != self.stage_choice.options:
            self.stage_choice.set_options(stages, value=self.stage if self.stage in stages else self._main(stages))
            self.stage_choice.set_visibility(len(stages) > 1)
            self.stage = self.stage_choice.value
        drawn: dict[str, Curve] = {}
        train = curves.curve(self.stage, "loss", over=self.over).thinned(_SMOOTHED_POINTS)
        if self.smoothing:
            drawn["every log"] = train
        drawn["training"] = train.smoothed(self.smoothing)
        drawn["validation"] = curves.curve(self.stage, "val_loss", over=self.over)
        drawn = {name: curve for name, curve in drawn.items() if curve.x}
        colours = {"every log": SERIES[0], "training": SERIES[0], "validation": SERIES[1]}
        redraw(self.loss, lines(drawn, x_label={"steps": "step", "tokens": "tokens", "seconds": "seconds of training"}[self.over],
                                log_y=self.log, faint=("every log",), colours=colours))  # fmt: skip
        self.loss.set_visibility(bool(stages))
        self.none.set_visibility(not stages)
        for (figure, _, _, from_zero, log), (box, small) in zip(_SMALL, self.small.values()):
            box.set_visibility(bool(curves.curve(self.stage, figure).x))
            redraw(small, self._small(figure, from_zero, log))

        told = ("loss", "val_loss", "tokens", "step_seconds", *(name for name, *_ in _SMALL))
        left = [
            name
            for name in curves.figures(self.stage)
            if name not in told and len(curves.curve(self.stage, name).x) > 1
        ]
        self.other_card.set_visibility(bool(left))
        if left and left != list(self.other_choice.options):
            kept = self.other_choice.value if self.other_choice.value in left else None
            self.other_choice.set_options(left, value=kept or next((name for name in _OTHERS if name in left), left[0]))
        self._redraw_other()

    def _redraw_other(self) -> None:
        if self.other_choice.value:
            redraw(self.other, self._small(self.other_choice.value, False, False))

    def _small(self, figure: str, from_zero: bool, log: bool) -> dict[str, Any]:
        curve = self.record.curves.curve(self.stage, figure, over=self.over)
        return lines(
            {words(figure): curve}, x_label="", from_zero=from_zero, log_y=log, colours={words(figure): SERIES[2]}
        )

    # ------------------------------------------------------------------------------------------------ samples, events

    def _samples(self) -> None:
        found = samples(self.record.events)
        self.sample_card.set_visibility(bool(found))
        self.sample_place.clear()
        with self.sample_place:
            for sample in found[: self.samples_shown]:
                with ui.element("article").classes("st-sample"):
                    ui.label(f"{sample.stage} · step {sample.step:,}").classes("st-note")
                    with (
                        ui.element("div")
                        .classes("st-mono st-sample-text")
                        .props("tabindex=0 role=group aria-label=Sample")
                    ):
                        ui.label(sample.prompt).classes("st-given")
                        ui.label(sample.text).classes("st-written")
        self.earlier.set_visibility(len(found) > self.samples_shown)
        self.earlier.set_text(f"Show {min(len(found), _MOST_SAMPLES) - self.samples_shown} earlier ones")

    def _more(self) -> None:
        self.samples_shown = _MOST_SAMPLES
        self._samples()

    def _trouble(self) -> None:
        found = trouble(self.record.events)
        self.trouble_place.clear()
        self.trouble_place.set_visibility(bool(found))
        if found:
            with self.trouble_place, card("Out of the ordinary", note="From events.log, the newest first."):
                for line in found[:20]:
                    ui.label(line).classes("st-mono")

    # ------------------------------------------------------------------------------------- swapped parts, figures

    def _swapped(self) -> None:
        parts, twin = self.record.swapped, self.record.built_in
        self.swap_place.clear()
        self.swap_place.set_visibility(bool(parts))
        if not parts:
            return
        with self.swap_place, card("Your own parts", note="Parts of this run that are from your files."):
            facts([(place, use.rpartition("/")[2]) for place, use in parts.items()])
            if twin is None:
                ui.label("Run the same recipe without --swap to see what your part changes.").classes("st-note")
            else:
                pair = f"{quote(self.record.path.name, safe='')},{quote(twin.name, safe='')}"
                ui.link(f"Beside the built-in parts: {twin.name}", f"/runs/compare?runs={pair}").classes("st-tool")

    def _found(self) -> None:
        """Figures of every finished stage, and its tables and plots, as in the report."""
        self.found_place.clear()
        done = [s for s in self.record.stages if s.figures]
        self.found_place.set_visibility(bool(done))
        self.written.show(self.record.report)
        if not done:
            return
        with self.found_place:
            how_good(self.record.report)
            for stage in done:
                exhibits(stage)
            with card("All figures", note="Of every finished stage, as in report.json."):
                for stage in done:
                    with ui.expansion(stage.name, caption=words(stage.type)).classes("st-expansion"):
                        pairs = [
                            (words(name), shown(value))
                            for name, value in flat(stage.figures)
                            if name.partition(".")[0] not in _TOLD
                        ]
                        facts(pairs[:_MOST_FIGURES])
                        if len(pairs) > _MOST_FIGURES:
                            ui.label(f"and {len(pairs) - _MOST_FIGURES} more in report.json").classes("st-note")


_TOLD = ("exhibits", "history", "evaluations", "samples", "of_stages")
"""Figures that are shown elsewhere, or are long."""
_ICONS = {"done": "check_circle", "running": "pending", "stopped": "pause_circle", "waiting": "radio_button_unchecked"}


def _made(kinds: Mapping[str, str], stage: StageState) -> str:
    """What a finished stage left behind, in a few words."""
    kind = kinds.get(stage.name, "")
    said = [f" → {words(kind)}"] if kind and kind != stage.type else []
    for name in ("parameters", "documents_kept", "vocab_size"):
        if is_number(stage.figures.get(name)):
            said.append(f", {shown(stage.figures[name])} {words(name)}")
            break
    return "".join(said)

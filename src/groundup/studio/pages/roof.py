"""The roofline card of a run: the machine's measured limits, the run's training stages as dots, what limits them."""

from __future__ import annotations

from nicegui import ui

from groundup.evals.report.reading import data_size, duration

from ..app import Studio
from ..frame import card, chart, facts, working
from ..plots import redraw, roofline
from ..roofline import Limits, TrainingStep, verdict
from ..run_record import Record

_DECODED_TOGETHER = 16
_FORMULA = (
    "Operations of a step: tokens × (6 N + 12 L d T), the second term halved for causal attention (PaLM, appendix B). Bytes of a step, "
    "at least: weights 2 s N m, gradients 4 n (2 m − 1), optimizer n (12 + 2 k), activations 2 A m; s bytes a number in products "
    "(and 4 + s more to round each weight where s < 4), n trained weights, m micro-batches, k bytes of optimizer state a weight, A the "
    "run's own estimate of what a micro-batch keeps. Limits: the best matrix product and the best sum of large arrays, measured "
    "here and now on this machine. The roofline is Williams, Waterman and Patterson's (2009)."
)


class Roof:
    def __init__(self, studio: Studio, record: Record, machine: dict[str, tuple[float, float]]) -> None:
        self.studio, self.record, self.machine = studio, record, machine
        self.steps: list[TrainingStep] = []

    def build(self) -> None:
        with card(
            "Roofline", note="How fast the arithmetic of a step could be on this machine, and how fast it was."
        ) as self.box:
            self.plot = chart(roofline(None, [("run", 1.0, 1e9)], recorded_peak=None), height="23rem",
                              label="Roofline: FLOP per second over FLOP per byte")  # fmt: skip
            with ui.element("div").classes("st-row"):
                self.button = (
                    ui.button("Measure this machine", icon="speed", on_click=self._measure)
                    .props("no-caps unelevated")
                    .classes("st-button")
                )
                self.place = ui.element("div")
        self.box.classes("st-two-thirds")
        with card("What limits it") as self.said:
            self.words = ui.element("div")
            with ui.expansion("How this is counted").classes("st-expansion"):
                ui.label(_FORMULA).classes("st-note")
        self.said.classes("st-third")

    def refresh(self) -> None:
        """From the record as it is now."""
        self.steps = self.record.steps
        for box in (self.box, self.said):
            box.set_visibility(bool(self.steps))
        if self.steps:
            self._show()

    def _limits(self) -> Limits | None:
        """Of the dtype of the last stage: a plot has one roof."""
        found = self.machine.get(self.steps[-1].dtype)
        return Limits(flops_per_second=found[0], bytes_per_second=found[1]) if found else None

    async def _measure(self) -> None:
        dtype = self.steps[-1].dtype
        self.button.disable()
        found = await working(
            self.place, f"Measuring {dtype} products and memory …", self.studio.openers.machine, dtype
        )
        if found is not None:
            self.machine[dtype] = found
        if not self.box.is_deleted:
            self.button.enable()
            self._show()

    def _show(self) -> None:
        limits = self._limits()
        dots = [(step.stage, step.intensity, step.achieved) for step in self.steps]
        dots += [
            (f"{step.stage}, forward and backward alone", step.intensity, step.flops / step.bare_seconds)
            for step in self.steps
            if step.bare_seconds
        ]
        redraw(self.plot, roofline(limits, dots, recorded_peak=self.steps[-1].recorded_peak))
        self.button.set_text("Measure again" if limits else "Measure this machine")
        self.words.clear()
        with self.words:
            for step in self.steps:
                if len(self.steps) > 1:
                    with ui.element("h3"):
                        ui.label(step.stage)
                self._told(step, limits)

    def _told(self, step: TrainingStep, limits: Limits | None) -> None:
        pairs = [
            ("achieved", _flops(step.achieved)),
            ("intensity", f"{step.intensity:,.0f} FLOP/byte"),
            ("a step", f"{duration_short(step.step_seconds)}, {step.tokens:,.0f} tokens"),
            ("work", f"{_flops(step.flops)[:-2]}, {data_size(step.moved.total)}"),
        ]
        if limits is None:
            if step.recorded_peak:
                pairs.append(("MFU then", f"{step.achieved / step.recorded_peak:.1%}"))
            facts(pairs)
            if step is self.steps[-1]:
                empty_note = "Measure the machine to see its limits and what holds this run back."
                ui.label(empty_note).classes("st-note")
            return
        told = verdict(step, limits)
        ui.label(told.sentence).classes("st-verdict")
        ui.label(told.advice).classes("st-note")
        pairs += [
            ("at least", f"{duration_short(told.least_seconds)} a step"),
            ("at most", f"{step.most_tokens_per_second(limits):,.0f} tokens/s"),
            ("MFU", f"{step.mfu(limits):.1%}"),
            ("ridge", f"{limits.ridge:,.0f} FLOP/byte"),
            ("ridge batch", f"{step.ridge_batch(limits):,.0f} tokens a read"),
        ]
        if step.decode is not None:
            alone = step.decode.most_tokens_per_second(limits, 1)
            together = step.decode.most_tokens_per_second(limits, _DECODED_TOGETHER)
            pairs.append(("writing", f"at most {alone:,.0f} tokens/s, {together:,.0f} for {_DECODED_TOGETHER} at once"))
        facts(pairs)


def duration_short(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms" if seconds < 1 else duration(seconds)


def _flops(value: float) -> str:
    for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:,.3g} {unit}FLOP/s"
    return f"{value:,.3g} FLOP/s"

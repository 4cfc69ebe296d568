"""Attention: what the heads of one's own model look at, and what the model loses without them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from groundup.core.errors import GroundupError, ModelError

from ..app import Inspector, Studio
from ..choosing import choose_model
from ..frame import card, empty, error_box, facts, heading, working
from ..head_figures import HeadFigures, Reading, read_text
from ..kept import KeptOpen
from ..pieces import AttentionMap, PickTable, TokenStrip, text_with_examples, use_pieces
from ..token_pieces import clean

EXAMPLES = {
    "Code": "def add(a, b):\n    return a + b\n\ndef sub(a, b):\n    return a - b\n",
    "Said twice": "The quick brown fox saw the lazy dog. The quick brown fox saw the lazy dog.",
    "Names": "Ann gave the book to Ben, and Ben gave the book to Cleo. Then Cleo gave the book to Ann.",
}
_MOST_CHARACTERS = 600
"""Of a text that is read while it is typed: maps of more tokens than this are no longer seen."""
_GROUP = "attention"
_MEASURES = (
    ("entropy_bits", "Entropy", "bits"),
    ("distance_tokens", "Looks back", "tokens"),
    ("previous_token", "At the token before", "%"),
    ("itself", "At itself", "%"),
    ("first_token", "At the first token", "%"),
    ("same_token", "At earlier copies", "%"),
    ("induction", "Behind earlier copies (induction)", "%"),
)

_COLUMNS = (
    {"name": "Head"}, {"name": "Nats a token", "number": True}, {"name": "", "bar": True}, {"name": "Entropy, bits", "number": True},
    {"name": "Looks back", "number": True}, {"name": "Token before", "number": True}, {"name": "Induction", "number": True},
    {"name": "First token", "number": True}, {"name": "Mostly"},
)  # fmt: skip

Head = tuple[int, int]
T = TypeVar("T")


def add(studio: Studio) -> None:
    inspectors: KeptOpen[Inspector] = KeptOpen(studio.openers.inspector, lambda inspector: inspector.close())
    studio.closing.append(inspectors.close)

    @studio.page("/attention", "Attention")
    async def attention(model: str = "") -> None:
        use_pieces()
        heading(
            "Attention",
            "Every head of a layer decides, at each token, which tokens before it to take something from. Look at the heads of a model, "
            "and silence some to see what they are for.",
        )
        chosen = await choose_model(studio, model, "/attention")
        if chosen is None:
            return
        page = _Page(inspectors, Path(chosen))
        page.build()
        await ui.context.client.connected()
        await page.read()


def name_of(head: Head) -> str:
    """As people count: from one."""
    return f"{head[0] + 1}.{head[1] + 1}"


class _Page:
    def __init__(self, inspectors: KeptOpen[Inspector], path: Path) -> None:
        self.inspectors = inspectors
        self.path = path
        self.reading: Reading | None = None
        self.heads: tuple[int, ...] = ()
        self.open_head: Head | None = None
        self.silent: set[Head] = set()
        self.maps: dict[Head, ui.element] = {}
        self.switches: dict[Head, ui.button] = {}
        self.costs: dict[Head, float] = {}
        self.order: list[Head] = []
        self.turn = 0

    def build(self) -> None:
        with card("Text"):
            self.text = text_with_examples(EXAMPLES, "Text to read", self.read, most=_MOST_CHARACTERS)
            self.state = ui.element("div")
        self.body = ui.element("div").classes("st-grid")
        with self.body:
            self._heads_card()
            self._head_card()
            self._losses_card()
            self._rank_card()
        self.body.set_visibility(False)

    def _heads_card(self) -> None:
        with card("All heads", note="Rows of a map are tokens that look, columns those looked at; the deeper the colour, the more is "
                  "taken. The eye silences a head.") as box:  # fmt: skip
            box.classes("st-five")
            self.grid = (
                ui.element("div")
                .classes("st-scroll st-heads")
                .props('tabindex=0 role=region aria-label="Heads by layer"')
            )

    def _head_card(self) -> None:
        with card() as self.head_box:
            self.head_box.classes("st-seven")
            with ui.element("h2"):
                self.head_title = ui.label("Head")
            self.map = AttentionMap(group=_GROUP)
            self.looked = TokenStrip(
                label="Tokens, shaded by what the head takes",
                group=_GROUP,
                hint="Point at a token: what it looks at is shaded.",
            )
            self.head_facts = ui.element("div").classes("st-columns")

    def _losses_card(self) -> None:
        with card("What each token costs", note="Surprise at each token, in nats: 0 was certain.") as box:
            box.classes("st-half")
            self.loss_facts = ui.element("div")
            self.loss_strip = TokenStrip(label="Tokens by their loss")
        with card("With heads silenced") as box:
            box.classes("st-half")
            self.not_silenced = ui.label(
                "Silence heads with the eye under their maps, and see here which tokens they helped with."
            ).classes("st-note")
            self.silenced = ui.element("div")
            with self.silenced:
                self.silent_facts = ui.element("div")
                self.change_strip = TokenStrip(
                    label="Tokens by how their loss changed", hint="Orange: worse without. Teal: better."
                )
                ui.button("All heads on again", on_click=self.all_on, color=None).props(
                    "outline color=primary no-caps size=sm"
                )
            self.silenced.set_visibility(False)

    def _rank_card(self) -> None:
        with card("Which heads matter", note="Each head silenced alone (zero ablation): how much dearer the text becomes without it. "
                  "Previous-token and induction scores after Olsson et al. 2022, over this text.") as self.rank_box:  # fmt: skip
            with ui.element("div").classes("st-row").style("margin-bottom: .5rem"):
                self.rank_button = ui.button("Rank all heads by what they cost", on_click=self.rank, color=None).props(
                    "outline color=primary no-caps"
                )
                self.progress = (
                    ui.linear_progress(0, show_value=False)
                    .props('aria-label="Heads tried" rounded')
                    .style("max-width: 20rem")
                )
                self.progress.set_visibility(False)
            self.table = PickTable(
                label="Heads in figures", columns=_COLUMNS, on_pick=lambda i: self.show_head(self.order[i])
            )

    async def read(self) -> None:
        """The text through the model, with every head at work; what was typed meanwhile wins."""
        self.turn += 1
        turn, text = self.turn, clean(self.text.value or "")

        def work() -> tuple[tuple[int, ...], Reading | None]:
            inspector = self.inspectors.get(self.path)
            return inspector.heads, read_text(inspector, text)

        if self.reading is None:
            done = await working(self.state, "Opening the model", told_errors(work))
        else:
            done = await self._quietly(work)
        if turn != self.turn or done is None or self.body.is_deleted:
            return
        self.heads, reading = done
        self.state.clear()
        if reading is None:
            with self.state:
                ui.label("Two tokens or more are needed for one to look at another.").classes("st-note")
            return
        self.reading = reading
        self.costs = {}
        self.body.set_visibility(True)
        for part in (self.head_box, self.rank_box):
            part.set_visibility(any(self.heads))
        self._draw_losses()
        if any(self.heads):
            still = self.open_head is not None and self.open_head[1] < self.heads[self.open_head[0]]
            self.show_head(self.open_head if still and self.open_head else self._striking())
            self._draw_table()
        await self._draw_grid(turn)
        if self.silent:
            await self.compare()

    async def _quietly(self, work: Callable[[], T]) -> T | None:
        """In a thread, without a word where it goes well: the page stays as it is until there is something new."""
        try:
            return await asyncio.to_thread(told_errors(work))
        except (GroundupError, OSError) as error:
            if not self.body.is_deleted:
                self.state.clear()
                with self.state:
                    error_box(error)
            return None

    def _striking(self) -> Head:
        """The head to begin with: the one that most clearly does something other than looking at the first token."""
        assert self.reading is not None
        best: tuple[float, Head] = (-1.0, (next(i for i, n in enumerate(self.heads) if n), 0))
        for layer, row in enumerate(self.reading.figures):
            for head, f in enumerate(row):
                best = max(best, (max(f.induction or 0.0, f.previous_token), (layer, head)))
        return best[1]

    async def _draw_grid(self, turn: int) -> None:
        """Layer by layer, so that other pages are served in between."""
        self.grid.clear()
        self.maps, self.switches = {}, {}
        if not any(self.heads):
            with self.grid:
                empty(
                    "No layer of this model has attention that can be looked into: its layers are recurrent, or parts of your own."
                )
            return
        with self.grid:
            layers = ui.element("div").classes("st-layers")
        for layer, count in enumerate(self.heads):
            with layers:
                ui.label(f"L{layer + 1}").classes("st-layer-name").props(f'title="Layer {layer + 1}"')
                with ui.element("div").classes("st-layer"):
                    if count == 0:
                        ui.label("no attention to look into: a recurrence, or a part of your own").classes("st-note")
                    for head in range(count):
                        self._draw_head((layer, head))
            await asyncio.sleep(0)
            if turn != self.turn or self.body.is_deleted:
                return

    def _draw_head(self, head: Head) -> None:
        assert self.reading is not None
        figures = self.reading.figures[head[0]][head[1]]
        name = name_of(head)
        with ui.element("div").classes("st-head"):
            with (
                ui.element("button")
                .classes("st-map")
                .props(
                    f'type=button aria-label="Head {name}{", " + figures.kind if figures.kind else ""}: show it"'
                ) as box
            ):
                ui.element("img").props(f'src="{self.reading.pictures[head[0]][head[1]]}" alt="" draggable=false')
            box.on("click", partial(self.show_head, head))
            with ui.element("div").classes("st-head-line"):
                ui.label(name).classes("st-head-name")
                ui.label(figures.kind).classes("st-head-kind")
                switch = ui.button(icon="visibility", on_click=partial(self.toggle, head), color=None).props(
                    "round flat size=xs padding=3px"
                )
        self.maps[head], self.switches[head] = box, switch
        self._mark(head)

    def _mark(self, head: Head) -> None:
        off = head in self.silent
        name = name_of(head)
        self.switches[head].props(
            f"icon={'visibility_off' if off else 'visibility'} aria-pressed={'true' if off else 'false'} "
            f'aria-label="Silence head {name}" title="{"Silent" if off else "At work"}: head {name}"'
        )
        self.maps[head].classes(add="st-off" if off else "", remove="" if off else "st-off")
        shown = head == self.open_head
        self.maps[head].classes(add="st-open" if shown else "", remove="" if shown else "st-open")
        self.maps[head].props(f"aria-current={'true' if shown else 'false'}")

    def show_head(self, head: Head) -> None:
        reading = self.reading
        assert reading is not None
        before, self.open_head = self.open_head, head
        for changed in (before, head):
            if changed in self.maps:
                self._mark(changed)
        weights: NDArray[np.float32] = reading.attention[head[0]][head[1]]
        figures = reading.figures[head[0]][head[1]]
        self.head_title.text = f"Head {name_of(head)}" + (f": {figures.kind}" if figures.kind else "")
        shown = [s.replace("\n", "") for s in reading.shown]
        self.map.show(weights, shown, f"Attention of head {name_of(head)}, {len(shown)} tokens: {spoken(figures)}")
        self.looked.show([{"t": t, "n": f"token {i + 1}"} for i, t in enumerate(reading.shown)])
        self.looked.shade(weights)
        self.head_facts.clear()
        with self.head_facts:
            facts([(name, told) for name, told in measures(figures)])

    def _draw_losses(self) -> None:
        reading = self.reading
        assert reading is not None
        self.loss_facts.clear()
        with self.loss_facts:
            facts(
                {
                    "Mean": f"{reading.loss:.3f} nats a token",
                    "Perplexity": f"{math.exp(min(reading.loss, 50.0)):,.1f}",
                    "Tokens": f"{len(reading.pieces):,}",
                }
            )
        most = max(float(reading.losses.max()), 1e-6)
        told: list[dict[str, Any]] = [{"t": reading.shown[0], "n": "the first token: nothing comes before it"}]
        for text, loss in zip(reading.shown[1:], reading.losses.tolist(), strict=True):
            told.append({
                "t": text, "n": f"{loss:.2f} nats · it was given {probability(loss)}", "c": shade("--st-worse", loss / most),
            })  # fmt: skip
        self.loss_strip.show(told)

    async def toggle(self, head: Head) -> None:
        self.silent.symmetric_difference_update({head})
        self._mark(head)
        await self.compare()

    async def all_on(self) -> None:
        changed, self.silent = self.silent, set()
        for head in changed:
            if head in self.maps:
                self._mark(head)
        await self.compare()

    async def compare(self) -> None:
        """The text again without the silent heads, beside what it costs with all of them."""
        reading, without = self.reading, sorted(self.silent)
        self.silenced.set_visibility(bool(without))
        self.not_silenced.set_visibility(not without)
        if reading is None or not without:
            return
        after = await self._quietly(lambda: self.inspectors.get(self.path).losses(reading.text, without=without))
        if after is None or self.body.is_deleted or reading is not self.reading or without != sorted(self.silent):
            return
        change = after - reading.losses
        names = ", ".join(name_of(head) for head in without[:8]) + (" …" if len(without) > 8 else "")
        mean = float(change.mean())
        self.silent_facts.clear()
        with self.silent_facts:
            facts(
                {
                    "Without": names,
                    "Mean": f"{float(after.mean()):.3f} nats a token",
                    "Difference": f"{mean:+.3f}, {'worse' if mean > 0 else 'better'}",
                }
            )
        most = max(float(np.abs(change).max()), 1e-6)
        told: list[dict[str, Any]] = [{"t": reading.shown[0], "n": "the first token: nothing comes before it"}]
        for text, by, now in zip(reading.shown[1:], change.tolist(), after.tolist(), strict=True):
            colour = "--st-worse" if by > 0 else "--st-better"
            told.append(
                {
                    "t": text,
                    "n": f"{by:+.2f} nats, now {now:.2f}",
                    "c": shade(colour, abs(by) / most),
                }
            )
        self.change_strip.show(told)

    async def rank(self) -> None:
        reading = self.reading
        if reading is None or not any(self.heads):
            return
        self.rank_button.disable()
        self.progress.set_visibility(True)
        costs: dict[Head, float] = {}
        try:
            heads = self._all_heads()
            for done, head in enumerate(heads, 1):
                after = await self._quietly(partial(self._cost, reading.text, head))
                if self.body.is_deleted or after is None or reading is not self.reading:
                    return
                costs[head] = after - reading.loss
                self.progress.value = done / len(heads)
            self.costs = costs
            self._draw_table()
        finally:
            if not self.body.is_deleted:
                self.progress.set_visibility(False)
                self.rank_button.enable()

    def _cost(self, text: str, head: Head) -> float:
        return float(self.inspectors.get(self.path).losses(text, without=[head]).mean())

    def _all_heads(self) -> list[Head]:
        return [(layer, head) for layer, count in enumerate(self.heads) for head in range(count)]

    def _draw_table(self) -> None:
        """All heads in figures: the dearest first where that is known, else by layer."""
        reading, costs = self.reading, self.costs
        assert reading is not None
        self.order = sorted(self._all_heads(), key=lambda head: -costs.get(head, 0.0))
        most = max((abs(cost) for cost in costs.values()), default=0.0) or 1.0
        rows = []
        for head in self.order:
            f = reading.figures[head[0]][head[1]]
            induction = "–" if f.induction is None else f"{100 * f.induction:.0f} %"
            cost = costs.get(head)
            rows.append({
                "cells": [name_of(head), "–" if cost is None else f"{cost:+.4f}", "", f"{f.entropy_bits:.2f}", f"{f.distance_tokens:.1f}",
                          f"{100 * f.previous_token:.0f} %", induction, f"{100 * f.first_token:.0f} %", f.kind or "–"],
                "bar": 0 if cost is None else cost / most,
                "label": f"Show head {name_of(head)}",
            })  # fmt: skip
        self.table.show(rows)


def told_errors(work: Callable[[], T]) -> Callable[[], T]:
    """`work`, with whatever a part of the user's own raises turned into an error that the page tells."""

    def told() -> T:
        try:
            return work()
        except (GroundupError, OSError):
            raise
        except Exception as error:
            raise ModelError(
                f"the model failed on this text: {type(error).__name__}: {error}",
                hint="groundup doctor; then try the part alone",
            ) from error

    return told


def measures(figures: HeadFigures) -> list[tuple[str, str]]:
    """Names and values of a head's figures, in words."""
    told = []
    for field, name, unit in _MEASURES:
        value = getattr(figures, field)
        if value is None:
            told.append((name, "no token comes again"))
        else:
            told.append((name, f"{100 * value:.0f} %" if unit == "%" else f"{value:.2f} {unit}"))
    return told


def spoken(figures: HeadFigures) -> str:
    return ", ".join(f"{name} {value}" for name, value in measures(figures))


def shade(colour: str, share: float) -> str:
    """A colour of pieces.css, as strong as the share; the letters on it stay readable in light and dark."""
    return f"rgb(var({colour}) / calc(var(--st-strong) * {share:.3f}))"


def probability(loss: float) -> str:
    share = 100 * math.exp(-loss)
    return f"{share:.1f} %" if share >= 0.1 else f"{share:.2g} %"

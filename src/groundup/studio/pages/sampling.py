"""Sampling: what may come next, what the settings leave of it, and the branches that one takes."""

from __future__ import annotations

import asyncio
import math
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from groundup.core.errors import GroundupError
from groundup.core.types import Completion
from groundup.server.errors import Failure

from ..app import Studio
from ..choosing import choose_model
from ..frame import card, command_line, empty, error_box, facts, heading, working
from ..next_token import (
    Branches,
    Candidate,
    Narrowed,
    Rules,
    Share,
    Told,
    ask,
    begin,
    can_tell,
    continuations,
    narrow,
    shown,
)
from ..pieces import ChoiceBars, Range, TokenStrip, chip, text_with_examples, use_pieces
from ..token_pieces import clean, visible

EXAMPLES = {
    "Code": "def read_lines(path):",
    "Story": "Once upon a time, there was a",
    "Question": "The capital of France is",
}
PRESETS = {
    "As the model says": Rules(),
    "Greedy": Rules(temperature=0.0),
    "Usual": Rules(temperature=0.8, top_p=0.95),
    "Hot, with min-p": Rules(temperature=1.4, min_p=0.1),
    "Five at most": Rules(top_k=5),
}
_SETTINGS: tuple[tuple[str, str, float, float, float, str], ...] = (
    ("temperature", "Temperature", 0.0, 2.0, 0.05, "0 takes the likeliest; above 1 evens the odds"),
    ("top_k", "Top-k", 0, 20, 1, "keep the k likeliest; 0 keeps all"),
    ("top_p", "Top-p", 0.05, 1.0, 0.05, "keep the fewest that reach this probability"),
    ("min_p", "Min-p", 0.0, 0.5, 0.01, "drop those below this share of the likeliest"),
    ("presence_penalty", "Presence penalty", 0.0, 2.0, 0.1, "less of every token that was taken"),
    ("frequency_penalty", "Frequency penalty", 0.0, 2.0, 0.1, "less of a token each time that it was taken"),
)
_WAYS, _WAY_TOKENS = 5, 24
_MOST_CHARACTERS = 2000


def add(studio: Studio) -> None:
    @studio.page("/sampling", "Sampling")
    async def sampling(model: str = "") -> None:
        use_pieces()
        heading(
            "Sampling",
            "A model gives every token a probability; sampling decides which one is written. Move the settings, take a token, take another: "
            "every text is one path of a tree.",
        )
        chosen = await choose_model(studio, model, "/sampling")
        if chosen is None:
            return
        page = _Page(studio, Path(chosen))
        page.build()
        await ui.context.client.connected()
        await page.begin()


class _Page:
    def __init__(self, studio: Studio, path: Path) -> None:
        self.studio = studio
        self.path = path
        self.rules = Rules()
        self.branches: Branches | None = None
        self.told: Told | None = None
        self.narrowed: Narrowed | None = None
        self.sliders: dict[str, Range] = {}
        self.values: dict[str, ui.label] = {}
        self.tokenizer: Any = None
        self.turn = 0

    def build(self) -> None:
        with card("Text"):
            self.text = text_with_examples(EXAMPLES, "Text to go on from", self.begin, most=_MOST_CHARACTERS)
            self.state = ui.element("div")
        self.body = ui.element("div").classes("st-grid")
        with self.body:
            self._path_card()
            self._next_card()
            self._settings_card()
            self._ways_card()
        self.body.set_visibility(False)
        self.line = ui.element("div")

    def _path_card(self) -> None:
        with card("The path taken"):
            self.strip = TokenStrip(
                label="Tokens taken",
                hint="Pick a token to go back to it; what was taken after it stays as a branch.",
                on_pick=self.back_to,
            )
            self.no_path = ui.label("Nothing yet: pick one of the tokens below, with a click or Enter.").classes(
                "st-note"
            )
            with ui.element("div").classes("st-chips").style("margin-top: .3rem"):
                self.start = chip("Back to the text", lambda: self.go(0))
                self.likeliest = chip("Take the likeliest", self.take_likeliest)
            self.others_title = ui.element("h3")
            with self.others_title:
                ui.label("Other branches")
            self.others = ui.element("div").classes("st-branches")

    def _next_card(self) -> None:
        with card(
            "What may come next",
            note="Grey is what the model says, colour what is sampled from. Pick a token to go on with it.",
        ) as box:
            box.classes("st-seven")
            self.bars = ChoiceBars(label="Next tokens, the likeliest first", on_pick=self.pick)
            self.rest = ui.label("").classes("st-note").style("margin: .5rem 0 0")

    def _settings_card(self) -> None:
        with card("Settings") as box:
            box.classes("st-five")
            with (
                ui.element("div")
                .classes("st-chips")
                .props('role=group aria-label="Presets"')
                .style("margin-bottom: .6rem")
            ):
                for name, rules in PRESETS.items():
                    chip(name, partial(self.use, rules))
            for field, name, low, high, step, what in _SETTINGS:
                with ui.element("div").classes("st-setting"):
                    ui.label(name).props(f'title="{what}"')
                    told = ui.label()
                    self.sliders[field] = Range(
                        low=low,
                        high=high,
                        step=step,
                        value=getattr(self.rules, field),
                        label=f"{name}: {what}",
                        on_change=self.changed,
                    )
                    self.values[field] = told
            self._tell_settings()
            self.figures = ui.element("div").style("margin-top: .8rem")
            ui.label(
                "In the engine's order: penalties, temperature, top-k, top-p, min-p. A repetition penalty works on raw logits, which no "
                "model tells; the command line has it."
            ).classes("st-note").style("margin: .8rem 0 0")

    def _ways_card(self) -> None:
        with card(f"{_WAYS} ways to go on", note="Sampled with these settings, each with a seed of its own; the paler a token, the likelier "
                  "it was. Pick a token to follow that way up to it."):  # fmt: skip
            with ui.element("div").classes("st-row"):
                self.seed = (
                    ui.number("First seed", value=1, min=0, step=1, precision=0)
                    .props("outlined dense")
                    .style("width: 8rem")
                )
                self.sample_button = ui.button(f"Sample {_WAYS}", on_click=self.sample, color=None).props(
                    "outline color=primary no-caps"
                )
            self.ways = ui.element("div").classes("st-ways").style("margin-top: .6rem")

    # --- what is asked

    async def _generator(self) -> Any:
        return (await self.studio.models.get(self.path)).generator

    async def begin(self) -> None:
        """From the text, with no token taken."""
        self.turn += 1
        turn, text = self.turn, clean(self.text.value or "")

        def first() -> tuple[str, Any, Branches | None, Told | None]:
            why = can_tell(generator)
            if why:
                return why, None, None, None
            prompt = begin(generator, text)
            return "", generator.tokenizer, Branches(prompt), ask(generator, prompt)

        if self.branches is None:
            self.state.clear()
            with self.state:
                ui.label("Opening the model").classes("st-working").props("role=status")
        try:
            generator = await self._generator()
        except (GroundupError, OSError) as error:
            self._say(error)
            return
        done = await self._quietly(first)
        if done is None or turn != self.turn or self.body.is_deleted:
            return
        why, self.tokenizer, branches, told = done
        self.state.clear()
        if why:
            with self.state:
                empty(why)
            return
        self.branches, self.told = branches, told
        self.body.set_visibility(True)
        self.ways.clear()
        self.draw()

    async def _quietly(self, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(work)
        except Exception as error:  # whatever a Generator raises is told, and the page goes on
            self._say(error)
            return None

    def _say(self, error: Exception) -> None:
        if self.state.is_deleted:
            return
        self.state.clear()
        told = (
            error
            if isinstance(error, (GroundupError, OSError))
            else GroundupError(Failure(error).object["error"]["message"])
        )
        with self.state:
            error_box(told)

    async def ask_here(self) -> None:
        branches = self.branches
        if branches is None:
            return
        self.turn += 1
        turn, prompt = self.turn, branches.prompt_here()
        try:
            generator = await self._generator()
        except (GroundupError, OSError) as error:
            self._say(error)
            return
        told = await self._quietly(lambda: ask(generator, prompt))
        if told is None or turn != self.turn or self.body.is_deleted:
            return
        self.state.clear()
        self.told = told
        self.draw()

    # --- what a person does

    async def pick(self, place: int) -> None:
        if self.told is not None and self.branches is not None and place < len(self.told.candidates):
            self.branches.take(self.told.candidates[place])
            self._draw_path()
            await self.ask_here()

    async def take_likeliest(self) -> None:
        await self.pick(0)

    async def go(self, number: int) -> None:
        if self.branches is not None:
            self.branches.here = number
            self._draw_path()
            await self.ask_here()

    async def back_to(self, place: int) -> None:
        if self.branches is not None and place < len(self.branches.path()):
            await self.go(self.branches.path()[place].number)

    def use(self, rules: Rules) -> None:
        for field, slider in self.sliders.items():
            slider.set(getattr(rules, field))
        self.changed()

    def changed(self) -> None:
        value = {field: slider.value for field, slider in self.sliders.items()}
        self.rules = Rules(
            temperature=value["temperature"], top_k=int(value["top_k"]), top_p=value["top_p"], min_p=value["min_p"],
            presence_penalty=value["presence_penalty"], frequency_penalty=value["frequency_penalty"],
        )  # fmt: skip
        self._tell_settings()
        if self.told is not None:
            self.draw()

    def _tell_settings(self) -> None:
        for field, label in self.values.items():
            label.text = _setting(field, self.sliders[field].value)

    # --- what is shown

    def draw(self) -> None:
        told, branches = self.told, self.branches
        assert told is not None and branches is not None
        self._draw_path()
        made = self.narrowed = narrow(told, self.rules, branches.counts())
        mark = "" if made.exact else "≈ "
        self.bars.show([_row(share, mark) for share in made.shares])
        rest = f"All {told.others:,} others together: {_percent(told.rest)} before, "
        if made.rest_high - made.rest_low < 0.005:
            rest += f"{_percent(made.rest)} after."
        else:
            rest += f"{_percent(made.rest_low)} to {_percent(made.rest_high)} after: a model tells only its 20 likeliest tokens, so numbers "
            rest += "with ≈ are the middle of what is possible."
        self.rest.text = rest if told.others else ""
        self.figures.clear()
        before = narrow(told, Rules())
        with self.figures:
            facts(
                {
                    "Tokens kept": f"{sum(not s.cut for s in made.shares)}"
                    + (" or more" if made.rest_high > 0 else ""),
                    "Their probability before": _percent(min(1.0, made.kept_mass))
                    + (" or more" if made.rest_high > 0 else ""),
                    "Entropy": f"{'≈ ' if made.rest_high > 0 else ''}{made.entropy_bits:.2f} bits; {before.entropy_bits:.2f} before",
                }
            )
        self._draw_line()

    def _draw_path(self) -> None:
        branches = self.branches
        assert branches is not None
        taken = branches.taken()
        self.strip.show(
            [
                {"t": c.shown, "n": f"token {i + 1}: {_percent(math.exp(c.logprob))}", "k": f"st-t{i % 5}"}
                for i, c in enumerate(taken)
            ],
            chosen=len(taken) - 1,
        )
        self.strip.set_visibility(bool(taken))
        self.no_path.set_visibility(not taken)
        self.start.set_enabled(bool(taken))
        leaves = branches.leaves()[:12]
        self.others_title.set_visibility(bool(leaves))
        self.others.clear()
        with self.others:
            for leaf in leaves:
                text = "".join(c.shown.replace("\n", "") for c in branches.taken(leaf))
                ui.button(
                    f"{text}   {_percent(math.exp(branches.logprob(leaf)))}",
                    on_click=partial(self.go, leaf),
                    color=None,
                ).props("flat dense no-caps color=primary size=md").classes("st-mono")

    def _draw_line(self) -> None:
        rules, text = self.rules, self.text.value or ""
        self.line.clear()
        if len(text) > 300:
            return
        line = f"groundup generate {shlex.quote(str(self.path))} {shlex.quote(text)}"
        line += f" --temperature {rules.temperature:g} --top-p {rules.top_p:g}"
        line += f" --top-k {rules.top_k}" if rules.top_k else ""
        line += f" --min-p {rules.min_p:g}" if rules.min_p else ""
        with self.line:
            command_line(f"{line} --max-tokens {_WAY_TOKENS} --seed {int(self.seed.value or 0)} -n {_WAYS}")

    async def sample(self) -> None:
        branches = self.branches
        if branches is None:
            return
        prompt, rules, seed = branches.prompt_here(), self.rules, int(self.seed.value or 0)
        self.sample_button.disable()
        try:
            generator = await self._generator()
            made = await working(
                self.ways,
                "Sampling",
                lambda: continuations(generator, prompt, rules, count=_WAYS, max_tokens=_WAY_TOKENS, seed=seed),
            )
        except (GroundupError, OSError) as error:
            self._say(error)
            return
        finally:
            self.sample_button.enable()
        if made is None or self.ways.is_deleted:
            return
        with self.ways:
            for i, completion in enumerate(made):
                self._draw_way(branches.here, seed + i, completion)

    def _draw_way(self, begun: int, seed: int, completion: Completion) -> None:
        candidates = [
            Candidate(
                token_id=t.token_id, shown=shown(self.tokenizer, t.token_id, t.token), text=t.token, logprob=t.logprob
            )
            for t in completion.logprobs
        ]
        told = [
            {
                "t": c.shown,
                "n": _percent(math.exp(c.logprob)),
                "c": f"rgb(var(--st-worse) / calc(var(--st-strong) * {min(1.0, -c.logprob / 6):.3f}))",
            }
            for c in candidates
        ]
        if not told:
            told = [{"t": visible(completion.text) or "nothing", "n": "the text ends here"}]

        async def follow(place: int) -> None:
            if self.branches is None or not candidates:
                return
            self.branches.here = begun
            for candidate in candidates[: place + 1]:
                self.branches.take(candidate)
            self._draw_path()
            await self.ask_here()

        with ui.element("div").classes("st-way"):
            ui.label(f"seed {seed}" + (" · ends" if completion.finish_reason == "stop" else ""))
            TokenStrip(told, label=f"Continuation with seed {seed}", hint="", on_pick=follow)


def _setting(field: str, value: float) -> str:
    if field == "top_k":
        return f"{int(value)}" if value else "all"
    if field == "temperature" and value == 0:
        return "0, greedy"
    return f"{value:.2f}"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 0.95 else f"{percent:.2g} %"


def _row(share: Share, mark: str) -> dict[str, Any]:
    token = share.candidate.shown.replace("\n", "")
    after = "not sampled" if share.cut else f"{mark}{_percent(share.after)}"
    return {
        "t": token,
        "p": share.before,
        "q": share.after,
        "f": _percent(share.before) if share.cut else after,
        "cut": share.cut,
        "n": f"{token}: {_percent(share.before)} by the model, {after}{', cut by ' + share.cut if share.cut else ''}",
    }

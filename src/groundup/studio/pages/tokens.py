"""Tokens: one text under several tokenizers beside each other, and the merges of one piece, step by step."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from groundup.core.errors import GroundupError
from groundup.core.protocols import Tokenizer
from groundup.tokenizers.bpe import BPETokenizer

from ..app import Studio
from ..frame import card, command_line, empty, error_box, heading
from ..pieces import POINT, Range, TokenStrip, coloured, left_out, text_with_examples, use_pieces
from ..token_pieces import (
    BUILT_IN,
    MOST_CHARACTERS,
    Cut,
    Merges,
    Piece,
    Step,
    clean,
    cut,
    cut_built_in,
    merges_of,
    piece_of,
    tokenizers_of,
    visible,
)

EXAMPLES = {
    "Prose": "The unbelievable thing about tokenizers: nobody sees them, everybody pays for them.",
    "Code": "def read_lines(path):\n    with open(path) as file:\n        return [line.rstrip() for line in file]\n",
    "Numbers": "In 2024, 1234567 + 89 = 1234656, and 3.14159 is about 22/7.",
    "Languages": "straße, naïve, Быстрая лиса, 素早い狐, الثعلب السريع 🦊👩‍🚀",
    "Spaces": "one  two   three\tfour\n\n    five    \n",
}
_RUNS_AT_FIRST, _BUILT_IN_AT_FIRST = 2, ("characters", "cl100k pieces")
_PATTERN_SOURCE = {"gpt2 pieces": "gpt2", "cl100k pieces": "cl100k", "o200k pieces": "o200k"}


def add(studio: Studio) -> None:
    @studio.page("/tokens", "Tokens")
    async def tokens(path: str = "") -> None:
        use_pieces()
        heading(
            "Tokens",
            "A model reads neither letters nor words but pieces with numbers. See where different tokenizers cut a text, and how "
            "byte-pair merges build each piece.",
        )
        page = _Page(studio)
        page.build()
        await ui.context.client.connected()
        await page.find(path)


class _Page:
    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.names: dict[str, str] = {name: name for name in BUILT_IN}
        """Key (a path, or the name of a built-in cut) -> name shown."""
        self.open: dict[str, Tokenizer] = {}
        self.merges: dict[str, Merges] = {}
        self.cards: dict[str, _Card] = {}
        self.turn = 0

    def build(self) -> None:
        with card("Text"):
            self.text = text_with_examples(EXAMPLES, "Text to cut", self.refresh, most=MOST_CHARACTERS, wait_ms=200)
            with ui.element("div").classes("st-fields"):
                self.choice = ui.select(
                    self.names, multiple=True, value=list(_BUILT_IN_AT_FIRST), label="Tokenizers", on_change=self.chosen
                ).props("outlined dense options-dense use-chips")
                self.path = (
                    ui.input("Folder or file of another tokenizer")
                    .props("outlined dense spellcheck=false")
                    .on("keydown.enter", self.add_path)
                )
                ui.button("Add", on_click=self.add_path, color=None).props("outline color=primary no-caps")
            self.trouble = ui.element("div")
        with card(
            "Counts", note="Fewer tokens for the same text: less to compute, and more of it fits into the context."
        ):
            self.counts = ui.element("div").classes("st-scroll").props("tabindex=0 role=region aria-label=Counts")
        self.place = ui.element("div").classes("st-grid")
        with card(
            "Merges, step by step",
            note="Byte-pair encoding starts from bytes and merges, again and again, the pair that was learned first.",
        ):
            self.stepper = _Stepper(self)
            self.stepper.build()
        self.line = ui.element("div")
        # A pattern takes up to a tenth of a second to compile, characters none.
        self.draw({_BUILT_IN_AT_FIRST[0]: cut_built_in(_BUILT_IN_AT_FIRST[0], self.text.value)})

    async def find(self, path: str) -> None:
        """Tokenizers of the runs, and the one that the address names."""
        found = await asyncio.to_thread(tokenizers_of, self.studio.config.runs)
        if self.choice.is_deleted:  # the tab is gone
            return
        if path and path not in found:
            found[path] = Path(path).name or path
        self.names = {**found, **self.names}
        first = [path] if path else list(found)[:_RUNS_AT_FIRST]
        self.choice.set_options(self.names, value=[*first, *self.choice.value])
        if not first:
            await self.chosen()

    async def add_path(self) -> None:
        path = self.path.value.strip()
        if not path:
            return
        key = str(Path(path).expanduser())
        self.trouble.clear()
        try:
            await self._opened(key)
        except (GroundupError, OSError, ValueError) as error:
            with self.trouble:
                error_box(error)
            return
        if self.choice.is_deleted:
            return
        self.names[key] = Path(key).name
        self.path.value = ""
        self.choice.set_options(self.names, value=list(dict.fromkeys([*self.choice.value, key])))

    async def _opened(self, key: str) -> Tokenizer:
        if key not in self.open:
            self.open[key] = await asyncio.to_thread(self.studio.openers.tokenizer, Path(key))
        return self.open[key]

    async def chosen(self) -> None:
        await self.refresh()
        await self.stepper.offer()

    async def refresh(self) -> None:
        """Cut the text again with all that are chosen; what was typed meanwhile wins."""
        self.turn += 1
        turn, text = self.turn, clean(self.text.value or "")[:MOST_CHARACTERS]
        made: dict[str, Cut | Exception] = {}
        for key in list(self.choice.value):
            try:
                if key in BUILT_IN:
                    made[key] = await asyncio.to_thread(cut_built_in, key, text)
                else:
                    made[key] = await asyncio.to_thread(cut, await self._opened(key), text)
            except (GroundupError, OSError, ValueError) as error:
                made[key] = error
            if turn != self.turn or self.place.is_deleted:
                return
        self.draw(made)
        await self.stepper.text_changed()

    def picked(self, key: str, piece: Piece) -> None:
        """A token was picked: its merges."""
        merges = self.merges.get(key)
        found = merges.piece_at(clean(self.text.value or ""), piece.start_byte) if merges is not None else None
        if found is not None:
            self.stepper.choose(key, found)

    def draw(self, made: Mapping[str, Cut | Exception]) -> None:
        for key in list(self.cards):
            if key not in made:
                self.cards.pop(key).box.delete()
        for place, (key, result) in enumerate(made.items()):
            if key not in self.cards:
                with self.place:
                    self.cards[key] = _Card(
                        key, self.names.get(key, key), self.open.get(key), partial(self.picked, key)
                    )
            self.cards[key].box.move(target_index=place)
            self.cards[key].show(result)
        self._draw_counts(made)
        shown = [key for key in made if key not in BUILT_IN]
        self.line.clear()
        with self.line:
            text = self.text.value or ""
            if shown and len(text) <= 200:
                command_line(f"groundup tokenizer {shlex.quote(shown[0])} {shlex.quote(text)}")
            elif shown:
                command_line(f"groundup tokenizer {shlex.quote(shown[0])} --file text.txt")

    def _draw_counts(self, made: Mapping[str, Cut | Exception]) -> None:
        rows = [(self.names.get(k, k), c, k) for k, c in made.items() if isinstance(c, Cut)]
        most = max((len(c.pieces) for _, c, _ in rows), default=1) or 1
        self.counts.clear()
        with self.counts:
            if not rows:
                empty("Choose a tokenizer.")
                return
            with ui.element("table").classes("st-table"):
                with ui.element("tr"):
                    for name in ("Tokenizer", "Tokens", "", "Bytes per token", "Characters per token"):
                        with ui.element("th").classes("" if name in ("", "Tokenizer") else "st-num").props("scope=col"):
                            ui.label(name)
                for name, result, _ in rows:
                    with ui.element("tr"):
                        _cell(name)
                        _cell(f"{len(result.pieces):,}", number=True)
                        with ui.element("td").classes("st-bar-cell").props("aria-hidden=true"):
                            ui.element("div").classes("st-fill").style(f"width: {100 * len(result.pieces) / most:.1f}%")
                        _cell(f"{result.bytes_per_token:.2f}", number=True)
                        _cell(f"{result.characters_per_token:.2f}", number=True)


def _cell(text: str, *, number: bool = False) -> None:
    with ui.element("td").classes("st-num" if number else ""):
        ui.label(text)


class _Card:
    """One tokenizer's pieces."""

    def __init__(self, key: str, name: str, tokenizer: Tokenizer | None, on_pick: Callable[[Piece], Any]) -> None:
        self.pieces: Sequence[Piece] = ()
        with card(name) as self.box:
            self.box.classes("st-half")
            note = BUILT_IN[key][0] if key in BUILT_IN else f"{tokenizer.vocab_size:,} ids" if tokenizer else ""
            self.kind = ui.label(note).classes("st-note")
            merges = isinstance(tokenizer, BPETokenizer)
            self.strip = TokenStrip(
                label=f"Pieces by {name}",
                hint=POINT + (" Pick one to see its merges below." if merges else ""),
                on_pick=(lambda i: on_pick(self.pieces[i])) if merges else None,
            )
            self.rest = ui.label("").classes("st-note")
            self.trouble = ui.element("div")

    def show(self, result: Cut | Exception) -> None:
        self.trouble.clear()
        failed = isinstance(result, Exception)
        self.strip.set_visibility(not failed)
        if isinstance(result, Exception):
            with self.trouble:
                error_box(result)
            return
        self.pieces = result.pieces
        self.strip.show(coloured(result))
        self.rest.text = left_out(result)
        self.rest.set_visibility(bool(self.rest.text))


class _Stepper:
    """The merges of one piece."""

    def __init__(self, page: _Page) -> None:
        self.page = page
        self.steps: list[Step] = []

    def build(self) -> None:
        with ui.element("div").classes("st-fields"):
            self.which = ui.select({}, label="Tokenizer", on_change=self.text_changed).props(
                "outlined dense options-dense"
            )
            self.piece = ui.select({}, label="Piece of the text", on_change=self.take).props(
                "outlined dense options-dense"
            )
            self.own = ui.input("Or any word", on_change=self.take).props(
                "outlined dense spellcheck=false debounce=200 maxlength=100"
            )
        with ui.element("div").classes("st-row st-nowrap").style("margin-top: .6rem") as self.controls:
            back = self._button("chevron_left", "Step back", -1)
            self.slider = Range(low=0, high=1, step=1, value=0, label="Step", on_change=self.draw)
            forth = self._button("chevron_right", "Step forward", 1)
            self.back, self.forth = back, forth
        self.told = ui.label("").classes("st-readout").props("aria-live=polite")
        with ui.element("div").classes("st-scroll").props('tabindex=0 role=region aria-label="Symbols of the piece"'):
            self.symbols = ui.element("div").classes("st-symbols")
        self.none = ui.element("div")
        with self.none:
            empty(
                "Choose a byte-pair tokenizer above, such as one that a run has trained:",
                "groundup run recipes/quickstart.yaml",
            )
        self._visible(False)

    def _button(self, icon: str, name: str, by: int) -> ui.button:
        return ui.button(icon=icon, on_click=lambda: self.move(by), color=None).props(
            f'round flat color=grey-7 size=sm padding=6px aria-label="{name}" title="{name}"'
        )

    def _visible(self, shown: bool) -> None:
        for part in (self.which, self.piece, self.own, self.controls, self.told, self.symbols):
            part.set_visibility(shown)
        self.none.set_visibility(not shown)

    async def offer(self) -> None:
        """Those of the chosen tokenizers that merge."""
        page = self.page
        able = {}
        for key in page.choice.value:
            tokenizer = page.open.get(key)
            if tokenizer is None:
                continue
            if key not in page.merges:
                made = await asyncio.to_thread(merges_of, tokenizer)
                if made is None:
                    continue
                page.merges[key] = made
            able[key] = page.names[key]
        if self.symbols.is_deleted:
            return
        self._visible(bool(able))
        value = self.which.value if self.which.value in able else next(iter(able), None)
        self.which.set_options(able, value=value)
        await self.text_changed()

    async def text_changed(self) -> None:
        merges = self.page.merges.get(self.which.value)
        if merges is None:
            return
        pieces = (await asyncio.to_thread(merges.pieces, clean(self.page.text.value or "")))[:300]
        if self.symbols.is_deleted:
            return
        before = self.piece.value
        longest = max(pieces, key=len, default=None)
        self.piece.set_options(
            {p: visible(p).replace("\n", "") for p in pieces}, value=before if before in pieces else longest
        )
        self.take()

    def choose(self, key: str, piece: str) -> None:
        """Show this piece of that tokenizer."""
        self.own.value = ""
        if self.which.value != key:
            self.which.value = key
        options = dict(self.piece.options)
        self.piece.set_options({**options, piece: options.get(piece, visible(piece).replace("\n", ""))}, value=piece)
        self.take()

    def take(self) -> None:
        """Work out the steps of the piece that is chosen, or of the word that is typed."""
        merges = self.page.merges.get(self.which.value)
        piece = clean(self.own.value or "") or self.piece.value
        if merges is None or not piece:
            self.steps = []
        else:
            self.steps = merges.steps(piece[:200])
        last = max(1, len(self.steps) - 1)
        self.slider.set(0, high=last)
        self.draw()

    def move(self, by: int) -> None:
        self.slider.set(max(0, min(len(self.steps) - 1, int(self.slider.value) + by)))
        self.draw()

    def draw(self) -> None:
        self.symbols.clear()
        if not self.steps:
            self.told.text = "This tokenizer has no token for some byte of this piece." if self.piece.value else ""
            return
        i = max(0, min(len(self.steps) - 1, int(self.slider.value)))
        step = self.steps[i]
        coming = self.steps[i + 1] if i + 1 < len(self.steps) else None
        self.back.set_enabled(i > 0)
        self.forth.set_enabled(coming is not None)
        tokens = self.page.merges[self.which.value].vocabulary.tokens
        show: Callable[[int], str] = lambda t: piece_of(tokens[t]).shown.replace("\n", "")  # noqa: E731
        with self.symbols:
            for place, token_id in enumerate(step.ids):
                new = place == step.at
                following = (
                    coming is not None and coming.pair is not None and place in (coming.at, (coming.at or 0) + 1)
                )
                with ui.element("div").classes("st-symbol" + (" st-new" if new else " st-next" if following else "")):
                    ui.label(show(token_id))
                    ui.label(f"{token_id}")
        count = f"Step {i} of {len(self.steps) - 1}. {len(step.ids)} symbol{'s' * (len(step.ids) != 1)}. "
        if step.pair is not None:
            left, right = step.pair
            assert step.at is not None
            count += f"“{show(left)}” + “{show(right)}” became id {step.ids[step.at]}: merge number {step.rank:,}. "
        elif step.at is not None:
            count += "The piece is in the vocabulary as it is, so it is that token whatever its merges. "
        else:
            count += "The bytes, each a token. "
        if coming is None:
            count += "Nothing is left to merge."
        elif coming.pair is not None:
            count += "Dashed: what merges next."
        self.told.text = count

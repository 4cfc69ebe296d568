"""A window of a split's tokens, as they lie in their shards: which piece of text each is, and where a document ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from nicegui import ui

from groundup.core.protocols import Tokenizer
from groundup.data.shards import TokenShards

from ..app import Studio
from ..data_rows import DataStage, Window, token_window, tokenizer_of
from ..frame import empty, working
from ..pieces import TokenStrip, use_pieces

_SIZES = (64, 128, 256, 512)


class TokenWindow:
    def __init__(self, studio: Studio, run: Path, stage: DataStage) -> None:
        self.studio, self.run, self.stage = studio, run, stage
        self.split = stage.files[0] if stage.files else ""
        self.start, self.size = 0, 128
        self.shards: TokenShards | None = None
        self.tokenizer: Tokenizer | None = None

    async def build(self, box: ui.element) -> None:
        """In `box`; the shards are mapped and the tokenizer is opened in a thread."""
        with box:
            if not self.split:
                empty("No split has tokens.")
                return
            use_pieces()
            place = ui.element("div")
        if not await self._open(place):
            return
        with box:
            self._controls()
            self.strip = TokenStrip(label="Tokens")
            self.said = ui.label().classes("st-note").props("role=status")
        self.place = place
        await self._show()

    async def _open(self, place: ui.element) -> bool:
        def work() -> tuple[TokenShards, Tokenizer]:
            shards = TokenShards.open(self.stage.path, self.split, contents=False)
            tokenizer = self.tokenizer or tokenizer_of(self.run, shards.index.tokenizer, self.studio.openers.tokenizer)
            return shards, tokenizer

        opened = await working(place, "Opening the shards …", work)
        if opened is None:
            return False
        self.shards, self.tokenizer = opened
        return not place.is_deleted

    def _controls(self) -> None:
        with ui.element("div").classes("st-row st-controls"):
            if len(self.stage.files) > 1:
                names = {split: split.capitalize() for split in self.stage.files}
                ui.toggle(names, value=self.split, on_change=lambda event: self._split(event.value)).props(
                    'no-caps dense unelevated toggle-color=primary aria-label="Split"'
                )
            ui.select(list(_SIZES), value=self.size, label="Tokens", on_change=lambda event: self._set(size=event.value)).props(
                "outlined dense options-dense").classes("st-number-box")  # fmt: skip
            self.at = ui.number("From token", value=0, min=0, step=1, precision=0, on_change=lambda event: self._set(start=event.value)).props(
                "outlined dense debounce=300").classes("st-number-box")  # fmt: skip
            self.document = ui.number("Document", min=0, step=1, precision=0, on_change=lambda event: self._go(event.value)).props(
                "outlined dense debounce=300").classes("st-number-box")  # fmt: skip
            ui.button(icon="chevron_left", on_click=lambda: self._move(-1), color=None).props(
                'flat round dense aria-label="Earlier tokens"'
            )
            ui.button(icon="chevron_right", on_click=lambda: self._move(1), color=None).props(
                'flat round dense aria-label="Later tokens"'
            )

    async def _split(self, split: str) -> None:
        self.split, self.start = split, 0
        if await self._open(self.place):
            self.at.set_value(0)
            await self._show()

    async def _set(self, **given: Any) -> None:
        changed = False
        for name, value in given.items():
            if value is not None and int(value) != getattr(self, name):
                setattr(self, name, int(value))
                changed = True
        if changed:
            await self._show()

    async def _go(self, number: Any) -> None:
        if number is None or self.shards is None or not 0 <= int(number) < self.shards.num_documents:
            return
        await self._set(start=int(self.shards.document_starts[int(number)]))

    async def _move(self, by: int) -> None:
        await self._set(start=max(0, self.start + by * self.size))

    async def _show(self) -> None:
        shards, tokenizer = self.shards, self.tokenizer
        if shards is None or tokenizer is None:
            return
        window = await asyncio.to_thread(token_window, shards, tokenizer, self.start, self.size)
        if self.strip.is_deleted:
            return
        self.start = window.start
        self.strip.show(_shown(window))
        self.at.set_value(window.start)
        stop = window.start + len(window.pieces)
        documents = sorted(set(window.documents))
        which = f"document {documents[0]:,}" + (f" to {documents[-1]:,}" if len(documents) > 1 else "")
        lost = "".join(f" Shard {name} was left out: {why}." for name, why in shards.quarantined)
        self.said.set_text(
            f"Tokens {window.start:,} to {stop - 1:,} of {shards.num_tokens:,}, {which} of {shards.num_documents:,}.{lost}"
        )


def _shown(window: Window) -> list[dict[str, str]]:
    """Colours turn from token to token; the token that ends a document stands out and begins a new line."""
    return [
        {
            "t": f"{piece.shown}\n" if ends else piece.shown,
            "n": f"id {piece.token_id:,} · token {window.start + i:,} · document {document:,}",
            "k": "st-ends" if ends else f"st-t{i % 5}" + ("" if piece.whole else " st-partial"),
        }
        for i, (piece, document, ends) in enumerate(zip(window.pieces, window.documents, window.ends))
    ]

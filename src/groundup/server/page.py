"""The chat page at `/`: NiceGUI, which ships its own scripts, so that it works without a network.

It asks the same Generator as the API, through the same bridge and the same limits. Model text reaches the browser as text
nodes only: there is no Markdown or HTML to escape from. A model without a chat template gets a page that continues text.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nicegui import background_tasks, ui

from groundup.core.errors import RequestError
from groundup.core.types import Request, SamplingParams, Usage

from .bridge import Stream
from .errors import Failure
from .transcript import Segment, Transcript, segments

if TYPE_CHECKING:
    from fastapi import FastAPI

    from .routes import Service

_REDRAW_SECONDS = 0.04
_PRIMARY = "#0f766e"
_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='8' fill='#0f766e'/>"
    "<path d='M8 22h16M11 17h10M14 12h4' stroke='#fff' stroke-width='2.6' stroke-linecap='round'/></svg>"
)
_ENTER = (
    "(event) => { if (!event.shiftKey && !event.isComposing) { event.preventDefault(); emit(event.target.value); } }"
)
_THEMES = ((None, "brightness_auto", "system colours"), (True, "dark_mode", "dark"), (False, "light_mode", "light"))


def add_page(app: FastAPI, service: Service) -> None:
    """Mount the page into `app`. Once per process: NiceGUI's state is the process's."""

    @ui.page("/", title=f"{service.model} · groundup", dark=None, favicon=_ICON, language="en-US")
    def chat() -> None:
        _Page(service).build()

    ui.run_with(app, tailwind=False, show_welcome_message=False, reconnect_timeout=10.0)
    start = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with AsyncExitStack() as running:
            # To find its server, which only its own `shutdown` needs, NiceGUI asks every object that the collector knows for
            # its class. One that answers with an error stops the start, one that warns (torch.distributed.reduce_op) shows
            # the user a stranger's warning. Frozen objects are not asked.
            gc.freeze()
            try:
                state = await running.enter_async_context(start(app))
            finally:
                gc.unfreeze()
            yield state

    app.router.lifespan_context = lifespan


@lru_cache
def _shipped(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


class _Page:
    """One open tab."""

    def __init__(self, service: Service) -> None:
        self.service = service
        able = service.generator.capabilities
        self.chats = "chat" in able.abilities
        self.context = able.max_context_tokens
        self.max_tokens = max(1, min(service.config.default_max_tokens, self.context // 2))
        self.transcript = Transcript()
        self.stream: Stream | None = None
        self.busy = False
        self.stopped = False

    def build(self) -> None:
        ui.colors(primary=_PRIMARY)
        ui.add_css(_shipped("page.css"))
        ui.add_body_html(f"<script type='module'>{_shipped('page.js')}</script>")
        self._bar()
        self.talk = ui.element("div").classes("gu-talk").props('role=log aria-label="Conversation"')
        self._welcome()
        self._foot()
        ui.on("gu-stop", self._stop)
        ui.context.client.on_disconnect(self._stop)

    def _bar(self) -> None:
        with ui.header().classes("gu-bar"):
            ui.label("groundup").classes("gu-brand")
            ui.label(self.service.model).classes("gu-model").props(f'title="{self.context:,} tokens of context"')
            ui.element("span").classes("gu-grow")
            _button("add_comment", "New chat" if self.chats else "Clear", self._new)
            with _button("tune", "Settings"), ui.menu().props("anchor='bottom right' self='top right'"):
                self._settings()
            self.theme = ui.dark_mode(None)
            self.theme_button = _button(_THEMES[0][1], "Colours: system", self._next_theme)

    def _settings(self) -> None:
        with ui.element("div").classes("gu-settings"):
            with ui.element("div").classes("gu-setting"):
                ui.label("Temperature")
                shown = ui.label()
            self.temperature = ui.slider(min=0, max=2, step=0.05, value=0.8).props('aria-label="Temperature"')
            shown.bind_text_from(self.temperature, "value", lambda v: "0 (most likely)" if v == 0 else f"{v:.2f}")
            self.length = ui.number(
                "Longest answer, in tokens", value=self.max_tokens, min=1, max=self.context, step=1, precision=0
            ).props("dense")

    def _foot(self) -> None:
        with ui.footer().classes("gu-foot"):
            with ui.element("div").classes("gu-box"):
                placeholder = "Write a message" if self.chats else "Write the beginning of a text"
                self.input = (
                    ui.textarea(placeholder=placeholder)
                    .props(f'autogrow borderless dense autofocus rows=1 aria-label="{placeholder}"')
                    .on("keydown.enter", lambda event: self._send(str(event.args)), js_handler=_ENTER)
                )
                self.send_button = _button("arrow_upward", "Send", lambda: self._send(self.input.value), filled=True)
                self.stop_button = _button("stop", "Stop", self._stop, filled=True)
                self.stop_button.set_visibility(False)
            ui.label("Enter sends · Shift+Enter begins a new line · Esc stops").classes("gu-hint")

    def _welcome(self) -> None:
        with self.talk, ui.element("div").classes("gu-empty") as self.empty:
            with ui.element("h1"):
                ui.label(f"Talk to {self.service.model}" if self.chats else f"{self.service.model} continues your text")
            if self.chats:
                ui.label("Everything stays on the machine that runs this server.")
            else:
                ui.label("This model has no chat template. Write the beginning of a text and it goes on from there.")

    def _next_theme(self) -> None:
        values = [value for value, _, _ in _THEMES]
        value, icon, name = _THEMES[(values.index(self.theme.value) + 1) % len(_THEMES)]
        self.theme.value = value
        self.theme_button.props(f'icon={icon} aria-label="Colours: {name}" title="Colours: {name}"')

    def _new(self) -> None:
        self._stop()
        self.transcript = Transcript()
        self.talk.clear()
        self._welcome()
        ui.run_javascript("document.querySelector('.gu-box textarea').focus()")

    def _stop(self) -> None:
        self.stopped = True
        if self.stream is not None:
            self.stream.cancel()

    def _send(self, text: str) -> None:
        if self.busy or not text.strip():
            return
        self.busy, self.stopped = True, False
        self.input.value = ""
        self.empty.set_visibility(False)
        self.send_button.set_visibility(False)
        self.stop_button.set_visibility(True)
        background_tasks.create(self._answer(text, self.transcript), name="answer")

    async def _answer(self, text: str, transcript: Transcript) -> None:
        with self.talk:
            if self.chats:
                ui.label(text).classes("gu-user").props("dir=auto")
            view = _Answer(begun=None if self.chats else text)
        transcript.asked(text)
        try:
            while True:
                try:
                    await self._stream(text, transcript, view)
                    break
                except RequestError as error:
                    if not (error.code == "context_length_exceeded" and self.chats and transcript.forget_oldest()):
                        raise
                    view.shortened = True
            if view.text and self.chats:
                transcript.answered(view.text)
            else:
                transcript.take_back()
        except Exception as error:
            transcript.take_back()
            view.failed(Failure(error).object["error"]["message"])
        finally:
            self.stream, self.busy = None, False
            self.stop_button.set_visibility(False)
            self.send_button.set_visibility(True)
            view.ended(stopped=self.stopped)

    async def _stream(self, text: str, transcript: Transcript, view: _Answer) -> None:
        request = Request(
            prompt=transcript.prompt() if self.chats else text,
            params=SamplingParams(
                max_tokens=max(1, min(int(self.length.value or self.max_tokens), self.context)),
                temperature=float(self.temperature.value),
            ),
        )
        self.stream = self.service.bridge.open([request])
        if self.stopped:
            self.stream.cancel()
        async for batch in self.stream.batches():
            for _, chunk in batch:
                view.add(chunk.text, len(chunk.token_ids), chunk.usage, chunk.finish_reason)
            view.draw()
            # What arrives meanwhile is drawn together: the browser is told at most 25 times a second.
            await asyncio.sleep(_REDRAW_SECONDS)


class _Answer:
    """One answer on the page, drawn again from where it has changed."""

    def __init__(self, *, begun: str | None) -> None:
        self.text = ""
        self.shortened = False
        self._tokens = 0
        self._usage: Usage | None = None
        self._reason: str | None = None
        self._begun = self._last = time.monotonic()
        self._drawn: list[tuple[Segment, Any]] = []
        with ui.element("article").classes("gu-answer") as self._box:
            if begun is not None:
                ui.label(begun).classes("gu-begun").props("dir=auto")
            self._body = ui.element("div").classes("gu-answer")
            self._dot = ui.element("div").classes("gu-working").props('role=status aria-label="The model is working"')
            self._note = ui.element("div").classes("gu-note")

    def add(self, text: str, tokens: int, usage: Usage | None, reason: str | None) -> None:
        self._last = time.monotonic()
        self.text += text
        self._tokens += tokens
        self._usage = usage or self._usage
        self._reason = reason or self._reason

    def draw(self) -> None:
        if self._box.is_deleted:  # the chat was cleared, or the tab closed, meanwhile
            return
        wanted = segments(self.text)
        for i, segment in enumerate(wanted):
            if i < len(self._drawn):
                before, label = self._drawn[i]
                if before == segment:
                    continue
                if before.code == segment.code:
                    label.set_text(segment.text)
                    self._drawn[i] = (segment, label)
                    continue
                for _, old in self._drawn[i:]:
                    old.delete()
                del self._drawn[i:]
            with self._body:
                label = ui.label(segment.text).classes("gu-code" if segment.code else "gu-prose").props("dir=auto")
            self._drawn.append((segment, label))

    def failed(self, message: str) -> None:
        if self._box.is_deleted:
            return
        with self._box:
            ui.label(message).classes("gu-error").props("role=alert")

    def ended(self, *, stopped: bool) -> None:
        if self._box.is_deleted:
            return
        self._dot.delete()
        facts = []
        if self._usage is not None:
            facts.append(f"{self._usage.prompt_tokens:,} + {self._usage.completion_tokens:,} tokens")
        elif self._tokens:
            facts.append(f"{self._tokens:,} tokens")
        if self._tokens and self._last > self._begun:
            # From the question on, reading it included: what arrives in one piece has no rate of its own.
            facts.append(f"{_rate(self._tokens / (self._last - self._begun))} tokens/s")
        if stopped:
            facts.append("stopped")
        elif self._reason == "length":
            facts.append("reached the longest answer allowed")
        if self.shortened:
            facts.append("older messages no longer fit and were left out")
        with self._note:
            ui.label(" · ".join(facts))
            if self.text:
                _button("content_copy", "Copy the answer", lambda: ui.clipboard.write(self.text), small=True)


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.1f}"


def _button(icon: str, name: str, click: Any = None, *, filled: bool = False, small: bool = False) -> ui.button:
    look = "round unelevated color=primary" if filled else "round flat color=grey-7"
    size = "xs" if small else "sm"
    return ui.button(icon=icon, on_click=click, color=None).props(
        f'{look} size={size} padding=8px aria-label="{name}" title="{name}"'
    )

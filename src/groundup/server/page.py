"""The chat page at `/`: NiceGUI, which ships its own scripts, so that it works without a network.

It asks the same Generator as the API, through the same bridge and the same limits. Model text reaches the browser as text
nodes only: there is no Markdown or HTML to escape from. A model without a chat template gets a page that continues text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nicegui import background_tasks, ui

from groundup.core.errors import RequestError
from groundup.core.types import Request, SamplingParams, Usage

from .bridge import Stream
from .errors import Failure
from .mount import ICON, mount_pages
from .transcript import Segment, Transcript, segments

if TYPE_CHECKING:
    from fastapi import FastAPI

    from .routes import Service

_REDRAW_SECONDS = 0.04
_PRIMARY = "#0f766e"
_COLOURS = "groundup_colours"
_ENTER = (
    "(event) => { if (!event.shiftKey && !event.isComposing) { event.preventDefault(); emit(event.target.value); } }"
)
_THEMES = ((None, "brightness_auto", "system"), (True, "dark_mode", "dark"), (False, "light_mode", "light"))


def add_page(app: FastAPI, service: Service) -> None:
    """Mount the page into `app`, at `/`."""

    @ui.page("/", title=f"{service.model} · groundup", dark=None, favicon=ICON, language="en-US")
    def chat() -> None:
        look()
        Chat(service).build()

    mount_pages(app)


def look() -> None:
    """The colours and letters of every page."""
    ui.colors(primary=_PRIMARY)
    ui.add_css(_shipped("page.css"))


@lru_cache
def _shipped(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


class Chat:
    """The conversation of one open tab, with whichever model `service` is over."""

    def __init__(self, service: Service, *, again: Callable[[], Awaitable[Service]] | None = None) -> None:
        """again: gives the service anew before each message, where it may have been closed since the last."""
        self.service = service
        self.again = again
        able = service.generator.capabilities
        self.chats = "chat" in able.abilities
        self.context = able.max_context_tokens
        self.max_tokens = max(1, min(service.config.default_max_tokens, self.context // 2))
        self.transcript = Transcript()
        self.stream: Stream | None = None
        self.busy = False
        self.stopped = False
        self.others: list[Chat] = []
        self._ended: Callable[[], None] = self._show_buttons

    def build(self) -> None:
        """The whole page: a header, the conversation, the box to write in at its foot."""
        self._bar()
        self.conversation()
        with ui.footer().classes("gu-foot"):
            self.box()

    def conversation(self) -> None:
        """What has been said."""
        self.talk = ui.element("div").classes("gu-talk").props('role=log aria-label="Conversation"')
        self._welcome()
        ui.on("gu-stop", self._stop)
        ui.context.client.on_disconnect(self._stop)

    def box(self) -> None:
        """Where one writes; once a page, after `conversation` and `tools`."""
        ui.add_body_html(f"<script type='module'>{_shipped('page.js')}</script>")
        self._foot()

    def beside(self, other: Chat) -> None:
        """`other` is sent what this one is sent, with this one's settings; it needs neither `tools` nor `box`. Call it after `tools`."""
        self.others.append(other)
        other.temperature, other.length = self.temperature, self.length

    def _bar(self) -> None:
        with ui.header().classes("gu-bar"):
            ui.label("groundup").classes("gu-brand")
            ui.label(self.service.model).classes("gu-model").props(f'title="{self.context:,} tokens of context"')
            ui.element("span").classes("gu-grow")
            self.tools()
            colours_button()

    def tools(self) -> None:
        """Its buttons: begin again, settings."""
        button("add_comment", "New chat" if self.chats else "Clear", self._new)
        with button("tune", "Settings"), ui.menu().props("anchor='bottom right' self='top right'"):
            self._settings()

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
        with ui.element("div").classes("gu-box"):
            placeholder = "Write a message" if self.chats else "Write the beginning of a text"
            self.input = (
                ui.textarea(placeholder=placeholder)
                .props(f'autogrow borderless dense autofocus rows=1 aria-label="{placeholder}"')
                .on("keydown.enter", lambda event: self._send(str(event.args)), js_handler=_ENTER)
            )
            self.send_button = button("arrow_upward", "Send", lambda: self._send(self.input.value), filled=True)
            self.stop_button = button("stop", "Stop", self._stop, filled=True)
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

    def _new(self) -> None:
        for chat in (self, *self.others):
            chat._clear()
        ui.run_javascript("document.querySelector('.gu-box textarea').focus()")

    def _clear(self) -> None:
        self._stop()
        self.transcript = Transcript()
        self.talk.clear()
        self._welcome()

    def _stop(self) -> None:
        for chat in (self, *self.others):
            chat.stopped = True
            if chat.stream is not None:
                chat.stream.cancel()

    def _send(self, text: str) -> None:
        chats = (self, *self.others)
        if any(chat.busy for chat in chats) or not text.strip():
            return
        self.input.value = ""
        for chat in chats:
            chat.busy, chat.stopped = True, False
            chat.empty.set_visibility(False)
            chat._ended = self._show_buttons
            background_tasks.create(chat._answer(text, chat.transcript), name="answer")
        self._show_buttons()

    def _show_buttons(self) -> None:
        """Stop while any answers, else send."""
        busy = any(chat.busy for chat in (self, *self.others))
        self.stop_button.set_visibility(busy)
        self.send_button.set_visibility(not busy)

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
            self._ended()
            view.ended(stopped=self.stopped)

    async def _stream(self, text: str, transcript: Transcript, view: _Answer) -> None:
        request = Request(
            prompt=transcript.prompt() if self.chats else text,
            params=SamplingParams(
                max_tokens=max(1, min(int(self.length.value or self.max_tokens), self.context)),
                temperature=float(self.temperature.value),
            ),
        )
        if self.again is not None:
            self.service = await self.again()
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
                button("content_copy", "Copy the answer", lambda: ui.clipboard.write(self.text), small=True)


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.1f}"


def colours_button() -> None:
    """The system's colours, dark, light, in turn. Kept in a cookie, so that the next page begins with them."""
    kept = ui.context.client.request.cookies.get(_COLOURS, "system") if ui.context.client.request else "system"
    place = next((i for i, (_, _, name) in enumerate(_THEMES) if name == kept), 0)
    mode = ui.dark_mode(_THEMES[place][0])

    def show(place: int) -> None:
        value, icon, name = _THEMES[place]
        mode.value = value
        shown.props(f'icon={icon} aria-label="Colours: {name}" title="Colours: {name}"')

    def turn() -> None:
        nonlocal place
        place = (place + 1) % len(_THEMES)
        show(place)
        ui.run_javascript(
            f"document.cookie = '{_COLOURS}={_THEMES[place][2]}; path=/; SameSite=Strict; max-age=31536000'"
        )

    shown = button(_THEMES[place][1], f"Colours: {_THEMES[place][2]}", turn)


def button(icon: str, name: str, click: Any = None, *, filled: bool = False, small: bool = False) -> ui.button:
    look = "round unelevated color=primary" if filled else "round flat color=grey-7"
    size = "xs" if small else "sm"
    return ui.button(icon=icon, on_click=click, color=None).props(
        f'{look} size={size} padding=8px aria-label="{name}" title="{name}"'
    )

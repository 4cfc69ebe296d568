"""What every page has: the header with the views, the content's column, and the few parts that pages are built of.

Text from models, data and files is only ever put on the page as text (`ui.label`, `ui.element` with text), never as HTML or Markdown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.resources import files
from typing import Any, TypeVar

from nicegui import ui

from groundup.core.errors import GroundupError
from groundup.server.page import colours_button, look

T = TypeVar("T")

VIEWS = (
    ("/", "Roadmap", "map"),
    ("/runs", "Runs", "show_chart"),
    ("/tokens", "Tokens", "data_array"),
    ("/attention", "Attention", "grid_on"),
    ("/sampling", "Sampling", "casino"),
    ("/data", "Data", "dataset"),
    ("/chat", "Chat", "chat"),
)
"""Path, name, icon: the header, in the order of a model's life."""
SERIES = ("#0f766e", "#c2410c", "#4338ca", "#a16207", "#be185d", "#0369a1", "#4d7c0f", "#7e22ce")
"""Colours of lines and kinds, told apart in light and dark and by people who see few colours, in this order."""

_TO_HERE = "document.querySelector('.st-view[aria-current]')?.scrollIntoView({inline: 'center', block: 'nearest'})"
"""Where the header is wider than the page, this page's view is the one that is seen."""


@lru_cache
def _shipped(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@contextmanager
def frame(path: str) -> Iterator[None]:
    """The page around the content. path: of this page, which marks its view."""
    look()
    ui.add_css(_shipped("studio.css"))
    ui.add_body_html('<a class="st-skip" href="#content">Skip to the content</a>')
    here = "/" if path.startswith(("/chapter", "/projects")) else f"/{path.split('/')[1]}"
    with ui.header().classes("gu-bar st-bar"):
        with ui.link(target="/").classes("st-home").props('aria-label="groundup: the roadmap"'):
            ui.label("groundup").classes("gu-brand")
        with ui.element("nav").classes("st-nav").props('aria-label="Views"'):
            for target, name, icon in VIEWS:
                with ui.link(target=target).classes("st-view").props(f'aria-label="{name}"') as link:
                    ui.icon(icon).props("aria-hidden=true")
                    ui.label(name)
                if target == here:
                    link.props("aria-current=page")
        ui.element("span").classes("gu-grow")
        colours_button()
    ui.run_javascript(_TO_HERE)
    with ui.element("div").classes("st-content").props("id=content tabindex=-1"):
        yield


def heading(title: str, lead: str = "") -> None:
    """The page's title, and one sentence of what it is for."""
    with ui.element("header").classes("st-heading"):
        with ui.element("h1"):
            ui.label(title)
        if lead:
            ui.label(lead).classes("st-lead")


@contextmanager
def card(title: str = "", *, note: str = "") -> Iterator[ui.element]:
    """A box of the content, with a heading of its own."""
    with ui.element("section").classes("st-card") as box:
        if title:
            with ui.element("h2"):
                ui.label(title)
        if note:
            ui.label(note).classes("st-note")
        yield box


def facts(pairs: Mapping[str, str] | Sequence[tuple[str, str]]) -> None:
    """Names and values, aligned."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    with ui.element("dl").classes("st-facts"):
        for name, value in items:
            with ui.element("dt"):
                ui.label(name)
            with ui.element("dd"):
                ui.label(value)


def command_line(line: str) -> None:
    """A command to copy: what the page shows can be had on the command line too."""
    with ui.element("div").classes("st-command"):
        ui.label(line).classes("st-mono")
        ui.button(icon="content_copy", on_click=lambda: ui.clipboard.write(line), color=None).props(
            'round flat color=grey-7 size=xs padding=6px aria-label="Copy the command" title="Copy"'
        )


def error_box(error: Exception) -> None:
    """An error as the command line tells it: what, why, and the next command."""
    with ui.element("div").classes("gu-error").props("role=alert"):
        ui.label(error.message if isinstance(error, GroundupError) else f"{error}")
        hint = getattr(error, "hint", "")
        if hint:
            ui.label(f"Try: {hint}").classes("st-mono")


def empty(text: str, command: str = "") -> None:
    """What is shown where there is nothing yet, and how to get something."""
    with ui.element("div").classes("st-empty"):
        ui.label(text)
        if command:
            command_line(command)


async def working(place: ui.element, text: str, work: Callable[..., T], *given: Any) -> T | None:
    """Run `work` in a thread while `place` says `text`; then `place` is empty again. An error of ours is shown there: None."""
    place.clear()
    with place, ui.element("div").classes("st-working").props("role=status"):
        ui.spinner(size="1.2rem")
        ui.label(text)
    try:
        done = await asyncio.to_thread(work, *given)
    except (GroundupError, OSError, ValueError) as error:
        if not place.is_deleted:
            place.clear()
            with place:
                error_box(error)
        return None
    if not place.is_deleted:
        place.clear()
    return done


def chart(options: dict[str, Any], *, height: str = "18rem", label: str = "") -> ui.echart:
    """An ECharts plot in the page's colours. label: what a screen reader says of it."""
    axis = {
        "axisLine": {"lineStyle": {"color": "#8a9691"}}, "axisLabel": {"color": "#66726d"},
        "splitLine": {"lineStyle": {"color": "#8a969133"}}, "nameTextStyle": {"color": "#66726d"},
    }  # fmt: skip
    made = {
        "backgroundColor": "transparent", "color": list(SERIES), "animation": False,
        "textStyle": {"fontFamily": "system-ui, sans-serif"},
        "grid": {"left": 8, "right": 16, "top": 36, "bottom": 28, "containLabel": True},
        **options,
    }  # fmt: skip
    for name in ("xAxis", "yAxis"):
        if isinstance(made.get(name), dict):
            made[name] = {**axis, **made[name]}
    drawn = ui.echart(made).style(f"height: {height}; width: 100%")
    if label:
        drawn.props(f'role=img aria-label="{label.replace(chr(34), chr(39))}"')
    return drawn


def style_sheet(name: str) -> None:
    """Add a view's own style sheet, a file of this package, to the page."""
    ui.add_css(_shipped(name))


def when_seen_again(handler: Callable[[], Any]) -> None:
    """Call `handler` whenever the tab comes back into view: something may have been done meanwhile, in a terminal or another tab."""
    ui.on("st-seen", handler)
    ui.add_body_html(
        "<script>document.addEventListener('visibilitychange', () => { if (!document.hidden) emitEvent('st-seen'); });</script>"
    )

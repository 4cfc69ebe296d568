"""Chat: any run or model, in the same conversation view as the server's page; two beside each other are sent the same."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nicegui import ui

from groundup.core.artifact import SEAL, read_seal
from groundup.core.errors import GroundupError
from groundup.server.page import Chat
from groundup.server.routes import Service

from ..app import Studio
from ..choosing import choose_model, models_of
from ..frame import command_line, error_box, heading

_NONE = ""


def add(studio: Studio) -> None:
    @studio.page("/chat", "Chat")
    async def chat(model: str = "", beside: str = "") -> None:
        heading(
            "Chat",
            "Talk to what you trained, or let it go on from your text. Two models side by side get the same messages.",
        )
        with ui.element("div").classes("st-choices-row"):
            chosen = await choose_model(studio, model, "/chat")
            if chosen is None:
                return
            other = await _choose_beside(studio, chosen, beside)
        place = ui.element("div")
        with place, ui.element("div").classes("st-working").props("role=status"):
            ui.spinner(size="1.2rem")
            ui.label("Opening the model" if other is None else "Opening the models")
        await ui.context.client.connected()
        paths = [path for path in (chosen, other) if path is not None]
        services: list[Service] = []
        try:
            for path in paths:
                services.append(await studio.models.get(Path(path)))
            told = [
                await asyncio.to_thread(told_of, Path(path), service)
                for path, service in zip(paths, services, strict=True)
            ]
        except (GroundupError, OSError) as error:
            if not place.is_deleted:
                place.clear()
                with place:
                    error_box(error)
            return
        if place.is_deleted:
            return
        place.clear()
        with place:
            _converse(studio, paths, services, told)


async def _choose_beside(studio: Studio, chosen: str, given: str) -> str | None:
    """A second model, if one is wanted."""
    models = await asyncio.to_thread(models_of, studio.config.runs)
    if given and given not in models and Path(given).is_dir():
        models = {given: Path(given).name, **models}
    models = {path: name for path, name in models.items() if path != chosen}
    if not models:
        return None
    value = given if given in models else _NONE

    def go(path: str) -> None:
        ui.navigate.to(f"/chat?model={quote(chosen)}" + (f"&beside={quote(path)}" if path else ""))

    ui.select({_NONE: "none", **models}, value=value, label="Beside it", on_change=lambda event: go(event.value)).props(
        "outlined dense options-dense"
    ).classes("st-choice")
    return value or None


def _converse(studio: Studio, paths: list[str], services: list[Service], told: list[str]) -> None:
    # Other tabs open other models, and only so many stay open.
    chats = [
        Chat(service, again=partial(studio.models.get, Path(path)))
        for path, service in zip(paths, services, strict=True)
    ]
    lead, *others = chats
    with ui.element("div").classes("st-chat-bar"):
        lead.tools()
    with ui.element("div").classes("st-chat"):
        with ui.element("div").classes("st-chats" if others else "st-chats st-alone"):
            for path, chat, facts in zip(paths, chats, told, strict=True):
                with ui.element("section") as side:
                    side._props["aria-label"] = name_of(path)
                    with ui.element("div").classes("st-chat-name"):
                        ui.label(name_of(path)).classes("st-chat-title")
                        ui.label(facts).classes("st-note").style("margin: 0")
                    chat.conversation()
        for other in others:
            lead.beside(other)
        with ui.element("div").classes("gu-foot st-chat-foot"):
            lead.box()
    command_line(f"groundup chat {paths[0]}")


def name_of(path: str) -> str:
    """Run and stage, as people call a model."""
    return " / ".join(Path(path).resolve().parts[-2:])


def told_of(path: Path, service: Service) -> str:
    """A line about a model: its size, its loss, its context, what it can do."""
    parts = []
    figures: dict[str, Any] = {}
    if (path / SEAL).is_file():
        found = read_seal(path).facts.get("figures", {})
        figures = dict(found) if isinstance(found, dict) else {}
    if isinstance(figures.get("parameters"), int):
        parts.append(f"{figures['parameters'] / 1e6:.1f} M parameters")
    if isinstance(figures.get("steps"), int):
        parts.append(f"{figures['steps']:,} step{'s' * (figures['steps'] != 1)}")
    able = service.generator.capabilities
    parts.append(f"context of {able.max_context_tokens:,} tokens")
    parts.append("answers messages" if "chat" in able.abilities else "goes on from a text")
    return " · ".join(parts)

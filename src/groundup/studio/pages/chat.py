"""Chat: any run or model, in the same conversation view as the server's page."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui

from groundup.server.page import Chat

from ..app import Studio
from ..choosing import choose_model
from ..frame import heading


def add(studio: Studio) -> None:
    @studio.page("/chat", "Chat")
    async def chat(model: str = "") -> None:
        heading("Chat", "Talk to what you trained, or let it go on from your text.")
        chosen = await choose_model(studio, model, "/chat")
        if chosen is None:
            return
        service = await studio.models.get(Path(chosen))
        view = Chat(service)
        with ui.element("div").classes("st-row"):
            view.tools()
        with ui.element("div").classes("st-chat"):
            view.build(bar=False)

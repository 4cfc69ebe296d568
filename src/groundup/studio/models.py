"""Models that pages have opened, each as the server has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from groundup.server.config import ServerConfig
from groundup.server.routes import Service

from .kept import KeptOpen

_GRACE_SECONDS = 5.0


class OpenModels:
    def __init__(self, opener: Callable[[Path], Any], config: ServerConfig) -> None:
        self._kept = KeptOpen(lambda path: Service(opener(path), config), self._close)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self, path: Path) -> Service:
        """The model in a run or model directory, behind the server's bridge; opened where it is not, or has been trained on.

        Takes a while, and then not. Raises what opening raises.
        """
        self._loop = asyncio.get_running_loop()
        return await asyncio.to_thread(self._kept.get, path)

    def _close(self, service: Service) -> None:
        assert self._loop is not None  # what is open was opened in it
        self._loop.call_soon_threadsafe(service.bridge.drain, _GRACE_SECONDS)  # a bridge belongs to its event loop
        service.generator.close()  # type: ignore[attr-defined]  # of `Openers.model`

    def close(self) -> None:
        """Close every model; what it is generating ends."""
        self._kept.close()

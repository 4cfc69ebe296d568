"""Models that pages have opened: at most two at a time, each as the server has it."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from groundup.server.config import ServerConfig
from groundup.server.routes import Service

_MOST = 2
"""Weights of more would fill a laptop's memory; two are enough to compare."""
_GRACE_SECONDS = 5.0


class OpenModels:
    def __init__(self, opener: Callable[[Path], Any], config: ServerConfig) -> None:
        self._opener = opener
        self._config = config
        self._open: OrderedDict[Path, tuple[int, Service]] = OrderedDict()
        self._lock = threading.Lock()

    async def get(self, path: Path) -> Service:
        """The model in a run or model directory, behind the server's bridge; opened where it is not, or has been trained on.

        Takes a while, and then not. Raises what opening raises.
        """
        return await asyncio.to_thread(self._get, path.resolve(), asyncio.get_running_loop())

    def _get(self, path: Path, loop: asyncio.AbstractEventLoop) -> Service:
        with self._lock:
            stamp = stamp_of(path)
            known = self._open.get(path)
            if known is not None and known[0] == stamp:
                self._open.move_to_end(path)
                return known[1]
            if known is not None:
                self._close(path, loop)
            while len(self._open) >= _MOST:
                self._close(next(iter(self._open)), loop)
            service = Service(self._opener(path), self._config)
            self._open[path] = (stamp, service)
            return service

    def _close(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        _, service = self._open.pop(path)
        loop.call_soon_threadsafe(service.bridge.drain, _GRACE_SECONDS)  # a bridge belongs to its event loop
        close = getattr(service.generator, "close", None)
        if close is not None:
            close()

    def drain(self, grace_seconds: float) -> None:
        """Let what is being generated end, then close every model."""
        with self._lock:
            for path in list(self._open):
                self._close(path, asyncio.get_running_loop())


def stamp_of(path: Path) -> int:
    """Changes when a model in the directory (or run) is written anew."""
    seals = [*path.glob("groundup.json"), *path.glob("*/groundup.json")]
    return max((seal.stat().st_mtime_ns for seal in seals), default=0)

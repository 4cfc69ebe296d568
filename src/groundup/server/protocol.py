"""uvicorn's HTTP connection with two clocks it lacks: for slow headers and for a reader that does not read."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol


class _TimedFlow(FlowControl):
    """Drops the connection when what was written to it is not taken in time, and with it what was made for it."""

    def __init__(self, transport: asyncio.Transport, timeout_seconds: float) -> None:
        super().__init__(transport)
        self._timeout_seconds = timeout_seconds

    async def drain(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await super().drain()
        except TimeoutError:
            self._transport.abort()


def timed_protocol(*, read_timeout_seconds: float, write_timeout_seconds: float) -> type[H11Protocol]:
    """The connection class for uvicorn's `http` option."""

    class Timed(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.flow = _TimedFlow(transport, write_timeout_seconds)
            self._impatient = self.loop.call_later(read_timeout_seconds, self._no_headers)

        def connection_lost(self, exc: Exception | None) -> None:
            self._impatient.cancel()
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._impatient.cancel()
            super().handle_websocket_upgrade(event)

        def _no_headers(self) -> None:
            if self.cycle is None:
                self.transport.abort()

    return Timed

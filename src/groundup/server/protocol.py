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
        _upgraded = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.flow = _TimedFlow(transport, write_timeout_seconds)
            self._impatient: asyncio.TimerHandle | None = None
            self._watch_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._rest()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_headers()

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._upgraded = True
            self._rest()
            super().handle_websocket_upgrade(event)

        def _between_requests(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _watch_headers(self) -> None:
            if self._upgraded or not self._between_requests():
                self._rest()
            elif self._impatient is None:
                self._impatient = self.loop.call_later(read_timeout_seconds, self._no_headers)

        def _rest(self) -> None:
            if self._impatient is not None:
                self._impatient.cancel()
                self._impatient = None

        def _no_headers(self) -> None:
            if self._between_requests():
                self.transport.abort()

    return Timed

"""The one place where threads meet the event loop: a synchronous `generate` becomes an asynchronous stream.

Each call runs in a thread of its own, so that any Generator (an engine, or a search that calls one) stays plain code. What
it makes waits in a bounded buffer per client: a client that does not read holds up its own thread and nobody else's.
Ending a stream sets `cancel` on its requests and closes the iterator; it does not wait for the next token to notice.
"""

from __future__ import annotations

import asyncio
import collections
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, runtime_checkable

from groundup.core.errors import BusyError, RequestError
from groundup.core.protocols import Generator
from groundup.core.types import Chunk, Request

from .errors import Draining

_BUFFER_CHUNKS = 64
_FIRST_GUESS_SECONDS = 1.0
_SMOOTHING = 0.2  # weight of the newest duration in the estimate behind Retry-After
_LONGEST_RETRY_SECONDS = 60.0


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class Stream:
    """One call of `generate`, read by one task of the event loop. Made by `Bridge.open`."""

    def __init__(self, generator: Generator, requests: Sequence[Request], on_end: Callable[[], None]) -> None:
        self._generator = generator
        self._requests = tuple(requests)
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._changed = threading.Condition()
        self._buffer: collections.deque[tuple[int, Chunk]] = collections.deque()
        self._ended = False
        self._cancelled = False
        self._error: BaseException | None = None
        self.progressed = 0.0
        """When something last arrived (time.monotonic); 0: not yet."""
        threading.Thread(target=self._work, name="groundup-generate", daemon=True).start()

    async def batches(self) -> AsyncIterator[list[tuple[int, Chunk]]]:
        """All that has arrived, as soon as anything has. Raises what `generate` raised, or what `fail` was given."""
        while True:
            await self._arrived.wait()
            with self._changed:
                self._arrived.clear()
                batch = list(self._buffer)
                self._buffer.clear()
                ended, error = self._ended, self._error
                self._changed.notify_all()
            if batch:
                self.progressed = time.monotonic()
                yield batch
            if error is not None:
                raise error
            if ended:
                return

    def cancel(self) -> None:
        """End the work. Safe to call at any time, from the event loop, more than once."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        for request in self._requests:
            request.cancel.set()

    def fail(self, error: BaseException) -> None:
        """End the work and let the reader see `error`, even if the generator never comes back."""
        with self._changed:
            if not self._ended:
                self._error = error
        self._arrived.set()
        self.cancel()

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            iterator = self._generator.generate(self._requests)
            try:
                for item in iterator:
                    if not self._put(item):
                        break
            finally:
                if isinstance(iterator, _Closable):
                    iterator.close()
        except BaseException as failure:
            error = failure
        with self._changed:
            self._ended = True
            self._error = self._error or error
        self._wake(self._arrived.set)
        self._wake(self._on_end)

    def _put(self, item: tuple[int, Chunk]) -> bool:
        with self._changed:
            while len(self._buffer) >= _BUFFER_CHUNKS and not self._cancelled:
                self._changed.wait()
            if self._cancelled:
                return False
            self._buffer.append(item)
            first = len(self._buffer) == 1
        return self._wake(self._arrived.set) if first else True

    def _wake(self, call: Callable[[], None]) -> bool:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop was closed: the server is gone
            return False
        return True


class Bridge:
    """Opens streams over one Generator, at most `max_waiting` completions at a time. Used from one event loop only."""

    def __init__(self, generator: Generator, *, max_waiting: int) -> None:
        self.generator = generator
        self.max_waiting = max_waiting
        self.waiting = 0
        """Completions in work and waiting now."""
        self.draining = False
        self._streams: set[Stream] = set()
        self._seconds = _FIRST_GUESS_SECONDS

    def open(self, requests: Sequence[Request]) -> Stream:
        """Start the requests. Raises BusyError when there is no room, Draining when the server is shutting down."""
        if self.draining:
            raise Draining
        count = len(requests)
        if count > self.max_waiting:
            raise RequestError(
                f"{count} completions were asked for at once; the limit of this server is {self.max_waiting}", param="n"
            )
        if self.waiting + count > self.max_waiting:
            raise BusyError(
                f"the server is working on {self.waiting} completions; its limit is {self.max_waiting}",
                retry_after_seconds=min(_LONGEST_RETRY_SECONDS, self._seconds / max(1, len(self._streams))),
            )
        start = time.monotonic()

        def ended() -> None:
            self.waiting -= count
            self._streams.discard(stream)
            self._seconds += _SMOOTHING * (time.monotonic() - start - self._seconds)

        self.waiting += count
        stream = Stream(self.generator, requests, ended)
        self._streams.add(stream)
        return stream

    @property
    def progressed(self) -> float:
        """When a running stream last got something (time.monotonic); 0: none has."""
        return max((stream.progressed for stream in self._streams), default=0.0)

    def drain(self, grace_seconds: float) -> None:
        """Take no more requests; end those still running after `grace_seconds`."""
        if not self.draining:
            self.draining = True
            asyncio.get_running_loop().call_later(grace_seconds, self._end_all)

    def _end_all(self) -> None:
        for stream in tuple(self._streams):
            stream.fail(Draining())

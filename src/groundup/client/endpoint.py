"""`Endpoint`: any OpenAI-compatible server as a Generator, through the official client.

Requests of one call run in threads, at most `max_concurrency` at once over all callers. What can be tried again is tried
again, with exponential backoff and full jitter (Brooker, "Exponential Backoff And Jitter", 2015) or after what Retry-After
asks for; once a piece of an answer has been given out it is not asked for again (see EndpointConfig.whole). Endpoints score
no given text: Endpoint is a Generator and no Scorer. The key is read from the environment and appears in no message.
"""

from __future__ import annotations

import email.utils
import queue
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ..core.errors import BusyError, MissingDependency, RequestError
from ..core.protocols import Generator
from ..core.types import Capabilities, Chunk, Request, Usage
from .config import EndpointConfig
from .wire import Reading, body_of, is_chat

_RETRIED_STATUS = frozenset((408, 409, 429, 500, 502, 503, 504, 529))
# How soon a `cancel` is seen while the endpoint is silent: an Event cannot be waited for together with a queue.
_POLL_SECONDS = 0.02
_LONGEST_BACKOFF_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What an endpoint was asked for so far."""

    requests: int = 0
    """Answers that came to an end."""
    retries: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0


def open_endpoint(config: EndpointConfig) -> Generator:
    """The endpoint, behind its cache where the config names a directory for one. Close it when done."""
    endpoint = Endpoint(config)
    if config.cache_directory is None:
        return endpoint
    from .cache import CachedGenerator

    source = f"{config.base_url.rstrip('/')}#{config.model}"
    return CachedGenerator(endpoint, Path(config.cache_directory).expanduser(), source=source)


class Endpoint:
    """Generator over `config.base_url`.

    Raises MissingDependency without the `openai` package, ConfigError when the key's variable is not set.
    """

    def __init__(self, config: EndpointConfig) -> None:
        try:
            import openai
        except ImportError:
            raise MissingDependency("openai", extra="client", purpose="an endpoint") from None
        self.config = config
        self._key = config.read_key()
        self._openai = openai
        seconds = config.timeout_seconds
        self._client = openai.OpenAI(
            base_url=config.base_url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=openai.Timeout(seconds, connect=min(seconds, 10.0)),
        )
        self._slots = threading.Semaphore(config.max_concurrency)
        self._lock = threading.Lock()
        self._spent = Spent()
        self._chance = random.Random()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            model=self.config.model,
            max_context_tokens=self.config.max_context_tokens,
            abilities=frozenset({"chat", "logprobs", "seed", "stop", "probe"}),
        )

    @property
    def spent(self) -> Spent:
        return self._spent

    def probe(self, timeout_seconds: float) -> bool:
        """Whether the endpoint lists its models within the time."""
        try:
            self._client.with_options(timeout=timeout_seconds).models.list()
        except (self._openai.OpenAIError, OSError):
            return False
        return True

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        """See Generator. What only the endpoint can find wrong raises RequestError later: BusyError (429), status 401, 404, ...
        as the endpoint gave it, 502 (broken or unreachable), 504 (silent). Nothing is begun after it, and it is raised
        once the answers that are under way have been read.
        """
        bodies = [body_of(request, self.config) for request in requests]
        return self._run([_Call(i, r, b) for i, (r, b) in enumerate(zip(requests, bodies))])

    def _run(self, calls: list[_Call]) -> Iterator[tuple[int, Chunk]]:
        came: queue.SimpleQueue[tuple[int, Chunk | RequestError]] = queue.SimpleQueue()
        waiting = list(reversed(calls))
        lock = threading.Lock()
        failed = threading.Event()

        def work() -> None:
            while True:
                with lock:
                    if failed.is_set() or not waiting:
                        return
                    call = waiting.pop()
                    call.started = True
                try:
                    for chunk in self._answer(call):
                        came.put((call.index, chunk))
                except Exception as error:  # a thread's error would otherwise leave the caller waiting for ever
                    with lock:
                        failed.set()
                    came.put((call.index, self._own(error)))

        # Daemons: an endpoint that hangs must not keep the process from ending.
        for number in range(min(len(calls), self.config.max_concurrency)):
            threading.Thread(target=work, name=f"groundup-endpoint-{number}", daemon=True).start()
        live = {call.index: call for call in calls}
        error: RequestError | None = None
        try:
            while live:
                try:
                    index, item = came.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    item = None
                for number in [n for n, call in live.items() if call.request.cancel.is_set()]:
                    call = live.pop(number)
                    call.end()
                    yield number, Chunk(finish_reason="cancelled", usage=call.usage())
                if item is None or index not in live:
                    continue
                if isinstance(item, RequestError):
                    # What is under way is paid for: it is read to its end, and nothing more is begun.
                    error = error or item
                    live = {n: call for n, call in live.items() if call.started and n != index}
                    continue
                if item.finish_reason is not None:
                    del live[index]
                yield index, item
        finally:
            for call in calls:
                call.end()
        if error is not None:
            raise error

    def _own(self, error: Exception) -> RequestError:
        if isinstance(error, RequestError):
            return error
        text = self._safe(f"the answer of {self.config.base_url} could not be read: {error!r}")
        return RequestError(text, code="bad_gateway", status=502)

    def _answer(self, call: _Call) -> Iterator[Chunk]:
        """Chunks of one request, asked for again while that is allowed."""
        for attempt in range(self.config.max_retries + 1):
            if not self._slot(call):
                return
            given = False
            try:
                for chunk in self._attempt(call):
                    given = True
                    yield chunk
                return
            except _failures() as failure:
                if call.ended.is_set():
                    return
                error = self._explain(failure, given, attempt + 1)
                if given or not _may_retry(failure) or attempt == self.config.max_retries:
                    raise error from None
                asked = _retry_after(failure)
                if asked is not None and asked > self.config.max_wait_seconds:
                    raise error from None
            finally:
                self._slots.release()
            with self._lock:
                self._spent = _added(self._spent, retries=1)
                backoff = self._chance.uniform(
                    0.0, min(_LONGEST_BACKOFF_SECONDS, self.config.backoff_seconds * 2**attempt)
                )
            if call.ended.wait(min(self.config.max_wait_seconds, backoff if asked is None else asked)):
                return

    def _slot(self, call: _Call) -> bool:
        """Wait for a place among those under way; False when the call ended while waiting."""
        while not self._slots.acquire(timeout=_POLL_SECONDS):
            if call.ended.is_set():
                return False
        if call.ended.is_set():
            self._slots.release()
            return False
        return True

    def _attempt(self, call: _Call) -> Iterator[Chunk]:
        create = self._client.chat.completions.create if is_chat(call.request) else self._client.completions.create
        reading = call.reading = Reading()
        held: list[Chunk] = []
        with create(**call.body, stream=True, stream_options={"include_usage": True}) as stream:
            call.opened(stream)
            for event in stream:
                text, logprobs = reading.take(event)
                if text or logprobs:
                    chunk = Chunk(text=text, logprobs=logprobs)
                    if self.config.whole:
                        held.append(chunk)
                    else:
                        yield chunk
        if reading.finish_reason is None:
            raise _Cut("the stream ended before the answer did")
        usage = reading.total()
        with self._lock:
            self._spent = _added(
                self._spent,
                requests=1,
                prompt_tokens=usage.prompt_tokens,
                cached_prompt_tokens=usage.cached_tokens,
                completion_tokens=usage.completion_tokens,
            )
        yield from held
        yield Chunk(finish_reason=reading.finish_reason, usage=usage)

    def _explain(self, failure: Exception, given: bool, attempts: int) -> RequestError:
        openai, where = self._openai, self.config.base_url
        tried = f" (tried {attempts} times)" if attempts > 1 else ""
        if isinstance(failure, openai.APIStatusError):
            said = self._safe(_said(failure))
            if failure.status_code == 429:
                seconds = _retry_after(failure)
                return BusyError(
                    f"{where} takes no more requests now{tried}: {said}",
                    retry_after_seconds=self.config.backoff_seconds if seconds is None else seconds,
                )
            hint = ""
            if failure.status_code in (401, 403):
                hint = (
                    f"check the key in the environment variable {self.config.api_key_env or '(api_key_env is not set)'}"
                )
            elif failure.status_code == 404:
                hint = "check base_url (it ends in /v1 for most servers) and the model's name"
            body = failure.body if isinstance(failure.body, dict) else {}
            return RequestError(
                f"{where} answered {failure.status_code}{tried}: {said}",
                param=body.get("param"), code=str(body.get("code") or "upstream_error"),
                status=failure.status_code, hint=hint,
            )  # fmt: skip
        if _is_timeout(failure):
            return RequestError(
                f"{where} was silent for {self.config.timeout_seconds:g} seconds{tried}", code="timeout", status=504,
                hint="raise timeout_seconds, or send less at once with max_concurrency",
            )  # fmt: skip
        if isinstance(failure, openai.APIConnectionError) and not given:
            cause = self._safe(str(failure.__cause__ or failure))
            return RequestError(f"{where} cannot be reached{tried}: {cause}", code="unreachable", status=502,
                                hint="is the server running, and base_url right?")  # fmt: skip
        if isinstance(failure, openai.APIError) and not isinstance(failure, openai.APIConnectionError):
            return RequestError(f"{where} failed while answering{tried}: {self._safe(_said(failure))}",
                                code=str(failure.code or "upstream_error"), status=502)  # fmt: skip
        after = " after a part of the answer was given out" if given else ""
        return RequestError(
            f"{where} broke off{after}{tried}: {self._safe(str(failure))}", code="cut", status=502,
            hint="whole: true lets an answer that was cut be asked for again" if given else "",
        )  # fmt: skip

    def _safe(self, text: str) -> str:
        """Text of a server's, short and without the key: some repeat it in their errors."""
        text = " ".join(text.split())
        return (text.replace(self._key, "[key]") if self._key else text)[:500]


class _Cut(Exception):
    """The connection closed in good order in the middle of an answer."""


class _Call:
    """One request under way. `end` wakes its thread wherever it waits."""

    def __init__(self, index: int, request: Request, body: dict[str, Any]) -> None:
        self.index, self.request, self.body = index, request, body
        self.started = False
        self.ended = threading.Event()
        self.reading: Reading | None = None
        self._lock = threading.Lock()
        self._socket: Any = None

    def opened(self, stream: Any) -> None:
        network = stream.response.extensions.get("network_stream")
        with self._lock:
            self._socket = network.get_extra_info("socket") if network is not None else None
            if self.ended.is_set():
                self._shut()

    def end(self) -> None:
        with self._lock:
            self.ended.set()
            self._shut()

    def _shut(self) -> None:
        # Closing from another thread does not wake a blocked read; shutting the connection down does.
        if self._socket is not None and (self.reading is None or self.reading.finish_reason is None):
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def usage(self) -> Usage:
        return self.reading.total() if self.reading is not None else Usage(prompt_tokens=0, completion_tokens=0)


def _added(spent: Spent, **more: int) -> Spent:
    return replace(spent, **{name: getattr(spent, name) + value for name, value in more.items()})


def _failures() -> tuple[type[Exception], ...]:
    """What an attempt fails with: the client's own errors, and its transport's, which it passes on in the middle of a stream."""
    import httpx2
    import openai

    return (openai.OpenAIError, httpx2.HTTPError, OSError, _Cut)


def _is_timeout(failure: Exception) -> bool:
    import httpx2
    import openai

    return isinstance(failure, (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError))


def _may_retry(failure: Exception) -> bool:
    import openai

    if isinstance(failure, openai.APIStatusError):
        wish = failure.response.headers.get("x-should-retry")
        if wish in ("true", "false"):
            return wish == "true"
        # A used-up balance is reported as 429 too, and waiting does not help.
        return failure.status_code in _RETRIED_STATUS and failure.code != "insufficient_quota"
    return True


def _retry_after(failure: Exception) -> float | None:
    """Seconds that the endpoint asked to wait: Retry-After as seconds or a date (RFC 9110, 10.2.3), or retry-after-ms."""
    response = getattr(failure, "response", None)
    if response is None:
        return None
    milliseconds = _number(response.headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000.0
    text = response.headers.get("retry-after")
    seconds = _number(text)
    if text is None or seconds is not None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if 0.0 <= value < float("inf") else None


def _said(failure: Any) -> str:
    body = failure.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    return str(failure.message)

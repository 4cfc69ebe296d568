"""The API's endpoints as ASGI apps: models, health, and the two that generate.

The first chunk is waited for before any header is sent, so that a request that cannot be answered gets an HTTP error and not
a stream that breaks. A client that leaves, streaming or not, ends its own work at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from starlette.types import Receive, Scope, Send

from groundup.core.errors import BusyError, RequestError
from groundup.core.protocols import Generator
from groundup.core.types import Request, SamplingParams

from .asgi import read_body, send_bytes, send_failure, send_json
from .bridge import Bridge, Stream
from .config import ServerConfig
from .errors import Draining, Failure, ServerTimeout
from .schema import ChatRequest, CompletionRequest, parse
from .strictjson import read_object
from .wire import ChatDialect, Choice, CompletionDialect, Job, Tally, chat_job, completion_job

_PROBE_REUSED_SECONDS = 0.5  # however often /health is asked, the model makes at most two tokens a second for it


class Service:
    """What the endpoints share: the bridge, the config and the model's name."""

    def __init__(self, generator: Generator, config: ServerConfig) -> None:
        self.generator = generator
        self.config = config
        self.bridge = Bridge(generator, max_waiting=config.max_waiting)
        self.model = config.model or generator.capabilities.model
        self.started = int(time.time())

    def adapter_of(self, model: str) -> str | None:
        """What `Request.adapter` is for the `model` that a client names; RequestError (404) if it is not served."""
        if model == self.model:
            return None
        adapters = self.generator.capabilities.adapters
        if model not in adapters:
            names = ", ".join(map(repr, (self.model, *adapters)))
            raise RequestError(
                f"the model {model[:80]!r} is not served here; this server has {names}",
                param="model",
                code="model_not_found",
                status=404,
            )
        return model


class Generate:
    """POST /v1/chat/completions or /v1/completions."""

    def __init__(self, service: Service, *, chat: bool) -> None:
        self.service = service
        self.chat = chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            job = self._job(await read_body(receive))
            stream = self.service.bridge.open(job.requests)
        except Exception as error:
            await send_failure(send, Failure(error))
            return
        dialect = (ChatDialect if self.chat else CompletionDialect)(job, self.service.model)
        gone = asyncio.create_task(_gone(receive))
        gone.add_done_callback(lambda _: stream.cancel())
        seconds = self.service.config.request_timeout_seconds
        timer = asyncio.get_running_loop().call_later(seconds, stream.fail, ServerTimeout())
        try:
            if job.stream:
                await self._streamed(job, dialect, stream, gone, send)
            else:
                await self._whole(job, dialect, stream, gone, send)
        finally:
            timer.cancel()
            stream.cancel()
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    def _job(self, raw: bytes) -> Job:
        able, config = self.service.generator.capabilities, self.service.config
        body = read_object(raw)
        if self.chat:
            chat = parse(ChatRequest, body)
            return _with_adapter(chat_job(chat, able, config), self.service.adapter_of(chat.model))
        text = parse(CompletionRequest, body)
        return _with_adapter(completion_job(text, able, config), self.service.adapter_of(text.model))

    async def _whole(self, job: Job, dialect: Any, stream: Stream, gone: asyncio.Task[None], send: Send) -> None:
        choices = [Choice() for _ in job.requests]
        tally = Tally(job.choices_per_prompt)
        try:
            async for batch in stream.batches():
                if gone.done():
                    return
                for index, chunk in batch:
                    tally.add(index, chunk)
                    choices[index].add(chunk)
            _finished(tally, job)
        except Exception as error:
            if not gone.done():
                await send_failure(send, Failure(error))
            return
        await send_json(send, dialect.answer(choices, tally))

    async def _streamed(self, job: Job, dialect: Any, stream: Stream, gone: asyncio.Task[None], send: Send) -> None:
        tally = Tally(job.choices_per_prompt)
        started = False
        try:
            async for batch in stream.batches():
                if gone.done():
                    return
                events = [] if started else dialect.opening()
                for index, chunk in batch:
                    tally.add(index, chunk)
                    events += dialect.events(index, chunk)
                if not started:
                    await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
                    started = True
                await _send_events(send, events)
            _finished(tally, job)
            events = [dialect.usage_event(tally)] if job.include_usage else []
            await _send_events(send, events, last=True)
        except Exception as error:
            if gone.done():
                return
            failure = Failure(error)
            if started:
                await _send_events(send, [failure.object], last=True)
            else:
                await send_failure(send, failure)


_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


async def _send_events(send: Send, events: list[dict[str, Any]], *, last: bool = False) -> None:
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    await send(
        {"type": "http.response.body", "body": body + (b"data: [DONE]\n\n" if last else b""), "more_body": not last}
    )


def _finished(tally: Tally, job: Job) -> None:
    if tally.finished != len(job.requests):
        raise RuntimeError(f"the generator finished {tally.finished} of {len(job.requests)} requests")


def _with_adapter(job: Job, adapter: str | None) -> Job:
    if adapter is None:
        return job
    return dataclasses.replace(job, requests=tuple(dataclasses.replace(r, adapter=adapter) for r in job.requests))


async def _gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Models:
    """GET /v1/models and /v1/models/{id}."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self.service
        able = service.generator.capabilities
        card = {
            "id": service.model,
            "object": "model",
            "created": service.started,
            "owned_by": "groundup",
            "max_model_len": able.max_context_tokens,
        }
        # As vLLM lists them: an adapter is a model whose parent is the base.
        cards = [
            card,
            *({**card, "id": name, "parent": service.model} for name in able.adapters if name != service.model),
        ]
        wanted = scope["path_params"].get("model")
        found = [c for c in cards if c["id"] == wanted]
        if wanted is None:
            await send_json(send, {"object": "list", "data": cards})
        elif found:
            await send_json(send, found[0])
        else:
            error = RequestError(
                f"the model {wanted[:80]!r} is not served here", param="model", code="model_not_found", status=404
            )
            await send_failure(send, Failure(error))


@runtime_checkable
class Probed(Protocol):
    """A Generator with the ability `probe`: does a token really go through it within the time?"""

    def probe(self, timeout_seconds: float) -> bool: ...


class Health:
    """GET /health: green only if the model has just made a token. A hung model is asked once, not once per caller."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._asked: asyncio.Task[str] | None = None
        self._answered = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.service.bridge.draining:
            await send_failure(send, Failure(Draining()))
            return
        fresh = time.monotonic() - self._answered < _PROBE_REUSED_SECONDS
        if self._asked is None or (self._asked.done() and not fresh):
            self._asked = asyncio.create_task(self._probe())
        limit = self.service.config.health_timeout_seconds
        done, _ = await asyncio.wait([self._asked], timeout=limit)
        if done:
            status = self._asked.result()
        else:
            # The probe may be waiting its turn behind requests that do get their tokens.
            moving = time.monotonic() - self.service.bridge.progressed < limit
            status = "busy" if moving else "unresponsive"
        ok = status in ("ok", "busy")
        await send_json(send, {"status": status, "model": self.service.model}, status=200 if ok else 503)

    async def _probe(self) -> str:
        generator = self.service.generator
        try:
            if "probe" in generator.capabilities.abilities:
                assert isinstance(generator, Probed), "a Generator with the ability probe has the method probe"
                limit = self.service.config.health_timeout_seconds
                return "ok" if await asyncio.to_thread(generator.probe, limit) else "unresponsive"
            await self._one_token()
            return "ok"
        except BusyError:
            return "busy"
        except Exception as error:
            Failure(error)  # logs it
            return "failing"
        finally:
            self._answered = time.monotonic()

    async def _one_token(self) -> None:
        """A request beside the queue's limit, so that a full server is not a sick one."""
        request = Request(prompt="a", params=SamplingParams(max_tokens=1, temperature=0.0))
        stream = Bridge(self.service.generator, max_waiting=1).open([request])
        async for _ in stream.batches():
            pass


class Missing:
    """Whatever else under /v1: 404, or 405 where the path exists."""

    def __init__(self, methods: Callable[[str], set[str]]) -> None:
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = self._methods(scope["path"])
        if allowed:
            failure = Failure(RequestError(f"use {' or '.join(sorted(allowed))} here", code="wrong_method", status=405))
            failure.headers["allow"] = ", ".join(sorted(allowed))
            await send_bytes(send, 405, failure.body, headers=failure.headers)
        else:
            await send_failure(send, Failure(RequestError("there is no such endpoint", code="not_found", status=404)))

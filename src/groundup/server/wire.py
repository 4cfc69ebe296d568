"""Between the API's JSON and the Generator's types: bodies to Requests, chunks to choices. No input or output here.

A *dialect* is one endpoint's way of writing answers; the two differ in the shape of a choice and of log-probabilities.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from groundup import __version__
from groundup.core.errors import RequestError
from groundup.core.types import Capabilities, Chunk, FinishReason, Request, SamplingParams, TokenLogprob, Usage

from .config import ServerConfig
from .schema import ChatRequest, CompletionRequest

_LEAST_LOGPROB = -9999.0  # what OpenAI writes for minus infinity, which JSON cannot
_DEFAULT_COMPLETION_TOKENS = 16  # OpenAI's default of the completions endpoint


@dataclass(frozen=True, kw_only=True)
class Job:
    """One validated API request: what to generate and how to write it."""

    requests: tuple[Request, ...]
    choices_per_prompt: int
    stream: bool
    include_usage: bool
    echo: tuple[str, ...] = ()
    """Text to put before each choice."""


def chat_job(body: ChatRequest, able: Capabilities, config: ServerConfig) -> Job:
    if "chat" not in able.abilities:
        raise RequestError(
            f"the model {able.model} has no chat template",
            param="messages",
            code="unsupported_parameter",
            hint="send text to /v1/completions",
        )
    if len(body.messages) > config.max_messages:
        raise RequestError(
            f"messages: {len(body.messages):,} were sent; the limit is {config.max_messages:,}",
            param="messages",
            code="invalid_value",
        )
    if body.top_logprobs is not None and not body.logprobs:
        raise RequestError("top_logprobs needs logprobs: true", param="top_logprobs", code="invalid_value")
    fallback = max(1, min(config.default_max_tokens, able.max_context_tokens // 2))
    asked = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    which = "max_completion_tokens" if body.max_completion_tokens is not None else "max_tokens"
    params = _sampling(
        body,
        able,
        max_tokens=_limit(asked, which, fallback, able),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )
    return _job([[message.plain() for message in body.messages]], body, params, config)


def completion_job(body: CompletionRequest, able: Capabilities, config: ServerConfig) -> Job:
    prompts: list[Any]
    if isinstance(body.prompt, str):
        prompts = [body.prompt]
    elif isinstance(body.prompt[0], int):
        prompts = [tuple(body.prompt)]
    else:
        prompts = [p if isinstance(p, str) else tuple(p) for p in body.prompt]
    if body.echo and not all(isinstance(p, str) for p in prompts):
        raise RequestError(
            "echo needs prompts that are text, not token ids", param="echo", code="unsupported_parameter"
        )
    if body.echo and body.logprobs is not None:
        raise RequestError("echo together with logprobs is not supported", param="echo", code="unsupported_parameter")
    max_tokens = _limit(body.max_tokens, "max_tokens", _DEFAULT_COMPLETION_TOKENS, able)
    params = _sampling(body, able, max_tokens=max_tokens, logprobs=body.logprobs)
    return _job(prompts, body, params, config, echo=bool(body.echo))


def _job(
    prompts: Sequence[Any],
    body: ChatRequest | CompletionRequest,
    params: SamplingParams,
    config: ServerConfig,
    echo: bool = False,
) -> Job:
    n = body.n or 1
    if n * len(prompts) > config.max_choices:
        raise RequestError(
            f"{n * len(prompts):,} completions were asked for; the limit of one request is {config.max_choices}",
            param="n" if n > 1 else "prompt",
            code="invalid_value",
        )
    if body.stream_options is not None and not body.stream:
        raise RequestError("stream_options needs stream: true", param="stream_options", code="invalid_value")

    def seeded(choice: int) -> SamplingParams:
        return params if params.seed is None else dataclasses.replace(params, seed=(params.seed + choice) % 2**63)

    return Job(
        requests=tuple(Request(prompt=p, params=seeded(j)) for p in prompts for j in range(n)),
        choices_per_prompt=n,
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        echo=tuple(p for p in prompts for _ in range(n)) if echo else (),
    )


def _limit(asked: int | None, param: str, fallback: int, able: Capabilities) -> int:
    if asked is None:
        return min(fallback, able.max_context_tokens)
    if asked > able.max_context_tokens:
        raise RequestError(
            f"{param} is {asked:,}; the context of this model is {able.max_context_tokens:,} tokens",
            param=param,
            code="invalid_value",
        )
    return asked


def _sampling(
    body: ChatRequest | CompletionRequest, able: Capabilities, *, max_tokens: int, logprobs: int | None
) -> SamplingParams:
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    for wanted, ability in ((logprobs, "logprobs"), (body.seed, "seed"), (stop or None, "stop")):
        if wanted is not None and ability not in able.abilities:
            raise RequestError(
                f"the model {able.model} does not support {ability}", param=ability, code="unsupported_parameter"
            )
    bias: dict[int, float] = {}
    for key, value in (body.logit_bias or {}).items():
        if not (key.isascii() and key.isdecimal() and len(key) <= 10):
            raise RequestError("logit_bias: a key is not a token id", param="logit_bias", code="invalid_value")
        bias[int(key)] = value
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=1.0 if body.temperature is None else body.temperature,
        top_k=max(0, body.top_k or 0),
        top_p=1.0 if body.top_p is None else body.top_p,
        min_p=body.min_p or 0.0,
        repetition_penalty=body.repetition_penalty or 1.0,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        logit_bias=bias,
        stop=stop,
        stop_token_ids=tuple(body.stop_token_ids or ()),
        ignore_eos=bool(body.ignore_eos),
        seed=None if body.seed is None else body.seed % 2**63,
        logprobs=logprobs,
    )


@dataclass
class Tally:
    """Adds up the usage of a job's requests: a prompt that is sampled n times is counted once."""

    choices_per_prompt: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    finished: int = 0

    def add(self, index: int, chunk: Chunk) -> None:
        if chunk.finish_reason is None:
            return
        if chunk.finish_reason not in ("stop", "length"):
            raise RuntimeError(f"the generator ended request {index} with {chunk.finish_reason!r}")
        usage = chunk.usage or Usage(prompt_tokens=0, completion_tokens=0)
        self.finished += 1
        self.completion_tokens += usage.completion_tokens
        if index % self.choices_per_prompt == 0:
            self.prompt_tokens += usage.prompt_tokens
            self.cached_tokens += usage.cached_tokens

    def as_json(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


@dataclass
class Choice:
    """The chunks of one completion, joined."""

    text: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def add(self, chunk: Chunk) -> None:
        self.text.append(chunk.text)
        self.logprobs.extend(chunk.logprobs)
        self.finish_reason = chunk.finish_reason or self.finish_reason


def fingerprint(model: str) -> str:
    return "fp_" + hashlib.sha256(f"{__version__}/{model}".encode()).hexdigest()[:10]


class _Dialect:
    prefix: str
    whole: str
    part: str

    def __init__(self, job: Job, model: str) -> None:
        self.job = job
        self.head = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint(model),
        }

    def _event(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        event = {**self.head, "object": self.part, "choices": choices}
        if self.job.include_usage:
            event["usage"] = None
        return event

    def usage_event(self, tally: Tally) -> dict[str, Any]:
        return {**self._event([]), "usage": tally.as_json()}

    def opening(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def events(self, index: int, chunk: Chunk) -> list[dict[str, Any]]:
        raise NotImplementedError

    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        raise NotImplementedError

    def answer(self, choices: Sequence[Choice], tally: Tally) -> dict[str, Any]:
        return {
            **self.head,
            "object": self.whole,
            "choices": [self.choice(i, choice) for i, choice in enumerate(choices)],
            "usage": tally.as_json(),
        }


class ChatDialect(_Dialect):
    prefix, whole, part = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def _logprobs(self, entries: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if self.job.requests[0].params.logprobs is None:
            return None
        content = [
            {
                "token": e.token,
                "logprob": _number(e.logprob),
                "bytes": list(e.bytes) if e.bytes else list(e.token.encode()),
                "top_logprobs": [
                    {
                        "token": text,
                        "logprob": _number(logprob),
                        # A part of a character cannot be had back from its text.
                        "bytes": list(e.bytes)
                        if token_id == e.token_id and e.bytes
                        else (None if "\ufffd" in text else list(text.encode())),
                    }
                    for token_id, text, logprob in e.top
                ],
            }
            for e in entries
        ]
        return {"content": content, "refusal": None}

    def opening(self) -> list[dict[str, Any]]:
        delta = {"role": "assistant", "content": ""}
        return [
            self._event([{"index": i, "delta": delta, "logprobs": None, "finish_reason": None}])
            for i in range(len(self.job.requests))
        ]

    def events(self, index: int, chunk: Chunk) -> list[dict[str, Any]]:
        made = []
        if chunk.text or chunk.logprobs:
            delta = {"content": chunk.text}
            logprobs = self._logprobs(chunk.logprobs)
            made.append(self._event([{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}]))
        if chunk.finish_reason is not None:
            end = {"index": index, "delta": {}, "logprobs": None, "finish_reason": chunk.finish_reason}
            made.append(self._event([end]))
        return made

    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        return {
            "index": index,
            "message": {"role": "assistant", "content": "".join(choice.text), "refusal": None},
            "logprobs": self._logprobs(choice.logprobs),
            "finish_reason": choice.finish_reason,
        }


class CompletionDialect(_Dialect):
    prefix, whole, part = "cmpl", "text_completion", "text_completion"

    def __init__(self, job: Job, model: str) -> None:
        super().__init__(job, model)
        self._offsets = [len(text) for text in job.echo] or [0] * len(job.requests)

    def _logprobs(self, index: int, entries: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if self.job.requests[0].params.logprobs is None:
            return None
        offsets = []
        for e in entries:
            offsets.append(self._offsets[index])
            # Characters that begin in this token: a byte that continues one is not counted.
            self._offsets[index] += sum(byte & 0xC0 != 0x80 for byte in e.bytes) if e.bytes else len(e.token)
        return {
            "tokens": [e.token for e in entries],
            "token_logprobs": [_number(e.logprob) for e in entries],
            "top_logprobs": [
                {e.token: _number(e.logprob), **{text: _number(logprob) for _, text, logprob in e.top}} for e in entries
            ],
            "text_offset": offsets,
        }

    def opening(self) -> list[dict[str, Any]]:
        return [
            self._event([{"index": i, "text": text, "logprobs": None, "finish_reason": None}])
            for i, text in enumerate(self.job.echo)
        ]

    def events(self, index: int, chunk: Chunk) -> list[dict[str, Any]]:
        if not (chunk.text or chunk.logprobs or chunk.finish_reason):
            return []
        logprobs = self._logprobs(index, chunk.logprobs)
        choice = {"index": index, "text": chunk.text, "logprobs": logprobs, "finish_reason": chunk.finish_reason}
        return [self._event([choice])]

    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        echo = self.job.echo[index] if self.job.echo else ""
        return {
            "index": index,
            "text": echo + "".join(choice.text),
            "logprobs": self._logprobs(index, choice.logprobs),
            "finish_reason": choice.finish_reason,
        }


def _number(value: float) -> float:
    return value if math.isfinite(value) else _LEAST_LOGPROB

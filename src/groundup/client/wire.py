"""Between our Requests and the OpenAI API: request bodies out, streamed events in. No input or output here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import RequestError
from ..core.types import FinishReason, Message, Request, TokenLogprob, Usage
from .config import EndpointConfig

UNKNOWN_ID = -1
"""Token id of a log-probability: endpoints give a token's text and not its id."""
_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "stop",
    "function_call": "stop",
    "cancelled": "cancelled",
    "content_filter": "error",
    "error": "error",
}


def is_chat(request: Request) -> bool:
    return not isinstance(request.prompt, str) and (not request.prompt or isinstance(request.prompt[0], Mapping))


def body_of(request: Request, config: EndpointConfig) -> dict[str, Any]:
    """Arguments of `chat.completions.create` or `completions.create`. RequestError for what an endpoint cannot be asked."""
    if request.adapter is not None:
        raise RequestError("an endpoint has no adapters to choose by name", param="adapter",
                           hint="endpoints serve each adapter as a model: name it in the endpoint's model")  # fmt: skip
    params = request.params
    body: dict[str, Any] = {"model": config.model, "temperature": params.temperature}
    extra: dict[str, Any] = {}
    for name, idle in (("top_p", 1.0), ("presence_penalty", 0.0), ("frequency_penalty", 0.0), ("seed", None)):
        if getattr(params, name) != idle:
            body[name] = getattr(params, name)
    # Of vLLM and our own server; an endpoint without them is not sent them unless they ask for something.
    for name, unset in (("top_k", 0), ("min_p", 0.0), ("repetition_penalty", 1.0), ("ignore_eos", False)):
        if getattr(params, name) != unset:
            extra[name] = getattr(params, name)
    if params.stop_token_ids:
        extra["stop_token_ids"] = list(params.stop_token_ids)
    if params.stop:
        body["stop"] = list(params.stop)
    if params.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in params.logit_bias.items()}
    if is_chat(request):
        body["messages"] = [_message(m) for m in request.prompt if isinstance(m, Mapping)]
        body[config.max_tokens_key] = params.max_tokens
        if params.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": params.logprobs}
        template = dict(request.template)
        if tools := template.pop("tools", None):
            body["tools"] = list(tools)
        if template:
            extra["chat_template_kwargs"] = template
    else:
        body["prompt"] = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
        body["max_tokens"] = params.max_tokens
        if params.logprobs is not None:
            body["logprobs"] = params.logprobs
    if not body.get("messages", body.get("prompt")) and body.get("prompt") != "":
        raise RequestError("the prompt is empty", param="messages" if "messages" in body else "prompt")
    if extra:
        body["extra_body"] = extra
    return body


def _message(message: Message) -> dict[str, Any]:
    """OpenAI has the arguments of a call as JSON text where Hugging Face's templates have a mapping."""
    plain = dict(message)
    if plain.get("tool_calls"):
        plain["tool_calls"] = [_call(call) for call in plain["tool_calls"]]
    return plain


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function", {}))
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = json.dumps(function.get("arguments", {}), ensure_ascii=False)
    return {"type": "function", **call, "function": function}


class Reading:
    """One answer as its events come in: its text, log-probabilities, end and usage.

    Tool calls, which come in a field of their own, become text in the form that most open models write them,
    `<tool_call>{"name": ..., "arguments": ...}</tool_call>`, so that callers read one form from an endpoint and a local model.
    """

    def __init__(self) -> None:
        self.finish_reason: FinishReason | None = None
        self.usage: Usage | None = None
        self.pieces = 0
        self._calls: dict[int, dict[str, str]] = {}

    def take(self, event: Any) -> tuple[str, tuple[TokenLogprob, ...]]:
        """Text and log-probabilities of one event of the stream."""
        if event.usage is not None:
            details = event.usage.prompt_tokens_details
            cached = (details.cached_tokens or 0) if details is not None else 0
            self.usage = Usage(
                prompt_tokens=event.usage.prompt_tokens,
                completion_tokens=event.usage.completion_tokens,
                cached_tokens=cached,
            )
        text = ""
        logprobs: tuple[TokenLogprob, ...] = ()
        for choice in event.choices:
            delta = getattr(choice, "delta", None)
            if delta is None:
                text += getattr(choice, "text", None) or ""
                logprobs += _completion_logprobs(choice.logprobs)
            else:
                text += delta.content or ""
                logprobs += _chat_logprobs(choice.logprobs)
                for part in delta.tool_calls or ():
                    call = self._calls.setdefault(part.index, {"name": "", "arguments": ""})
                    if part.function is not None:
                        call["name"] += part.function.name or ""
                        call["arguments"] += part.function.arguments or ""
            if choice.finish_reason is not None:
                self.finish_reason = _FINISH.get(choice.finish_reason, "stop")
                text += self._written_calls()
        self.pieces += bool(text)
        return text, logprobs

    def _written_calls(self) -> str:
        written = []
        for _, call in sorted(self._calls.items()):
            try:
                arguments: Any = json.loads(call["arguments"] or "{}")
            except ValueError:
                arguments = call["arguments"]
            shown = json.dumps({"name": call["name"], "arguments": arguments}, ensure_ascii=False)
            written.append(f"<tool_call>\n{shown}\n</tool_call>")
        self._calls.clear()
        return "\n".join(written)

    def total(self) -> Usage:
        """Usage; where the endpoint gave none, one token for each piece of text."""
        return self.usage or Usage(prompt_tokens=0, completion_tokens=self.pieces)


def _chat_logprobs(given: Any) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            token_id=UNKNOWN_ID,
            token=entry.token,
            logprob=entry.logprob,
            bytes=bytes(entry.bytes or ()),
            top=tuple((UNKNOWN_ID, other.token, other.logprob) for other in entry.top_logprobs or ()),
        )
        for entry in (given.content or () if given is not None else ())
    )


def _completion_logprobs(given: Any) -> tuple[TokenLogprob, ...]:
    if given is None or not given.tokens:
        return ()
    tops: Sequence[Any] = given.top_logprobs or [None] * len(given.tokens)
    return tuple(
        TokenLogprob(
            token_id=UNKNOWN_ID,
            token=token,
            logprob=logprob,
            bytes=token.encode(),
            top=tuple((UNKNOWN_ID, other, value) for other, value in sorted((top or {}).items(), key=lambda i: -i[1])),
        )
        for token, logprob, top in zip(given.tokens, given.token_logprobs or (), tops)
    )

"""The request bodies of /v1/chat/completions and /v1/completions: OpenAI's names and ranges, vLLM's extra samplers.

Strict: a wrong type, an unknown key or a value out of range is refused with the key's name. Keys of the OpenAI API that
this server cannot honour are listed in `_UNSUPPORTED`; they pass only with the value that asks for nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from groundup.core.errors import RequestError

MAX_N = 128
MAX_TOP_LOGPROBS = 20
MAX_STOPS = 4
MAX_BIASES = 1024
_LONGEST_STOP = 256
_LONGEST_NAME = 512


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class TextPart(_Strict):
    type: Literal["text"]
    text: str


class ChatMessage(_Strict):
    """One message. Content is text, or a list of text parts, which are joined."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(max_length=1024)]
    name: Annotated[str, Field(max_length=_LONGEST_NAME)] | None = None

    def plain(self) -> dict[str, str]:
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": content, **({"name": self.name} if self.name else {})}


class StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: bool = False


_Stop = Annotated[str, Field(min_length=1, max_length=_LONGEST_STOP)]
_TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Bias = Annotated[float, Field(ge=-100, le=100)]


class _Sampling(_Strict):
    """What both endpoints share."""

    model: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
    n: Annotated[int, Field(ge=1, le=MAX_N)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=MAX_STOPS)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[str, _Bias], Field(max_length=MAX_BIASES)] | None = None
    user: Annotated[str, Field(max_length=_LONGEST_NAME)] | None = None
    # vLLM's
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    ignore_eos: bool | None = None
    stop_token_ids: Annotated[list[_TokenId], Field(max_length=64)] | None = None


class ChatRequest(_Sampling):
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None


class CompletionRequest(_Sampling):
    prompt: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[list[_TokenId], Field(min_length=1)]
        | Annotated[list[Annotated[list[_TokenId], Field(min_length=1)]], Field(min_length=1)]
    )
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None


_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ("none",),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none",),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "metadata": ({},),
    "web_search_options": (),
    "best_of": (1,),
    "suffix": ("",),
    "moderation": (),
    "safety_identifier": (),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
}
"""Key -> the values with which it asks for nothing (null always does)."""

T = TypeVar("T", bound=BaseModel)


def parse(schema: type[T], body: dict[str, Any]) -> T:
    """Validate a body. Raises RequestError with `param` (as `messages[0].content`) and `code`."""
    for key in _UNSUPPORTED.keys() & body.keys():
        value = body.pop(key)
        if value is not None and not any(value == idle and type(value) is type(idle) for idle in _UNSUPPORTED[key]):
            raise RequestError(
                f"{key} is not supported by this server", param=key, code="unsupported_parameter", hint="leave it out"
            )
    try:
        return schema.model_validate(body)
    except ValidationError as failure:
        raise _explain(failure) from None


_MESSAGES = {"model_type": "must be an object", "model_attributes_type": "must be an object"}
_CODES = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}


def _explain(failure: ValidationError) -> RequestError:
    # Of a union, pydantic reports every member that failed: the deepest one is the one that was meant.
    errors = failure.errors(include_url=False, include_input=False, include_context=False)
    first = max((e for e in errors if e["loc"][:1] == errors[0]["loc"][:1]), key=lambda e: len(_keys(e["loc"])))
    param = _keys(first["loc"])
    if first["type"] == "extra_forbidden":
        message = f"{param} is not a known parameter"
    elif first["type"] == "missing":
        message = f"{param} is required"
    else:
        text = _MESSAGES.get(first["type"], first["msg"])
        message = f"{param}: {text[0].lower()}{text[1:]}"
    code = _CODES.get(first["type"], "invalid_type" if first["type"].endswith("_type") else "invalid_value")
    return RequestError(message, param=param, code=code)


_KEY = re.compile(r"[a-z_0-9]{1,64}")


def _keys(location: tuple[int | str, ...]) -> str:
    """`("messages", 0, "content", "str")` -> `messages[0].content`: names of types in unions are left out."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif path and (part in {"str", "int", "TextPart"} or "[" in part):
            continue
        else:
            # A key of the user's own may be anything; what is not a plain name is not repeated.
            path += ("." if path else "") + (part if _KEY.fullmatch(part) else "?")
    return path

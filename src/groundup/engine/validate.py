"""Everything that can be wrong with a request, said before it enters the loop. Costs nothing that grows with a bad value.

Ranges are OpenAI's where it has the parameter, else vLLM's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import RequestError
from ..core.types import SamplingParams

MAX_TEMPERATURE = 2.0
MAX_TOP_LOGPROBS = 20
MAX_STOPS = 16
"""OpenAI allows 4, vLLM any number; each one costs a search per token."""
MAX_STOP_CHARACTERS = 256
MAX_BIASES = 1024
"""vLLM's limit too; OpenAI's documentation names 300 in examples and none as a limit."""


def _refuse(param: str, message: str, *, code: str = "invalid_value", hint: str = "") -> RequestError:
    return RequestError(f"{param}: {message}", param=param, code=code, hint=hint)


def _number(name: str, value: Any, low: float, high: float, *, above: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _refuse(name, f"must be a number, not {type(value).__name__}", code="invalid_type")
    if not (low < value if above else low <= value) or not value <= high:
        bracket = "(" if above else "["
        raise _refuse(name, f"must be in {bracket}{low:g}, {high:g}], not {_short(value)}")


def _integer(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse(name, f"must be a whole number, not {type(value).__name__}", code="invalid_type")
    if not low <= value <= high:
        raise _refuse(name, f"must be from {low} to {high}, not {_short(value)}")


def _short(value: Any) -> str:
    # int -> str of a number with a million digits is quadratic, and refused by Python.
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    return repr(value)[:60]


def check_params(params: SamplingParams, *, vocab_size: int) -> None:
    """Raise RequestError, naming the field, if any value is out of its range."""
    _integer("max_tokens", params.max_tokens, 1, 2**31 - 1)
    _number("temperature", params.temperature, 0.0, MAX_TEMPERATURE)
    _integer("top_k", params.top_k, 0, 2**31 - 1)
    _number("top_p", params.top_p, 0.0, 1.0, above=True)
    _number("min_p", params.min_p, 0.0, 1.0)
    _number("repetition_penalty", params.repetition_penalty, 0.0, 2.0, above=True)
    _number("presence_penalty", params.presence_penalty, -2.0, 2.0)
    _number("frequency_penalty", params.frequency_penalty, -2.0, 2.0)
    if params.logprobs is not None:
        _integer("logprobs", params.logprobs, 0, MAX_TOP_LOGPROBS)
    if params.seed is not None:
        _integer("seed", params.seed, -(2**63), 2**64 - 1)
    _check_stops(params.stop)
    _check_ids("stop_token_ids", params.stop_token_ids, vocab_size, limit=MAX_BIASES)
    if not isinstance(params.logit_bias, Mapping):
        raise _refuse("logit_bias", "must map token ids to numbers", code="invalid_type")
    _check_ids("logit_bias", list(params.logit_bias), vocab_size, limit=MAX_BIASES)
    for value in params.logit_bias.values():
        _number("logit_bias", value, -100.0, 100.0)


def _check_stops(stops: Sequence[str]) -> None:
    if isinstance(stops, str) or not isinstance(stops, Sequence):
        raise _refuse("stop", "must be a sequence of strings", code="invalid_type")
    if len(stops) > MAX_STOPS:
        raise _refuse("stop", f"has {len(stops)} strings, at most {MAX_STOPS} are allowed")
    for stop in stops:
        if not isinstance(stop, str):
            raise _refuse("stop", f"must hold strings, not {type(stop).__name__}", code="invalid_type")
        if not 0 < len(stop) <= MAX_STOP_CHARACTERS:
            raise _refuse("stop", f"each must have 1 to {MAX_STOP_CHARACTERS} characters, not {len(stop)}")


def _check_ids(name: str, ids: Sequence[Any], vocab_size: int, *, limit: int) -> None:
    if len(ids) > limit:
        raise _refuse(name, f"has {len(ids)} entries, at most {limit} are allowed")
    for token_id in ids:
        _integer(name, token_id, 0, vocab_size - 1)


def check_prompt_ids(ids: Sequence[Any], *, vocab_size: int) -> None:
    for place, token_id in enumerate(ids):
        if type(token_id) is not int or not 0 <= token_id < vocab_size:
            raise RequestError(
                f"prompt: token {place} is {_short(token_id)}; ids of this model are 0 to {vocab_size - 1}",
                param="prompt",
                code="invalid_token_id",
                hint="encode the text with this model's own tokenizer",
            )


def check_length(prompt_tokens: int, max_tokens: int, max_context_tokens: int) -> None:
    if prompt_tokens + max_tokens > max_context_tokens:
        raise RequestError(
            f"{prompt_tokens} prompt tokens and max_tokens {_short(max_tokens)} are more than this model's context of "
            f"{max_context_tokens}",
            param="prompt" if prompt_tokens >= max_context_tokens else "max_tokens",
            code="context_length_exceeded",
            hint=f"shorten the prompt, or ask for at most {max(max_context_tokens - prompt_tokens, 0)} tokens",
        )

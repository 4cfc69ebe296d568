"""JSON bodies read strictly: UTF-8, one value per key, finite numbers, whole characters, bounded depth.

The standard parser lets all of these through in silence, and each has broken a server somewhere downstream.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from groundup.core.errors import RequestError

MAX_DEPTH = 64
"""Deepest nesting of a body. Chat requests need 5; the standard parser itself gives up near 1,000."""
_LONGEST_INTEGER = 20  # characters of -2**63; longer ones take quadratic time to parse


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises RequestError saying what is wrong with it."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad(f"the body is not UTF-8 (byte {error.start})") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_constant, parse_float=_finite, parse_int=_integer
        )
    except RecursionError:
        raise _bad(f"the body is nested too deeply; the limit is {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise _bad(f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    if not isinstance(value, dict):
        raise _bad("the body must be a JSON object")
    _check(value)
    return value


def _bad(message: str) -> RequestError:
    return RequestError(message, code="invalid_json")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _bad(f"the key {key[:80]!r} is given twice")
            seen.add(key)
    return found


def _constant(name: str) -> NoReturn:
    raise _bad(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _bad(f"the number {text[:40]} is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise _bad("a number in the body is too large")
    return int(text)


def _check(value: Any) -> None:
    """Bounded depth and no half of a surrogate pair anywhere; without recursion."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _whole(item)
            elif isinstance(item, dict):
                for key in item:
                    _whole(key)
                following.extend(item.values())
            elif isinstance(item, list):
                following.extend(item)
        if not following:
            return
        level = following
    raise _bad(f"the body is nested too deeply; the limit is {MAX_DEPTH} levels")


def _whole(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _bad("a string in the body holds half of a surrogate pair, which is no character") from None

"""Values that came out of a sandbox, compared with what was expected, or written as a Python literal. Nothing is executed.

`same` is led by the expected value, which is ours: the work is bounded by its size, whatever the program sent.
"""

from __future__ import annotations

import math
from typing import Any


def same(encoded: Any, expected: Any) -> bool:
    """Whether a value in the form of `groundup.sandbox.inside.values` equals `expected`, as Python's == has it."""
    if expected is None or isinstance(expected, str):
        return bool(encoded == expected) and type(encoded) is type(expected)
    if isinstance(expected, (bool, int, float, complex)):
        number = _number(encoded)
        return number is not None and bool(number == expected)
    if not (isinstance(encoded, list) and encoded):
        return False
    tag, items = encoded[0], encoded[1:]
    if isinstance(expected, bytes):
        return tag == "bytes" and items == [expected.hex()]
    if isinstance(expected, (list, tuple)):
        if tag != ("list" if isinstance(expected, list) else "tuple") or len(items) != len(expected):
            return False
        return all(same(item, wanted) for item, wanted in zip(items, expected))
    if isinstance(expected, (set, frozenset)):
        if tag not in ("set", "frozenset") or len(items) != len(expected):
            return False
        return _pair_up(items, list(expected), same)
    if isinstance(expected, dict):
        if tag != "dict" or len(items) != len(expected) or not all(isinstance(i, list) and len(i) == 2 for i in items):
            return False
        return _pair_up(
            items, list(expected.items()), lambda item, wanted: same(item[0], wanted[0]) and same(item[1], wanted[1])
        )
    return False


def _pair_up(items: list[Any], wanted: list[Any], fits: Any) -> bool:
    """Every item has a partner of its own. Most come in the same order, so that the search is short."""
    left = list(items)
    for want in wanted:
        found = next((i for i, item in enumerate(left) if fits(item, want)), None)
        if found is None:
            return False
        left.pop(found)
    return True


def _number(encoded: Any) -> bool | int | float | complex | None:
    if isinstance(encoded, bool):
        return encoded
    try:
        match encoded:
            case ["int", str(text)]:
                return int(text, 16)
            case ["float", str(text)]:
                return float.fromhex(text)
            case ["complex", str(real), str(imaginary)]:
                return complex(float.fromhex(real), float.fromhex(imaginary))
    except (ValueError, OverflowError):
        return None
    return None


def as_source(encoded: Any) -> str:
    """Python source of a value, for a message or for another sandbox. ValueError where it is not plain data."""
    number = _number(encoded)
    if number is not None:
        if isinstance(number, float) and not math.isfinite(number):
            return f"float({str(number)!r})"
        return hex(number) if isinstance(number, int) and abs(number) > 10**18 else repr(number)
    if encoded is None or isinstance(encoded, str):
        return repr(encoded)
    match encoded:
        case ["bytes", str(text)]:
            return repr(bytes.fromhex(text))
        case ["list", *items]:
            return f"[{', '.join(map(as_source, items))}]"
        case ["tuple", *items]:
            return f"({''.join(f'{as_source(item)}, ' for item in items).rstrip()})" if items else "()"
        case ["set" | "frozenset" as kind, *items]:
            inner = f"{{{', '.join(map(as_source, items))}}}" if items else ""
            return inner if kind == "set" and items else f"{kind}({inner})"
        case ["dict", *items] if all(isinstance(item, list) and len(item) == 2 for item in items):
            return f"{{{', '.join(f'{as_source(k)}: {as_source(v)}' for k, v in items)}}}"
        case ["object", str(name)]:
            raise ValueError(f"an object of type {name}")
    raise ValueError("not plain data")

"""Python values as plain JSON and as nothing else: what a checked program hands out is data, never an object.

Form: null, true, false and strings stand for themselves; everything else is a list [tag, ...]. Integers are hexadecimal text
(no quadratic decimal conversion), floats are float.hex. A value of another type becomes ["object", its type's name], which equals
nothing. Subclasses count as the builtin they extend (Counter and OrderedDict as dict, named tuples as tuple).
"""

from __future__ import annotations

from typing import Any

_MAX_DEPTH = 100


def encode(value: Any, depth: int = 0) -> Any:
    """`value` in the JSON form. Raises ValueError where it is nested deeper than 100 levels."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"a value nested deeper than {_MAX_DEPTH} levels")
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return ["int", hex(int.__index__(value))]
    if isinstance(value, float):
        return ["float", float.hex(value)]
    if isinstance(value, complex):
        return ["complex", float.hex(value.real), float.hex(value.imag)]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", bytes(value).hex()]
    kinds: tuple[tuple[Any, str], ...] = ((list, "list"), (tuple, "tuple"), (set, "set"), (frozenset, "frozenset"))
    for kind, name in kinds:
        if isinstance(value, kind):
            return [name, *(encode(item, depth + 1) for item in kind.__iter__(value))]
    if isinstance(value, dict):
        return ["dict", *([encode(k, depth + 1), encode(v, depth + 1)] for k, v in dict.items(value))]
    return ["object", type(value).__name__]

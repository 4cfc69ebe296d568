"""Cases and outputs as JSON between the grader and the learner's process: plain values as they are, arrays by dtype, shape and bytes.

The same few lines run on both sides: `INSIDE` is the source that the learner's process gets.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from ...core.errors import DataError

_DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
_MAX_ITEMS = 1 << 22


def dumps(value: Any) -> str:
    return json.dumps(_encoded(value))


def _encoded(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {
            "__array__": [
                str(value.dtype),
                list(value.shape),
                base64.b64encode(np.ascontiguousarray(value).tobytes()).decode(),
            ]
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict) or hasattr(value, "items"):
        return {"__pairs__": [[_encoded(k), _encoded(v)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"__tuple__": [_encoded(v) for v in value]}
    if isinstance(value, list):
        return [_encoded(v) for v in value]
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode()}
    return value


def loads(text: str) -> Any:
    """DataError for anything that `dumps` does not write; what comes from a learner's process is not trusted."""
    try:
        return _decoded(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, MemoryError) as error:
        raise DataError(f"outputs that cannot be read: {error}") from None


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(v) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError("an unknown form")
    [(kind, inner)] = value.items()
    if kind == "__array__":
        dtype, shape, data = inner
        if dtype not in _DTYPES:
            raise ValueError(f"an array of {dtype}")
        raw = base64.b64decode(data)
        if len(raw) > _MAX_ITEMS * 8:
            raise ValueError("an array that is too large")
        return np.frombuffer(raw, dtype=dtype).reshape(shape).copy()
    if kind == "__pairs__":
        return {_decoded(k): _decoded(v) for k, v in inner}
    if kind == "__tuple__":
        return tuple(_decoded(v) for v in inner)
    if kind == "__bytes__":
        return base64.b64decode(inner)
    raise ValueError(f"an unknown form {kind!r}")


INSIDE = """
import base64 as _b, json as _j, time as _t, sys as _s
import numpy as np

_TYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
_clock = _t.perf_counter  # the processor's own clock moves in steps of 10 ms on some machines

def _in(v):
    if isinstance(v, list):
        return [_in(x) for x in v]
    if isinstance(v, dict):
        [(kind, x)] = v.items()
        if kind == "__array__":
            return np.frombuffer(_b.b64decode(x[2]), dtype=x[0]).reshape(x[1]).copy()
        if kind == "__pairs__":
            return {_in(k): _in(y) for k, y in x}
        if kind == "__tuple__":
            return tuple(_in(y) for y in x)
        return _b.b64decode(x)
    return v

def _out(v):
    if hasattr(v, "detach") and hasattr(v, "cpu"):
        v = v.detach().cpu()
        v = (v.float() if str(v.dtype) in ("torch.bfloat16", "torch.float16") else v).numpy()
    if isinstance(v, np.generic):
        v = v.item()
    if isinstance(v, np.ndarray):
        if str(v.dtype) not in _TYPES:
            raise TypeError(f"an array of {v.dtype} came out")
        return {"__array__": [str(v.dtype), list(v.shape), _b.b64encode(np.ascontiguousarray(v).tobytes()).decode()]}
    if isinstance(v, dict):
        return {"__pairs__": [[_out(k), _out(x)] for k, x in v.items()]}
    if isinstance(v, tuple):
        return {"__tuple__": [_out(x) for x in v]}
    if isinstance(v, (list, range)):
        return [_out(x) for x in v]
    if isinstance(v, (bytes, bytearray)):
        return {"__bytes__": _b.b64encode(bytes(v)).decode()}
    if v is None or isinstance(v, (bool, int, float, str)):
        return v
    raise TypeError(f"a {type(v).__name__} came out, where plain data was expected")
"""

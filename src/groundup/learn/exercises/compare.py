"""Are two outputs the same, and if not, where do they differ first: in words a learner can use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_SHOWN_ITEMS = 8


def difference(expected: Any, got: Any, tolerance: float, where: str = "") -> str | None:
    """None where they agree: numbers and arrays within `tolerance` of the largest expected size, everything else equal."""
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping):
            return f"{where or 'the result'} should be a mapping, and is {as_text(got)}"
        for name, value in expected.items():
            inner = f"{where}[{name!r}]" if where else str(name)
            if name not in got:
                return f"{inner} is missing; there are {', '.join(map(str, got)) or 'none'}"
            found = difference(value, got[name], tolerance, inner)
            if found is not None:
                return found
        extra = [name for name in got if name not in expected]
        return f"{where or 'the result'} has {extra[0]!r}, which should not be there" if extra else None
    if isinstance(expected, (list, tuple)) and not _is_numbers(expected):
        if not isinstance(got, (list, tuple)) or len(got) != len(expected):
            return f"{where} should be {as_text(expected)}, and is {as_text(got)}"
        for n, (a, b) in enumerate(zip(expected, got)):
            found = difference(a, b, tolerance, f"{where}[{n}]")
            if found is not None:
                return found
        return None
    if expected is None or isinstance(expected, (str, bytes, bool)):
        same = type(expected) is type(got) and expected == got
        return None if same else f"{where} should be {as_text(expected)}, and is {as_text(got)}"
    return _numbers(np.asarray(expected), got, tolerance, where)


def _numbers(expected: np.ndarray, got: Any, tolerance: float, where: str) -> str | None:
    try:
        found = np.asarray(got)
    except ValueError:
        found = np.asarray(None)
    if found.dtype.kind not in "biuf":
        return f"{where} should be numbers, and is {as_text(got)}"
    if found.shape != expected.shape:
        return f"{where} should have the shape {list(expected.shape)}, and has {list(found.shape)}"
    if expected.size == 0:
        return None
    a, b = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(a)
    scale = float(np.abs(a[finite]).max()) if finite.any() else 1.0
    # Not a number is itself, and infinities must be the same ones.
    bad = np.where(finite, ~(np.abs(a - b) <= tolerance * max(scale, 1e-12) + 1e-12 * (tolerance > 0)),
                   ~((a == b) | (np.isnan(a) & np.isnan(b))))  # fmt: skip
    if not bad.any():
        return None
    at = tuple(int(i) for i in np.argwhere(bad)[0]) if bad.ndim else ()
    place = f"{where}[{', '.join(map(str, at))}]" if at else where
    share = f" ({int(bad.sum())} of {bad.size} differ)" if bad.size > 1 else ""
    digits = 6 if f"{a[at]:.6g}" != f"{b[at]:.6g}" else 17
    return f"{place} should be {a[at]:.{digits}g}, and is {b[at]:.{digits}g}{share}"


def _is_numbers(value: Any) -> bool:
    return len(value) > 0 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)


def as_text(value: Any) -> str:
    """Short enough to be read: arrays by shape and first numbers."""
    if isinstance(value, np.ndarray):
        if value.size <= _SHOWN_ITEMS:
            return np.array2string(value, precision=4, separator=", ").replace("\n", "")
        first = np.array2string(value.ravel()[:4], precision=4, separator=", ")[1:-1]
        return f"{list(value.shape)} of {value.dtype}: {first}, ..."
    if isinstance(value, float):
        return f"{value:.6g}"
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."

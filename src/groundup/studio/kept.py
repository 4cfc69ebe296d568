"""What pages have opened by path: a few at a time, opened again where it was written anew."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from groundup.core.artifact import SEAL

T = TypeVar("T")

_MOST = 2
"""Weights of more would fill a laptop's memory; two are enough to compare."""


class KeptOpen(Generic[T]):
    def __init__(self, opener: Callable[[Path], T], closer: Callable[[T], None]) -> None:
        self._opener, self._closer = opener, closer
        self._open: OrderedDict[Path, tuple[int, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path) -> T:
        """What is in a run or model directory. Takes a while, and then not; call it in a thread. Raises what opening raises."""
        path = path.resolve()
        with self._lock:
            stamp = _stamp(path)
            known = self._open.get(path)
            if known is not None and known[0] == stamp:
                self._open.move_to_end(path)
                return known[1]
            if known is not None:
                self._closer(self._open.pop(path)[1])
            while len(self._open) >= _MOST:
                self._closer(self._open.popitem(last=False)[1][1])
            made = self._opener(path)
            self._open[path] = (stamp, made)
            return made

    def close(self) -> None:
        """Let everything go."""
        with self._lock:
            while self._open:
                self._closer(self._open.popitem()[1][1])


def _stamp(path: Path) -> int:
    """Changes when a model in the directory (or run) is written anew."""
    seals = [*path.glob(SEAL), *path.glob(f"*/{SEAL}")]
    return max((seal.stat().st_mtime_ns for seal in seals), default=0)

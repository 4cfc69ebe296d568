"""Models whose insides pages look into: at most two at a time, opened again where they have been trained on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .models import stamp_of

if TYPE_CHECKING:
    from .app import Inspector

_MOST = 2


class OpenInspectors:
    def __init__(self, opener: Callable[[Path], Inspector]) -> None:
        self._opener = opener
        self._open: OrderedDict[Path, tuple[int, Inspector]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path) -> Inspector:
        """The model in a run or model directory. Takes a while, and then not; call it in a thread. Raises what opening raises."""
        path = path.resolve()
        with self._lock:
            stamp = stamp_of(path)
            known = self._open.get(path)
            if known is not None and known[0] == stamp:
                self._open.move_to_end(path)
                return known[1]
            if known is not None:
                self._open.pop(path)[1].close()
            while len(self._open) >= _MOST:
                self._open.popitem(last=False)[1][1].close()
            made = self._opener(path)
            self._open[path] = (stamp, made)
            return made

    def close(self) -> None:
        """Let every model go."""
        with self._lock:
            while self._open:
                self._open.popitem()[1][1].close()

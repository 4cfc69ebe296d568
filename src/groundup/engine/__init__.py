"""From a model to a `Generator` and `Scorer`: one scheduler that merges every caller's requests into one continuous batch.

Names are imported when they are asked for: a model that is no network is opened without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import EngineConfig
    from .engine import Engine

__all__ = ["Engine", "EngineConfig"]

_WHERE = {"Engine": "engine", "EngineConfig": "config"}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""From a model to a `Generator` and `Scorer`: one scheduler that merges every caller's requests into one continuous batch."""

from .config import EngineConfig
from .engine import Engine

__all__ = ["Engine", "EngineConfig"]

"""From any source of text to token shards and rows of post-training data: sources, document steps, stages, cards. No torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .documents import read_documents, read_dropped
    from .messages import read_examples, read_feedback, read_messages, read_preferences
    from .shards import TokenShards
    from .tokens import tokenizer_identity
    from .windows import TokenWindows

__all__ = [
    "TokenShards",
    "TokenWindows",
    "read_documents",
    "read_dropped",
    "read_examples",
    "read_feedback",
    "read_messages",
    "read_preferences",
    "tokenizer_identity",
]

_WHERE = {
    "TokenShards": "shards",
    "TokenWindows": "windows",
    "read_documents": "documents",
    "read_dropped": "documents",
    "read_examples": "messages",
    "read_feedback": "messages",
    "read_preferences": "messages",
    "read_messages": "messages",
    "tokenizer_identity": "tokens",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

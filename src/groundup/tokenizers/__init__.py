"""Tokenizers: text to token ids and back.

`load_tokenizer` opens whatever a directory holds. Numba and NumPy are imported only when something is encoded or trained.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bpe import BPETokenizer
    from .bpe_files import read_tiktoken, write_tiktoken
    from .bpe_train import BPETrainConfig, Progress
    from .char import CharTokenizer
    from .load import load_tokenizer, unit_of
    from .measures import TokenizerMeasures, TokenSpan, compare, describe, measure
    from .stream import StreamDecoder
    from .vocabulary import BPEVocabulary
    from .word import WordTokenizer

__all__ = [
    "BPETokenizer",
    "BPETrainConfig",
    "BPEVocabulary",
    "CharTokenizer",
    "Progress",
    "StreamDecoder",
    "TokenSpan",
    "TokenizerMeasures",
    "WordTokenizer",
    "compare",
    "describe",
    "load_tokenizer",
    "measure",
    "read_tiktoken",
    "unit_of",
    "write_tiktoken",
]

_WHERE = {
    "BPETokenizer": "bpe",
    "BPEVocabulary": "vocabulary",
    "BPETrainConfig": "bpe_train",
    "Progress": "bpe_train",
    "CharTokenizer": "char",
    "WordTokenizer": "word",
    "StreamDecoder": "stream",
    "TokenSpan": "measures",
    "TokenizerMeasures": "measures",
    "compare": "measures",
    "describe": "measures",
    "measure": "measures",
    "load_tokenizer": "load",
    "unit_of": "load",
    "read_tiktoken": "bpe_files",
    "write_tiktoken": "bpe_files",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

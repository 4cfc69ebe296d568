"""What a byte-level BPE tokenizer knows, as a value: training makes it, files hold it, encoding is built from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BPEVocabulary:
    """What a byte-level BPE tokenizer knows; a value, written and read by `bpe_files`."""

    tokens: Sequence[bytes]
    """The bytes of each id; empty for special tokens and for ids that are not used."""
    merges: Sequence[tuple[int, int]] | None
    """Pairs of ids in order of rank. None: any two neighbours whose bytes joined are a token merge, lowest id first (tiktoken)."""
    rule: tuple[str, ...]
    """Pre-tokenization, see `patterns`."""
    added: Mapping[str, int] = field(default_factory=dict)
    """Written form of each special or added token, and its id."""
    plain_added: frozenset[str] = frozenset()
    """Those of `added` that are not special: `skip_special` keeps them."""
    whole_pieces: bool = False
    """A piece that is a token is that token whatever its merges (`ignore_merges`; always so for tiktoken)."""
    nfc: bool = False
    """Text is normalised to NFC first; decoding then gives the normalised text."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Parts of tokenizer.json kept as they were read: post_processor."""

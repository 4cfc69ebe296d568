"""What a tokenizer makes of a text: its pieces with their places, and how well it compresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from groundup.core.protocols import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TokenSpan:
    """One token of a text."""

    token_id: int
    text: str
    """Its bytes as text; a part of a character shows as U+FFFD."""
    start_byte: int
    """Place in the UTF-8 of the (normalised) text."""
    end_byte: int
    special: bool


@dataclass(frozen=True, kw_only=True)
class TokenizerMeasures:
    """How well a tokenizer compresses a text."""

    num_bytes: int
    num_characters: int
    num_words: int
    """Stretches between white space."""
    num_tokens: int
    num_distinct_tokens: int
    bytes_per_token: float
    """Compression: higher is better."""
    tokens_per_word: float
    """Fertility: lower is better."""


def describe(tokenizer: Tokenizer, text: str, *, allow_special: bool = False) -> list[TokenSpan]:
    """Every token of `text`, in order."""
    special = set(tokenizer.special_ids.values())
    spans = []
    at = 0
    for token_id in tokenizer.encode(text, allow_special=allow_special):
        data = tokenizer.token_bytes(token_id)
        spans.append(
            TokenSpan(
                token_id=token_id,
                text=data.decode("utf-8", "replace"),
                start_byte=at,
                end_byte=at + len(data),
                special=token_id in special,
            )
        )
        at += len(data)
    return spans


def measure(tokenizer: Tokenizer, text: str) -> TokenizerMeasures:
    """Compression of one text. Ratios over nothing are 0."""
    ids: Sequence[int] = tokenizer.encode(text)
    num_bytes, num_words = len(text.encode("utf-8", "surrogatepass")), len(text.split())
    return TokenizerMeasures(
        num_bytes=num_bytes,
        num_characters=len(text),
        num_words=num_words,
        num_tokens=len(ids),
        num_distinct_tokens=len(set(ids)),
        bytes_per_token=num_bytes / len(ids) if ids else 0.0,
        tokens_per_word=len(ids) / num_words if num_words else 0.0,
    )


def compare(tokenizers: Mapping[str, Tokenizer], text: str) -> dict[str, TokenizerMeasures]:
    """`measure` of the same text under several tokenizers, by name."""
    return {name: measure(tokenizer, text) for name, tokenizer in tokenizers.items()}

"""Learn a byte-level BPE vocabulary: count distinct pieces, then merge the most frequent pair until the vocabulary is full.

Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section 3.2, over bytes as in Radford et al.
2019 (GPT-2), section 2.2. Order, ties and ids are those of Hugging Face `tokenizers` (see `merge_kernel`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundup.core.errors import DataError, TokenizerError

from .alphabet import ALPHABET_ORDER, CHAR_TO_BYTE, to_bytes
from .patterns import rule_of
from .piece_counts import PieceCounts, count_texts
from .splitter import Splitter

_MERGES_PER_REPORT = 256


@dataclass(frozen=True, kw_only=True)
class BPETrainConfig:
    """How to train a `BPETokenizer`."""

    vocab_size: int = 32768
    """Number of ids, special tokens and the 256 bytes included."""
    pattern: str = "cl100k"
    """How text is cut into pieces: gpt2, cl100k, o200k, qwen2, tekken, smollm, or a regular expression."""
    min_frequency: int = 2
    """A pair seen less often is not merged."""
    special_tokens: tuple[str, ...] = ("<|endoftext|>",)
    """They get the first ids, in this order, and never take part in a merge."""
    num_threads: int = 0
    """Threads that count pieces; 0 takes every core."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far training is. `total` is 0 while it is not known."""

    phase: str
    """`count` (done and total in bytes of text) or `merge` (in tokens)."""
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class LearnedVocabulary:
    """What training makes."""

    tokens: list[bytes]
    """The bytes of each id; empty for a special token."""
    merges: list[tuple[int, int]]
    """Pairs of ids in order of rank."""
    special_tokens: tuple[str, ...]
    """Written forms of ids 0 .. len - 1."""


Merge = Callable[[PieceCounts, BPETrainConfig, tuple[str, ...], Callable[[Progress], None] | None], LearnedVocabulary]
"""(counts, config, special tokens, on_progress) -> what was learned."""


def check_config(config: BPETrainConfig) -> tuple[str, ...]:
    """The special tokens without repeats. Raises TokenizerError when the config cannot be met."""
    special = tuple(dict.fromkeys(config.special_tokens))
    for token in special:
        if not token:
            raise TokenizerError(
                "special_tokens has an empty string in it", hint="remove it from tokenizer.special_tokens"
            )
        if token in CHAR_TO_BYTE:
            raise TokenizerError(
                f"the special token {token!r} is a single character that the byte alphabet already has",
                hint="write it longer, for example <|" + token + "|>",
            )
    least = 256 + len(special)
    if config.vocab_size < least:
        raise TokenizerError(
            f"vocab_size is {config.vocab_size}, but 256 bytes and {len(special)} special tokens need at least {least}",
            hint=f"set vocab_size to {least} or more",
        )
    return special


def learn(
    texts: Iterable[str | Path],
    config: BPETrainConfig,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    merge: Merge | None = None,
) -> LearnedVocabulary:
    """Train on texts (a Path is a UTF-8 file). Fewer ids than asked for when no pair is frequent enough. merge: how merges are
    learned from the counts; None: `learn_from_counts`.

    Raises TokenizerError for a config that cannot be met, DataError when there is no text.
    """
    special = check_config(config)
    splitter = Splitter(rule_of(config.pattern))

    def on_bytes(done: int) -> None:
        if on_progress:
            on_progress(Progress(phase="count", done=done, total=0))

    counts = count_texts(texts, splitter, num_threads=config.num_threads, on_bytes=on_bytes)
    if not counts.num_words:
        raise DataError(
            "there is no text to train a tokenizer on", hint="check the data stage: are all documents dropped?"
        )
    return (merge or learn_from_counts)(counts, config, special, on_progress)


def learn_from_counts(
    counts: PieceCounts,
    config: BPETrainConfig,
    special: tuple[str, ...],
    on_progress: Callable[[Progress], None] | None = None,
) -> LearnedVocabulary:
    """The merge phase alone."""
    from .merge_state import MergeState

    byte_id = np.empty(256, np.int64)
    byte_id[list(ALPHABET_ORDER)] = len(special) + np.arange(256)
    tokens = [to_bytes(token) or b"" for token in special] + [bytes([byte]) for byte in ALPHABET_ORDER]
    state = MergeState(counts, tokens, byte_id, len(special), config.vocab_size)
    least = max(1, config.min_frequency)
    while state.advance(_MERGES_PER_REPORT, least):
        if on_progress:
            on_progress(Progress(phase="merge", done=state.num_tokens, total=config.vocab_size))

    vocabulary: list[bytes] = [b""] * len(special) + tokens[len(special) :]
    merges = [(left, right) for left, right in state.merges.tolist()]
    for left, right in merges:
        vocabulary.append(vocabulary[left] + vocabulary[right])
    if on_progress:
        on_progress(Progress(phase="merge", done=len(vocabulary), total=len(vocabulary)))
    return LearnedVocabulary(tokens=vocabulary, merges=merges, special_tokens=special)

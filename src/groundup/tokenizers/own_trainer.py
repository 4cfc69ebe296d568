"""Merges learned by a function of the user's, made into the vocabulary that everything else reads.

The function is `train(words, num_merges) -> [(left, right), ...]`, as in Sennrich et al. 2016, section 3.2: words are the distinct
pieces of the text and how often each is there, written in GPT-2's byte alphabet (a character a byte, so any text is ordinary letters).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from groundup.core.errors import DataError, TokenizerError

from .alphabet import ALPHABET_ORDER, BYTE_TO_CHAR, to_bytes, to_chars
from .bpe import BPETokenizer
from .bpe_train import BPETrainConfig, check_config
from .patterns import rule_of
from .piece_counts import count_texts
from .splitter import Splitter
from .vocabulary import BPEVocabulary


def train_with(
    function: Callable[..., Any], texts: Iterable[str | Path], config: BPETrainConfig, *, name: str
) -> BPETokenizer:
    """`BPETokenizer.train`, with the merges from `function(words=..., num_merges=...)`; name: of it, for errors.

    Raises TokenizerError where what it returns is no list of merges, and says which of them is wrong.
    """
    special = check_config(config)
    counts = count_texts(texts, Splitter(rule_of(config.pattern)), num_threads=config.num_threads)
    if not counts.num_words:
        raise DataError(
            "there is no text to train a tokenizer on", hint="check the data stage: are all documents dropped?"
        )
    num_merges = config.vocab_size - 256 - len(special)
    words = {to_chars(piece): count for piece, count in counts.items()}
    try:
        merges = list(function(words=words, num_merges=num_merges))
    except Exception as error:
        raise TokenizerError(
            f"{name} failed on {len(words):,} distinct words: {type(error).__name__}: {error}"
        ) from error
    if len(merges) > num_merges:
        raise TokenizerError(f"{name} made {len(merges):,} merges where {num_merges:,} were asked for")
    ids = {BYTE_TO_CHAR[byte]: len(special) + i for i, byte in enumerate(ALPHABET_ORDER)}
    tokens = [b""] * len(special) + [bytes([byte]) for byte in ALPHABET_ORDER]
    pairs = []
    for rank, merge in enumerate(merges):
        if not (isinstance(merge, (tuple, list)) and len(merge) == 2 and all(isinstance(part, str) for part in merge)):
            raise TokenizerError(f"{name}: merge {rank} is {merge!r}, not a pair (left, right) of texts")
        left, right = merge
        unknown = next((part for part in merge if part not in ids), None)
        if unknown is not None:
            raise TokenizerError(
                f"{name}: merge {rank} joins {unknown!r}, which is neither a character nor made by an earlier merge"
            )
        if left + right in ids:
            raise TokenizerError(f"{name}: merge {rank} makes {left + right!r}, which an earlier one has made")
        ids[left + right] = len(tokens)
        tokens.append(to_bytes(left + right) or b"")
        pairs.append((ids[left], ids[right]))
    return BPETokenizer(
        BPEVocabulary(
            tokens=tokens, merges=pairs, rule=rule_of(config.pattern), added={form: i for i, form in enumerate(special)}
        )
    )

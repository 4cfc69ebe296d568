"""Merges learned by a function of the user's, in the place of the compiled ones.

The function is `train(words, num_merges) -> [(left, right), ...]`, as in Sennrich et al. 2016, section 3.2: words are the distinct
pieces of the text and how often each is there, written in GPT-2's byte alphabet (a character a byte, so any text is ordinary letters).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from groundup.core.errors import TokenizerError

from .alphabet import ALPHABET_ORDER, BYTE_TO_CHAR, to_bytes, to_chars
from .bpe_train import BPETrainConfig, LearnedVocabulary, Merge, Progress
from .piece_counts import PieceCounts


def merges_of(function: Callable[..., Any], name: str) -> Merge:
    """`function(words=..., num_merges=...)` as what `BPETokenizer.train` takes for `merge`; name: of it, for errors.

    It raises TokenizerError where what the function returns is no list of merges, and says which of them is wrong.
    `min_frequency` is the function's own affair.
    """

    def merge(
        counts: PieceCounts,
        config: BPETrainConfig,
        special: tuple[str, ...],
        on_progress: Callable[[Progress], None] | None,
    ) -> LearnedVocabulary:
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
        for rank, pair in enumerate(merges):
            if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
                raise TokenizerError(f"{name}: merge {rank} is {pair!r}, not a pair (left, right) of texts")
            left, right = pair
            unknown = next((part for part in pair if part not in ids), None)
            if unknown is not None:
                raise TokenizerError(
                    f"{name}: merge {rank} joins {unknown!r}, which is neither a character nor made by an earlier merge"
                )
            if left + right in ids:
                raise TokenizerError(f"{name}: merge {rank} makes {left + right!r}, which an earlier one has made")
            ids[left + right] = len(tokens)
            tokens.append(to_bytes(left + right) or b"")
            pairs.append((ids[left], ids[right]))
        return LearnedVocabulary(tokens=tokens, merges=pairs, special_tokens=special)

    return merge

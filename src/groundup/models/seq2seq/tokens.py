"""Which ids begin and end the two sides, as a directory's generation_config.json says (Hugging Face's keys)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import ModelError, TokenizerError
from ...core.protocols import Tokenizer

START, EOS = "decoder_start_token_id", "eos_token_id"
_ENDS = ("<|endoftext|>", "</s>", "<eos>")


@dataclass(frozen=True, slots=True)
class Ends:
    start: int
    """The decoder's first input."""
    eos: int
    """Ends a target, and the source that the encoder reads."""

    def source(self, ids: Sequence[int], context_tokens: int) -> list[int]:
        """A source as the encoder reads it, cut to the context."""
        return [*ids[: context_tokens - 1], self.eos]


def ends_for(tokenizer: Tokenizer) -> dict[str, int]:
    """The keys of generation_config.json: one special token begins and ends targets. TokenizerError if there is none for it."""
    for name in _ENDS:
        if name in tokenizer.special_ids:
            return {START: tokenizer.special_ids[name], EOS: tokenizer.special_ids[name]}
    raise TokenizerError(
        f"the tokenizer has none of the special tokens {', '.join(_ENDS)}, so nothing can end a target",
        hint="train it with special_tokens: ['<|endoftext|>']",
    )


def ends_of(generation: Mapping[str, Any], directory: Path) -> Ends:
    found = [generation.get(key) for key in (START, EOS)]
    if not all(isinstance(value, int) for value in found):
        raise ModelError(f"generation_config.json of {directory} does not give {START} and {EOS} as whole numbers")
    return Ends(*found)  # type: ignore[arg-type]

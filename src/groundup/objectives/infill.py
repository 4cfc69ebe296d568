"""Fill-in-the-middle: a decoder that learns to write what stands between a prefix and a suffix (Bavarian et al. 2022).

A document is cut at two characters drawn from it into prefix, middle and suffix, and put in another order, with a special token
before each part:

    PSM   <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle
    SPM   <|fim_prefix|> <|fim_suffix|> suffix <|fim_middle|> prefix middle

Every token is learned as in plain language modelling, so the model stays one (the paper's "free" ability). Cuts are between
characters, so the pieces are tokenised apart: at the border the model meets half words, as an editor's user leaves them
(section 4.2). SPM is the paper's second form (SPMv2, section 3.1), in which prefix and middle are read on without a border.
A document longer than the context is first cut into pieces that fit, and each is transformed alone, so that no part is lost
at the context's end ("context level").

Letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..core.errors import ConfigError, DataError
from ..core.protocols import Tokenizer
from ..nn.protocols import Batch, LossOutput
from .sft import SFT, ChatExample, SFTConfig

PREFIX, MIDDLE, SUFFIX = "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"
FIM_TOKENS = (PREFIX, MIDDLE, SUFFIX)
END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True, kw_only=True)
class InfillConfig:
    type: Literal["infill"] = "infill"
    rate: float = 0.5
    """Share of the documents that are cut and reordered; the rest are learned from left to right. The paper found 0.5 to 0.9 to
    cost plain modelling nothing."""
    spm_rate: float = 0.5
    """Share of those in the SPM order."""
    learn: Literal["all", "middle"] = "all"
    """middle: only what is filled in, for fine-tuning a model that is good already."""
    context_tokens: int = 1024
    """Positions of a row; the train stage sets its own."""
    z_loss: float = 0.0
    label_smoothing: float = 0.0
    chunk_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "spm_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"must be between 0 and 1, not {getattr(self, name)}", path=name)
        if self.context_tokens < 8:
            raise ConfigError(f"must be at least 8, not {self.context_tokens}", path="context_tokens")


@dataclass(frozen=True, slots=True)
class FillTokens:
    """The special tokens, as this tokenizer numbers them."""

    prefix: int
    middle: int
    suffix: int
    end: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> FillTokens:
        """ConfigError names the ones that are missing."""
        special = tokenizer.special_ids
        missing = [name for name in (*FIM_TOKENS, END_OF_TEXT) if name not in special]
        if missing:
            raise ConfigError(
                f"the tokenizer has no {', '.join(missing)}, which fill-in-the-middle needs",
                path="special_tokens",
                hint=f'train it with special_tokens: ["{END_OF_TEXT}", "{PREFIX}", "{MIDDLE}", "{SUFFIX}"]',
            )
        return cls(special[PREFIX], special[MIDDLE], special[SUFFIX], special[END_OF_TEXT])


def fill_prompt(prefix: str, suffix: str, tokenizer: Tokenizer, tokens: FillTokens, *, spm: bool = False) -> list[int]:
    """The ids after which the model writes what stands between; it ends with `tokens.end`."""
    before, after = tokenizer.encode(prefix), tokenizer.encode(suffix)
    if spm:
        return [tokens.prefix, tokens.suffix, *after, tokens.middle, *before]
    return [tokens.prefix, *before, tokens.suffix, *after, tokens.middle]


def encode_document(
    text: str, tokenizer: Tokenizer, tokens: FillTokens, rng: np.random.Generator, config: InfillConfig
) -> ChatExample:
    """One piece of text as ids with the end mark, reordered or not as `rng` has it, and which of them are learned."""
    reorder, spm = rng.random() < config.rate, rng.random() < config.spm_rate
    # Both cuts are uniform over the places between characters, the ends included (section 3).
    first, second = sorted(int(n) for n in rng.integers(0, len(text) + 1, size=2))
    if not reorder:
        ids = [*tokenizer.encode(text), tokens.end]
        return ChatExample(np.asarray(ids, np.int32), np.full(len(ids), config.learn == "all"))
    start = fill_prompt(text[:first], text[second:], tokenizer, tokens, spm=spm)
    middle = [*tokenizer.encode(text[first:second]), tokens.end]
    mask = np.full(len(start) + len(middle), True)
    if config.learn == "middle":
        mask[: len(start)] = False
    return ChatExample(np.asarray([*start, *middle], np.int32), mask)


def pieces(text: str, tokenizer: Tokenizer, max_tokens: int) -> Iterator[str]:
    """The text in parts that make at most max_tokens tokens each when cut where the tokenizer cuts, at ends of lines where
    there is one in the last half of a part.
    """
    ids = tokenizer.encode(text)
    if len(ids) <= max_tokens:
        if text.strip():
            yield text
        return
    encoded, at = text.encode("utf-8"), 0
    sizes = [len(tokenizer.token_bytes(i)) for i in ids]
    ends = np.cumsum(sizes)
    if int(ends[-1]) != len(encoded):
        raise DataError(
            f"the {len(ids)} tokens of a document of {len(encoded)} bytes spell {int(ends[-1])}",
            hint="use a tokenizer without normalisation (byte-level BPE)",
        )
    while at < len(encoded):
        done = int(np.searchsorted(ends, at, side="right"))
        stop = int(ends[min(done + max_tokens, len(ends)) - 1])
        if stop < len(encoded):
            line = encoded.rfind(b"\n", (at + stop) // 2, stop)
            stop = line + 1 if line > at else stop
            while stop < len(encoded) and encoded[stop] & 0xC0 == 0x80:
                stop += 1  # not inside a character
        part = encoded[at:stop].decode("utf-8")
        if part.strip():
            yield part
        at = stop


class Infill:
    """groundup.nn.protocols.Objective over `ChatExample`s made by `encode_document`, packed into rows."""

    def __init__(self, config: InfillConfig = InfillConfig(), *, pad_id: int = 0) -> None:
        self.config = config
        self._rows = SFT(
            SFTConfig(
                context_tokens=config.context_tokens,
                z_loss=config.z_loss,
                label_smoothing=config.label_smoothing,
                chunk_tokens=config.chunk_tokens,
            ),
            pad_id=pad_id,
        )

    def collate(self, examples: Sequence[Any]) -> Batch:
        """[B, T]; examples that are longer than a row are cut at its end."""
        limit = self.config.context_tokens + 1
        cut = [ChatExample(e.input_ids[:limit], e.mask[:limit]) for e in examples]
        return self._rows.collate(cut)

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        return self._rows.loss(model, batch)


class InfillSource:
    """Pieces of documents in an order drawn afresh for every epoch, each cut at other places each time it comes: everything
    is a function of (seed, number of the example). groundup.nn.protocols.ExampleSource.
    """

    def __init__(
        self, texts: Sequence[str], tokenizer: Tokenizer, tokens: FillTokens, config: InfillConfig, seed: int
    ) -> None:
        if not texts:
            raise DataError("no text to learn from", hint="look at the reasons: groundup data --dropped")
        self.texts, self.tokenizer, self.tokens, self.config, self.seed = texts, tokenizer, tokens, config, seed
        self._order: tuple[int, np.ndarray] | None = None

    def take(self, step: int, count: int) -> Sequence[ChatExample]:
        return [self.example(step * count + j) for j in range(count)]

    def example(self, index: int) -> ChatExample:
        epoch, place = divmod(index, len(self.texts))
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.texts)))
        text = self.texts[int(self._order[1][place])]
        return encode_document(
            text, self.tokenizer, self.tokens, np.random.default_rng([self.seed, index, 1]), self.config
        )

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...

    def figures(self) -> dict[str, float]:
        return {}

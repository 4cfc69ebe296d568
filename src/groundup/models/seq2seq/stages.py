"""The stage `seq2seq`: an encoder and a decoder with fresh weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ...core.recipe import StageContext
from ..directory import copy_tokenizer_files, save_model
from ..stages import fresh_figures, rounded_vocabulary, special_token_ids
from .model import Seq2Seq, Seq2SeqConfig
from .tokens import ends_for


@dataclass(frozen=True, kw_only=True)
class Seq2SeqStage(Seq2SeqConfig):
    """An encoder-decoder with fresh weights, drawn from the run's seed."""

    tokenizer: str = "tokenizer"
    """Name of the stage whose tokenizer, of both sides, the model is for."""
    num_beams: int = 4
    """How many translations a search keeps, unless it is told otherwise; 1 is greedy."""
    length_penalty: float = 1.0
    """Exponent of the length that a finished translation's log-probability is divided by."""
    type: Literal["seq2seq"] = "seq2seq"

    @property
    def kind(self) -> str:
        return "model"

    def inputs(self) -> Sequence[str]:
        return (self.tokenizer,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        from ...tokenizers import load_tokenizer

        source = context.inputs[self.tokenizer]
        tokenizer = load_tokenizer(source)
        plain = Seq2SeqConfig(**{f.name: getattr(self, f.name) for f in fields(Seq2SeqConfig)})
        if plain.vocab_size == 0:
            plain = replace(plain, vocab_size=rounded_vocabulary(tokenizer.vocab_size))
        model = Seq2Seq(plain).initialise(context.seed)
        copy_tokenizer_files(source, context.directory)
        ids = special_token_ids(source, tokenizer)
        search = {"num_beams": self.num_beams, "length_penalty": self.length_penalty, "do_sample": False}
        save_model(model, context.directory, generation={**ids, **ends_for(tokenizer), **search})
        return fresh_figures(context.directory)

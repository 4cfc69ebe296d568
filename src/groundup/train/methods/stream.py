"""Learn next tokens along unbroken streams of token shards, with a memory that is carried from step to step: truncated
back-propagation through time, for recurrent and feed-forward language models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from ...core.errors import ConfigError, DataError
from ...core.protocols import Tokenizer
from ...data import TokenShards, tokenizer_identity
from ...models.rnn import FeedForwardLM, RecurrentLM
from ...objectives.stream import Carried, StreamLM, StreamSource, stream_nats
from ...tokenizers.load import unit_of
from ...tokenizers.word import WordTokenizer
from ..settings import Settings
from ..training import Start, Training

_READERS = 32
_WINDOW_TOKENS = 128
_LEAD_WINDOWS = 2
"""A reader of held-out text begins so far before its part: an LSTM's predictions hang on about 200 tokens (Khandelwal et al. 2018)."""


def open(start: Start) -> Training:
    context, stage, length = start.context, start.stage, start.context_tokens
    model: Any = start.model
    if not isinstance(model, (RecurrentLM, FeedForwardLM)):
        raise ConfigError(
            f"streams are for models that carry a memory through training, and {stage.model!r} is none",
            path=f"{context.name}.objective",
            hint="use objective: {type: causal}",
        )
    train = TokenShards.open(start.data, "train")
    if train.index.tokenizer != tokenizer_identity(start.tokenizer):
        raise DataError(
            f"the token shards in {start.data} were made with another tokenizer than the model's: its ids would mean other text",
            hint="give the pack stage the model's tokenizer: tokens.tokenizer=model",
        )
    held_out = TokenShards.open(start.data, "validation")
    for name, reason in (*train.quarantined, *held_out.quarantined):
        context.progress.say(f"  warning: shard {name} is left out: {reason}")
    carried = Carried(model, stage.batch_size)
    source = StreamSource(train, carried, rows=stage.batch_size, context_tokens=length, seed=context.seed)
    config: Any = stage.objective
    return Training(
        model=model,
        objective=StreamLM(carried, config),
        source=source,
        evaluate=StreamHeldOut(held_out, start.tokenizer, stage.evaluation_tokens),
        save=lambda directory: start.save(model, directory),
        num_examples=source.steps * stage.batch_size,
        example_name=f"{length} tokens",
        context_tokens=length,
    )


class StreamHeldOut:
    """Perplexity of held-out text as one stream, several readers at once (groundup.objectives.stream.stream_nats)."""

    def __init__(self, shards: TokenShards, tokenizer: Tokenizer, most_tokens: int) -> None:
        ids = shards.tokens(0, min(shards.num_tokens, most_tokens))
        begin = tokenizer.end_of_line_id if isinstance(tokenizer, WordTokenizer) else shards.index.eos_id
        self.ids = ids if begin is None else np.concatenate([[begin], ids])
        words = unit_of(tokenizer) == "word"  # of words that are not in the vocabulary no byte is known
        self.bytes_per_token = 0.0 if words else shards.text_bytes / max(1, shards.num_tokens)

    def __call__(self, model: nn.Module, settings: Settings) -> Mapping[str, float]:
        """val_loss, val_perplexity, and val_bits_per_byte where the bytes are known; {} without text."""
        if len(self.ids) < 2:
            return {}
        readers = max(1, min(_READERS, len(self.ids) // (4 * _LEAD_WINDOWS * _WINDOW_TOKENS)))
        lead = _LEAD_WINDOWS if readers > 1 else 0
        with settings.autocast():
            nats, count = stream_nats(model, self.ids, readers=readers, lead_windows=lead, window_tokens=_WINDOW_TOKENS)
        figures = {"val_loss": nats / count, "val_perplexity": math.exp(min(nats / count, 700.0))}
        if self.bytes_per_token:
            figures["val_bits_per_byte"] = figures["val_loss"] / math.log(2) / self.bytes_per_token
        return figures

"""Learn to write the target of a pair from its source: translation, summaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.errors import ConfigError
from ...core.protocols import Tokenizer
from ...data.parallel import TextPair, read_pairs
from ...models.directory import read_generation_config
from ...models.seq2seq import Seq2Seq
from ...models.seq2seq.tokens import Ends, ends_of
from ...objectives.seq2seq import BucketSource, EncodedPair, Seq2SeqObjective, Seq2SeqObjectiveConfig
from ..training import HeldOut, Start, Training


def open(start: Start) -> Training:
    if not isinstance(start.model, Seq2Seq):
        raise ConfigError(
            f"this objective trains an encoder-decoder, and {start.stage.model!r} is none",
            path=f"{start.context.name}.model",
            hint="name a stage of type seq2seq",
        )
    ends = ends_of(read_generation_config(start.directory), start.directory)
    config: Any = start.stage.objective
    assert isinstance(config, Seq2SeqObjectiveConfig)
    encoded = {
        split: list(encode_pairs(read_pairs(start.data, split), start.tokenizer, ends, start.context_tokens))
        for split in ("train", "validation")
    }
    objective = Seq2SeqObjective(config)
    source = BucketSource(encoded["train"], config.bucket_tokens, start.context.seed)
    held_out = first_pairs(encoded["validation"], start.stage.evaluation_tokens)
    buckets = BucketSource(held_out, config.bucket_tokens, 0) if held_out else None
    return Training(
        model=start.model,
        objective=objective,
        source=source,
        evaluate=HeldOut(
            objective=Seq2SeqObjective(
                replace(config, label_smoothing=0.0)
            ),  # nats per token, comparable between settings
            examples=[] if buckets is None else buckets.take(0, buckets.num_buckets),
            batch_rows=1,
            metrics=("accuracy",),
        ),
        save=lambda directory: start.save(start.model, directory),
        num_examples=source.num_buckets,
        example_name=f"about {config.bucket_tokens:,} target tokens",
        context_tokens=start.context_tokens,
        example_tokens=config.bucket_tokens,
    )


def encode_pairs(
    pairs: Iterable[TextPair], tokenizer: Tokenizer, ends: Ends, context_tokens: int
) -> Iterator[EncodedPair]:
    """Both sides as ids; what does not fit the context is cut off at the end."""
    for pair in pairs:
        source = ends.source(tokenizer.encode(pair.source), context_tokens)
        target = [ends.start, *tokenizer.encode(pair.target)[: context_tokens - 1], ends.eos]
        yield EncodedPair(np.array(source, np.int32), np.array(target, np.int32))


def first_pairs(pairs: list[EncodedPair], num_tokens: int) -> list[EncodedPair]:
    """The first pairs that have this many target tokens together."""
    total = np.cumsum([len(pair.target) for pair in pairs])
    return pairs[: int(np.searchsorted(total, num_tokens)) + 1]

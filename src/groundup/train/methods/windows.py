"""Learn each token from those before it, on windows of token shards: pre-training, and going on with it."""

from __future__ import annotations

from typing import Any

from ...core.errors import DataError
from ...data import TokenShards, TokenWindows, tokenizer_identity
from ...nn.protocols import Objective
from ...objectives.causal import CausalLM
from ...objectives.sources import WindowSource
from ..training import HeldOut, Start, Training


def open(start: Start) -> Training:
    return open_windows(start, CausalLM(start.stage.objective))


def open_windows(start: Start, objective: Objective) -> Training:
    """Any objective over windows. DataError if the shards were made with another tokenizer."""
    context, stage, length = start.context, start.stage, start.context_tokens
    train = TokenShards.open(start.data, "train")
    if train.index.tokenizer != tokenizer_identity(start.tokenizer):
        raise DataError(
            f"the token shards in {start.data} were made with another tokenizer than the model's: its ids would mean other text",
            hint="give the pack stage the model's tokenizer: tokens.tokenizer=model",
        )
    windows = TokenWindows(train, length, context.seed, documents=stage.within_documents)
    held_out = TokenShards.open(start.data, "validation")
    for name, reason in (*train.quarantined, *held_out.quarantined):
        context.progress.say(f"  warning: shard {name} is left out: {reason}")
    wanted = min(held_out.num_tokens, max(stage.evaluation_tokens, length + 1))
    starts = range(0, wanted - length, length)
    examples: list[Any] = [held_out.tokens(first, first + length + 1).astype("int64") for first in starts]
    return Training(
        model=start.model,
        objective=objective,
        source=WindowSource(windows),
        evaluate=HeldOut(
            objective=objective,
            examples=examples,
            batch_rows=start.batch_rows,
            bytes_per_token=held_out.text_bytes / max(1, held_out.num_tokens),
        ),
        save=lambda directory: start.save(start.model, directory),
        num_examples=windows.num_windows,
        example_name=f"{length} tokens",
        context_tokens=length,
    )

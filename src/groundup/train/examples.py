"""Opens a data artifact for the loop: the endless training source, fixed validation batches, and what a token is in bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.artifact import read_seal
from ..core.errors import DataError
from ..core.progress import Progress
from ..nn.protocols import Batch, ExampleSource, Objective


@dataclass(frozen=True, kw_only=True)
class Examples:
    source: ExampleSource
    num_examples: int
    """One epoch."""
    example_name: str
    """What one is, in words."""
    context_tokens: int
    bytes_per_token: float
    """UTF-8 bytes of validation text per token; 0 where it makes no sense."""
    validation_examples: Callable[[int], Sequence[Any]]
    """The first validation examples that hold this many tokens."""
    collate: Callable[[Sequence[Any]], Batch]

    def validation(self, num_tokens: int, batch_size: int) -> Iterator[Batch]:
        examples = self.validation_examples(num_tokens)
        for i in range(0, len(examples), batch_size):
            yield self.collate(examples[i : i + batch_size])


def open_examples(
    directory: Path,
    objective: Objective,
    *,
    tokenizer: Any,
    template: Any,
    context_tokens: int,
    within_documents: bool,
    seed: int,
    progress: Progress,
) -> Examples:
    """Token shards or instruction examples, by the kind the directory's seal says."""
    kind = read_seal(directory).kind
    if kind == "tokens":
        return _windows(directory, objective, tokenizer, context_tokens, within_documents, seed, progress)
    if kind == "instruct":
        return _conversations(directory, objective, tokenizer, template, context_tokens, seed, progress)
    raise DataError(f"{directory} is a {kind!r} artifact; training reads 'tokens' or 'instruct'")


def _windows(
    directory: Path,
    objective: Objective,
    tokenizer: Any,
    context_tokens: int,
    within_documents: bool,
    seed: int,
    progress: Progress,
) -> Examples:
    from ..data import TokenShards, TokenWindows, tokenizer_identity
    from ..objectives.sources import WindowSource

    train = TokenShards.open(directory, "train")
    if train.index.tokenizer != tokenizer_identity(tokenizer):
        raise DataError(
            f"the token shards in {directory} were made with another tokenizer than the model's: its ids would mean other text",
            hint="give the pack stage the model's tokenizer: tokens.tokenizer=model",
        )
    windows = TokenWindows(train, context_tokens, seed, documents=within_documents)
    held_out = TokenShards.open(directory, "validation")
    for name, reason in (*train.quarantined, *held_out.quarantined):
        progress.say(f"  warning: shard {name} is left out: {reason}")

    def validation(num_tokens: int) -> Sequence[Any]:
        wanted = min(held_out.num_tokens, max(num_tokens, context_tokens + 1))
        starts = range(0, wanted - context_tokens, context_tokens)
        return [held_out.tokens(start, start + context_tokens + 1).astype("int64") for start in starts]

    return Examples(
        source=WindowSource(windows),
        num_examples=windows.num_windows,
        example_name=f"{context_tokens} tokens",
        context_tokens=context_tokens,
        bytes_per_token=held_out.text_bytes / max(1, held_out.num_tokens),
        validation_examples=validation,
        collate=objective.collate,
    )


def _conversations(
    directory: Path,
    objective: Objective,
    tokenizer: Any,
    template: Any,
    context_tokens: int,
    seed: int,
    progress: Progress,
) -> Examples:
    from ..data import read_examples
    from ..objectives.sft import encode_chat
    from ..objectives.sources import ChatSource
    from ..tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate

    template = template or ChatTemplate(DEFAULT_CHAT_TEMPLATE)

    def encoded(split: str) -> list[Any]:
        rows = list(read_examples(directory, split))
        made = []
        with progress.task(f"encoding {split}", len(rows)) as bar:
            for row in rows:
                made.append(encode_chat(row["messages"], tokenizer, template, max_tokens=context_tokens + 1))
                bar.advance()
        return [example for example in made if example.weight]

    train, held_out = encoded("train"), encoded("validation")

    def validation(num_tokens: int) -> Sequence[Any]:
        taken, total = [], 0
        for example in held_out:
            if total >= num_tokens:
                break
            taken.append(example)
            total += example.positions
        return taken

    return Examples(
        source=ChatSource(train, seed),
        num_examples=len(train),
        example_name="conversations",
        context_tokens=context_tokens,
        bytes_per_token=0.0,
        validation_examples=validation,
        collate=objective.collate,
    )

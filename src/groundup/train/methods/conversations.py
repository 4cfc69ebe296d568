"""Learn what the assistant wrote in conversations: supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...core.artifact import read_seal
from ...core.errors import DataError
from ...data import read_examples
from ...nn.protocols import Objective
from ...objectives.sft import SFT, ChatExample, encode_chat
from ...objectives.sources import ChatSource
from ..training import HeldOut, Start, Training


def open(start: Start) -> Training:
    return open_conversations(start, SFT(replace(start.stage.objective, context_tokens=start.context_tokens)))


def open_conversations(start: Start, objective: Objective) -> Training:
    """Any objective over conversations (ChatExamples)."""
    kind = read_seal(start.data).kind
    if kind != "instruct":
        raise DataError(f"{start.data} is a {kind!r} artifact; this objective reads 'instruct'")
    train = encoded(start, "train")
    held_out = first_tokens(encoded(start, "validation"), start.stage.evaluation_tokens)
    return Training(
        model=start.model,
        objective=objective,
        source=ChatSource(train, start.context.seed),
        evaluate=HeldOut(objective=objective, examples=held_out, batch_rows=start.batch_rows),
        save=lambda directory: start.save(start.model, directory, template=start.chat_template),
        num_examples=len(train),
        example_name="conversations",
        context_tokens=start.context_tokens,
        template=start.chat_template,
    )


def encoded(start: Start, split: str) -> list[ChatExample]:
    """The rows of a split as ids, without those that have nothing to learn within the context."""
    rows = list(read_examples(start.data, split))
    made = []
    with start.context.progress.task(f"encoding {split}", len(rows)) as bar:
        for row in rows:
            made.append(
                encode_chat(
                    row["messages"],
                    start.tokenizer,
                    start.chat_template,
                    max_tokens=start.context_tokens + 1,
                    tools=row.get("tools"),
                )
            )
            bar.advance()
    return [example for example in made if example.weight]


def first_tokens(examples: Sequence[ChatExample], num_tokens: int) -> list[ChatExample]:
    """The first examples that hold this many tokens together."""
    taken: list[Any] = []
    total = 0
    for example in examples:
        if total >= num_tokens:
            break
        taken.append(example)
        total += example.positions
    return taken

"""Fill in the middle of documents (objectives/infill.py), measured on the bodies of held-out functions.

Held-out figures: the loss on reordered text; bits per byte of function bodies given both sides, and given what stands before
alone; and at the end, bodies written by the model: how many are the author's own, and how many make the function parse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.artifact import read_seal
from ...core.errors import DataError
from ...core.protocols import complete
from ...core.types import Request, SamplingParams
from ...data import read_documents
from ...data.code_holes import Hole, holes
from ...objectives.infill import FillTokens, Infill, InfillSource, encode_document, fill_prompt, pieces
from ...objectives.sft import ChatExample
from ..settings import Settings
from ..training import HeldOut, Start, Training

_MARKS = 8
"""Tokens that reordering may add: four marks, and words cut in two."""
_HOLES = 64
"""Function bodies that are scored, and written at the end."""
_FILL_TOKENS = 160


def open(start: Start) -> Training:
    kind = read_seal(start.data).kind
    if kind != "documents":
        raise DataError(f"{start.data} is a {kind!r} artifact; this objective reads 'documents'",
                        hint=f"{start.context.name}.data names the stage of type documents")  # fmt: skip
    config = replace(start.stage.objective, context_tokens=start.context_tokens)
    tokenizer, tokens = start.tokenizer, FillTokens.of(start.tokenizer)
    train = _pieces(start, "train")
    held_out = _pieces(start, "validation")
    objective = Infill(config, pad_id=tokens.end)
    wanted, examples = 0, []
    for number, text in enumerate(held_out):
        rng = np.random.default_rng([start.context.seed, number, 2])
        examples.append(encode_document(text, tokenizer, tokens, rng, replace(config, rate=1.0, learn="middle")))
        wanted += examples[-1].positions
        if wanted >= start.stage.evaluation_tokens:
            break
    found = _held_out_holes(start, tokens)
    judge = HeldOut(objective=objective, examples=examples, batch_rows=start.batch_rows)
    bodies = _Bodies(start, objective, tokens, found)

    def evaluate(model: nn.Module, settings: Settings) -> Mapping[str, float]:
        return {**judge(model, settings), **bodies.bits(model, settings)}

    return Training(
        model=start.model,
        objective=objective,
        source=InfillSource(train, tokenizer, tokens, config, start.context.seed),
        evaluate=evaluate,
        save=lambda directory: start.save(start.model, directory),
        num_examples=len(train),
        example_name="pieces of documents",
        context_tokens=start.context_tokens,
        figures=lambda: bodies.written(start.model),
    )


def _pieces(start: Start, split: str) -> list[str]:
    size = start.context_tokens - _MARKS
    return [part for d in read_documents(start.data, split) for part in pieces(d.text, start.tokenizer, size)]


def _held_out_holes(start: Start, tokens: FillTokens) -> list[Hole]:
    """Of the test split, or validation's where that has none; those that fit the context, spread over the documents."""
    room = start.context_tokens - _FILL_TOKENS
    for split in ("test", "validation"):
        found = [hole for d in read_documents(start.data, split) for hole in holes(d.text)]
        fitting = [h for h in found if len(fill_prompt(h.prefix, h.suffix, start.tokenizer, tokens)) <= room]
        if fitting:
            places = np.linspace(0, len(fitting) - 1, min(_HOLES, len(fitting))).astype(int)
            return [fitting[i] for i in dict.fromkeys(places.tolist())]
    return []


class _Bodies:
    def __init__(self, start: Start, objective: Infill, tokens: FillTokens, found: Sequence[Hole]) -> None:
        self.start, self.objective, self.tokens, self.holes = start, objective, tokens, found
        encode = start.tokenizer.encode
        self.bytes = sum(len(hole.middle.encode()) for hole in found)
        middles = [encode(hole.middle) for hole in found]
        befores = {
            "fill_bits_per_byte": [fill_prompt(h.prefix, h.suffix, start.tokenizer, tokens) for h in found],
            "left_to_right_bits_per_byte": [encode(h.prefix) for h in found],
        }
        self.examples = {
            name: [_after(before, middle) for before, middle in zip(prompts, middles, strict=True)]
            for name, prompts in befores.items()
        }

    @torch.no_grad()
    def bits(self, model: nn.Module, settings: Settings) -> dict[str, float]:
        """Bits per byte of the bodies: given both sides, and given the prefix alone."""
        if not self.holes:
            return {}
        figures = {}
        for name, examples in self.examples.items():
            nats = 0.0
            for i in range(0, len(examples), self.start.batch_rows):
                batch = self.objective.collate(examples[i : i + self.start.batch_rows])
                with settings.autocast():
                    nats += float(self.objective.loss(model, batch).loss) * batch.weight
            figures[f"val_{name}"] = nats / math.log(2) / self.bytes
        return figures

    def written(self, model: nn.Module) -> dict[str, Any]:
        """Bodies that the model writes, greedily, and how many are right; the first ones go into the run's events."""
        if not self.holes:
            return {"holes": 0}
        context, tokenizer = self.start.context, self.start.tokenizer
        engine = context.open_model(
            model, tokenizer=tokenizer, like=self.start.directory, max_batch_size=16, threads=1, compile="never"
        )
        params = SamplingParams(max_tokens=_FILL_TOKENS, temperature=0.0, stop_token_ids=(self.tokens.end,))
        prompts = [fill_prompt(h.prefix, h.suffix, tokenizer, self.tokens) for h in self.holes]
        try:
            made = complete(engine, [Request(prompt=tuple(prompt), params=params) for prompt in prompts])
        finally:
            engine.close()
        same = sum(c.text.strip() == h.middle.strip() for c, h in zip(made, self.holes, strict=True))
        parsing = sum(h.parses(c.text) for c, h in zip(made, self.holes, strict=True))
        ended = sum(c.finish_reason == "stop" for c in made)
        for completion, hole in list(zip(made, self.holes, strict=True))[:5]:
            context.tracker.event("fill", completion.text, function=hole.name, wanted=hole.middle)
        n = len(self.holes)
        return {"holes": n, "fill_exact": same / n, "fill_parses": parsing / n, "fill_ended": ended / n}


def _after(before: Sequence[int], middle: Sequence[int]) -> ChatExample:
    """The middle is learned, what stands before it is given."""
    mask = np.full(len(before) + len(middle), True)
    mask[: len(before)] = False
    return ChatExample(np.asarray([*before, *middle], np.int32), mask)

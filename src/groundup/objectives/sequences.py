"""Whole sequences as the unit: rows that hold several of them, and log-probability or last position of each.

Preferences and reward models compare sequences, so a batch of them is packed into rows no wider than its longest sequence needs
(little padding, and attention never costs more than in a padded batch), and `extras["sequences"]` says which sequence every
position belongs to. Left out: sharing the positions of a common prompt between two completions.

Letters: B rows, T positions, S sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from ..core.protocols import Tokenizer
from ..core.types import Message
from ..nn.protocols import IGNORE, Batch, LMOutput
from ..tokenizers.chat_ids import encode_rendered, render_chat
from ..tokenizers.chat_template import ChatTemplate
from .causal import document_state
from .sft import PADDING, ChatExample, pack, token_mask
from .token_logprobs import token_logprobs

SEQUENCES, LENGTHS = "sequences", "lengths"
PAD_MULTIPLE_TOKENS = 16
"""Rows are as wide as the longest sequence, rounded up to a multiple of this, so that few shapes occur."""


def sequence_batch(
    sequences: Sequence[ChatExample],
    *,
    context_tokens: int,
    pad_id: int = 0,
    count: int | None = None,
    extras: Mapping[str, Tensor] | None = None,
) -> Batch:
    """S sequences in rows [B, T]; extras get `sequences` [B, T] int64 (number of each position's sequence, PADDING where
    there is none) and `lengths` [S] float32 (targets each has). As always the last id of a sequence is a target only.
    """
    longest = max((e.positions for e in sequences), default=1)
    if longest > context_tokens:
        raise DataError(
            f"a sequence of {longest} positions does not fit context_tokens = {context_tokens}",
            hint="cut it to context_tokens + 1 ids when it is encoded, or raise context_tokens",
        )
    width = min(-(-max(longest, 1) // PAD_MULTIPLE_TOKENS) * PAD_MULTIPLE_TOKENS, context_tokens)
    places: dict[int, list[int]] = {}  # the same object may stand in the batch twice
    for i, e in enumerate(sequences):
        places.setdefault(id(e), []).append(i)
    rows = pack(sequences, width)
    ids = np.full((len(rows), width), pad_id, np.int64)
    targets = np.full((len(rows), width), IGNORE, np.int64)
    owners = np.full((len(rows), width), PADDING, np.int64)
    for r, row in enumerate(rows):
        at = 0
        for e in row:
            end = at + e.positions
            ids[r, at:end] = e.input_ids[:-1]
            targets[r, at:end] = np.where(e.mask[1:], e.input_ids[1:], IGNORE)
            owners[r, at:end] = places[id(e)].pop()
            at = end
    numbers = torch.from_numpy(owners)
    lengths = torch.tensor([e.weight for e in sequences], dtype=torch.float32)
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(targets),
        # Padding stands behind what a causal model has seen, so rows of one sequence each need no mask.
        numbers if any(len(row) > 1 for row in rows) else None,
        {SEQUENCES: numbers, LENGTHS: lengths, **(extras or {})},
        count,
    )


def sequence_logprobs(model: Any, batch: Batch, *, chunk_tokens: int | None = None) -> tuple[Tensor, LMOutput]:
    """[S]: log p of each sequence's targets, summed; and what the model returned."""
    output = model(batch.input_ids, document_state(model, batch.documents))
    logprobs, _ = token_logprobs(output.hidden, output.head, batch.targets, chunk_tokens=chunk_tokens)
    owners, num_sequences = batch.extras[SEQUENCES], batch.extras[LENGTHS].shape[0]
    # Padding is counted to sequence 0, with log-probability 0.
    sums = logprobs.new_zeros(num_sequences).index_add(0, owners.clamp(min=0).flatten(), logprobs.flatten())
    return sums, output


def last_positions(batch: Batch) -> Tensor:
    """[S] int64: index into the flattened [B * T] positions of each sequence's last one."""
    owners = batch.extras[SEQUENCES].flatten()
    num_sequences = batch.extras[LENGTHS].shape[0]
    order = torch.arange(owners.shape[0], device=owners.device)
    found = torch.zeros(num_sequences, dtype=torch.long, device=owners.device)
    return found.scatter_reduce(0, owners.clamp(min=0), torch.where(owners >= 0, order, 0), "amax")


def encode_completion(
    prompt: Sequence[Message],
    completion: Sequence[Message],
    tokenizer: Tokenizer,
    template: ChatTemplate,
    *,
    max_tokens: int | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **variables: Any,
) -> ChatExample:
    """prompt + completion as ids; learned is what the assistant wrote in the completion, and nothing of the prompt.

    Longer than max_tokens: the end is cut off. DataError if the completion has no message of the assistant.
    """
    if not any(message["role"] == "assistant" for message in completion):
        roles = [message["role"] for message in completion]
        raise DataError(f"a completion must hold a message of the assistant, this one has the roles {roles}")
    rendered = render_chat(template, tokenizer, [*prompt, *completion], learned=True, tools=tools, **variables)
    text, spans = rendered.text, list(rendered.spans)
    before = template.render(prompt, add_generation_prompt=True, tools=tools, **variables)
    if text.startswith(before):
        spans = [(max(start, len(before)), end) for start, end in spans if end > len(before)]
    else:
        # The template writes earlier turns otherwise once an answer follows: the last spans are the completion's.
        spans = spans[-sum(message["role"] == "assistant" for message in completion) :]
    ids = encode_rendered(tokenizer, rendered)
    mask = token_mask(text, spans, [tokenizer.token_bytes(i) for i in ids])
    return ChatExample(np.asarray(ids, np.int32)[:max_tokens], mask[:max_tokens])

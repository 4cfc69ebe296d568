"""Causal language modelling: learn each token from those before it. The objective of pre-training.

An example is one window of context + 1 ids, or a pair (ids, documents) where `documents` numbers the document of each id:
then attention stays inside a document and nothing is learned across a border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from ..nn.protocols import IGNORE, Batch, LossOutput
from ..nn.state import SequenceState
from .cross_entropy import chunked_cross_entropy


@dataclass(frozen=True, kw_only=True)
class CausalConfig:
    type: Literal["causal"] = "causal"
    z_loss: float = 0.0
    """Weight of the squared log-partition term that keeps logits from drifting (PaLM: 1e-4)."""
    label_smoothing: float = 0.0
    chunk_tokens: int | None = None
    """Positions whose logits are made at a time; 0: all; None: decided by their size."""


class CausalLM:
    """groundup.nn.protocols.Objective"""

    def __init__(self, config: CausalConfig = CausalConfig()) -> None:
        self.config = config

    def collate(self, examples: Sequence[Any]) -> Batch:
        """Windows of one length, n + 1 ids each -> a batch of [B, n]."""
        pairs = [e if isinstance(e, tuple) else (e, None) for e in examples]
        lengths = {len(ids) for ids, _ in pairs}
        if len(lengths) != 1 or min(lengths) < 2:
            raise DataError(
                f"windows of a batch must have one length of at least 2 ids, these have {sorted(lengths)}",
                hint="cut the data into windows of context + 1 ids (groundup.data.TokenWindows)",
            )
        ids = stack(ids for ids, _ in pairs)
        inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].clone()
        if any(numbers is not None for _, numbers in pairs):
            documents = stack(np.zeros(len(ids), np.int64) if numbers is None else numbers for ids, numbers in pairs)
            targets[documents[:, 1:] != documents[:, :-1]] = IGNORE
            return Batch(inputs, targets, documents[:, :-1].contiguous())
        return Batch(inputs, targets)

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        return next_token_loss(
            model,
            batch,
            chunk_tokens=self.config.chunk_tokens,
            z_loss=self.config.z_loss,
            label_smoothing=self.config.label_smoothing,
        )


def next_token_loss(
    model: Any,
    batch: Batch,
    *,
    state: SequenceState | None = None,
    chunk_tokens: int | None = None,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
) -> LossOutput:
    """Mean loss over the batch's targets, with the model's own auxiliary loss added. Metrics: loss (nats per target,
    without additions), accuracy, tokens (how many targets), and z_loss or aux_loss where there are any. state: what the rows
    go on from; None: each begins, or is taken apart by the batch's documents.
    """
    output = model(batch.input_ids, document_state(model, batch.documents) if state is None else state)
    loss, figures = chunked_cross_entropy(
        output.hidden,
        output.head,
        batch.targets,
        chunk_tokens=chunk_tokens,
        z_loss=z_loss,
        label_smoothing=label_smoothing,
    )
    metrics: dict[str, float | Tensor] = {"loss": figures["cross_entropy"], "accuracy": figures["accuracy"]}
    metrics["tokens"] = (batch.targets != IGNORE).sum()
    if z_loss:
        metrics["z_loss"] = figures["z_loss"]
    if output.aux_loss is not None:
        loss = loss + output.aux_loss
        metrics["aux_loss"] = output.aux_loss.detach()
    return LossOutput(loss, metrics)


def document_state(model: Any, documents: Tensor | None) -> SequenceState | None:
    """The state that keeps attention inside documents [B, T]; None where every row is one document."""
    if documents is None:
        return None
    inner = getattr(model, "_orig_mod", model)  # torch.compile wraps the module
    return SequenceState.for_documents(documents, inner.config.num_hidden_layers)


def stack(rows: Any) -> Tensor:
    """Integer rows of one length -> [B, n] int64"""
    return torch.from_numpy(np.stack([np.asarray(row, dtype=np.int64) for row in rows]))

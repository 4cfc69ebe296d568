"""Cross-entropy from hidden states, without the [positions, vocabulary] table of float32 logits where that is large.

The table and its gradient are the largest tensors of training a small model: 8 x 1,024 positions of a 32,000-word
vocabulary are 1 GB each. `chunked_cross_entropy` makes `chunk_tokens` rows of it at a time and throws them away, making them
again in the backward pass (Chen et al. 2016, "Training deep nets with sublinear memory cost", applied to the head).

Letters: P positions with a target, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import Tensor

from ..nn.protocols import IGNORE

PLAIN_BYTES = 256 << 20
"""Float32 logits up to this size are made whole: chunking costs a second pass through the head."""


def chunked_cross_entropy(
    hidden: Tensor,
    head: Callable[[Tensor], Tensor],
    targets: Tensor,
    *,
    chunk_tokens: int | None = None,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy over the targets that are not IGNORE, and figures as detached scalars.

    hidden [..., D], targets [...] int64; head maps [n, D] to [n, V]. chunk_tokens: rows of logits made at a time; 0 makes all
    at once; None decides by size. z_loss: adds z_loss * mean(logsumexp(logits)^2) (PaLM, section 5). With no target at all
    the loss is 0 with zero gradients, never NaN. Figures: cross_entropy (nats, without the additions), accuracy, z_loss.
    """
    hidden, targets = hidden.flatten(0, -2), targets.flatten()
    if chunk_tokens is None:
        vocab_size = _width(head, hidden)
        rows = max(1, PLAIN_BYTES // (4 * vocab_size))
        chunk_tokens = 0 if hidden.shape[0] <= rows else rows
    if chunk_tokens <= 0 or hidden.shape[0] <= chunk_tokens:
        sums = _sums(hidden, head, targets, z_loss, label_smoothing)
    else:
        parts = []
        for part, wanted in zip(torch.split(hidden, chunk_tokens), torch.split(targets, chunk_tokens), strict=True):
            if torch.is_grad_enabled():
                made = torch.utils.checkpoint.checkpoint(
                    _sums, part, head, wanted, z_loss, label_smoothing, use_reentrant=False, preserve_rng_state=False
                )
            else:
                made = _sums(part, head, wanted, z_loss, label_smoothing)
            parts.append(made)
        sums = torch.stack(parts).sum(0)
    count = (targets != IGNORE).sum().clamp(min=1)
    means = sums / count
    figures = means.detach()
    return means[0], {"cross_entropy": figures[1], "accuracy": figures[2], "z_loss": figures[3]}


def _width(head: Callable[[Tensor], Tensor], hidden: Tensor) -> int:
    """V, asked of the head with no rows: costs nothing."""
    with torch.no_grad():
        return head(hidden[:0]).shape[-1]


def _sums(
    hidden: Tensor, head: Callable[[Tensor], Tensor], targets: Tensor, z_loss: float, label_smoothing: float
) -> Tensor:
    """[4]: sums over targets of what is minimised, plain cross-entropy, right answers, weighted z-loss."""
    logits = head(hidden).float()
    known = targets != IGNORE
    plain = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
    loss = plain
    if label_smoothing:
        loss = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum", label_smoothing=label_smoothing)
    extra = torch.zeros_like(plain)
    if z_loss:
        extra = z_loss * (torch.logsumexp(logits, dim=-1).square() * known).sum()
        loss = loss + extra
    with torch.no_grad():
        right = ((logits.argmax(dim=-1) == targets) & known).sum().to(plain.dtype)
    return torch.stack([loss, plain.detach(), right, extra.detach()])

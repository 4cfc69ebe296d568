"""Cross-entropy from hidden states, without the [positions, vocabulary] table of float32 logits where that is large.

The table and its gradient are the largest tensors of training a small model: 8 x 1,024 positions of a 32,000-word
vocabulary are 1 GB each. `chunked_cross_entropy` makes the logits of some positions at a time, and their gradient at once while
they are there, so neither is ever whole nor made twice (the head is the last thing before the loss, so its gradient is known in
the forward pass but for one factor; Hsu et al. 2024, "Liger Kernel", section 3.2). Where the positions without a target are
many, as in fine-tuning, they are left out of the head's work. Left out: second derivatives through the loss.

Letters: P positions, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import Tensor

from ..nn.linear import as_numpy
from ..nn.protocols import IGNORE

Head = Callable[[Tensor], Tensor]

PLAIN_BYTES = 16 << 20
"""Float32 logits up to this size are made whole and left to autograd: measured at vocabularies of 65 to 32,768, chunks are no
faster below it."""
CHUNK_TOKENS = 512
"""Rows of a chunk where it is not given: enough that adding up the head's gradient, [V, D] once a chunk, costs little beside
its matrix products (measured: 128 rows take 1.2 times as long at V = 32,768, 1,024 rows 1.2 times at V = 8,192)."""
BLOCK_BYTES = 1 << 20
"""Logits are turned into loss and gradient this many bytes at a time, to stay in the cache of one core."""
FEW = 0.8
"""With a smaller share of targets than this, positions without one are left out."""


def chunked_cross_entropy(
    hidden: Tensor,
    head: Head,
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
    known = targets != IGNORE
    count = known.sum().clamp(min=1)
    compiling = torch.compiler.is_compiling()
    if not compiling and hidden.device.type == "cpu" and int(count) < FEW * targets.numel():
        kept = known.nonzero().squeeze(1)
        hidden, targets = hidden.index_select(0, kept), targets.index_select(0, kept)
    if chunk_tokens is None:
        row_bytes = 4 * _width(head, hidden)
        chunk_tokens = 0 if hidden.shape[0] * row_bytes <= PLAIN_BYTES else CHUNK_TOKENS
    settings = (z_loss, label_smoothing)
    if chunk_tokens <= 0 or not hidden.shape[0]:
        sums = _sums(hidden, head, targets, *settings)
    elif compiling:
        chunks = zip(torch.split(hidden, chunk_tokens), torch.split(targets, chunk_tokens), strict=True)
        sums = sum(
            torch.utils.checkpoint.checkpoint(_sums, part, head, wanted, *settings, use_reentrant=False)
            for part, wanted in chunks
        )
    else:
        sums = _in_chunks(hidden, head, targets, chunk_tokens, settings)
    means = sums / count
    figures = means.detach()
    return means[0], {"cross_entropy": figures[1], "accuracy": figures[2], "z_loss": figures[3]}


def _width(head: Head, hidden: Tensor) -> int:
    """V, asked of the head with no rows: costs nothing."""
    with torch.no_grad():
        return head(hidden[:0]).shape[-1]


def _sums(hidden: Tensor, head: Head, targets: Tensor, z_loss: float, label_smoothing: float) -> Tensor:
    """[4]: sums over targets of what is minimised, plain cross-entropy, right answers, weighted z-loss."""
    logits = _at_least_float32(head(hidden))
    known = targets != IGNORE
    plain = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
    loss, extra = plain, torch.zeros_like(plain)
    if label_smoothing:
        loss = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum", label_smoothing=label_smoothing)
    if z_loss:
        extra = z_loss * (torch.logsumexp(logits, dim=-1).square() * known).sum()
        loss = loss + extra
    with torch.no_grad():
        right = _right(logits, targets.clamp(min=0)[:, None], known.to(plain.dtype))
    return torch.stack([loss, plain.detach(), right, extra.detach()])


def _right(logits: Tensor, index: Tensor, known: Tensor) -> Tensor:
    """How many targets are the most likely id; k equally likely ones count 1 / k each. (argmax takes ten times as long.)"""
    best = logits == logits.amax(dim=-1, keepdim=True)
    return (best.gather(1, index).squeeze(1) * known / best.sum(dim=-1)).sum()


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _in_chunks(hidden: Tensor, head: Head, targets: Tensor, chunk_tokens: int, settings: tuple[float, float]) -> Tensor:
    """`_sums`, chunk by chunk, with the gradients of hidden and of the head's parameters made on the way."""
    learning = torch.is_grad_enabled()
    sums: Tensor | None = None
    leaves: list[Tensor] = []
    leaf_grads: list[Tensor] = []
    hidden_grads: list[Tensor] = []
    for part, wanted in zip(
        torch.split(hidden.detach(), chunk_tokens), torch.split(targets, chunk_tokens), strict=True
    ):
        part = part.detach().requires_grad_(learning)
        logits = head(part)
        made, gradient = _loss_and_gradient(logits.detach(), wanted, *settings, learning=learning)
        sums = made if sums is None else sums + made
        if learning:
            assert gradient is not None
            if not hidden_grads:
                leaves = [leaf for leaf in _leaves(logits) if leaf is not part]
            # The graph is kept: a head made of something shared between chunks is walked through once for each.
            found = torch.autograd.grad(logits, [part, *leaves], gradient, retain_graph=True, allow_unused=True)
            hidden_grads.append(torch.zeros_like(part) if found[0] is None else found[0])
            fresh = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found[1:], strict=True)]
            if leaf_grads:
                for total, more in zip(leaf_grads, fresh, strict=True):
                    total += more
            else:
                leaf_grads = [g.clone() if g._base is not None else g for g in fresh]
    assert sums is not None
    if not learning:
        return sums
    loss: Tensor = _Known.apply(sums[0], torch.cat(hidden_grads), leaf_grads, hidden, *leaves)  # type: ignore[no-untyped-call]
    return torch.cat([loss[None], sums[1:]])


class _Known(torch.autograd.Function):
    """A scalar whose gradients were made with it; the backward pass multiplies them by what comes in."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, hidden_grad: Tensor, leaf_grads: list[Tensor], *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(hidden_grad, *leaf_grads)
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, factor: Tensor) -> Any:
        grads = (grad * factor.to(grad.dtype) for grad in ctx.saved_tensors)
        return (None, None, None, *grads)


def _leaves(output: Tensor) -> list[Tensor]:
    """Every leaf that `output` was made of, in a fixed order."""
    found: dict[int, Tensor] = {}
    seen: set[Any] = set()
    stack: list[Any] = [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, Tensor):
            found[id(leaf)] = leaf
        stack.extend(parent for parent, _ in node.next_functions)
    return list(found.values())


@torch.no_grad()
def _loss_and_gradient(
    logits: Tensor, targets: Tensor, z_loss: float, label_smoothing: float, *, learning: bool
) -> tuple[Tensor, Tensor | None]:
    """[4] as `_sums`, and the gradient of its first with respect to logits [n, V], in their dtype."""
    gradient = torch.empty_like(logits) if learning else None
    if not (z_loss or label_smoothing) and _for_one_thread(logits):
        return _compiled_loss_and_gradient(logits, targets, gradient), gradient
    vocab_size = logits.shape[-1]
    rows = max(1, BLOCK_BYTES // (4 * vocab_size)) if logits.device.type == "cpu" else logits.shape[0]
    total: Tensor | None = None
    for start in range(0, logits.shape[0], rows):
        block, wanted = _at_least_float32(logits[start : start + rows]), targets[start : start + rows]
        known = (wanted != IGNORE).to(block.dtype)
        index = wanted.clamp(min=0)[:, None]
        top = block.amax(dim=-1, keepdim=True)
        chosen = block.gather(1, index)
        mean = block.mean(dim=-1) if label_smoothing else None
        shares = torch.sub(block, top).exp_()
        mass = shares.sum(dim=-1, keepdim=True)
        log_mass = (mass.log() + top).squeeze(1)
        plain = ((log_mass - chosen.squeeze(1)) * known).sum()
        right = _right(block, index, known)
        loss, extra = plain, torch.zeros_like(plain)
        if mean is not None:
            spread = ((log_mass - mean) * known).sum()
            loss = (1 - label_smoothing) * plain + label_smoothing * spread
        if z_loss:
            extra = z_loss * (log_mass.square() * known).sum()
            loss = loss + extra
        made = torch.stack([loss, plain, right, extra])
        total = made if total is None else total + made
        if gradient is not None:
            factor = known if not z_loss else known * (1 + 2 * z_loss * log_mass)
            shares.mul_(factor[:, None] / mass)
            if label_smoothing:
                shares.sub_((label_smoothing / vocab_size) * known[:, None])
            shares.scatter_add_(1, index, (known * (label_smoothing - 1))[:, None])
            gradient[start : start + rows] = shares
    assert total is not None
    return total, gradient


def _for_one_thread(logits: Tensor) -> bool:
    """Would the compiled pass do? With more threads PyTorch's passes share the work, and teams of two libraries would not."""
    plain = logits.dtype in (torch.float32, torch.bfloat16) and logits.device.type == "cpu" and logits.is_contiguous()
    return plain and torch.get_num_threads() == 1


def _compiled_loss_and_gradient(logits: Tensor, targets: Tensor, gradient: Tensor | None) -> Tensor:
    from .cross_entropy_kernel import loss_and_gradient

    wanted = logits if gradient is None else gradient
    nats, right = loss_and_gradient(as_numpy(logits), targets.numpy(), IGNORE, as_numpy(wanted), gradient is not None)
    return torch.tensor([nats, nats, right, 0.0])

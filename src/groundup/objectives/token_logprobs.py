"""Log-probability of each target token, and the entropy it was drawn from, as tensors that gradients go back through.

What every method needs that looks at single tokens: preferences, policies, distillation. As in `cross_entropy`, only positions
with a target go through the head. There the gradient is known in the forward pass; here what comes back to each token is
known only later, so where the logits are large they are made a chunk at a time and made again in the backward pass: one more
matrix product, and never a [positions, vocabulary] tensor. Left out: second derivatives.

Letters: P positions, D hidden, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor

from ..core.errors import ConfigError
from ..nn.protocols import IGNORE
from .cross_entropy import BLOCK_BYTES, CHUNK_TOKENS, PLAIN_BYTES, Head, _at_least_float32, _leaves, _width


def token_logprobs(
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
    chunk_tokens: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """log p(target) under softmax(logits / temperature), and the entropy of that distribution, both in nats.

    hidden [..., D], targets [...] int64; head maps [n, D] to [n, V]. Both results are [...], float32 (float64 for a float64
    model), 0 where the target is IGNORE, and differentiable in hidden and in the head's parameters. entropy=False gives
    None for the second. chunk_tokens: rows of logits made at a time; 0 makes all at once; None decides by size.
    """
    if not temperature > 0:
        raise ConfigError(f"must be more than 0, not {temperature}", path="temperature",
                          hint="greedy decoding has no log-probabilities to learn from")  # fmt: skip
    shape = targets.shape
    hidden, targets = hidden.flatten(0, -2), targets.flatten()
    if torch.compiler.is_compiling():
        logprobs, entropies = _compiled(hidden, head, targets, temperature, chunk_tokens or CHUNK_TOKENS)
        return logprobs.view(shape), entropies.view(shape) if entropy else None
    kept = (targets != IGNORE).nonzero().squeeze(1)
    few = kept.shape[0] < targets.shape[0]
    rows, wanted = (hidden.index_select(0, kept), targets.index_select(0, kept)) if few else (hidden, targets)
    if chunk_tokens is None:
        chunk_tokens = 0 if rows.shape[0] * 4 * _width(head, rows) <= PLAIN_BYTES else CHUNK_TOKENS
    learning = torch.is_grad_enabled()
    if chunk_tokens <= 0 or rows.shape[0] <= chunk_tokens or not learning:
        size = chunk_tokens if chunk_tokens > 0 else max(1, rows.shape[0])
        parts = [
            _OfLogits.apply(head(part), ids, temperature, entropy)  # type: ignore[no-untyped-call]
            for part, ids in zip(torch.split(rows, size), torch.split(wanted, size), strict=True)
        ]
        found: list[Tensor] = [parts[0][i] if len(parts) == 1 else torch.cat([p[i] for p in parts]) for i in (0, 1)]
    else:
        with torch.enable_grad():
            probe = rows[:1].detach().requires_grad_()
            leaves = [leaf for leaf in _leaves(head(probe)) if leaf is not probe]
        found = _InChunks.apply(rows, wanted, head, temperature, entropy, chunk_tokens, *leaves)  # type: ignore[no-untyped-call]
    if few:
        found = [value.new_zeros(targets.shape).index_copy(0, kept, value) for value in found[: 1 + entropy]]
    return found[0].view(shape), found[1].view(shape) if entropy else None


def _compiled(
    hidden: Tensor, head: Head, targets: Tensor, temperature: float, chunk_tokens: int
) -> tuple[Tensor, Tensor]:
    """The plain formula, checkpointed by chunks, for torch.compile to fuse."""

    def plain(part: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        shares = torch.log_softmax(_at_least_float32(head(part)) / temperature, dim=-1)
        known = wanted != IGNORE
        chosen = shares.gather(1, wanted.clamp(min=0)[:, None]).squeeze(1)
        return chosen * known, -(shares.exp() * shares).sum(dim=-1) * known

    made = [
        torch.utils.checkpoint.checkpoint(plain, part, wanted, use_reentrant=False)
        for part, wanted in zip(torch.split(hidden, chunk_tokens), torch.split(targets, chunk_tokens), strict=True)
    ]
    return torch.cat([m[0] for m in made]), torch.cat([m[1] for m in made])


class _OfLogits(torch.autograd.Function):
    """From logits [n, V] that exist: they are kept as the head made them, and nothing else of their size."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, temperature: float, entropy: bool) -> tuple[Tensor, Tensor]:
        logprobs, log_mass, entropies = _values(logits, targets, temperature, entropy)
        ctx.save_for_backward(logits, targets, log_mass, entropies)
        ctx.temperature, ctx.entropy = temperature, entropy
        return logprobs, entropies

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_logprobs: Tensor, of_entropies: Tensor) -> Any:
        logits, targets, log_mass, entropies = ctx.saved_tensors
        more = (entropies, of_entropies) if ctx.entropy else None
        return _gradient(logits, targets, log_mass, ctx.temperature, of_logprobs, more), None, None, None


class _InChunks(torch.autograd.Function):
    """From hidden states: logits are made for some rows at a time, and made again for their gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        targets: Tensor,
        head: Head,
        temperature: float,
        entropy: bool,
        chunk_tokens: int,
        *leaves: Tensor,
    ) -> tuple[Tensor, Tensor]:
        made = [
            _values(head(part), wanted, temperature, entropy)
            for part, wanted in zip(torch.split(hidden, chunk_tokens), torch.split(targets, chunk_tokens), strict=True)
        ]
        logprobs, log_mass, entropies = (torch.cat([m[i] for m in made]) for i in range(3))
        ctx.save_for_backward(hidden, targets, log_mass, entropies, *leaves)
        ctx.head, ctx.temperature, ctx.entropy, ctx.chunk_tokens = head, temperature, entropy, chunk_tokens
        kind = hidden.device.type
        ctx.autocast = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
        return logprobs, entropies

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_logprobs: Tensor, of_entropies: Tensor) -> Any:
        hidden, targets, log_mass, entropies, *leaves = ctx.saved_tensors
        kind, dtype, enabled = ctx.autocast
        hidden_grad = torch.empty_like(hidden)
        totals: list[Tensor | None] = [None] * len(leaves)
        for start in range(0, hidden.shape[0], ctx.chunk_tokens):
            at = slice(start, start + ctx.chunk_tokens)
            with torch.enable_grad(), torch.autocast(kind, dtype=dtype, enabled=enabled):
                part = hidden[at].detach().requires_grad_()
                logits = ctx.head(part)
            more = (entropies[at], of_entropies[at]) if ctx.entropy else None
            gradient = _gradient(logits.detach(), targets[at], log_mass[at], ctx.temperature, of_logprobs[at], more)
            # The graph is kept: a head made of something shared between chunks is walked through once for each.
            found = torch.autograd.grad(logits, [part, *leaves], gradient, retain_graph=True, allow_unused=True)
            hidden_grad[at] = 0 if found[0] is None else found[0]
            for i, fresh in enumerate(found[1:]):
                if fresh is not None:
                    total = totals[i]
                    if total is None:
                        totals[i] = fresh.clone() if fresh._base is not None else fresh
                    else:
                        total += fresh
        return (hidden_grad, None, None, None, None, None, *totals)


def _blocks(logits: Tensor) -> range:
    """Starts of the rows worked through at once, so as to stay in the cache of one core."""
    rows = max(1, BLOCK_BYTES // (4 * logits.shape[-1])) if logits.device.type == "cpu" else logits.shape[0]
    return range(0, logits.shape[0], max(1, rows))


@torch.no_grad()
def _values(logits: Tensor, targets: Tensor, temperature: float, entropy: bool) -> tuple[Tensor, Tensor, Tensor]:
    """[n] each: log p(target), log of the sum of exp(logits / temperature), entropies (zeros if not asked for)."""
    blocks = _blocks(logits)
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    logprobs, log_mass, entropies = torch.zeros(3, logits.shape[0], dtype=dtype, device=logits.device).unbind(0)
    for start in blocks:
        at = slice(start, start + blocks.step)
        block = _at_least_float32(logits[at])
        if temperature != 1.0:
            block = block / temperature
        torch.logsumexp(block, dim=-1, out=log_mass[at])
        logprobs[at] = block.gather(1, targets[at, None]).squeeze(1) - log_mass[at]
        if entropy:
            logs = block - log_mass[at, None]
            # A token that a mask ruled out (logit -inf) adds nothing: 0 log 0 = 0.
            entropies[at] = -(logs.exp() * logs.clamp(min=torch.finfo(dtype).min)).sum(dim=-1)
    return logprobs.clone(), log_mass.clone(), entropies.clone()


@torch.no_grad()
def _gradient(
    logits: Tensor,
    targets: Tensor,
    log_mass: Tensor,
    temperature: float,
    of_logprobs: Tensor,
    entropy: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """[n, V] in the logits' dtype: what comes back to them from log p(target) and from the entropies.

    With p = softmax(z), z = logits / temperature, H the entropy: d log p_k / d z_i = [i = k] - p_i and
    d H / d z_i = -p_i (log p_i + H).
    """
    gradient = torch.empty_like(logits)
    blocks = _blocks(logits)
    for start in blocks:
        at = slice(start, start + blocks.step)
        block = _at_least_float32(logits[at])
        if temperature != 1.0:
            block = block / temperature
        logs = block - log_mass[at, None]
        back = of_logprobs[at, None] / temperature
        if entropy is None:
            made = logs.exp_().mul_(-back)
        else:
            values, of_values = entropy
            factor = (logs.clamp(min=torch.finfo(logs.dtype).min) + values[at, None]).mul_(
                of_values[at, None] / temperature
            )
            made = logs.exp_().mul_(factor.add_(back)).neg_()
        gradient[at] = made.scatter_add_(1, targets[at, None], back)
    return gradient

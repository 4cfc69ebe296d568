"""Log-probabilities of given text, of any length.

A text longer than the context is read in windows that overlap: each token but those of the first window is predicted with at
least context - stride tokens before it (Hugging Face's perplexity guide; stride is half the context unless given). Windows
of near lengths go through the model together, padded at the end, where a causal model cannot see the padding.

Letters: B windows of a call, T positions, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..nn.protocols import LMOutput

_LOGIT_ELEMENTS = 1 << 24
"""Logits made at one time, in numbers: 64 MiB of float32."""


@dataclass(frozen=True, slots=True)
class Window:
    """Feed `ids[:-1]`; score the last `scored` of `ids`, which belong at `place` of request `request`."""

    request: int
    place: int
    ids: tuple[int, ...]
    scored: int


def windows_of(request: int, ids: Sequence[int], scored: int, context: int, stride: int) -> list[Window]:
    """Cut `ids`, of which the last `scored` are asked for, into windows of at most `context` fed tokens. Each asked token
    is in exactly one; those after the first window get at least context - stride + 1 tokens before them.
    """
    ids = tuple(ids)
    made = []
    begin = len(ids) - scored
    # The first window is filled with asked tokens as far as the context goes.
    end = min(len(ids), max(begin + 1, min(context + 1, len(ids))))
    done = begin
    while done < len(ids):
        start = max(0, end - context - 1)
        made.append(Window(request, done - begin, ids[start:end], end - done))
        done, end = end, min(len(ids), end + stride)
    return made


def batches_of(windows: Sequence[Window], tokens_per_call: int) -> list[list[Window]]:
    """Longest first, so that what does not fit shows at once; a call holds at most `tokens_per_call` padded tokens."""
    batches: list[list[Window]] = []
    for window in sorted(windows, key=lambda w: -len(w.ids)):
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0].ids) <= tokens_per_call:
            batches[-1].append(window)
        else:
            batches.append([window])
    return batches


def score_batch(
    full: Callable[[Tensor, Callable[[LMOutput], Tensor]], Tensor], batch: Sequence[Window]
) -> list[tuple[list[float], list[bool]]]:
    """Per window: the scored tokens' log-probabilities, and whether each was the likeliest token."""
    longest = max(len(window.ids) for window in batch)
    fed = torch.zeros(len(batch), longest - 1, dtype=torch.long)
    for row, window in enumerate(batch):
        fed[row, : len(window.ids) - 1] = torch.tensor(window.ids[:-1])
    results: list[tuple[list[float], list[bool]]] = []

    def pick(output: LMOutput) -> Tensor:
        for row, window in enumerate(batch):
            end = len(window.ids) - 1
            hidden = output.hidden[row, end - window.scored : end]
            results.append(_score(output.head, hidden, torch.tensor(window.ids[-window.scored :])))
        return output.hidden

    full(fed, pick)
    return results


def _score(head: Callable[[Tensor], Tensor], hidden: Tensor, targets: Tensor) -> tuple[list[float], list[bool]]:
    """hidden [T, D], targets [T]; the vocabulary of a few positions at a time."""
    logprobs: list[float] = []
    greedy: list[bool] = []
    at_once = hidden.shape[0]
    at = 0
    while at < hidden.shape[0]:
        logits = head(hidden[at : at + 1] if at == 0 else hidden[at : at + at_once]).float()
        if at == 0:
            at_once = max(1, _LOGIT_ELEMENTS // logits.shape[-1])
        wanted = targets[at : at + logits.shape[0], None]
        chosen = logits.gather(1, wanted)
        logprobs += (chosen - logits.logsumexp(dim=-1, keepdim=True))[:, 0].tolist()
        greedy += (logits.argmax(dim=-1) == wanted[:, 0]).tolist()
        at += logits.shape[0]
    return logprobs, greedy

"""Which of bfloat16 and float32 a model runs faster in on this machine, by trying both.

Half the bytes is not always half the time: a CPU without bfloat16 arithmetic emulates it in the products of a prompt.
"""

from __future__ import annotations

import copy
import time

import torch

from ..models.decoder import Decoder
from .runner import ModelRunner

_PROMPT_TOKENS = 64
_STEPS = 3
_ROUNDS = 3
_STEPS_PER_PROMPT = 16
"""Decode steps that a prompt of _PROMPT_TOKENS counts as much as: chat answers are longer than that, short questions shorter."""


def in_dtype(model: Decoder, dtype: torch.dtype) -> Decoder:
    """A copy of the model in another dtype, in evaluation mode; the model itself where it has that dtype."""
    if model.embed_tokens.weight.dtype == dtype:
        return model
    return copy.deepcopy(model).to(dtype).eval().requires_grad_(False)


def faster_dtype(model: Decoder) -> torch.dtype:
    """Both in turns, the best of a few rounds each; costs a few dozen forward passes and one copy of the weights."""
    candidates = {dtype: in_dtype(model, dtype) for dtype in (torch.bfloat16, torch.float32)}
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(_ROUNDS):
        for dtype, candidate in candidates.items():
            best[dtype] = min(best[dtype], _seconds(candidate))
    return min(best, key=best.__getitem__)


def _seconds(model: Decoder) -> float:
    prompt = min(_PROMPT_TOKENS, model.config.max_position_embeddings - _STEPS)
    runner = ModelRunner(model, 1)
    started = time.perf_counter()
    runner.step([[0] * max(prompt, 1)], [0], 0, logits=True)
    read = time.perf_counter()
    for step in range(_STEPS):
        runner.step([[0]], [max(prompt, 1) + step], 0, logits=True)
    return read - started + (time.perf_counter() - read) * _STEPS_PER_PROMPT / _STEPS

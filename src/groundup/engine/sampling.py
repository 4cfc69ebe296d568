"""From logits to the next token, for a batch of rows that each have their own settings.

Each rule is a small object that fits `groundup.nn.protocols.Sampler`: (logits [B, V], history) -> logits [B, V]. `SamplingPlan`
puts the rules of a batch in order: repetition penalty, presence and frequency penalties, logit bias, the learner's own
samplers, then temperature, top-k, top-p, min-p: the order of transformers and vLLM. A rule that no row asks for is left out,
and no rule sorts the whole vocabulary unless the nucleus is wider than `_NUCLEUS_FIRST` tokens.

A token is drawn by inverting the cumulative distribution at one uniform number that is a pure function of (seed, position),
so a request's draws do not depend on which other requests share its batch.

Letters: B rows, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.types import SamplingParams, TokenLogprob
from ..nn.protocols import Sampler

if TYPE_CHECKING:
    from .sequence import Running

_NUCLEUS_FIRST = 256
"""Tokens looked at first for top-p; a trained model's nucleus of 0.95 is nearly always smaller."""
_MASK64 = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, made odd: SplitMix64's step."""
_BLOCK = 64
"""Tokens summed up together before a draw is located: the vocabulary is then read once, and the running sums of float64 are
taken over V / 64 and 64 numbers instead of V (64 rows of 8192: 7.5 ms before, 1 ms so)."""


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) with 53 random bits, a function of its arguments alone: the output mix of SplitMix64
    (Steele, Lea, Flood 2014) over the seed, then over seed and position.
    """
    z = _mix((seed & _MASK64) + _GOLDEN)
    z = _mix(z + (position + 1) * _GOLDEN)
    return (z >> 11) * 2.0**-53


def _mix(z: int) -> int:
    z &= _MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
    return z ^ (z >> 31)


def uniforms(mixed_seeds: NDArray[np.uint64], positions: Sequence[int]) -> Tensor:
    """`uniform` of many rows at once, [B] float64; mixed_seeds is `mix_seeds` of their seeds."""
    z = mixed_seeds + (np.asarray(positions, np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    z = z ^ (z >> np.uint64(31))
    return torch.from_numpy((z >> np.uint64(11)) * 2.0**-53)


def mix_seeds(seeds: Sequence[int]) -> NDArray[np.uint64]:
    """The half of `uniform` that does not depend on the position."""
    return np.array([_mix((seed & _MASK64) + _GOLDEN) for seed in seeds], np.uint64)


class Temperature:
    """logits / temperature; rows with temperature 0 are left as they are (they are greedy)."""

    def __init__(self, temperatures: Sequence[float]) -> None:
        self.divisors = torch.tensor([t if t > 0 else 1.0 for t in temperatures])[:, None]

    def __call__(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor:
        return logits / self.divisors


class TopK:
    """Keep each row's k largest logits (and those equal to the k-th); 0 keeps all."""

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = list(counts)

    def __call__(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor:
        size = logits.shape[-1]
        counts = [min(k, size) if k > 0 else 0 for k in self.counts]
        largest = max(counts)
        if largest == 0:
            return logits
        values = logits.topk(largest, dim=-1).values
        index = torch.tensor([max(k, 1) - 1 for k in counts])[:, None]
        least = values.gather(1, index)
        least[torch.tensor([k == 0 for k in counts])] = -math.inf
        return logits.masked_fill(logits < least, -math.inf)


class TopP:
    """Nucleus sampling (Holtzman et al. 2020): keep the fewest most likely tokens whose probability reaches top_p."""

    def __init__(self, shares: Sequence[float]) -> None:
        self.shares = torch.tensor(list(shares))[:, None]

    def __call__(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor:
        size = logits.shape[-1]
        total = logits.logsumexp(dim=-1, keepdim=True)
        looked_at = min(_NUCLEUS_FIRST, size)
        least, found = self._least(logits.topk(looked_at, dim=-1).values, total)
        if looked_at < size and not bool(found.all()):
            least, found = self._least(logits.sort(dim=-1, descending=True).values, total)
        # A row whose shares never sum up to top_p (rounding) keeps everything.
        least = torch.where(found & (self.shares < 1.0), least, -math.inf)
        return logits.masked_fill(logits < least, -math.inf)

    def _least(self, descending: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest logit kept [B, 1], and whether it was among those given."""
        before_and_self = (descending - total).exp().cumsum(dim=-1)
        reached = before_and_self >= self.shares
        first = reached.int().argmax(dim=-1, keepdim=True)
        return descending.gather(1, first), reached.any(dim=-1, keepdim=True) | (self.shares >= 1.0)


class MinP:
    """Drop tokens less likely than min_p times the likeliest one (Nguyen et al. 2024)."""

    def __init__(self, shares: Sequence[float]) -> None:
        self.logs = torch.tensor([math.log(p) if p > 0 else -math.inf for p in shares])[:, None]

    def __call__(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor:
        return logits.masked_fill(logits < logits.amax(dim=-1, keepdim=True) + self.logs, -math.inf)


class RepetitionPenalty:
    """Logits of ids in the prompt or the completion are divided by the penalty if positive, else multiplied (CTRL, Keskar
    et al. 2019; as transformers and vLLM do).
    """

    def __init__(self, penalties: Sequence[float]) -> None:
        self.penalties = list(penalties)

    def __call__(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor:
        logits = logits.clone()
        for row, penalty in enumerate(self.penalties):
            if penalty == 1.0 or not history[row]:
                continue
            ids = torch.tensor(list(set(history[row])))
            found = logits[row, ids]
            logits[row, ids] = torch.where(found > 0, found / penalty, found * penalty)
        return logits


class CountPenalty:
    """OpenAI's presence and frequency penalties, over the completion's tokens only: logit -= presence * (count > 0) +
    frequency * count.
    """

    def __init__(self, presence: Sequence[float], frequency: Sequence[float], prompt_lengths: Sequence[int]) -> None:
        self.presence, self.frequency, self.prompt_lengths = list(presence), list(frequency), list(prompt_lengths)

    def __call__(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor:
        logits = logits.clone()
        for row, (presence, frequency) in enumerate(zip(self.presence, self.frequency)):
            made = history[row][self.prompt_lengths[row] :]
            if (presence == 0.0 and frequency == 0.0) or not made:
                continue
            ids, counts = torch.unique(torch.tensor(made), return_counts=True)
            logits[row, ids] -= presence + frequency * counts.to(logits.dtype)
        return logits


class LogitBias:
    """Adds a number to the logits of given ids, row by row."""

    def __init__(self, biases: Sequence[tuple[Sequence[int], Sequence[float]]]) -> None:
        self.biases = [
            (torch.tensor(list(ids), dtype=torch.long), torch.tensor(list(values), dtype=torch.float32))
            for ids, values in biases
        ]

    def __call__(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor:
        logits = logits.clone()
        for row, (ids, values) in enumerate(self.biases):
            if ids.numel():
                logits[row, ids] += values
        return logits


@dataclass(frozen=True, slots=True)
class RowSettings:
    """What sampling needs to know of one row."""

    params: SamplingParams
    seed: int
    prompt_length: int


class SamplingPlan:
    """The rules of one batch of rows, made once for as long as the same rows stay together."""

    def __init__(self, rows: Sequence[RowSettings], extra: Sequence[Sampler] = ()) -> None:
        params = [row.params for row in rows]
        self.seeds = mix_seeds([row.seed for row in rows])
        self.greedy = torch.tensor([p.temperature == 0 for p in params])
        self.all_greedy = bool(self.greedy.all())
        self.any_greedy = bool(self.greedy.any())
        shaping: list[Sampler] = []
        if any(p.repetition_penalty != 1.0 for p in params):
            shaping.append(RepetitionPenalty([p.repetition_penalty for p in params]))
        if any(p.presence_penalty or p.frequency_penalty for p in params):
            shaping.append(
                CountPenalty(
                    [p.presence_penalty for p in params],
                    [p.frequency_penalty for p in params],
                    [row.prompt_length for row in rows],
                )
            )
        if any(p.logit_bias for p in params):
            shaping.append(LogitBias([(list(p.logit_bias), list(p.logit_bias.values())) for p in params]))
        self.shaping: list[Sampler] = [*shaping, *extra]
        narrowing: list[Sampler] = []
        if any(p.temperature not in (0.0, 1.0) for p in params):
            narrowing.append(Temperature([p.temperature for p in params]))
        if any(p.top_k for p in params):
            narrowing.append(TopK([p.top_k for p in params]))
        if any(p.top_p < 1.0 for p in params):
            narrowing.append(TopP([p.top_p for p in params]))
        if any(p.min_p > 0.0 for p in params):
            narrowing.append(MinP([p.min_p for p in params]))
        self.narrowing = narrowing

    @property
    def needs_history(self) -> bool:
        return bool(self.shaping)

    def distribution(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor:
        """[B, V] probabilities that `sample` draws from; rows with temperature 0 give what they would at 1."""
        for rule in (*self.shaping, *self.narrowing):
            logits = rule(logits, history)
        return logits.softmax(dim=-1)

    def sample(self, logits: Tensor, history: Sequence[Sequence[int]], positions: Sequence[int]) -> list[int]:
        """logits [B, V] float32 -> one id per row. positions: how many tokens each row has sampled before."""
        for rule in self.shaping:
            logits = rule(logits, history)
        if self.all_greedy:
            chosen: list[int] = logits.argmax(dim=-1).tolist()
            return chosen
        narrowed = logits
        for rule in self.narrowing:
            narrowed = rule(narrowed, history)
        ids = invert(narrowed.softmax(dim=-1), uniforms(self.seeds, positions))
        if self.any_greedy:
            ids = torch.where(self.greedy, logits.argmax(dim=-1), ids)
        result: list[int] = ids.tolist()
        return result


def invert(probabilities: Tensor, draws: Tensor) -> Tensor:
    """probabilities [B, V], draws [B] in [0, 1) -> the first id whose cumulative probability exceeds the draw, [B].
    Never an id of probability 0.
    """
    rows, size = probabilities.shape
    blocks = -(-size // _BLOCK)
    if blocks * _BLOCK != size:
        probabilities = torch.nn.functional.pad(probabilities, (0, blocks * _BLOCK - size))
    parts = probabilities.view(rows, blocks, _BLOCK)
    sums = parts.sum(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    wanted = draws[:, None] * sums[:, -1:]
    block = torch.searchsorted(sums, wanted, right=True).clamp_max_(blocks - 1)
    before = torch.where(block > 0, sums.gather(1, (block - 1).clamp_min_(0)), 0.0)
    inside = parts.gather(1, block[:, :, None].expand(-1, -1, _BLOCK))[:, 0].double().cumsum(dim=-1)
    ids = block[:, 0] * _BLOCK + torch.searchsorted(inside, wanted - before, right=True)[:, 0].clamp_max_(_BLOCK - 1)
    if bool((probabilities.gather(1, ids[:, None]) <= 0).any()):
        ids = _possible(probabilities, ids)
    return ids


def _possible(probabilities: Tensor, ids: Tensor) -> Tensor:
    """The nearest id at or before each that can be drawn, else the first after it: rounding may point a draw past the last
    token of a block."""
    places = torch.arange(probabilities.shape[-1])
    possible = probabilities > 0
    before = torch.where(possible & (places <= ids[:, None]), places, -1).amax(dim=-1)
    first = possible.int().argmax(dim=-1)
    return torch.where(before >= 0, before, first)


def top_logprobs(
    logits: Tensor, ids: Sequence[int], count: int, vocab_size: int
) -> tuple[list[float], list[list[int]], list[list[float]]]:
    """Of unmodified logits [B, V]: the log-probability of each row's id, and the `count` likeliest ids
    below vocab_size with theirs."""
    logits = logits.float()
    total = logits.logsumexp(dim=-1, keepdim=True)
    chosen = (logits.gather(1, torch.tensor(ids)[:, None]) - total)[:, 0].tolist()
    if count == 0:
        return chosen, [[] for _ in ids], [[] for _ in ids]
    best = logits[:, :vocab_size].topk(min(count, vocab_size), dim=-1)
    return chosen, best.indices.tolist(), (best.values - total).tolist()


def told_logprobs(
    rows: Sequence[Running],
    logits: Tensor,
    ids: Sequence[int],
    vocab_size: int,
    describe: Callable[[int], tuple[str, bytes]],
) -> list[TokenLogprob | None]:
    """What each row that asked for log-probabilities is told of the id it got, by unmodified logits [B, V]."""
    details: list[TokenLogprob | None] = [None] * len(rows)
    asking = [i for i, s in enumerate(rows) if s.params.logprobs is not None]
    if not asking:
        return details
    count = max(rows[i].params.logprobs or 0 for i in asking)
    wanted = logits if len(asking) == len(rows) else logits[asking]
    chosen, best_ids, best = top_logprobs(wanted, [ids[i] for i in asking], count, vocab_size)
    for place, i in enumerate(asking):
        text, raw = describe(ids[i])
        keep = rows[i].params.logprobs or 0
        top = tuple((t, describe(t)[0], p) for t, p in zip(best_ids[place][:keep], best[place][:keep]))
        details[i] = TokenLogprob(token_id=ids[i], token=text, logprob=chosen[place], bytes=raw, top=top)
    return details

"""Beam search over an encoder-decoder, for a batch of sources at once.

At every step the K likeliest continuations of each source's K beams go on. One that ends is set aside; a source is done once K have
ended (or nothing can go on), and the best of those is the one with the highest score: its log-probability over a penalty for its
length, since longer targets are less likely whatever they say (Wu et al. 2016, equation 14; or plainly the length to a power). With one
beam this is greedy search. Left out: a coverage penalty, groups of diverse beams.

Letters: B sources still searched, K beams, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...models.seq2seq import Encoded, Seq2Seq
from ...models.seq2seq.tokens import Ends

Normalisation = Literal["average", "gnmt"]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    ids: tuple[int, ...]
    """Without what begins and ends a target."""
    logprob: float
    """Of all ids, and of the end where it ended."""
    score: float
    ended: bool
    """False: cut off at the longest length."""


def length_divisor(length: int, penalty: float, form: Normalisation) -> float:
    """What a hypothesis of `length` tokens, its end included, has its log-probability divided by. penalty 0: 1."""
    size = (5.0 + length) / 6.0 if form == "gnmt" else float(length)
    made: float = size**penalty
    return made


@torch.no_grad()
def beam_search(
    model: Seq2Seq,
    encoded: Encoded,
    ends: Ends,
    *,
    num_beams: int,
    max_tokens: Sequence[int],
    vocab_size: int,
    length_penalty: float = 1.0,
    form: Normalisation = "average",
    cancelled: Callable[[int], bool] = lambda source: False,
) -> list[list[Hypothesis]]:
    """The hypotheses of each source, best first: at least one, at most `num_beams`.

    max_tokens: the longest target of each source, its end not counted. vocab_size: ids above it are never written.
    cancelled(source): ends the search of that source with what it has.
    """
    num_sources, beams = encoded.mask.shape[0], num_beams
    found: list[list[Hypothesis]] = [[] for _ in range(num_sources)]
    left = list(range(num_sources))  # whose rows are still there
    state = model.begin(encoded.repeated(beams))
    ids = torch.full((num_sources * beams, 1), ends.start)
    history = torch.empty(num_sources * beams, 0, dtype=torch.long)
    totals = torch.full((num_sources, beams), -torch.inf)
    totals[:, 0] = 0.0  # the beams of a source begin equal: only the first counts

    def set_aside(source: int, row: Tensor, total: float, length: int, ended: bool) -> None:
        score = total / length_divisor(max(1, length), length_penalty, form)
        found[source].append(Hypothesis(tuple(row.tolist()), total, score, ended))

    for step in range(max(max_tokens, default=0) + 1):
        decoded = model.decode(ids, state)
        logits = decoded.output.head(decoded.output.hidden[:, -1])[:, :vocab_size].float()
        running = totals[:, :, None] + logits.log_softmax(-1).view(len(left), beams, -1)
        size = running.shape[-1]
        # Twice as many as there are beams: at most one continuation of each beam is its end.
        best, places = running.view(len(left), -1).topk(min(2 * beams, beams * size), dim=-1)
        rows, tokens = places // size, places % size
        kept: list[int] = []  # places among `left`
        parents: list[int] = []
        chosen: list[int] = []
        values: list[list[float]] = []
        for i, source in enumerate(left):
            going: list[tuple[int, int, float]] = []
            for rank, (total, row, token) in enumerate(zip(best[i].tolist(), rows[i].tolist(), tokens[i].tolist())):
                if total == -torch.inf:
                    break
                if token == ends.eos:
                    if rank < beams:
                        set_aside(source, history[i * beams + row], total, step + 1, True)
                elif len(going) < beams:
                    going.append((i * beams + row, token, total))
            if len(found[source]) >= beams or step >= max_tokens[source] or not going or cancelled(source):
                if not found[source]:  # nothing has ended: the beams as they are
                    for row in range(i * beams, (i + 1) * beams):
                        total = float(totals[i, row - i * beams])
                        if total > -torch.inf:
                            set_aside(source, history[row], total, step, False)
                continue
            while len(going) < beams:  # a vocabulary smaller than the beams
                going.append((going[0][0], going[0][1], -torch.inf))
            kept.append(i)
            parents += [row for row, _, _ in going]
            chosen += [token for _, token, _ in going]
            values.append([total for _, _, total in going])
        if not kept:
            break
        state = decoded.state
        if len(kept) < len(left):
            rows_kept = torch.tensor([i * beams + k for i in kept for k in range(beams)])
            place = {int(row): n for n, row in enumerate(rows_kept)}
            state = state.kept(rows_kept)
            history = history[rows_kept]
            parents = [place[row] for row in parents]
            left = [left[i] for i in kept]
        order = torch.tensor(parents)
        state = state.reordered(order)
        ids = torch.tensor(chosen)[:, None]
        history = torch.cat((history[order], ids), 1)
        totals = torch.tensor(values)
    return [sorted(hypotheses, key=lambda h: -h.score)[:beams] for hypotheses in found]

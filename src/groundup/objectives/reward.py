"""Reward models: one number for a conversation, learned from comparisons, from grades, or from several kinds of grade at once.

BradleyTerry learns from pairs, Ordinal from grades 0 .. K-1 with learned thresholds, MultiObjective from marks for several
attributes, which fixed weights then make one. The network is a decoder with a sequence head (models/heads.py), read at the last token
of the conversation. Departure: ArmoRM (Wang et al. 2024) lets a gating network choose the weights for each prompt; here they are
numbers of the config. Left out: rewards for single steps or tokens.

Letters: P pairs, S sequences (chosen 0..P-1, rejected P..2P-1), K grades, A attributes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import ConfigError, DataError
from ..models.heads import HeadedDecoder
from ..nn.protocols import Batch, LossOutput
from .causal import document_state
from .sequences import last_positions, sequence_batch
from .sft import ChatExample

REWARD_FILE = "reward.json"
"""Beside a model whose score is more than its one output: {"type": "ordinal", "thresholds": [...]} or {"type": "multi",
"weights": {attribute: weight}}."""


@dataclass(frozen=True, slots=True)
class ComparedExample:
    """Two conversations, of which the first is the better one."""

    chosen: ChatExample
    rejected: ChatExample
    margin: float = 0.0
    """By how much its score should be the higher (Touvron et al. 2023, Llama 2, section 3.2.2)."""

    @property
    def positions(self) -> int:
        return len(self.chosen.input_ids) + len(self.rejected.input_ids)


@dataclass(frozen=True, slots=True)
class GradedExample:
    """A conversation and what it was given: one grade, or a mark for each attribute (NaN: none was given)."""

    conversation: ChatExample
    grades: tuple[float, ...]

    @property
    def positions(self) -> int:
        return len(self.conversation.input_ids)


@dataclass(frozen=True, kw_only=True)
class BradleyTerryConfig:
    """-log sigmoid(score_w - score_l - margin) (Bradley and Terry 1952; Ouyang et al. 2022, equation 1). Rows may name a
    `margin`.
    """

    type: Literal["reward"] = "reward"
    center_rewards_coefficient: float = 0.0
    """Adds this times (score_w + score_l)^2, which a comparison leaves free (Eisenstein et al. 2023, section 2)."""
    context_tokens: int = 1024

    def __post_init__(self) -> None:
        if not self.center_rewards_coefficient >= 0:
            raise ConfigError(f"must be at least 0, not {self.center_rewards_coefficient}",
                              path="center_rewards_coefficient")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OrdinalConfig:
    """P(grade > k) = sigmoid(score - threshold_k), thresholds rising and learned: the cumulative link model (McCullagh 1980)."""

    type: Literal["reward_ordinal"] = "reward_ordinal"
    num_grades: int
    """K: grades are 0 .. K-1, whole numbers."""
    field: str = "grade"
    """Of a feedback row, with its grade. With two grades, rows without it are graded by `label`."""
    context_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.num_grades < 2:
            raise ConfigError(f"must be at least 2, not {self.num_grades}", path="num_grades")


@dataclass(frozen=True, kw_only=True)
class MultiObjectiveConfig:
    """Squared error of the marks, one output for each attribute; the reward is their weighted sum (Wang et al. 2024, section 3.1)."""

    type: Literal["reward_multi"] = "reward_multi"
    attributes: tuple[str, ...]
    """Names of the marks, in the row's field."""
    weights: tuple[float, ...] = ()
    """Of the attributes in the reward; (): all 1 / A. A negative one takes off, as for length."""
    field: str = "grades"
    """Of a feedback row: {attribute: mark}; a missing one is not learned from."""
    context_tokens: int = 1024

    def __post_init__(self) -> None:
        if not self.attributes or len(set(self.attributes)) != len(self.attributes):
            raise ConfigError(f"must be different names, at least one, not {list(self.attributes)}", path="attributes")
        if self.weights and len(self.weights) != len(self.attributes):
            raise ConfigError(f"has {len(self.weights)} numbers for {len(self.attributes)} attributes", path="weights")


class OrdinalModel(nn.Module):
    """A scorer with its thresholds: the first, and the gaps to the next ones as inverse softplus, so that they always rise."""

    def __init__(self, scorer: HeadedDecoder, num_grades: int) -> None:
        super().__init__()
        self.scorer = scorer
        start = torch.linspace(-1.0, 1.0, num_grades - 1) if num_grades > 2 else torch.zeros(1)
        gap = 2.0 / max(1, num_grades - 2)
        self.first = nn.Parameter(start[:1].clone())
        self.gaps = nn.Parameter(torch.full((num_grades - 2,), math.log(math.expm1(gap))))

    @property
    def config(self) -> Any:
        return self.scorer.config

    @property
    def thresholds(self) -> Tensor:
        """[K - 1], rising"""
        return torch.cat([self.first, self.first + F.softplus(self.gaps).cumsum(0)])

    def forward(self, *args: Any, **settings: Any) -> tuple[Tensor, Tensor]:
        """The scorer's logits [S, 1], and the thresholds."""
        return self.scorer(*args, **settings), self.thresholds


def score_batch(
    conversations: Sequence[ChatExample], *, context_tokens: int, pad_id: int = 0, **settings: Any
) -> Batch:
    """Conversations in rows, every id an input: a score is read at the last one."""
    whole = [
        ChatExample(np.append(c.input_ids, np.int32(pad_id)), np.zeros(len(c.input_ids) + 1, bool))
        for c in conversations
    ]
    return sequence_batch(whole, context_tokens=context_tokens, pad_id=pad_id, **settings)


def read_scores(model: Any, batch: Batch) -> Any:
    """What the model (called as HeadedDecoder) says at the last position of each sequence: [S, L]."""
    flat, width = last_positions(batch), batch.input_ids.shape[1]
    places = torch.stack([flat // width, flat % width], dim=1)
    return model(batch.input_ids, document_state(model, batch.documents), last=places)


@torch.no_grad()
def scores_of(
    model: Any,
    conversations: Sequence[ChatExample],
    *,
    pad_id: int = 0,
    batch_tokens: int = 8192,
    on_batch: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """[n, L] float64: what a HeadedDecoder says to each conversation; those of like length go together."""
    found: np.ndarray | None = None
    order = sorted(range(len(conversations)), key=lambda i: -len(conversations[i].input_ids))
    start = 0
    while start < len(order):
        longest = max(1, len(conversations[order[start]].input_ids))
        taken = order[start : start + max(1, batch_tokens // longest)]
        batch = score_batch([conversations[i] for i in taken], context_tokens=longest, pad_id=pad_id)
        made = read_scores(model, batch).double().cpu().numpy()
        if found is None:
            found = np.zeros((len(conversations), made.shape[1]))
        found[taken] = made
        start += len(taken)
        on_batch(len(taken))
    return np.zeros((0, 1)) if found is None else found


class BradleyTerry:
    """groundup.nn.protocols.Objective over ComparedExamples; the loss is a mean over pairs.

    Metrics: loss, accuracy (share of pairs in the right order), rewards/chosen, rewards/rejected, rewards/margins, tokens.
    """

    def __init__(self, config: BradleyTerryConfig = BradleyTerryConfig(), *, pad_id: int = 0) -> None:
        self.config, self.pad_id = config, pad_id

    def collate(self, examples: Sequence[ComparedExample]) -> Batch:
        return score_batch(
            [e.chosen for e in examples] + [e.rejected for e in examples],
            context_tokens=self.config.context_tokens,
            pad_id=self.pad_id,
            count=len(examples),
            extras={"margins": torch.tensor([e.margin for e in examples], dtype=torch.float32)},
        )

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        scores = _at_least_float32(read_scores(model, batch)).squeeze(-1)
        chosen, rejected = scores.chunk(2)
        loss = -F.logsigmoid(chosen - rejected - batch.extras["margins"].to(scores.dtype)).mean()
        if self.config.center_rewards_coefficient:
            loss = loss + self.config.center_rewards_coefficient * (chosen + rejected).square().mean()
        with torch.no_grad():
            w, l = chosen.detach(), rejected.detach()
            metrics: dict[str, float | Tensor] = {
                "loss": loss.detach(),
                "accuracy": (w > l).float().mean(),
                "rewards/chosen": w.mean(),
                "rewards/rejected": l.mean(),
                "rewards/margins": (w - l).mean(),
                "tokens": (batch.extras["sequences"] >= 0).sum(),
            }
        return LossOutput(loss, metrics)


class Ordinal:
    """groundup.nn.protocols.Objective over GradedExamples with an OrdinalModel; the loss is a mean over conversations.

    Metrics: loss, accuracy (share whose likeliest grade is the given one), mean_error (of the expected grade), tokens.
    """

    def __init__(self, config: OrdinalConfig, *, pad_id: int = 0) -> None:
        self.config, self.pad_id = config, pad_id

    def collate(self, examples: Sequence[GradedExample]) -> Batch:
        grades = [int(e.grades[0]) for e in examples]
        if not all(0 <= g < self.config.num_grades for g in grades):
            raise DataError(f"a grade is one of 0 .. {self.config.num_grades - 1}, these are {sorted(set(grades))}")
        return score_batch(
            [e.conversation for e in examples],
            context_tokens=self.config.context_tokens,
            pad_id=self.pad_id,
            count=len(examples),
            extras={"grades": torch.tensor(grades)},
        )

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        logits, thresholds = read_scores(model, batch)
        scores = _at_least_float32(logits).squeeze(-1)
        logs = grade_logprobs(scores, thresholds.to(scores.dtype))
        grades = batch.extras["grades"]
        loss = F.nll_loss(logs, grades)
        with torch.no_grad():
            expected = logs.exp() @ torch.arange(logs.shape[1], dtype=logs.dtype, device=logs.device)
            metrics: dict[str, float | Tensor] = {
                "loss": loss.detach(),
                "accuracy": (logs.argmax(1) == grades).float().mean(),
                "mean_error": (expected - grades).abs().mean(),
                "tokens": (batch.extras["sequences"] >= 0).sum(),
            }
        return LossOutput(loss, metrics)


def grade_logprobs(scores: Tensor, thresholds: Tensor) -> Tensor:
    """log P(grade = k), [S, K], of scores [S] and rising thresholds [K - 1].

    The difference of two sigmoids is taken in the log domain: for a > b, with d = a - b,
    log(sigmoid(a) - sigmoid(b)) = log sigmoid(a) + log sigmoid(-b) + log(1 - exp(-d)).
    """
    above = scores[:, None] - thresholds  # P(grade > k) = sigmoid(above[:, k]), falling with k
    lowest, highest = F.logsigmoid(-above[:, :1]), F.logsigmoid(above[:, -1:])
    gaps = (thresholds[1:] - thresholds[:-1]).clamp(min=torch.finfo(scores.dtype).tiny)
    between = F.logsigmoid(above[:, :-1]) + F.logsigmoid(-above[:, 1:]) + torch.log(-torch.expm1(-gaps))
    return torch.cat([lowest, between, highest], dim=1)


class MultiObjective:
    """groundup.nn.protocols.Objective over GradedExamples; the loss is a mean over conversations of the mean squared error of
    their known marks.

    Metrics: loss, error/<attribute> (root of the mean squared error over the micro-batch, 0 where none is known), tokens.
    """

    def __init__(self, config: MultiObjectiveConfig, *, pad_id: int = 0) -> None:
        self.config, self.pad_id = config, pad_id

    @property
    def weights(self) -> tuple[float, ...]:
        num = len(self.config.attributes)
        return self.config.weights or (1.0 / num,) * num

    def collate(self, examples: Sequence[GradedExample]) -> Batch:
        return score_batch(
            [e.conversation for e in examples],
            context_tokens=self.config.context_tokens,
            pad_id=self.pad_id,
            count=len(examples),
            extras={"grades": torch.tensor([e.grades for e in examples], dtype=torch.float32)},
        )

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        made = _at_least_float32(read_scores(model, batch))
        marks = batch.extras["grades"].to(made.dtype)
        known = ~torch.isnan(marks)
        errors = (made - torch.where(known, marks, 0.0)).square() * known
        loss = (errors.sum(1) / known.sum(1).clamp(min=1)).mean()
        with torch.no_grad():
            roots = (errors.sum(0) / known.sum(0).clamp(min=1)).sqrt()
            metrics: dict[str, float | Tensor] = {"loss": loss.detach()}
            metrics |= {f"error/{name}": root for name, root in zip(self.config.attributes, roots, strict=True)}
            metrics["tokens"] = (batch.extras["sequences"] >= 0).sum()
        return LossOutput(loss, metrics)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often a stated confidence is right: of pairs by sigmoid(|margin|), the confidence in the order that the model gives."""

    accuracy: float
    """Share of pairs in the right order; a tie counts half."""
    expected_calibration_error: float
    """Mean of |confidence - accuracy| over bins, weighted by pairs (Guo et al. 2017, equation 3)."""
    curve: tuple[tuple[float, float, int], ...]
    """(mean confidence, accuracy, pairs) of each bin that has any, from 0.5 up."""


def reliability(margins: Sequence[float], *, num_bins: int = 10) -> Reliability:
    """Of score_chosen - score_rejected of held-out pairs; bins of equal width over the confidences 0.5 .. 1."""
    values = np.asarray(margins, dtype=np.float64)
    if not len(values):
        raise DataError("no pairs to measure calibration on")
    confidence = 1 / (1 + np.exp(-np.abs(values)))
    right = np.where(values == 0, 0.5, values > 0)
    bins = np.minimum(((confidence - 0.5) * 2 * num_bins).astype(int), num_bins - 1)
    curve, error = [], 0.0
    for b in range(num_bins):
        of_bin = bins == b
        count = int(of_bin.sum())
        if count:
            stated, found = float(confidence[of_bin].mean()), float(right[of_bin].mean())
            curve.append((stated, found, count))
            error += abs(stated - found) * count / len(values)
    return Reliability(float(right.mean()), error, tuple(curve))

"""Learning from preferences without a reward model: DPO, cDPO, IPO, ORPO, SimPO over pairs, KTO over single judged answers.

All compare log-probabilities of whole completions, most with those of the model that training started from, which are numbers
in the examples: made once, before the first step (`reference_logprobs`). Both sides of a pair share one forward pass. Departures
from the papers: IPO's log-ratios are means over tokens, as its authors run it; ORPO's likelihood term is over the chosen completion only
and averaged per pair, so that accumulation over micro-batches is exact. KTO's reference point is estimated on each micro-batch, as in
its paper, so there accumulation is not. Left out: other divergences than reverse KL, losses that rank more than two.

Letters: P pairs, S sequences (chosen 0..P-1, rejected P..2P-1), w chosen, l rejected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import ConfigError, DataError
from ..nn.protocols import Batch, LossOutput
from .sequences import LENGTHS, SEQUENCES, sequence_batch, sequence_logprobs
from .sft import ChatExample

REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class PairExample:
    """Two completions of one prompt; learned is the completion's own part of each."""

    chosen: ChatExample
    rejected: ChatExample
    reference_chosen: float = math.nan
    """log p(chosen) under the reference model, in nats, summed over tokens; NaN: not known."""
    reference_rejected: float = math.nan

    @property
    def positions(self) -> int:
        return self.chosen.positions + self.rejected.positions

    @property
    def weight(self) -> int:
        """Targets it has; 0 if either side has none, for then there is nothing to compare."""
        return min(self.chosen.weight, self.rejected.weight) and self.chosen.weight + self.rejected.weight


@dataclass(frozen=True, slots=True)
class FeedbackExample:
    """One completion that was judged, and a completion of another prompt in its place, from which KTO tells how far the
    model has moved in general.
    """

    example: ChatExample
    desirable: bool
    mismatched: ChatExample
    reference: float = math.nan
    """log p(completion) under the reference model; NaN: not known."""
    reference_mismatched: float = math.nan

    @property
    def positions(self) -> int:
        return self.example.positions

    @property
    def weight(self) -> int:
        return self.example.weight


@dataclass(frozen=True, kw_only=True)
class DPOConfig:
    """-log sigmoid(beta (r_w - r_l)) with r = log p - log p_reference (Rafailov et al. 2023, equation 7)."""

    type: Literal["dpo"] = "dpo"
    beta: float = 0.1
    """How strongly the model is held to the reference."""
    label_smoothing: float = 0.0
    """Share of pairs that may be the wrong way round: conservative DPO (Mitchell 2023)."""
    length_normalised: bool = False
    """Log-ratios are means over a completion's tokens (Lambert et al. 2024, Tulu 3, section 5.1.2)."""
    reference_free: bool = False
    """The reference gives every completion the same log-probability."""
    nll_weight: float = 0.0
    """Adds this times the chosen completion's mean negative log-likelihood, against the likelihood of both sides sinking (Pang
    et al. 2024, equation 2)."""
    context_tokens: int = 1024
    chunk_tokens: int | None = None
    """Positions whose logits are made at a time; 0: all; None: decided by their size."""

    def __post_init__(self) -> None:
        _at_least_0(self, "nll_weight")
        _check(self)
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(f"must be in [0, 0.5), not {self.label_smoothing}", path="label_smoothing",
                              hint="at 0.5 a pair says nothing; above it, exchange chosen and rejected")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class IPOConfig:
    """(r_w - r_l - 1 / (2 beta))^2 with r the mean log-ratio per token (Azar et al. 2023, equation 17): bounded where DPO would
    push a certain preference without end.
    """

    type: Literal["ipo"] = "ipo"
    beta: float = 0.1
    """The paper's tau."""
    reference_free: bool = False
    context_tokens: int = 1024
    chunk_tokens: int | None = None

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class ORPOConfig:
    """-mean log p_w - beta log sigmoid(log odds_w - log odds_l), odds = p / (1 - p), p = exp(mean log p): fine-tuning and
    preference in one, without a reference (Hong et al. 2024, equations 4 to 6).
    """

    type: Literal["orpo"] = "orpo"
    beta: float = 0.1
    """The paper's lambda."""
    context_tokens: int = 1024
    chunk_tokens: int | None = None

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class SimPOConfig:
    """-log sigmoid(beta (mean log p_w - mean log p_l) - gamma), without a reference (Meng et al. 2024, equation 6)."""

    type: Literal["simpo"] = "simpo"
    beta: float = 2.0
    gamma: float = 1.0
    """By how much the chosen reward should be the larger."""
    context_tokens: int = 1024
    chunk_tokens: int | None = None

    def __post_init__(self) -> None:
        _check(self)
        _at_least_0(self, "gamma")


@dataclass(frozen=True, kw_only=True)
class KTOConfig:
    """weight (1 - sigmoid(+-beta (r - z))), + for desirable completions, z = max(0, mean r of mismatched pairs), not differentiated
    (Ethayarajh et al. 2024, equations 7 and 8).
    """

    type: Literal["kto"] = "kto"
    beta: float = 0.1
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    """The paper wants desirable_weight x desirable examples between 1 and 4/3 times its counterpart."""
    context_tokens: int = 1024
    chunk_tokens: int | None = None

    def __post_init__(self) -> None:
        _check(self)
        for name in ("desirable_weight", "undesirable_weight"):
            _at_least_0(self, name)


E = TypeVar("E", PairExample, FeedbackExample)
PairConfig = DPOConfig | IPOConfig | ORPOConfig | SimPOConfig


def _check(config: Any) -> None:
    if not config.beta > 0:
        raise ConfigError(f"must be more than 0, not {config.beta}", path="beta")
    if config.context_tokens < 1:
        raise ConfigError(f"must be at least 1, not {config.context_tokens}", path="context_tokens")


def _at_least_0(config: Any, name: str) -> None:
    if not getattr(config, name) >= 0:
        raise ConfigError(f"must be at least 0, not {getattr(config, name)}", path=name)


class PairPreference:
    """groundup.nn.protocols.Objective over PairExamples; the loss is a mean over pairs.

    Metrics: loss; rewards/chosen, rewards/rejected, rewards/margins, rewards/accuracies (share of pairs whose chosen reward is the
    larger); logps/chosen, logps/rejected (nats a completion); kl (mean log-ratio to the reference, in nats a token, where there
    is one); tokens (targets).
    """

    def __init__(self, config: PairConfig, *, pad_id: int = 0) -> None:
        self.config = config
        self.pad_id = pad_id
        """Any valid id: padding is neither seen nor learned."""

    @property
    def needs_reference(self) -> bool:
        return isinstance(self.config, DPOConfig | IPOConfig) and not self.config.reference_free

    def collate(self, examples: Sequence[PairExample]) -> Batch:
        reference = [e.reference_chosen for e in examples] + [e.reference_rejected for e in examples]
        if self.needs_reference:
            _known(reference)
        return sequence_batch(
            [e.chosen for e in examples] + [e.rejected for e in examples],
            context_tokens=self.config.context_tokens,
            pad_id=self.pad_id,
            count=len(examples),
            extras={REFERENCE: torch.tensor(reference)} if self.needs_reference else None,
        )

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        sums, output = sequence_logprobs(model, batch, chunk_tokens=self.config.chunk_tokens)
        lengths = batch.extras[LENGTHS].clamp(min=1)
        ratios = sums - batch.extras[REFERENCE].to(sums.dtype) if self.needs_reference else sums
        losses, rewards = self._losses(sums, ratios, lengths)
        loss = losses.mean()
        with torch.no_grad():
            (w, l), (logp_w, logp_l) = rewards.detach().chunk(2), sums.detach().chunk(2)
            metrics: dict[str, float | Tensor] = {
                "loss": loss.detach(),
                "rewards/chosen": w.mean(),
                "rewards/rejected": l.mean(),
                "rewards/margins": (w - l).mean(),
                "rewards/accuracies": (w > l).float().mean(),
                "logps/chosen": logp_w.mean(),
                "logps/rejected": logp_l.mean(),
                "tokens": batch.extras[LENGTHS].sum(),
            }
            if self.needs_reference:
                metrics["kl"] = (ratios / lengths).mean()
        if output.aux_loss is not None:
            loss = loss + output.aux_loss
            metrics["aux_loss"] = output.aux_loss.detach()
        return LossOutput(loss, metrics)

    def _losses(self, sums: Tensor, ratios: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[P] losses and [S] rewards, of log-probabilities, log-ratios and lengths [S]."""
        means = sums / lengths
        match self.config:
            case DPOConfig() as c:
                scores = c.beta * (ratios / lengths if c.length_normalised else ratios)
                margin = _margin(scores)
                losses = -(1 - c.label_smoothing) * F.logsigmoid(margin)
                if c.label_smoothing:
                    losses = losses - c.label_smoothing * F.logsigmoid(-margin)
                if c.nll_weight:
                    losses = losses - c.nll_weight * means.chunk(2)[0]
                return losses, scores
            case IPOConfig() as c:
                return (_margin(ratios / lengths) - 1 / (2 * c.beta)).square(), c.beta * ratios
            case ORPOConfig() as c:
                log_odds = means - _log_of_rest(means)
                return -means.chunk(2)[0] - c.beta * F.logsigmoid(_margin(log_odds)), c.beta * means
            case SimPOConfig() as c:
                return -F.logsigmoid(c.beta * _margin(means) - c.gamma), c.beta * means
        raise AssertionError(self.config)


def _margin(values: Tensor) -> Tensor:
    """[2P] -> [P]: chosen minus rejected."""
    chosen, rejected = values.chunk(2)
    return chosen - rejected


def _log_of_rest(logp: Tensor) -> Tensor:
    """log(1 - exp(logp)) for logp <= 0, exact at both ends (Maechler 2012): a probability of 1 counts as one float below it."""
    logp = logp.clamp(max=-torch.finfo(logp.dtype).eps)
    near = logp > -math.log(2)
    # `where` passes gradients to both sides, so each is given a value at which it is finite.
    of_near = torch.log(-torch.expm1(torch.where(near, logp, -1.0)))
    return torch.where(near, of_near, torch.log1p(-torch.exp(torch.where(near, -1.0, logp))))


def _known(reference: Sequence[float]) -> None:
    if any(math.isnan(value) for value in reference):
        raise DataError(
            "an example has no reference log-probability",
            hint="make them with groundup.objectives.preference.with_reference, or set reference_free",
        )


class KTO:
    """groundup.nn.protocols.Objective over FeedbackExamples; the loss is a mean over examples.

    Metrics: loss; rewards/desirable, rewards/undesirable (0 where a micro-batch has none); rewards/accuracies (share on the right
    side of the reference point); reference_point (nats a completion); logps (nats a completion); tokens (targets).
    """

    needs_reference = True

    def __init__(self, config: KTOConfig = KTOConfig(), *, pad_id: int = 0) -> None:
        self.config = config
        self.pad_id = pad_id

    def collate(self, examples: Sequence[FeedbackExample]) -> Batch:
        _known([e.reference for e in examples] + [e.reference_mismatched for e in examples])
        width, pad_id = self.config.context_tokens, self.pad_id
        other = sequence_batch([e.mismatched for e in examples], context_tokens=width, pad_id=pad_id)
        extras = {f"mismatched_{name}": value for name, value in other.extras.items()}
        extras |= {"mismatched_input_ids": other.input_ids, "mismatched_targets": other.targets}
        if other.documents is not None:
            extras["mismatched_documents"] = other.documents
        extras |= {
            REFERENCE: torch.tensor([e.reference for e in examples]),
            "reference_mismatched": torch.tensor([e.reference_mismatched for e in examples]),
            "desirable": torch.tensor([e.desirable for e in examples]),
        }
        return sequence_batch(
            [e.example for e in examples], context_tokens=width, pad_id=pad_id, count=len(examples), extras=extras
        )

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        c, extras = self.config, batch.extras
        with torch.no_grad():
            other = Batch(
                extras["mismatched_input_ids"],
                extras["mismatched_targets"],
                extras.get("mismatched_documents"),
                {name: extras[f"mismatched_{name}"] for name in (SEQUENCES, LENGTHS)},
            )
            moved, _ = sequence_logprobs(model, other, chunk_tokens=c.chunk_tokens)
            point = (moved - extras["reference_mismatched"].to(moved.dtype)).mean().clamp(min=0)
        sums, output = sequence_logprobs(model, batch, chunk_tokens=c.chunk_tokens)
        ratios, desirable = sums - extras[REFERENCE].to(sums.dtype), extras["desirable"]
        gain = c.beta * (ratios - point) * torch.where(desirable, 1.0, -1.0)
        weights = torch.where(desirable, c.desirable_weight, c.undesirable_weight).to(gain.dtype)
        loss = (weights * (1 - torch.sigmoid(gain))).mean()
        with torch.no_grad():
            rewards = c.beta * ratios.detach()
            metrics: dict[str, float | Tensor] = {
                "loss": loss.detach(),
                "rewards/desirable": (rewards * desirable).sum() / desirable.sum().clamp(min=1),
                "rewards/undesirable": (rewards * ~desirable).sum() / (~desirable).sum().clamp(min=1),
                "rewards/accuracies": (gain > 0).float().mean(),
                "reference_point": point,
                "logps": sums.detach().mean(),
                "tokens": extras[LENGTHS].sum(),
            }
        if output.aux_loss is not None:
            loss = loss + output.aux_loss
            metrics["aux_loss"] = output.aux_loss.detach()
        return LossOutput(loss, metrics)


def mismatched(prompt_of: ChatExample, completion_of: ChatExample, *, max_tokens: int | None = None) -> ChatExample:
    """The prompt of one example with the completion of another (learned from its first learned id on)."""
    start, other = (int(np.argmax(e.mask)) for e in (prompt_of, completion_of))
    ids = np.concatenate([prompt_of.input_ids[:start], completion_of.input_ids[other:]])
    mask = np.concatenate([np.zeros(start, bool), completion_of.mask[other:]])
    return ChatExample(ids[:max_tokens], mask[:max_tokens])


def feedback_examples(
    judged: Sequence[tuple[ChatExample, bool]], *, max_tokens: int | None = None
) -> list[FeedbackExample]:
    """Each example's mismatched partner has the completion of the one before it (the first: of the last), so it is the same in
    every epoch and its reference log-probability need be made only once. DataError with fewer than two.
    """
    if len(judged) < 2:
        raise DataError(
            f"{len(judged)} judged completions; KTO needs at least 2, for it compares with completions of other prompts",
            hint="give it more feedback rows",
        )
    return [
        FeedbackExample(example, desirable, mismatched(example, judged[i - 1][0], max_tokens=max_tokens))
        for i, (example, desirable) in enumerate(judged)
    ]


def sequences_of(examples: Sequence[PairExample | FeedbackExample]) -> list[ChatExample]:
    """Every sequence that a reference log-probability is wanted of, two for each example."""
    made: list[ChatExample] = []
    for e in examples:
        made += [e.chosen, e.rejected] if isinstance(e, PairExample) else [e.example, e.mismatched]
    return made


def with_reference(examples: Sequence[E], logprobs: np.ndarray) -> list[E]:
    """The examples with what the reference says of `sequences_of` them."""
    assert len(logprobs) == 2 * len(examples), (len(logprobs), len(examples))
    made: list[E] = []
    for e, (first, second) in zip(examples, np.asarray(logprobs).reshape(-1, 2).tolist(), strict=True):
        if isinstance(e, PairExample):
            made.append(replace(e, reference_chosen=first, reference_rejected=second))
        else:
            made.append(replace(e, reference=first, reference_mismatched=second))
    return made


@torch.no_grad()
def reference_logprobs(
    model: Any,
    sequences: Sequence[ChatExample],
    *,
    context_tokens: int,
    batch_tokens: int = 8192,
    pad_id: int = 0,
    on_batch: Any = lambda count: None,
) -> np.ndarray:
    """[n] float64: log p of each sequence's targets under `model`, in evaluation mode; its mode is put back.

    Sequences of like length go together, about batch_tokens positions at once. on_batch(count) is told how many are done.
    """
    was_training = model.training
    model.eval()
    try:
        found = np.zeros(len(sequences))
        order = sorted(range(len(sequences)), key=lambda i: -sequences[i].positions)
        start = 0
        while start < len(order):
            longest = max(1, sequences[order[start]].positions)
            taken = order[start : start + max(1, batch_tokens // longest)]
            batch = sequence_batch([sequences[i] for i in taken], context_tokens=context_tokens, pad_id=pad_id)
            sums, _ = sequence_logprobs(model, batch)
            found[taken] = sums.double().cpu().numpy()
            start += len(taken)
            on_batch(len(taken))
        return found
    finally:
        model.train(was_training)

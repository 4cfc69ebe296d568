"""Learning from rewards: policy-gradient objectives over samples that the model made itself.

    REINFORCE (Williams 1992), PPO (Schulman et al. 2017), RLOO (Ahmadian et al. 2024), GRPO (Shao et al. 2024), Dr. GRPO
    (Liu et al. 2025), DAPO's clipping and token mean (Yu et al. 2025).

They differ in three places only: how advantages are made of rewards (`group_advantages`, `generalised_advantages`), what ratio is
clipped, and what the loss is a mean over. Samples, rewards and reference log-probabilities come from a source
(groundup.train.rollout for text, groundup.train.environments for small control problems); nothing here generates.

Departures: with one update a rollout the old log-probabilities are the new ones detached, as the ratio is 1 there; the
engine's own are then used to check it (`engine_gap`).

Letters: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import ConfigError, DataError
from ..nn.branches import Branches
from ..nn.mixers.attention import Attention
from ..nn.protocols import IGNORE, Batch, LossOutput
from ..nn.state import SequenceState
from ..tasks.curriculum import CurriculumConfig
from .token_logprobs import token_logprobs

Aggregation = Literal["sequence", "token", "constant"]
_LEAST_CLIP = 1e-4
"""At 0 the gradient is gone at the second update of a rollout."""


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """How samples are made."""

    group_size: int = 8
    """Samples of each prompt."""
    max_tokens: int = 128
    """Longest completion."""
    temperature: float = 1.0
    top_p: float = 1.0
    minibatches: int = 1
    """A rollout makes this many batches of samples; each is one update."""
    epochs: int = 1
    """How many times the samples of a rollout are learned from."""
    overlong: Literal["keep", "mask"] = "keep"
    """Samples cut off at max_tokens: keep them as they are rewarded, or leave them out of the loss (DAPO, section 3.4)."""
    resample: int = 0
    """Ask other prompts up to so many times in place of groups whose rewards are all equal (DAPO's dynamic sampling)."""
    curriculum: CurriculumConfig | None = None
    """Begin with easy problems and go on as they are solved; null draws from the task's whole range."""

    def __post_init__(self) -> None:
        for name in ("group_size", "max_tokens", "minibatches", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)
        if self.temperature <= 0:
            raise ConfigError(f"must be more than 0, not {self.temperature}", path="temperature",
                              hint="a greedy policy has one sample, so nothing to compare")  # fmt: skip
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"must be in (0, 1], not {self.top_p}", path="top_p")
        if self.resample < 0:
            raise ConfigError(f"must be at least 0, not {self.resample}", path="resample")

    @property
    def updates(self) -> int:
        """Optimizer steps from one rollout."""
        return self.minibatches * self.epochs


def _check(config: Any, **limits: tuple[float, float]) -> None:
    """Every field is within its limits, both included. Coefficients are at least 0."""
    coefficients = {name: (0.0, math.inf) for name in vars(config) if name.endswith("_coefficient")}
    for name, (low, high) in (coefficients | limits).items():
        if not low <= getattr(config, name) <= high:
            wanted = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            raise ConfigError(f"must be {wanted}, not {getattr(config, name):g}", path=name)


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig:
    """REINFORCE with a baseline.

    A mean over n samples holds the sample itself: its expected gradient is 1 - 1/n times that of the expected reward, a direction
    without bias. Without a baseline, and with RLOO's (the mean of the others), it is the gradient itself.
    """

    type: Literal["reinforce"] = "reinforce"
    rollout: RolloutConfig = RolloutConfig()
    baseline: Literal["none", "batch", "group"] = "batch"
    """What is taken off a reward: nothing, the mean of all samples, or of those of the same prompt."""
    kl_coefficient: float = 0.0
    """Weight of the divergence from the reference model, a loss term (estimator k3 of Schulman 2020)."""
    entropy_coefficient: float = 0.0
    """Weight of the policy's entropy, which is subtracted from the loss."""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class RLOOConfig:
    """REINFORCE, each sample against the mean of the others of its prompt; the divergence is part of the reward."""

    type: Literal["rloo"] = "rloo"
    rollout: RolloutConfig = RolloutConfig()
    kl_coefficient: float = 0.0
    """Taken off each sample's reward, times the sum of log(policy / reference) over its tokens."""
    clip: float = 0.2
    """The ratio of a whole sequence's probability stays within 1 +- clip."""
    entropy_coefficient: float = 0.0

    def __post_init__(self) -> None:
        _check(self, clip=(_LEAST_CLIP, 1.0))


@dataclass(frozen=True, kw_only=True)
class GRPOConfig:
    """Group-relative policy optimisation. Dr. GRPO: scale none, aggregation constant. DAPO: clip_high 0.28, aggregation token,
    rollout.overlong mask, rollout.resample 3, kl_coefficient 0.
    """

    type: Literal["grpo"] = "grpo"
    rollout: RolloutConfig = RolloutConfig()
    scale: Literal["group", "batch", "none"] = "group"
    """Divide advantages by the standard deviation of the group's rewards, of all rewards, or not."""
    aggregation: Aggregation = "sequence"
    """sequence: mean over samples of their mean over tokens; token: mean over all tokens; constant: sum over tokens divided by
    max_tokens, mean over samples."""
    clip_low: float = 0.2
    """The ratio of each token's probability stays within 1 - clip_low and 1 + clip_high."""
    clip_high: float = 0.2
    kl_coefficient: float = 0.0
    entropy_coefficient: float = 0.0

    def __post_init__(self) -> None:
        _check(self, clip_low=(_LEAST_CLIP, 1.0), clip_high=(_LEAST_CLIP, math.inf))


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """PPO with a critic. Rewards are per token: the divergence from the reference at each, the sample's reward at the last
    (Ziegler et al. 2019).
    """

    type: Literal["ppo"] = "ppo"
    rollout: RolloutConfig = RolloutConfig(group_size=1, minibatches=2, epochs=2)
    discount: float = 1.0
    gae_lambda: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.2
    """New values stay this near the old ones in the value loss; 0: no limit."""
    value_coefficient: float = 0.1
    kl_coefficient: float = 0.05
    entropy_coefficient: float = 0.0
    whiten: bool = True
    """Advantages of a rollout get mean 0 and standard deviation 1."""

    def __post_init__(self) -> None:
        _check(self, discount=(0.0, 1.0), gae_lambda=(0.0, 1.0), clip=(_LEAST_CLIP, 1.0), value_clip=(0.0, math.inf))


PolicyConfig = ReinforceConfig | RLOOConfig | GRPOConfig | PPOConfig


@dataclass(slots=True)
class Sample:
    """One completion with what it earned: the example of a policy objective."""

    input_ids: np.ndarray
    """[n] prompt and completion."""
    prompt_tokens: int
    logprobs: np.ndarray
    """[m] of each completion token, as the policy that sampled it gave them (float32)."""
    reward: float
    group: int = 0
    """Samples of one prompt have the same number."""
    advantages: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    """[m]"""
    reference: np.ndarray | None = None
    """[m] log-probabilities under the reference model."""
    values: np.ndarray | None = None
    """[m] the critic's, before the update."""
    returns: np.ndarray | None = None
    """[m] what the critic should have said."""
    learned: bool = True
    """False: nothing is learned from it (cut off, stale)."""

    @property
    def completion_tokens(self) -> int:
        return len(self.input_ids) - self.prompt_tokens


# ------------------------------------------------------------------------------------------------------------ advantages


def group_advantages(
    rewards: np.ndarray, groups: np.ndarray, *, baseline: Literal["none", "batch", "group", "others"],
    scale: Literal["group", "batch", "none"] = "none", epsilon: float = 1e-4,
) -> np.ndarray:  # fmt: skip
    """[n] rewards of samples and [n] their groups -> [n] advantages.

    baseline others: the mean of the group's other samples (RLOO, equation 6). Standard deviations have n - 1 below the line,
    as in the published code of GRPO; a group of one gets 0 from `group` and its reward from `others`.
    """
    rewards = np.asarray(rewards, np.float64)
    made = rewards.copy()
    if baseline == "batch":
        made -= rewards.mean()
    for group in np.unique(groups):
        at = groups == group
        inside = rewards[at]
        if baseline == "group":
            made[at] -= inside.mean()
        elif baseline == "others" and len(inside) > 1:
            made[at] -= (inside.sum() - inside) / (len(inside) - 1)
        if scale == "group":
            made[at] /= (inside.std(ddof=1) if len(inside) > 1 else 0.0) + epsilon
    if scale == "batch":
        made /= (rewards.std(ddof=1) if len(rewards) > 1 else 0.0) + epsilon
    return made.astype(np.float32)


def generalised_advantages(
    rewards: np.ndarray, values: np.ndarray, *, discount: float, gae_lambda: float, last_value: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """One episode: [m] rewards and [m] values -> [m] advantages and [m] returns (Schulman et al. 2016, equation 16).
    last_value: of the state after the last step; 0 where the episode ended there.
    """
    advantages = np.zeros(len(rewards), np.float64)
    ahead, following = 0.0, float(last_value)
    for t in range(len(rewards) - 1, -1, -1):
        surprise = rewards[t] + discount * following - values[t]
        ahead = surprise + discount * gae_lambda * ahead
        advantages[t] = ahead
        following = float(values[t])
    return advantages.astype(np.float32), (advantages + values).astype(np.float32)


def assign_advantages(samples: Sequence[Sample], config: PolicyConfig) -> None:
    """Fill in `advantages` (and `returns` for PPO) of all samples of a rollout."""
    rewards = np.array([s.reward for s in samples], np.float64)
    groups = np.array([s.group for s in samples])
    match config:
        case PPOConfig():
            _per_token(samples, config)
            return
        case ReinforceConfig():
            each = group_advantages(rewards, groups, baseline=config.baseline)
        case RLOOConfig():
            if config.kl_coefficient:
                rewards = rewards - config.kl_coefficient * np.array([float(_divergence(s).sum()) for s in samples])
            each = group_advantages(rewards, groups, baseline="others")
        case GRPOConfig():
            each = group_advantages(rewards, groups, baseline="group", scale=config.scale)
    for sample, advantage in zip(samples, each, strict=True):
        sample.advantages = np.full(sample.completion_tokens, advantage, np.float32)


def _divergence(sample: Sample) -> np.ndarray:
    """[m] log(policy / reference) of each token."""
    assert sample.reference is not None, "the source computes reference log-probabilities where kl_coefficient is not 0"
    gap: np.ndarray = sample.logprobs - sample.reference
    return gap


def _per_token(samples: Sequence[Sample], config: PPOConfig) -> None:
    for sample in samples:
        assert sample.values is not None, "PPO's samples have the critic's values"
        rewards = np.zeros(sample.completion_tokens, np.float64)
        if config.kl_coefficient:
            rewards -= config.kl_coefficient * _divergence(sample)
        rewards[-1] += sample.reward
        sample.advantages, sample.returns = generalised_advantages(
            rewards, sample.values, discount=config.discount, gae_lambda=config.gae_lambda
        )
    if config.whiten:
        together = np.concatenate([s.advantages for s in samples if s.learned] or [np.zeros(1, np.float32)])
        mean, deviation = together.mean(), together.std() + 1e-8
        for sample in samples:
            sample.advantages = ((sample.advantages - mean) / deviation).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------- losses


@dataclass(frozen=True, slots=True)
class Surrogate:
    """The clipped policy gradient of tokens (or sequences, or actions), before it is averaged."""

    loss: Tensor
    """Same shape as the log-probabilities."""
    ratio: Tensor
    clipped: Tensor
    """1 where the clip took the gradient away."""


def clipped_surrogate(logprobs: Tensor, old: Tensor, advantages: Tensor, *, low: float, high: float) -> Surrogate:
    """-min(r A, clip(r, 1 - low, 1 + high) A) with r = exp(logprobs - old) (PPO, equation 7). All of one shape."""
    ratio = torch.exp(logprobs - old)
    plain, limited = ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages
    return Surrogate(-torch.minimum(plain, limited), ratio.detach(), (limited < plain).detach().to(logprobs.dtype))


def divergence(logprobs: Tensor, reference: Tensor) -> Tensor:
    """An estimate of KL(policy || reference) for each token sampled from the policy: r - log r - 1 with r = reference / policy.
    Never negative, and its value is without bias (Schulman 2020, estimator k3; GRPO, equation 4). As a loss on samples of the policy
    its gradient is, as in GRPO, that of KL(reference || policy).
    """
    gap = reference - logprobs
    return torch.exp(gap) - gap - 1


def value_loss(values: Tensor, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the squared error, the worse of the free and the clipped value where clip > 0. All of one shape."""
    error = (values - returns).square()
    if clip:
        near = old + (values - old).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns).square())
    return 0.5 * error


class ActorCritic(nn.Module):
    """A policy and its critic as one module, so that one optimizer has both."""

    def __init__(self, policy: nn.Module, critic: nn.Module) -> None:
        super().__init__()
        self.policy = policy
        self.critic = critic


class PolicyObjective:
    """groundup.nn.protocols.Objective over Samples."""

    def __init__(
        self, config: PolicyConfig, *, pad_id: int = 0, pad_multiple_tokens: int = 8, share_prompts: bool = False
    ) -> None:
        """share_prompts: compute a prompt once for all its samples; for models of attention layers (`can_share_prompts`)."""
        self.config = config
        self.share_prompts = share_prompts
        self.pad_id = pad_id
        self.pad_multiple_tokens = pad_multiple_tokens

    @property
    def on_policy(self) -> bool:
        """One update a rollout: the samples are of the very weights that they change."""
        return self.config.rollout.updates == 1

    def collate(self, examples: Sequence[Sample]) -> Batch:
        """One row a sample, padded behind: padding is after everything that a causal model looks at. [B, T]. With
        share_prompts, samples of one prompt go on from one copy of it, all in one row (groundup.nn.branches). [1, T]
        """
        if not examples:
            raise DataError("no samples to learn from")
        prompts = [s.input_ids[: s.prompt_tokens - 1].tobytes() for s in examples]
        shared = self.share_prompts and 2 * len(set(prompts)) <= len(examples) and b"" not in prompts
        layout = self._in_branches(examples, prompts) if shared else self._in_rows(examples)
        by_sample = not (isinstance(self.config, GRPOConfig) and self.config.aggregation == "token")
        layout.count = len(examples) if by_sample and not isinstance(self.config, PPOConfig) else None
        return layout

    def _names(self, examples: Sequence[Sample]) -> list[str]:
        names = ["advantages", "sampled"]
        if self.config.kl_coefficient and any(s.reference is not None for s in examples):
            names.append("reference")
        return [*names, "values", "returns"] if isinstance(self.config, PPOConfig) else names

    def _padded(self, tokens: int) -> int:
        return -(-tokens // self.pad_multiple_tokens) * self.pad_multiple_tokens

    def _in_rows(self, examples: Sequence[Sample]) -> Batch:
        starts = [sample.prompt_tokens - 1 for sample in examples]
        width = self._padded(max(len(s.input_ids) for s in examples) - 1)
        ids = np.full((len(examples), width), self.pad_id, np.int64)
        for row, sample in zip(ids, examples, strict=True):
            row[: len(sample.input_ids) - 1] = sample.input_ids[:-1]
        return self._filled(ids, examples, [row * width + start for row, start in enumerate(starts)])

    def _in_branches(self, examples: Sequence[Sample], prompts: Sequence[bytes]) -> Batch:
        """The last id of a prompt begins every branch: the first id of each completion is a target of its own."""
        number = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
        trunks = [np.frombuffer(prompt, examples[0].input_ids.dtype) for prompt in number]
        trunk_tokens = self._padded(max(map(len, trunks)))
        branch_tokens = self._padded(max(s.completion_tokens for s in examples))
        first = np.full((len(trunks), trunk_tokens), self.pad_id, np.int64)
        for row, trunk in zip(first, trunks, strict=True):
            row[: len(trunk)] = trunk
        then = np.full((len(examples), branch_tokens), self.pad_id, np.int64)
        for row, sample in zip(then, examples, strict=True):
            row[: sample.completion_tokens] = sample.input_ids[sample.prompt_tokens - 1 : -1]
        ids = np.concatenate([first.reshape(-1), then.reshape(-1)])[None]
        batch = self._filled(ids, examples, [first.size + row * branch_tokens for row in range(len(examples))])
        shape = {
            "trunk_lengths": torch.tensor([len(trunk) for trunk in trunks]),
            "trunk_of": torch.tensor([number[prompt] for prompt in prompts]),
            "tokens": torch.tensor([trunk_tokens, branch_tokens]),
        }
        batch.extras = {**batch.extras, **shape}
        return batch

    def _filled(self, ids: np.ndarray, examples: Sequence[Sample], starts: Sequence[int]) -> Batch:
        """starts: where in the flattened ids each sample's first target stands."""
        targets = np.full(ids.size, IGNORE, np.int64)
        owners = np.zeros(ids.size, np.int64)
        extras = {name: np.zeros(ids.size, np.float32) for name in self._names(examples)}
        for number, (sample, start) in enumerate(zip(examples, starts, strict=True)):
            place = slice(start, start + sample.completion_tokens)
            owners[place] = number
            if sample.learned:
                targets[place] = sample.input_ids[sample.prompt_tokens :]
                for name, array in extras.items():
                    array[place] = sample.logprobs if name == "sampled" else getattr(sample, name)
        arrays: dict[str, np.ndarray] = {**extras, "owners": owners}
        tensors = {name: torch.from_numpy(array.reshape(ids.shape)) for name, array in arrays.items()}
        return Batch(torch.from_numpy(ids), torch.from_numpy(targets.reshape(ids.shape)), extras=tensors)

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Metrics: policy_loss, entropy, kl and engine_gap (means over tokens), clipped (share of tokens), and for PPO
        value_loss and explained_variance.
        """
        config = self.config
        policy = model.policy if isinstance(config, PPOConfig) else model
        output = policy(batch.input_ids, _state(policy, batch))
        logprobs, entropies = token_logprobs(
            output.hidden, output.head, batch.targets, temperature=config.rollout.temperature, entropy=True
        )
        assert entropies is not None
        known = (batch.targets != IGNORE).to(logprobs.dtype)
        advantages, sampled = batch.extras["advantages"], batch.extras["sampled"]
        old = logprobs.detach() if self.on_policy else sampled
        samples = _Samples(batch, known)
        surrogate, loss = self._policy_loss(logprobs, old, advantages, known, samples)
        metrics: dict[str, float | Tensor] = {"policy_loss": loss.detach()}
        tokens = known.sum().clamp(min=1)
        if "reference" in batch.extras:
            gaps = divergence(logprobs, batch.extras["reference"]) * known
            metrics["kl"] = gaps.detach().sum() / tokens
            if isinstance(config, (GRPOConfig, ReinforceConfig)):
                loss = loss + config.kl_coefficient * self._mean(gaps, samples)
        if config.entropy_coefficient:
            loss = loss - config.entropy_coefficient * self._mean(entropies * known, samples)
        with torch.no_grad():
            metrics["entropy"] = (entropies * known).sum() / tokens
            metrics["clipped"] = (surrogate.clipped * known).sum() / tokens
            if config.rollout.temperature == 1.0:
                metrics["engine_gap"] = ((logprobs - sampled).abs() * known).sum() / tokens
        if isinstance(config, PPOConfig):
            extra = self._value_loss(model, batch, known, config)
            loss = loss + config.value_coefficient * extra
            metrics["value_loss"] = extra.detach()
        return LossOutput(loss, metrics)

    def _policy_loss(
        self, logprobs: Tensor, old: Tensor, advantages: Tensor, known: Tensor, samples: _Samples
    ) -> tuple[Surrogate, Tensor]:
        match self.config:
            case GRPOConfig(clip_low=low, clip_high=high):
                each = clipped_surrogate(logprobs, old, advantages, low=low, high=high)
            case PPOConfig(clip=clip):
                each = clipped_surrogate(logprobs, old, advantages, low=clip, high=clip)
            case ReinforceConfig():
                each = clipped_surrogate(logprobs, old, advantages, low=1.0, high=float("inf"))
            case RLOOConfig(clip=clip):
                # One ratio and one advantage a sequence.
                whole = samples.sum((logprobs - old) * known)
                advantage = samples.sum(advantages * known) / samples.lengths.clamp(min=1)
                each = clipped_surrogate(whole, torch.zeros_like(whole), advantage, low=clip, high=clip)
                on_tokens = Surrogate(each.loss, each.ratio[samples.owners], each.clipped[samples.owners])
                return on_tokens, (each.loss * (samples.lengths > 0)).mean()
        return each, self._mean(each.loss * known, samples)

    def _mean(self, each: Tensor, samples: _Samples) -> Tensor:
        """[B, T], 0 where nothing is learned -> scalar, by the method's aggregation."""
        match self.config:
            case ReinforceConfig():
                return samples.sum(each).mean()
            case GRPOConfig(aggregation="sequence") | RLOOConfig():
                return (samples.sum(each) / samples.lengths.clamp(min=1)).mean()
            case GRPOConfig(aggregation="constant"):
                return samples.sum(each).mean() / self.config.rollout.max_tokens
        return each.sum() / samples.lengths.sum().clamp(min=1)

    def _value_loss(self, model: Any, batch: Batch, known: Tensor, config: PPOConfig) -> Tensor:
        values = model.critic(batch.input_ids, _state(model.policy, batch)).squeeze(-1).float()
        each = value_loss(values, batch.extras["values"], batch.extras["returns"], config.value_clip)
        return (each * known).sum() / known.sum().clamp(min=1)


class _Samples:
    """Sums over the tokens of each sample, however the samples are laid out."""

    def __init__(self, batch: Batch, known: Tensor) -> None:
        self.owners = batch.extras["owners"]
        self.count = int(self.owners.max()) + 1
        self.lengths = self.sum(known)
        """[n] tokens that are learned."""

    def sum(self, each: Tensor) -> Tensor:
        """[B, T], 0 where no sample's token stands -> [n]"""
        return each.new_zeros(self.count).scatter_add(0, self.owners.flatten(), each.flatten())


def _state(policy: Any, batch: Batch) -> SequenceState | None:
    if "trunk_of" not in batch.extras:
        return None
    trunk_tokens, branch_tokens = batch.extras["tokens"].tolist()
    layout = Branches(batch.extras["trunk_lengths"], trunk_tokens, batch.extras["trunk_of"], branch_tokens)
    inner = getattr(policy, "_orig_mod", policy)  # torch.compile wraps the module
    return SequenceState.for_branches(layout, inner.config.num_hidden_layers)


def can_share_prompts(model: nn.Module) -> bool:
    """Are all mixers attention, so that samples of one prompt may be computed from one copy of it?"""
    mixers = [block.mixer for block in getattr(model, "blocks", ())]
    return bool(mixers) and all(type(mixer) is Attention for mixer in mixers)

"""Policy objectives against trl's own trainers on the same weights and samples, and PPO against its paper's formulas in float64."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from groundup.models.decoder import Decoder
from groundup.models.heads import with_head
from groundup.objectives.policy import (
    ActorCritic,
    GRPOConfig,
    PolicyObjective,
    PPOConfig,
    RLOOConfig,
    RolloutConfig,
    Sample,
    assign_advantages,
    divergence,
)
from llama_peers import CONTEXT, VOCAB, Peers
from tiny_engine import tiny_decoder

pytestmark = [pytest.mark.row("10.5"), pytest.mark.filterwarnings("ignore")]

GROUPS, GROUP, MOST_TOKENS = 3, 4, 20
COLD = 0.7


@pytest.fixture(scope="module")
def seed() -> int:
    drawn = random.SystemRandom().randrange(2**31)
    print(f"seed {drawn}")
    return drawn


def several(temperature: float = 1.0) -> RolloutConfig:
    """Several updates a rollout, so that the old log-probabilities are those of the samples."""
    return RolloutConfig(group_size=GROUP, max_tokens=MOST_TOKENS, minibatches=2, epochs=2, temperature=temperature)


class Trainers:
    """trl's trainers over the models of `peers`, one a class and temperature: they patch the model for it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory, self.seed = directory, seed
        self.made: dict[tuple[str, float], tuple[Peers, Any]] = {}

    def get(self, kind: str, temperature: float) -> tuple[Peers, Any]:
        if (kind, temperature) not in self.made:
            import trl
            from datasets import Dataset

            peers = Peers(self.directory / f"{kind}-{temperature}", self.seed)
            peers.policy.config._name_or_path = str(
                peers.directory / "reference"
            )  # which a trainer reads where beta is not 0
            # trl multiplies GRPO's divergence by the ratio, as DeepSeek-V3.2 does; GRPO as published does not.
            own = {"use_bias_correction_kl": False} if kind == "GRPO" else {}
            arguments = getattr(trl, f"{kind}Config")(
                output_dir=str(peers.directory / "trl"), report_to=[], use_cpu=True, bf16=False, disable_tqdm=True,
                gradient_checkpointing=False, per_device_train_batch_size=GROUPS * GROUP, num_generations=GROUP,
                max_completion_length=MOST_TOKENS, temperature=temperature, beta=0.1, **own,
            )  # fmt: skip
            trainer = getattr(trl, f"{kind}Trainer")(
                model=peers.policy, args=arguments, processing_class=peers.tokenizer,
                reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
                train_dataset=Dataset.from_list([{"prompt": "w1 w2"}] * GROUPS * GROUP),
            )  # fmt: skip
            trainer.current_gradient_accumulation_steps = 1
            self.made[kind, temperature] = peers, trainer
        return self.made[kind, temperature]


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Trainers:
    return Trainers(tmp_path_factory.mktemp("trl"), seed)


def plain_logprobs(model: Decoder, sample: Sample, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities of a completion's tokens and the entropies there, the direct way."""
    ids = torch.from_numpy(sample.input_ids)
    logs = torch.log_softmax(model(ids[None, :-1]).logits[0, sample.prompt_tokens - 1 :] / temperature, dim=-1)
    return logs.gather(1, ids[sample.prompt_tokens :, None]).squeeze(1), -(logs.exp() * logs).sum(-1)


def drawn(rng: np.random.Generator, policy: Decoder, reference: Decoder, temperature: float) -> list[Sample]:
    """Samples of unequal lengths whose log-probabilities are of a policy some way from this one; one was cut off and is left out."""
    made = []
    for group in range(GROUPS):
        prompt = rng.integers(0, 60, rng.integers(2, 9))
        for _ in range(GROUP):
            completion = rng.integers(0, 60, rng.integers(1, MOST_TOKENS + 1))
            sample = Sample(
                np.concatenate([prompt, completion]), len(prompt), np.zeros(0, np.float32),
                float(rng.choice([0.0, 0.5, 1.0]) + 0.1 * rng.standard_normal()), group=group,
            )  # fmt: skip
            with torch.no_grad():
                now = plain_logprobs(policy, sample, temperature)[0].numpy()
                sample.reference = plain_logprobs(reference, sample, temperature)[0].numpy().astype(np.float32)
            sample.logprobs = (now + 0.3 * rng.standard_normal(len(now))).astype(np.float32)
            made.append(sample)
    made[int(rng.integers(0, len(made)))].learned = False
    return made


def as_trl(samples: list[Sample]) -> dict[str, Tensor]:
    """Prompts padded before, completions behind, and what belongs to each token of a completion."""
    rows, width = len(samples), max(s.prompt_tokens for s in samples)
    longest = max(s.completion_tokens for s in samples)
    made = {
        name: torch.zeros(rows, n, dtype=torch.long)
        for part, n in (("prompt", width), ("completion", longest))
        for name in (f"{part}_ids", f"{part}_mask")
    }
    made |= {name: torch.zeros(rows, longest) for name in ("old_per_token_logps", "ref_per_token_logps")}
    for row, sample in enumerate(samples):
        whole, n, m = torch.from_numpy(sample.input_ids), sample.prompt_tokens, sample.completion_tokens
        made["prompt_ids"][row, width - n :], made["prompt_mask"][row, width - n :] = whole[:n], 1
        made["completion_ids"][row, :m], made["completion_mask"][row, :m] = whole[n:], int(sample.learned)
        made["old_per_token_logps"][row, :m] = torch.from_numpy(sample.logprobs)
        assert sample.reference is not None
        made["ref_per_token_logps"][row, :m] = torch.from_numpy(sample.reference)
    made["advantages"] = torch.tensor([float(s.advantages[0]) for s in samples])
    made["old_logps"] = (made["old_per_token_logps"] * made["completion_mask"]).sum(1)
    made["num_items_in_batch"] = made["completion_mask"].sum()
    return made


GRPO_CASES = [
    ("grpo", 1.0, {"aggregation": "sequence"}),
    ("grpo", COLD, {"aggregation": "sequence", "kl_coefficient": 0.3, "scale": "batch", "clip_low": 0.1}),
    ("bnpo", 1.0, {"aggregation": "token", "kl_coefficient": 0.2, "clip_high": 0.28}),
    ("bnpo", COLD, {"aggregation": "token", "entropy_coefficient": 0.05}),
    ("dapo", 1.0, {"aggregation": "token", "clip_high": 0.28}),
    ("dr_grpo", 1.0, {"aggregation": "constant", "scale": "none"}),
    ("dr_grpo", COLD, {"aggregation": "constant", "scale": "none", "kl_coefficient": 0.1}),
]


@pytest.mark.parametrize(
    ("loss_type", "temperature", "fields"), GRPO_CASES, ids=[f"{k}-{t}-{len(f)}" for k, t, f in GRPO_CASES]
)
def test_grpos_loss_and_gradients_are_trls(
    trainers: Trainers, seed: int, loss_type: str, temperature: float, fields: dict[str, Any]
) -> None:
    peers, trainer = trainers.get("GRPO", temperature)
    config = GRPOConfig(rollout=several(temperature), **fields)
    trainer.loss_type, trainer.beta = loss_type, config.kl_coefficient
    trainer.epsilon_low, trainer.epsilon_high = config.clip_low, config.clip_high
    trainer.entropy_coef, trainer._entropy_bonus_enabled = config.entropy_coefficient, config.entropy_coefficient > 0
    trainer.args.steps_per_generation = 1
    trainer.model.train()
    for number in range(3):
        rng = np.random.default_rng([seed, number, len(loss_type)])
        samples = drawn(rng, peers.ours[0], peers.ours[1], temperature)
        assign_advantages(samples, config)
        trainer._metrics["train"].clear()
        theirs = trainer._compute_loss(trainer.model, as_trl(samples))
        theirs.backward()
        objective = PolicyObjective(config, pad_id=60, share_prompts=number > 0)
        batch = objective.collate(samples)
        assert (len(batch.input_ids) == 1) == (number > 0)
        made = objective.loss(peers.ours[0].train(), batch)
        made.loss.backward()
        assert math.isclose(made.loss.item(), theirs.item(), rel_tol=2e-5, abs_tol=1e-6)
        told = {name: values[0] for name, values in trainer._metrics["train"].items()}
        assert math.isclose(float(made.metrics["entropy"]), told["entropy"], rel_tol=1e-5)
        clipped = float(made.metrics["clipped"])
        assert 0.05 < clipped < 0.95 and math.isclose(clipped, told["clip_ratio/region_mean"], rel_tol=1e-5)
        if config.kl_coefficient:
            assert math.isclose(float(made.metrics["kl"]), told["kl"], rel_tol=1e-4)
        peers.same_gradients()


@pytest.mark.parametrize("temperature", [1.0, COLD])
def test_one_update_a_rollout_needs_no_old_log_probabilities(trainers: Trainers, seed: int, temperature: float) -> None:
    peers, trainer = trainers.get("GRPO", temperature)
    rollout = RolloutConfig(group_size=GROUP, max_tokens=MOST_TOKENS, temperature=temperature)
    config = GRPOConfig(rollout=rollout, kl_coefficient=0.1)
    trainer.loss_type, trainer.beta, trainer.epsilon_low, trainer.epsilon_high = "grpo", 0.1, 0.2, 0.2
    trainer._entropy_bonus_enabled = False
    samples = drawn(np.random.default_rng([seed, 7]), peers.ours[0], peers.ours[1], temperature)
    assign_advantages(samples, config)
    theirs = trainer._compute_loss(trainer.model.train(), as_trl(samples) | {"old_per_token_logps": None})
    theirs.backward()
    objective = PolicyObjective(config, pad_id=60)
    made = objective.loss(peers.ours[0].train(), objective.collate(samples))
    made.loss.backward()
    assert math.isclose(made.loss.item(), theirs.item(), rel_tol=2e-5, abs_tol=1e-6)
    assert made.metrics["clipped"] == 0
    peers.same_gradients()


@pytest.mark.parametrize("temperature", [1.0, COLD])
@pytest.mark.parametrize("beta", [0.0, 0.2])
def test_rloos_loss_and_gradients_are_trls(trainers: Trainers, seed: int, temperature: float, beta: float) -> None:
    peers, trainer = trainers.get("RLOO", temperature)
    for number in range(3):
        rng = np.random.default_rng([seed, number, 11])
        clip = float(rng.choice([0.1, 0.2, 0.5]))
        config = RLOOConfig(rollout=several(temperature), clip=clip, kl_coefficient=beta)
        trainer.epsilon_low = trainer.epsilon_high = clip
        samples = drawn(rng, peers.ours[0], peers.ours[1], temperature)
        for sample in samples:
            sample.learned = True
            if rng.random() < 0.5:  # a whole sequence's ratio is soon outside of any clip: some are near 1
                with torch.no_grad():
                    now = plain_logprobs(peers.ours[0], sample, temperature)[0].numpy()
                sample.logprobs = (now + rng.uniform(-0.02, 0.02, len(now))).astype(np.float32)
        assign_advantages(samples, config)
        trainer._metrics["train"].clear()
        theirs = trainer._compute_loss(trainer.model.train(), as_trl(samples))
        theirs.backward()
        objective = PolicyObjective(config, pad_id=60, share_prompts=number > 0)
        batch = objective.collate(samples)
        assert (len(batch.input_ids) == 1) == (number > 0)
        made = objective.loss(peers.ours[0].train(), batch)
        made.loss.backward()
        # A ratio of a whole sequence is many times 1: the terms of the sum are larger than the sum.
        assert math.isclose(made.loss.item(), theirs.item(), rel_tol=5e-5, abs_tol=3e-5)
        told = trainer._metrics["train"]["entropy"][0]
        assert math.isclose(float(made.metrics["entropy"]), told, rel_tol=1e-5)
        peers.same_gradients()


def scored(trainer: Any, samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The advantages that trl's own step of generation and scoring comes to, where these samples are what was generated and earned."""
    prompts = [s.input_ids[: s.prompt_tokens].tolist() for s in samples]
    completions = [s.input_ids[s.prompt_tokens :].tolist() for s in samples]
    texts = ["w1"] * len(samples)
    rloo = (prompts, completions, texts)
    grpo = (prompts, completions, None, texts, None, {}, None, None)
    monkeypatch.setattr(trainer, "_generate", lambda asked: rloo if "RLOO" in type(trainer).__name__ else grpo)
    rewards = torch.tensor([[s.reward] for s in samples], dtype=torch.float64)
    monkeypatch.setattr(trainer, "_calculate_rewards", lambda *a, **k: rewards)
    trainer.model.train()
    found: Tensor = trainer._generate_and_score_completions([{"prompt": "w1"} for _ in samples])["advantages"]
    return found


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_grpos_advantages_are_trls(trainers: Trainers, seed: int, scale: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    peers, trainer = trainers.get("GRPO", 1.0)
    trainer.beta, trainer.scale_rewards = 0.0, scale
    for number in range(5):
        samples = drawn(np.random.default_rng([seed, number, 3]), peers.ours[0], peers.ours[1], 1.0)
        if number == 0:  # a group without a difference
            for sample in samples[:GROUP]:
                sample.reward = 1.0
        assign_advantages(samples, GRPOConfig(rollout=several(), scale=scale))
        ours = np.array([s.advantages[0] for s in samples])
        np.testing.assert_allclose(ours, scored(trainer, samples, monkeypatch).numpy(), rtol=1e-5, atol=1e-6)
        # And as written in the paper.
        rewards = np.array([s.reward for s in samples]).reshape(GROUPS, GROUP)
        wanted = rewards - rewards.mean(1, keepdims=True)
        spread = {"group": rewards.std(1, ddof=1, keepdims=True), "batch": rewards.std(ddof=1), "none": 1 - 1e-4}[scale]
        np.testing.assert_allclose(ours, (wanted / (spread + 1e-4)).reshape(-1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, COLD])
@pytest.mark.parametrize("beta", [0.0, 0.2])
def test_rloos_advantages_are_trls(
    trainers: Trainers, seed: int, temperature: float, beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, trainer = trainers.get("RLOO", temperature)
    trainer.beta = beta
    for number in range(3):
        samples = drawn(np.random.default_rng([seed, number, 5]), peers.ours[0], peers.ours[1], temperature)
        for sample in samples:  # trl takes the policy's as they are now
            with torch.no_grad():
                sample.logprobs = plain_logprobs(peers.ours[0], sample, temperature)[0].numpy()
        assign_advantages(samples, RLOOConfig(rollout=several(temperature), kl_coefficient=beta))
        ours = np.array([s.advantages[0] for s in samples])
        np.testing.assert_allclose(ours, scored(trainer, samples, monkeypatch).numpy(), rtol=1e-4, atol=2e-5)


def test_the_divergence_estimator_is_k3_and_without_bias(seed: int) -> None:
    """Its expectation under the policy is the divergence itself, and it is never negative."""
    torch.manual_seed(seed)
    policy, reference = torch.log_softmax(torch.randn(2, 9, 40, dtype=torch.float64), dim=-1)
    each = divergence(policy, reference)
    assert each.min() >= 0
    exact = torch.nn.functional.kl_div(reference, policy, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close((policy.exp() * each).sum(-1), exact, rtol=1e-9, atol=1e-12)
    gradient = torch.autograd.functional.jacobian(lambda x: divergence(x, reference), policy).sum((2, 3))
    torch.testing.assert_close(gradient, 1 - torch.exp(reference - policy))


# ------------------------------------------------------------------------------- PPO, against the paper, in float64


def advantages_by_sum(rewards: np.ndarray, values: np.ndarray, discount: float, gae_lambda: float) -> np.ndarray:
    """Equation 16 of Schulman et al. 2016 as the sum that it is."""
    ahead = np.append(values[1:], 0.0)
    surprise = rewards + discount * ahead - values
    m = len(rewards)
    return np.array([sum((discount * gae_lambda) ** (u - t) * surprise[u] for u in range(t, m)) for t in range(m)])


@pytest.mark.row("10.3")
@pytest.mark.parametrize("number", range(4))
def test_ppo_is_the_papers_formulas(seed: int, number: int) -> None:
    rng, temperature = np.random.default_rng([seed, number, 17]), (1.0, 0.8)[number % 2]
    config = PPOConfig(
        rollout=several(temperature), discount=0.97, gae_lambda=0.9, clip=float(rng.choice([0.1, 0.3])),
        value_clip=float(rng.choice([0.0, 0.15])), value_coefficient=0.7, kl_coefficient=0.2,
        entropy_coefficient=0.03, whiten=bool(number < 2),
    )  # fmt: skip
    policy, reference, body = (
        tiny_decoder(seed=seed % 1000 + i, vocab_size=VOCAB, context=CONTEXT).double() for i in range(3)
    )
    critic = with_head(body, "token", ("value",), seed=seed % 1000).double()
    with torch.no_grad():
        critic.score.weight.normal_(0.0, 0.3)
    samples = drawn(rng, policy, reference, temperature)
    for sample in samples:
        ids = torch.from_numpy(sample.input_ids)[None, :-1]
        with torch.no_grad():
            now = critic(ids)[0, sample.prompt_tokens - 1 :, 0].numpy()
        sample.values = (now + 0.2 * rng.standard_normal(len(now))).astype(np.float32)
    assign_advantages(samples, config)

    advantages, returns = [], []
    for sample in samples:
        rewards = -config.kl_coefficient * (sample.logprobs.astype(np.float64) - sample.reference)  # type: ignore[operator]
        rewards[-1] += sample.reward
        assert sample.values is not None
        advantages.append(advantages_by_sum(rewards, sample.values.astype(np.float64), 0.97, 0.9))
        returns.append(advantages[-1] + sample.values)
    if config.whiten:
        together = np.concatenate([a for a, s in zip(advantages, samples) if s.learned])
        advantages = [(a - together.mean()) / together.std() for a in advantages]
    for sample, advantage, back in zip(samples, advantages, returns):
        np.testing.assert_allclose(sample.advantages, advantage, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(sample.returns, back, rtol=1e-5, atol=1e-6)  # type: ignore[arg-type]

    losses, values, entropies, cut = [], [], [], []
    for sample in (s for s in samples if s.learned):
        new, entropy = plain_logprobs(policy, sample, temperature)
        ratio = torch.exp(new - torch.from_numpy(sample.logprobs))
        value = critic(torch.from_numpy(sample.input_ids)[None, :-1])[0, sample.prompt_tokens - 1 :, 0]
        for t in range(sample.completion_tokens):
            a, r = float(sample.advantages[t]), ratio[t]
            bounded = min(max(r.item(), 1 - config.clip), 1 + config.clip)
            outside = (a > 0 and r > 1 + config.clip) or (a < 0 and r < 1 - config.clip)
            losses.append(-r.new_tensor(bounded * a) if outside else -r * a)
            cut.append(outside)
            old, back = float(sample.values[t]), float(sample.returns[t])  # type: ignore[index]
            free = (value[t] - back) ** 2
            if config.value_clip:
                near = (old + torch.clamp(value[t] - old, -config.value_clip, config.value_clip) - back) ** 2
                free = near if near > free else free
            values.append(0.5 * free)
        entropies.append(entropy)
    whole = torch.stack(losses).mean() + 0.7 * torch.stack(values).mean() - 0.03 * torch.cat(entropies).mean()
    model = ActorCritic(policy, critic)
    wanted = torch.autograd.grad(whole, list(model.parameters()))
    objective = PolicyObjective(config, pad_id=60)
    batch = objective.collate(samples)
    assert batch.weight == len(losses)
    made = objective.loss(model, batch)
    assert math.isclose(made.loss.item(), whole.item(), rel_tol=1e-6)
    assert math.isclose(float(made.metrics["clipped"]), np.mean(cut), rel_tol=1e-6) and any(cut)
    for got, want in zip(torch.autograd.grad(made.loss, list(model.parameters())), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-7)

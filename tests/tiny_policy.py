"""A tiny policy that learns to write the letter it was asked for: reinforcement learning within seconds, with the real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from groundup.core.tracking import JsonlTracker
from groundup.core.types import Completion, TaskExample, Verdict
from groundup.engine.config import EngineConfig
from groundup.engine.engine import Engine
from groundup.models.decoder import Decoder
from groundup.objectives.policy import ActorCritic, PolicyConfig, PolicyObjective, PPOConfig
from groundup.train.checkpoint import Checkpoints
from groundup.train.loop import Loop, LoopConfig
from groundup.train.optim import build_optimizer
from groundup.train.optim.build import AdamWConfig
from groundup.train.rewards import RewardConfig, ShapedReward
from groundup.train.rollout import RolloutSource
from groundup.train.schedule import ScheduleConfig, build_schedule
from groundup.train.settings import Settings
from tiny_engine import EOS, ByteTokenizer, tiny_decoder


class WriteTheLetter:
    """Asked "a", an answer earns the share of its bytes that are a."""

    def examples(self) -> list[TaskExample]:
        return [self.example(i) for i in range(8)]

    def example(self, index: int) -> TaskExample:
        letter = "abcd"[index % 4]
        return TaskExample(id=str(index), prompt=letter * (2 + index % 3), answer=letter)

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        wanted = ord(str(example.answer))
        ids = completion.token_ids
        return Verdict(score=sum(i == wanted for i in ids) / max(1, len(ids)), details={"format": 1.0})


def tiny_critic(seed: int) -> Any:
    from groundup.models.heads import with_head

    return with_head(tiny_decoder(seed=seed, std=0.1), "token", ("value",), seed=seed)


def policy_loop(
    directory: Path,
    config: PolicyConfig,
    *,
    num_steps: int,
    batch_size: int = 16,
    learning_rate: float = 0.01,
    **over: Any,
) -> Loop:
    """The one loop over samples of a tiny decoder. The source is `loop.source`; close it when done."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    directory.mkdir(parents=True, exist_ok=True)
    policy: Decoder = tiny_decoder(std=0.1, sliding_window=over.pop("sliding_window", None))
    tracker = JsonlTracker(directory, stage="train")
    critic = tiny_critic(1) if isinstance(config, PPOConfig) else None
    model = policy if critic is None else ActorCritic(policy, critic)
    reference = tiny_decoder(std=0.1).requires_grad_(False) if config.kl_coefficient else None
    objective = PolicyObjective(config, share_prompts=True)
    source = RolloutSource(
        open_engine=lambda: Engine(
            policy,
            ByteTokenizer(),
            eos_ids=(EOS,),
            config=EngineConfig(inline=True, compile="never", max_batch_size=16),
        ),
        problems=WriteTheLetter(),
        held_out=WriteTheLetter(),
        reward=ShapedReward(RewardConfig()),
        objective=objective,
        policy=policy,
        seed=5,
        tracker=tracker,
        reference=reference,
        critic=critic,
        held_out_problems=8,
    )
    loop = LoopConfig(
        num_steps=num_steps, batch_size=batch_size, micro_batch_size=over.pop("micro_batch_size", batch_size),
        log_every_steps=1, checkpoint_every_steps=over.pop("checkpoint_every_steps", 3), **over,
    )  # fmt: skip
    return Loop(
        model,
        objective,
        source,
        build_optimizer(AdamWConfig(lr=learning_rate, weight_decay=0.0), model),
        build_schedule(ScheduleConfig(warmup_fraction=0.0)),
        loop,
        Settings(),
        Checkpoints(directory / "checkpoints", tracker),
    )

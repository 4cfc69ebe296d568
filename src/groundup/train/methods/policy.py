"""Learn from rewards: the model answers problems, the task judges, the policy objective moves the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core.artifact import read_seal
from ...core.errors import ConfigError, DataError
from ...core.recipe import open_rewarder
from ...models.decoder import Decoder
from ...models.directory import load_model
from ...objectives.policy import ActorCritic, PolicyObjective, PPOConfig, can_share_prompts
from ..rewards import build_reward
from ..rollout import RolloutSource, check_same_model
from ..settings import Settings
from ..training import Start, Training


def open(start: Start) -> Training:
    from ...tasks.curriculum import Curriculum
    from ...tasks.stored import open_problems

    config: Any = start.stage.objective
    context, stage = start.context, start.stage
    kind = read_seal(start.data).kind
    if kind != "problems":
        raise DataError(f"{start.data} is a {kind!r} artifact; a policy objective reads 'problems'",
                        hint="make one with a stage of type: problems")  # fmt: skip
    problems: Any = open_problems(start.data, "train", trusted_parts=start.trusted_parts)
    curriculum = config.rollout.curriculum
    if curriculum is not None:
        problems = Curriculum(problems, curriculum)
    objective = CheckedPolicyObjective(config, share_prompts=can_share_prompts(start.model))
    rewarder = _rewarder(start)
    critic = _critic(start) if isinstance(config, PPOConfig) else None
    model: nn.Module = start.model if critic is None else ActorCritic(start.model, critic)
    source = RolloutSource(
        open_engine=lambda: context.open_model(
            start.model,
            tokenizer=start.tokenizer,
            chat_template=start.chat_template,
            like=start.directory,
            inline=True,
            compile="never",
            max_batch_size=min(stage.batch_size * config.rollout.minibatches, _MOST_ROWS),
            max_context_tokens=start.context_tokens,
        ),
        problems=problems,
        held_out=open_problems(start.data, "validation", trusted_parts=start.trusted_parts),
        reward=build_reward(stage.reward),
        objective=objective,
        policy=start.model,
        seed=context.seed,
        tracker=context.tracker,
        reference=_reference(start) if config.kl_coefficient else None,
        critic=critic,
        rewarder=rewarder,
        batch_rows=start.batch_rows,
        held_out_problems=stage.evaluation_problems,
    )

    def evaluate(model: nn.Module, settings: Settings) -> Mapping[str, float]:
        return source.evaluate()

    def save(directory: Path) -> None:
        start.save(start.model, directory, template=start.chat_template)

    return Training(
        model=model,
        objective=objective,
        source=source,
        evaluate=evaluate,
        save=save,
        num_examples=max(1, sum(1 for _ in problems.examples())) * config.rollout.group_size,
        example_name="samples",
        context_tokens=start.context_tokens,
        template=start.chat_template,
        close=source.close,
    )


_MOST_ROWS = 128
"""Sequences that the engine decodes at once; more wait their turn."""


class CheckedPolicyObjective(PolicyObjective):
    """The objective, with a look at whether engine and trainer agree: a run whose samples come from another model than the one
    that learns would go wrong in silence.
    """

    def loss(self, model: Any, batch: Any) -> Any:
        output = super().loss(model, batch)
        gap = output.metrics.get("engine_gap")
        if gap is not None and self.on_policy:
            check_same_model(float(gap))
        return output


def _reference(start: Start) -> Any:
    """The frozen model that the policy is held near to."""
    name = start.stage.reference
    if name is None and start.stage.adapter is not None:
        return lambda ids: _without_adapter(start.model, ids)
    directory = start.directory if name is None else start.context.inputs[name]
    model = load_model(directory, trusted_parts=start.trusted_parts, dtype=torch.float32)
    model.prepare_positions(start.context_tokens)
    return model.requires_grad_(False)


def _without_adapter(model: Decoder, ids: torch.Tensor) -> Any:
    from ...adapt import select

    with select(model, None):
        return model(ids)


def _critic(start: Start) -> nn.Module:
    """A network that says how much reward is still to come: the reward model's body where there is one, else the policy's."""
    from ...models.heads import load_headed, with_head

    name = start.stage.reward_model
    if name is None:
        body: Decoder = load_model(start.directory, trusted_parts=start.trusted_parts)
    else:
        body = load_headed(start.context.inputs[name], trusted_parts=start.trusted_parts).decoder
    body.prepare_positions(start.context_tokens)
    return with_head(body, "token", ("value",), seed=start.context.seed).train()


def _rewarder(start: Start) -> Any:
    """The reward model's scores and their weight; None where it earns nothing."""
    name, weight = start.stage.reward_model, getattr(start.stage.reward, "reward_model", 0.0)
    path = f"{start.context.name}.reward_model"
    if weight and name is None:
        raise ConfigError("a weight for the reward model, but no reward model",
                          path=path, hint="name the stage that trained it")  # fmt: skip
    if name is not None and not weight and not isinstance(start.stage.objective, PPOConfig):
        raise ConfigError(f"{name!r} is named, but its scores weigh nothing", path=path,
                          hint=f"set {start.context.name}.reward.reward_model to its weight")  # fmt: skip
    # PPO's critic begins as the reward model even where its scores weigh nothing, so it is opened either way.
    rewarder = None if name is None else open_rewarder(start.context, name)
    return None if rewarder is None or not weight else (rewarder.scores, weight)

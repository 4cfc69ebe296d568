"""Policy gradients on small control problems, through the one loop: REINFORCE, actor-critic, PPO (stage `control`).

The same surrogate, advantages and value loss as for language (groundup.objectives.policy), where an example is one step of an
episode and a policy a network of two layers. Episodes are always played from their start, so a rollout is a function of (seed,
rollout, weights) and a killed run goes on bit for bit.

Letters: B steps, O observed numbers, A actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..core.artifact import write_json
from ..core.config import Use, load_user_part
from ..core.errors import ConfigError
from ..core.recipe import StageContext
from ..nn.protocols import Batch, LossOutput
from ..objectives.policy import ActorCritic, clipped_surrogate, generalised_advantages, value_loss
from .checkpoint import Checkpoints
from .environments import BanditConfig, Environment, EnvironmentNode
from .loop import Loop, LoopConfig
from .optim.build import AdamWConfig, build_optimizer
from .schedule import ScheduleConfig, build_schedule
from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class ControlStage:
    environment: EnvironmentNode = BanditConfig()
    method: Literal["reinforce", "actor_critic", "ppo"] = "ppo"
    """reinforce: returns to go, less their mean. actor_critic: advantages from a critic, one update. ppo: the same, clipped,
    several updates."""
    episodes: int = 32
    """Played at once, for each rollout."""
    num_rollouts: int = 60
    hidden_size: int = 64
    discount: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    epochs: int = 4
    """Passes over a rollout (ppo)."""
    minibatches: int = 4
    value_coefficient: float = 0.5
    entropy_coefficient: float = 0.01
    lr: float = 0.003
    type: Literal["control"] = "control"
    kind = "control"

    def __post_init__(self) -> None:
        for name in ("episodes", "num_rollouts", "hidden_size", "epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return ""

    @property
    def updates(self) -> int:
        return self.epochs * self.minibatches if self.method == "ppo" else 1

    def run(self, context: StageContext) -> Mapping[str, Any]:
        from safetensors.torch import save_file

        loop = control_loop(self, context.scratch / "checkpoints", context.seed, context.tracker, context.progress)
        result = loop.run()
        source = loop.source
        assert isinstance(source, EpisodeSource)
        save_file(
            {n: p.detach().clone() for n, p in loop.model.named_parameters()}, context.directory / "model.safetensors"
        )
        returns = source.history
        write_json(context.directory / "returns.json", returns)
        return {
            "steps": result.step,
            "episode_return": source.evaluate(copies=100),
            "first_returns": round(float(np.mean(returns[:3])), 3),
            "last_returns": round(float(np.mean(returns[-3:])), 3),
            "environment_steps": source.played,
        }


def control_loop(stage: ControlStage, checkpoints: Any, seed: int, tracker: Any, progress: Any = None) -> Loop:
    environment: Environment = (
        load_user_part(stage.environment)(**stage.environment.args)
        if isinstance(stage.environment, Use)
        else stage.environment
    )
    torch.manual_seed(seed)
    model = ActorCritic(
        _network(environment.observation_size, stage.hidden_size, environment.num_actions),
        _network(environment.observation_size, stage.hidden_size, 1),
    )
    return Loop(
        model,
        ControlObjective(stage),
        EpisodeSource(environment, model, stage, seed),
        build_optimizer(AdamWConfig(lr=stage.lr, weight_decay=0.0), model),
        build_schedule(ScheduleConfig(warmup_fraction=0.0)),
        LoopConfig(num_steps=stage.num_rollouts * stage.updates, batch_size=1, micro_batch_size=1 << 30,
                   max_grad_norm=0.5, log_every_steps=stage.updates),
        Settings(),
        Checkpoints(checkpoints, tracker),
        progress=progress,
    )  # fmt: skip


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    made = nn.Sequential(
        nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
    )
    with torch.no_grad():
        made[-1].weight.mul_(0.01)  # type: ignore[operator]  # begin undecided (Andrychowicz et al. 2021, section 3.2)
    return made


@dataclass(slots=True)
class Steps:
    """Steps of episodes: the example that the loop hands on."""

    observations: np.ndarray
    """[B, O]"""
    actions: np.ndarray
    logprobs: np.ndarray
    values: np.ndarray
    advantages: np.ndarray
    returns: np.ndarray

    def chosen(self, at: np.ndarray) -> Steps:
        return Steps(*(getattr(self, name)[at] for name in self.__slots__))


class EpisodeSource:
    """groundup.nn.protocols.ExampleSource: one `Steps` for every update."""

    def __init__(self, environment: Environment, model: ActorCritic, stage: ControlStage, seed: int) -> None:
        self.environment, self.model, self.stage, self.seed = environment, model, stage, seed
        self._rollout = -1
        self._steps: Steps | None = None
        self.history: list[float] = []
        """Mean return of every rollout's episodes."""
        self.played = 0

    def take(self, step: int, count: int) -> Sequence[Steps]:
        rollout, slot = divmod(step, self.stage.updates)
        if rollout != self._rollout:
            self._steps = self._play(rollout)
            self._rollout = rollout
        assert self._steps is not None
        if self.stage.method != "ppo":
            return [self._steps]
        epoch, batch = divmod(slot, self.stage.minibatches)
        order = np.random.default_rng([self.seed, rollout, epoch]).permutation(len(self._steps.actions))
        return [self._steps.chosen(np.array_split(order, self.stage.minibatches)[batch])]

    def _play(self, rollout: int) -> Steps:
        rng = np.random.default_rng([self.seed, rollout])
        stage = self.stage
        observed, actions, logprobs, values, rewards, alive, last = self._episodes(rng, stage.episodes)
        advantages, returns = np.zeros_like(rewards), np.zeros_like(rewards)
        for i in range(stage.episodes):
            n = int(alive[:, i].sum())
            if stage.method == "reinforce":
                zero = np.zeros(n)
                _, returns[:n, i] = generalised_advantages(
                    rewards[:n, i], zero, discount=stage.discount, gae_lambda=1.0
                )
                advantages[:n, i] = returns[:n, i]
            else:
                advantages[:n, i], returns[:n, i] = generalised_advantages(
                    rewards[:n, i],
                    values[:n, i],
                    discount=stage.discount,
                    gae_lambda=stage.gae_lambda,
                    last_value=last[i],
                )
        kept = alive.astype(bool)
        chosen = advantages[kept]
        chosen = (chosen - chosen.mean()) / (chosen.std() + 1e-8)
        self.history.append(float((rewards * alive).sum(0).mean()))
        self.played += int(alive.sum())
        float32 = np.float32
        return Steps(
            observed[kept].astype(float32), actions[kept], logprobs[kept].astype(float32), values[kept].astype(float32),
            chosen.astype(float32), returns[kept].astype(float32),
        )  # fmt: skip

    def _episodes(self, rng: np.random.Generator, copies: int, *, greedy: bool = False) -> tuple[np.ndarray, ...]:
        """Everything [steps, copies]; `alive` is 1 for steps that were played, `last` [copies] the value after a cut-off."""
        environment = self.environment
        state = environment.reset(rng, copies)
        going = np.ones(copies, bool)
        rows: list[tuple[np.ndarray, ...]] = []
        with torch.no_grad():
            for _ in range(environment.max_steps):
                seen = environment.observe(state)
                logits = self.model.policy(torch.from_numpy(seen)).double().log_softmax(-1).numpy()
                values = self.model.critic(torch.from_numpy(seen)).squeeze(-1).double().numpy()
                draws = rng.random((copies, 1))
                chosen = logits.argmax(1) if greedy else (np.exp(logits).cumsum(1) < draws).sum(1)
                actions = chosen.clip(0, environment.num_actions - 1)
                state, rewards, ended = environment.step(state, actions, rng)
                picked = np.take_along_axis(logits, actions[:, None], 1)[:, 0]
                rows.append((seen, actions, picked, values, np.where(going, rewards, 0.0), going.astype(np.float64)))
                going = going & ~ended
                if not going.any():
                    break
            after = self.model.critic(torch.from_numpy(environment.observe(state))).squeeze(-1).double().numpy()
        stacked = [np.stack(column) for column in zip(*rows)]
        return (*stacked, np.where(going, after, 0.0))

    def evaluate(self, copies: int) -> float:
        """Mean return of greedy episodes."""
        *_, rewards, _, _ = self._episodes(np.random.default_rng([self.seed, 1 << 40]), copies, greedy=True)
        return round(float(rewards.sum(0).mean()), 4)

    def figures(self) -> Mapping[str, float]:
        return {"episode_return": self.history[-1]} if self.history else {}

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"rollout": self._rollout, "history": self.history, "played": self.played}
        if self.stage.updates > 1 and self._steps is not None:
            state["episode_steps"] = {name: getattr(self._steps, name).tolist() for name in Steps.__slots__}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._rollout, self.history, self.played = state["rollout"], list(state["history"]), state["played"]
        stored = state.get("episode_steps")
        if stored is None:
            self._rollout = -1
            return
        kinds = {"actions": np.int64}
        self._steps = Steps(**{n: np.array(v, kinds.get(n, np.float32)) for n, v in stored.items()})


class ControlObjective:
    """groundup.nn.protocols.Objective over Steps."""

    def __init__(self, stage: ControlStage) -> None:
        self.stage = stage

    def collate(self, examples: Sequence[Steps]) -> Batch:
        (steps,) = examples
        tensors = {name: torch.from_numpy(getattr(steps, name)) for name in Steps.__slots__ if name != "actions"}
        actions = torch.from_numpy(steps.actions)
        return Batch(actions[:, None], actions[:, None], extras=tensors, count=len(actions))

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Metrics: policy_loss, value_loss, entropy, clipped."""
        stage, extras = self.stage, batch.extras
        logits = model.policy(extras["observations"]).log_softmax(-1)
        logprobs: Tensor = logits.gather(1, batch.targets).squeeze(1)
        old = extras["logprobs"] if stage.method == "ppo" else logprobs.detach()
        each = clipped_surrogate(logprobs, old, extras["advantages"], low=stage.clip, high=stage.clip)
        entropy = -(logits.exp() * logits).sum(-1).mean()
        loss = each.loss.mean() - stage.entropy_coefficient * entropy
        metrics: dict[str, float | Tensor] = {
            "policy_loss": each.loss.mean().detach(),
            "entropy": entropy.detach(),
            "clipped": each.clipped.mean(),
        }
        if stage.method != "reinforce":
            values = model.critic(extras["observations"]).squeeze(-1)
            error = value_loss(values, extras["values"], extras["returns"], 0.0).mean()
            loss = loss + stage.value_coefficient * error
            metrics["value_loss"] = error.detach()
        return LossOutput(loss, metrics)

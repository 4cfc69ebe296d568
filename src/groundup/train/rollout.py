"""Samples made by the model that is being trained: the example source of policy objectives.

At every rollout the engine, which holds the very weights that the optimizer changes, answers fresh problems; the task judges, the
reward shapes, the reference model and the critic are asked where the method needs them, and advantages are filled in.

Everything is a function of (seed, rollout, weights), so that a resumed run makes the same samples; where a rollout is learned
from more than once it is part of the checkpoint. Left out: rollouts made while the model trains (asynchronous), environments with
several turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from ..core.errors import ConfigError, TrainingError
from ..core.protocols import Task, Tracker
from ..core.types import Completion, Request, SamplingParams, TaskExample
from ..nn.protocols import IGNORE
from ..objectives.policy import PolicyObjective, PPOConfig, RLOOConfig, Sample, assign_advantages
from ..objectives.token_logprobs import token_logprobs
from ..tasks.curriculum import Curriculum
from .rewards import Reward, rewards_of

_SHOWN_EVERY = 10
"""Rollouts between two whose first group is written to events.log."""
_GAP_LIMIT = 0.5
"""Mean difference (nats a token) between the engine's log-probabilities and the trainer's at which a run is stopped: they no
longer are the same model. Float32 differs by 1e-6, bfloat16 by about 1e-2."""
_CHECKED = 8
"""Samples of a rollout whose log-probabilities are asked for a second time."""

Rewarder = Callable[[Sequence[Sequence[Mapping[str, Any]]]], Sequence[float]]
"""Conversations to scores: a reward model."""


class Problems(Task, Protocol):
    """A task with a problem for every number."""

    def example(self, index: int) -> TaskExample: ...


class RolloutEngine(Protocol):
    """What is asked of the engine: groundup.engine.Engine over the live model."""

    def complete(self, requests: Sequence[Request]) -> list[Completion]: ...

    def prompt_ids(self, request: Request) -> list[int]: ...

    def sync_weights(self) -> Any: ...

    def close(self) -> None: ...


class RolloutSource:
    """groundup.nn.protocols.ExampleSource of Samples."""

    def __init__(
        self,
        *,
        open_engine: Callable[[], RolloutEngine],
        problems: Problems,
        held_out: Problems | None,
        reward: Reward,
        objective: PolicyObjective,
        policy: nn.Module,
        seed: int,
        tracker: Tracker,
        reference: Callable[..., Any] | None = None,
        critic: nn.Module | None = None,
        rewarder: tuple[Rewarder, float] | None = None,
        batch_rows: int = 32,
        held_out_problems: int = 64,
    ) -> None:
        """reference: the frozen model, called as the policy is. rewarder: a reward model and its weight. batch_rows: samples
        that the reference and the critic read at once.
        """
        self.open_engine = open_engine
        self._engine: RolloutEngine | None = None
        self.problems, self.held_out, self.reward = problems, held_out, reward
        self.objective, self.config = objective, objective.config
        self.policy, self.reference, self.critic, self.rewarder = policy, reference, critic, rewarder
        self.seed, self.tracker = seed, tracker
        self.batch_rows, self.held_out_problems = batch_rows, held_out_problems
        self._rollout, self._shown = -1, -1
        self._samples: list[Sample] = []
        self._figures: dict[str, float] = {}

    # ExampleSource

    def take(self, step: int, count: int) -> Sequence[Sample]:
        """`count` samples for optimizer step `step`, those of one prompt together."""
        config = self.config.rollout
        rollout, slot = divmod(step, config.updates)
        if rollout != self._rollout or config.updates == 1:
            self._roll(rollout, count * config.minibatches)
        epoch, batch = divmod(slot, config.minibatches)
        taken = self._samples
        if config.minibatches > 1:
            order = np.random.default_rng([self.seed, rollout, epoch]).permutation(len(self._samples))
            taken = [self._samples[i] for i in order[batch * count : (batch + 1) * count]]
        return sorted(taken, key=lambda sample: sample.group)

    def figures(self) -> Mapping[str, float]:
        return self._figures

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        if isinstance(self.problems, Curriculum):
            state["curriculum"] = self.problems.state_dict()
        if self.config.rollout.updates == 1 or self._rollout < 0:
            return state
        return {
            **state,
            "rollout": self._rollout,
            "samples": [_plain(s) for s in self._samples],
            "rollout_figures": dict(self._figures),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if isinstance(self.problems, Curriculum) and "curriculum" in state:
            self.problems.load_state_dict(state["curriculum"])
        self._rollout = state.get("rollout", -1)
        self._samples = [_sample(s) for s in state.get("samples", ())]
        self._figures = dict(state.get("rollout_figures", {}))

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    # A rollout

    def _roll(self, rollout: int, count: int) -> None:
        config = self.config.rollout
        if count % config.group_size:
            raise ConfigError(
                f"{count} samples a rollout are no whole number of groups of {config.group_size}",
                path="batch_size", hint="make batch_size x minibatches a multiple of rollout.group_size",
            )  # fmt: skip
        num_prompts = count // config.group_size
        made: list[Sample] = []
        figures: dict[str, list[float]] = {}
        for attempt in range(config.resample + 1):
            first = (rollout * (config.resample + 1) + attempt) * num_prompts
            examples = [self.problems.example(first + j) for j in range(num_prompts)]
            found = self._answers(rollout, attempt, examples, figures)
            groups = [found[i : i + config.group_size] for i in range(0, len(found), config.group_size)]
            wanted = count // config.group_size - len(made) // config.group_size
            varied = [g for g in groups if len({s.reward for s in g}) > 1]
            plain = [g for g in groups if len({s.reward for s in g}) == 1]
            figures.setdefault("uniform_groups", []).append(len(plain) / len(groups))
            last = attempt == config.resample
            for number, group in enumerate((varied + plain if last else varied)[:wanted], start=len(made)):
                for sample in group:
                    sample.group = number
                made += group
            if len(made) == count:
                break
        self._check_engine(made)
        assign = self._with_models(made)
        assign_advantages(assign, self.config)
        self._rollout, self._samples = rollout, made
        self._figures = {name: float(np.mean(values)) for name, values in figures.items()}
        if isinstance(self.problems, Curriculum):
            self._figures |= self.problems.figures()

    def _answers(
        self, rollout: int, attempt: int, examples: Sequence[TaskExample], figures: dict[str, list[float]]
    ) -> list[Sample]:
        config, engine = self.config.rollout, self.engine
        version = engine.sync_weights()
        requests, asked = [], []
        for j, example in enumerate(examples):
            for k in range(config.group_size):
                params = SamplingParams(
                    max_tokens=config.max_tokens,
                    temperature=config.temperature,
                    top_p=config.top_p,
                    logprobs=0,
                    seed=_seed(self.seed, rollout, attempt, j, k),
                )
                requests.append(Request(prompt=example.prompt, params=params))
                asked.append(example)
        completions = engine.complete(requests)
        verdicts = [self.problems.score(e, c) for e, c in zip(asked, completions, strict=True)]
        rewards = rewards_of(self.reward, asked, completions, verdicts)
        if self.rewarder is not None:
            model, weight = self.rewarder
            scores = model([_conversation(e, c) for e, c in zip(asked, completions, strict=True)])
            rewards = [r + weight * s for r, s in zip(rewards, scores, strict=True)]
            figures.setdefault("reward_model", []).extend(scores)
        samples = []
        prompts: dict[str, list[int]] = {}
        for example, request, completion, reward in zip(asked, requests, completions, rewards, strict=True):
            prompt = prompts.get(example.id)
            if prompt is None:
                prompt = prompts[example.id] = engine.prompt_ids(request)
            cut = completion.finish_reason == "length"
            stale = isinstance(version, int) and completion.weights_version != version
            samples.append(
                Sample(
                    input_ids=np.array([*prompt, *completion.token_ids], np.int64),
                    prompt_tokens=len(prompt),
                    logprobs=np.array([one.logprob for one in completion.logprobs], np.float32),
                    reward=reward,
                    learned=not stale and not (cut and config.overlong == "mask"),
                )
            )
            figures.setdefault("completion_tokens", []).append(len(completion.token_ids))
            figures.setdefault("cut_off", []).append(float(cut))
            figures.setdefault("stale", []).append(float(stale))
        figures.setdefault("reward", []).extend(rewards)
        figures.setdefault("pass_rate", []).extend(v.score for v in verdicts)
        # The first rollout is made twice in a stage: to measure a step, and to learn from.
        if rollout % _SHOWN_EVERY == 0 and attempt == 0 and rollout != self._shown:
            self._shown = rollout
            self._show(rollout, examples[0], completions[: config.group_size], rewards[: config.group_size])
        return samples

    @property
    def engine(self) -> RolloutEngine:
        if self._engine is None:
            self._engine = self.open_engine()
        return self._engine

    def _show(
        self, rollout: int, example: TaskExample, completions: Sequence[Completion], rewards: Sequence[float]
    ) -> None:
        mean = float(np.mean(rewards))
        rows = [
            {"text": c.text, "reward": round(r, 4), "against_group": round(r - mean, 4), "tokens": len(c.token_ids)}
            for c, r in zip(completions, rewards, strict=True)
        ]
        prompt = example.prompt if isinstance(example.prompt, str) else [dict(m) for m in example.prompt]
        self.tracker.event("rollout", f"rollout {rollout}", prompt=prompt, answer=str(example.answer), samples=rows)

    def _check_engine(self, samples: Sequence[Sample]) -> None:
        """A look at a few samples, where the loss itself cannot tell whether engine and trainer agree: it sees log-probabilities of
        another temperature, or of weights that have moved since.
        """
        if self.objective.on_policy and self.config.rollout.temperature == 1.0:
            return
        few = [s for s in samples if s.learned][:_CHECKED]
        found = self._logprobs(self.policy, few, 1.0)
        gaps = [np.abs(theirs - sample.logprobs) for sample, theirs in zip(few, found, strict=True)]
        if gaps:
            check_same_model(float(np.concatenate(gaps).mean()))

    def _with_models(self, samples: list[Sample]) -> list[Sample]:
        """Ask the models that the method needs beside the policy."""
        temperature = self.config.rollout.temperature
        if self.config.kl_coefficient and self.reference is not None:
            for sample, found in zip(samples, self._logprobs(self.reference, samples, temperature), strict=True):
                sample.reference = found
        divergence_is_reward = self.config.kl_coefficient and isinstance(self.config, (RLOOConfig, PPOConfig))
        if temperature != 1.0 and (divergence_is_reward or not self.objective.on_policy):
            # The engine's log-probabilities are those at temperature 1; the ratio, and the divergence from a reference read at
            # this temperature, are of the distribution sampled from.
            for sample, found in zip(samples, self._logprobs(self.policy, samples, temperature), strict=True):
                sample.logprobs = found
        if isinstance(self.config, PPOConfig):
            assert self.critic is not None
            critic = self.critic
            for sample, found in zip(samples, self._read(samples, lambda ids, _: critic(ids).squeeze(-1)), strict=True):
                sample.values = found
        return samples

    def _logprobs(self, model: Callable[..., Any], samples: Sequence[Sample], temperature: float) -> list[np.ndarray]:
        def read(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            output = model(ids)
            return token_logprobs(output.hidden, output.head, targets, temperature=temperature)[0]

        return self._read(samples, read)

    def _read(
        self, samples: Sequence[Sample], ask: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> list[np.ndarray]:
        """A number for each completion token of each sample, [m] float32, from ask(ids [B, T], targets [B, T]) -> [B, T]."""
        order = sorted(range(len(samples)), key=lambda i: len(samples[i].input_ids))
        found: list[np.ndarray] = [np.zeros(0, np.float32)] * len(samples)
        with torch.no_grad():
            for start in range(0, len(order), self.batch_rows):
                chosen = order[start : start + self.batch_rows]
                width = max(len(samples[i].input_ids) for i in chosen) - 1
                ids = torch.full((len(chosen), width), self.objective.pad_id, dtype=torch.long)
                targets = torch.full((len(chosen), width), IGNORE, dtype=torch.long)
                for row, i in enumerate(chosen):
                    whole, first = torch.from_numpy(samples[i].input_ids), samples[i].prompt_tokens
                    ids[row, : len(whole) - 1] = whole[:-1]
                    targets[row, first - 1 : len(whole) - 1] = whole[first:]
                values = ask(ids, targets).float().numpy()
                for row, i in enumerate(chosen):
                    first, last = samples[i].prompt_tokens - 1, len(samples[i].input_ids) - 1
                    found[i] = values[row, first:last].copy()
        return found

    # Held-out problems

    def evaluate(self) -> dict[str, float]:
        """Greedy answers to the first held-out problems: val_exact_match, val_tokens, val_cut_off."""
        if self.held_out is None or not self.held_out_problems:
            return {}
        self.engine.sync_weights()
        examples = [e for e, _ in zip(self.held_out.examples(), range(self.held_out_problems))]
        params = SamplingParams(max_tokens=self.config.rollout.max_tokens, temperature=0.0)
        made = self.engine.complete([Request(prompt=e.prompt, params=params) for e in examples])
        return {
            "val_exact_match": float(np.mean([self.held_out.score(e, c).score for e, c in zip(examples, made)])),
            "val_tokens": float(np.mean([len(c.token_ids) for c in made])),
            "val_cut_off": float(np.mean([c.finish_reason == "length" for c in made])),
        }


def check_same_model(gap: float) -> None:
    """Raise TrainingError where the engine's log-probabilities are not the trainer's (`engine_gap`, nats a token)."""
    if gap > _GAP_LIMIT:
        raise TrainingError(
            f"the engine's log-probabilities differ from the trainer's by {gap:.3f} nats a token; the limit is {_GAP_LIMIT}",
            hint="a part of the model behaves differently with memory than without; check its incremental decoding",
        )


def _conversation(example: TaskExample, completion: Completion) -> list[Mapping[str, Any]]:
    prompt = [{"role": "user", "content": example.prompt}] if isinstance(example.prompt, str) else list(example.prompt)
    return [*prompt, {"role": "assistant", "content": completion.text}]


def _seed(*parts: int) -> int:
    """63 bits: the OpenAI API's seeds are signed."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest()) >> 1


_ARRAYS = ("input_ids", "logprobs", "advantages", "reference", "values", "returns")


def _plain(sample: Sample) -> dict[str, Any]:
    """JSON; float32 survives it exactly."""
    arrays = {n: None if (a := getattr(sample, n)) is None else a.tolist() for n in _ARRAYS}
    others = {n: getattr(sample, n) for n in ("prompt_tokens", "reward", "group", "learned")}
    return {**arrays, **others}


def _sample(plain: Mapping[str, Any]) -> Sample:
    kinds = {n: np.int64 if n == "input_ids" else np.float32 for n in _ARRAYS}
    arrays: dict[str, Any] = {n: None if plain[n] is None else np.array(plain[n], kinds[n]) for n in _ARRAYS}
    return Sample(**arrays, **{n: plain[n] for n in ("prompt_tokens", "reward", "group", "learned")})

"""The `train` stage: a model directory and data in, a trained model directory out, within a budget.

A time budget becomes a number of steps by measuring before the first step; the plan (settings, steps) is written down, so that
a killed run goes on by the same plan.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

from ..adapt.configs import AdapterNode
from ..core.artifact import read_json, write_json
from ..core.errors import ConfigError
from ..core.recipe import StageContext
from ..models.decoder import Decoder
from ..models.network import Network
from ..nn.protocols import Batch
from ..objectives.causal import CausalConfig
from .checkpoint import Checkpoints
from .early_stopping import EarlyStoppingConfig
from .loop import Loop, LoopConfig, Result
from .memory import PeakMemory, estimate
from .methods import ObjectiveNode, open_training
from .optim.build import OptimizerNode, build_optimizer
from .rewards import RewardConfig, RewardNode
from .schedule import ScheduleConfig, ScheduleNode, build_schedule
from .settings import PrecisionConfig, Settings, choose_settings, gemm_peak
from .stability import StabilityConfig
from .training import Start, Training

_RESERVE = 0.06
"""Share of a time budget kept for evaluations, samples and checkpoints."""


@dataclass(frozen=True, kw_only=True)
class TrainStage:
    type: Literal["train"] = "train"
    model: str = "model"
    """The stage whose model is trained."""
    data: str = "tokens"
    """The stage with token shards (causal) or instruction examples (sft)."""
    objective: ObjectiveNode = CausalConfig()  # type: ignore[valid-type]
    reference: str | None = None
    """Stage of the frozen model that preference and policy objectives compare with; null: the model that training starts from."""
    reward: RewardNode = RewardConfig()
    """What a policy's samples earn."""
    reward_model: str | None = None
    """Stage of a reward model: scores a policy's samples, and is where PPO's critic begins."""
    adapter: AdapterNode | None = None
    """Train this beside the frozen model: lora, ia3, bottleneck, prefix, prompt."""
    save: Literal["merged", "adapter"] = "merged"
    """Of an adapter. merged: a whole model with the adapter in its weights (and the adapter's own files under adapter/);
    adapter: its own files only, which name the model they stand on."""
    optimizer: OptimizerNode
    schedule: ScheduleNode = ScheduleConfig()
    precision: PrecisionConfig = PrecisionConfig()
    context_tokens: int = 0
    """0: the model's max_position_embeddings."""
    within_documents: bool = False
    """Keep attention inside each document of a window."""
    batch_size: int
    """Windows (or conversations) a step."""
    micro_batch_size: int = 0
    """How many of them at once; 0: the whole batch."""
    num_steps: int | None = None
    num_tokens: int | None = None
    num_epochs: float | None = None
    """Passes over the training data. Of all limits that are given, the first one reached ends the run."""
    budget_seconds: float | None = None
    """Time for this stage: turned into steps by measuring before the first one."""
    max_grad_norm: float = 1.0
    max_grad_value: float = 0.0
    """Clip each number of the gradient; 0: do not."""
    ema_decay: float = 0.0
    checkpoint_activations: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    stability: StabilityConfig = StabilityConfig()
    early_stopping: EarlyStoppingConfig | None = None
    """End when the evaluations get no better, with the best weights."""
    evaluations: int = 8
    """How many times during the run the validation split is scored."""
    evaluation_tokens: int = 65536
    """How much of it each time."""
    evaluation_problems: int = 64
    """How many held-out problems a policy answers each time."""
    samples: tuple[str, ...] = ()
    """Prompts continued at each evaluation, so that one sees the model learn."""
    sample_tokens: int = 60
    log_every_steps: int = 10
    checkpoint_every_seconds: float = 30.0
    checkpoint_every_steps: int = 0

    @property
    def kind(self) -> str:
        return "adapter" if self.adapter is not None and self.save == "adapter" else "model"

    def inputs(self) -> tuple[str, ...]:
        others = (self.reference, self.reward_model)
        return tuple(dict.fromkeys((self.model, self.data, *(name for name in others if name is not None))))

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        if not any((self.num_steps, self.num_tokens, self.num_epochs, self.budget_seconds)):
            raise ConfigError("nothing says when to stop", path=context.name,
                              hint=f"set {context.name}.num_steps, num_tokens, num_epochs or budget_seconds")  # fmt: skip
        torch.manual_seed(context.seed)
        training = open_training(self._start(context))
        try:
            plan = self._plan(context, training)
            settings = Settings(**plan["settings"])
            sampler = _Sampler(self, context, training.template) if self.samples else None
            try:
                with PeakMemory() as memory:
                    result = self._train(context, training, plan, settings, sampler)
            finally:
                if sampler is not None:
                    sampler.close()
            # Before saving, which may merge an adapter: then nothing could tell what was trained.
            figures = self._figures(result, plan, settings, training)
            figures["memory"] = {"estimated_bytes": plan["memory_bytes"], "measured_bytes": memory.grown_bytes}
            training.save(context.directory)
            return figures
        finally:
            training.close()

    def _start(self, context: StageContext) -> Start:
        from ..models.directory import load_network
        from ..tokenizers import load_tokenizer
        from ..tokenizers.chat_template import load_chat_template

        directory = context.inputs[self.model]
        model: Any = load_network(directory, trusted_parts=tuple(context.swaps.values()))
        model.checkpoint_activations = self.checkpoint_activations
        context_tokens = self.context_tokens or model.config.max_position_embeddings
        model.prepare_positions(context_tokens)
        if self.adapter is not None:
            from ..adapt import apply

            model = apply(self.adapter, model, seed=context.seed)
        return Start(
            stage=self,
            context=context,
            directory=directory,
            data=context.inputs[self.data],
            model=model,
            tokenizer=load_tokenizer(directory),
            template=load_chat_template(directory),
            context_tokens=context_tokens,
        )

    def _train(
        self,
        context: StageContext,
        training: Training,
        plan: Mapping[str, Any],
        settings: Settings,
        sampler: _Sampler | None,
    ) -> Result:
        num_steps = plan["num_steps"]
        every = max(1, math.ceil(num_steps / max(1, self.evaluations)))
        loop = Loop(
            training.model,
            training.objective,
            training.source,
            build_optimizer(self.optimizer, training.model),
            build_schedule(self.schedule),
            LoopConfig(
                num_steps=num_steps,
                batch_size=self.batch_size,
                micro_batch_size=self.micro_batch_size or self.batch_size,
                max_grad_norm=self.max_grad_norm,
                max_grad_value=self.max_grad_value,
                log_every_steps=self.log_every_steps,
                evaluate_every_steps=every if self.evaluations else 0,
                sample_every_steps=every,
                checkpoint_every_seconds=self.checkpoint_every_seconds,
                checkpoint_every_steps=self.checkpoint_every_steps,
                ema_decay=self.ema_decay,
                flops_per_token=_network_of(training.model).flops_per_token(training.context_tokens),
                peak_flops=plan["peak_flops"],
                stability=self.stability,
                early_stopping=self.early_stopping,
            ),
            settings,
            Checkpoints(context.scratch / "checkpoints", context.tracker),
            evaluate=lambda model: training.evaluate(model, settings),
            sample=sampler,
            progress=context.progress,
        )
        return loop.run()

    # ------------------------------------------------------------------------------------------------------ the plan

    def _plan(self, context: StageContext, training: Training) -> dict[str, Any]:
        """Settings and number of steps: measured once, then read from the scratch folder."""
        path = context.scratch / "plan.json"
        if path.is_file():
            plan: dict[str, Any] = read_json(path)
            return plan
        start = time.perf_counter()
        context.progress.say("  measuring dtype, threads and compilation for this model on this machine")
        size = self.micro_batch_size or self.batch_size
        before = training.source.state_dict()
        taken = training.source.take(0, self.batch_size)
        taking = time.perf_counter()
        training.source.take(1, self.batch_size)
        taking = time.perf_counter() - taking
        training.source.load_state_dict(before)  # looking must not change what comes (a curriculum counts verdicts)
        batches = [training.objective.collate(taken[i : i + size]) for i in range(0, len(taken), size)]
        limit = self._step_limit(training)
        settings = choose_settings(
            self.precision, training.model, training.objective, batches,
            num_steps=limit, seconds=self.budget_seconds, tracker=context.tracker,
        )  # fmt: skip
        num_steps = limit
        if self.budget_seconds is not None:
            per_step = taking + settings.step_seconds + self._update_seconds(training.model, settings)
            left = self.budget_seconds * (1 - _RESERVE) - (time.perf_counter() - start)
            affordable = max(1, int(left / per_step))
            num_steps = affordable if limit is None else min(limit, affordable)
        peak = gemm_peak(settings.dtype, settings.threads)
        memory_bytes = self._memory_bytes(training, batches, settings)
        plan = {"settings": asdict(settings), "num_steps": num_steps, "peak_flops": peak,
                "memory_bytes": memory_bytes}  # fmt: skip
        write_json(path, plan)
        context.tracker.event("plan", f"{num_steps} steps", **plan)
        context.progress.say(
            f"  {num_steps:,} steps of {self.batch_size} x {training.example_name}; {settings.dtype}, "
            f"{settings.threads} threads{', compiled' if settings.compile else ''}; "
            f"peak measured {peak / 1e9:,.0f} GFLOP/s"
            f"{f'; about {memory_bytes / 1e6:,.0f} MB beside the weights' if memory_bytes else ''}"
        )
        return plan

    def _memory_bytes(self, training: Training, batches: Sequence[Batch], settings: Settings) -> int:
        """Estimated, beside the weights; 0 for networks that the estimate does not know."""
        if not isinstance(_network_of(training.model), Decoder):
            return 0
        largest = max(batches, key=lambda batch: batch.input_ids.numel())
        rows, positions = largest.input_ids.shape
        if rows == 1:  # samples laid end to end, which attention takes apart again
            rows = self.micro_batch_size or self.batch_size
            positions = math.ceil(positions / rows)
        expected = estimate(
            training.model,
            rows,
            positions,
            optimizer=self.optimizer,
            dtype=settings.dtype,  # type: ignore[arg-type]
            accumulate=len(batches) > 1,
            threads=settings.threads,
        )
        return expected.total - expected.weights

    def _step_limit(self, training: Training) -> int | None:
        limits = []
        if self.num_steps is not None:
            limits.append(self.num_steps)
        if self.num_tokens is not None:
            limits.append(self.num_tokens // (self.batch_size * (training.example_tokens or training.context_tokens)))
        if self.num_epochs is not None:
            limits.append(int(self.num_epochs * training.num_examples / self.batch_size))
        return max(1, min(limits)) if limits else None

    def _update_seconds(self, model: nn.Module, settings: Settings) -> float:
        """What an optimizer step takes, measured on a copy with made-up gradients."""
        import copy

        before = torch.get_num_threads()
        torch.set_num_threads(settings.threads)
        trial = copy.deepcopy(model)
        optimizers = build_optimizer(self.optimizer, trial)
        best = math.inf
        for _ in range(3):
            for parameter in (p for p in trial.parameters() if p.requires_grad):
                parameter.grad = torch.full_like(parameter, 1e-3)
            start = time.perf_counter()
            for optimizer in optimizers:
                optimizer.step()
            best = min(best, time.perf_counter() - start)
        torch.set_num_threads(before)
        return best

    def _figures(
        self, result: Result, plan: Mapping[str, Any], settings: Settings, training: Training
    ) -> dict[str, Any]:
        parameters = list(training.model.parameters())
        figures: dict[str, Any] = {
            "steps": result.step,
            "tokens": result.tokens,
            "epochs": round(result.step * self.batch_size / max(1, training.num_examples), 3),
            "parameters": sum(p.numel() for p in parameters),
            "trained_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "skipped_batches": result.skipped,
            "peak_gflops": plan["peak_flops"] / 1e9,
            "settings": {"dtype": settings.dtype, "threads": settings.threads, "compile": settings.compile},
            "measured_step_seconds": settings.measured,
            "history": result.history,
            **training.figures(),
        }
        left_out = ("lr", "tokens", "grad_norm")
        return figures | {name: value for name, value in result.metrics.items() if name not in left_out}


def _network_of(model: nn.Module) -> Decoder | Network:
    """The decoder itself, or the one inside a model with a head or a critic; else the model, which is a network of another kind."""
    found: Any = next((module for module in model.modules() if isinstance(module, Decoder)), model)
    return found  # type: ignore[no-any-return]


class _Sampler:
    """Continues the recipe's prompts with the model as it is, through the engine, and shows and records them."""

    def __init__(self, stage: TrainStage, context: StageContext, template: Any) -> None:
        from ..tokenizers import load_tokenizer

        self.stage, self.context = stage, context
        self.template = template
        self.tokenizer = load_tokenizer(context.inputs[stage.model])
        self.engine: Any = None

    def __call__(self, model: nn.Module, step: int) -> None:
        from ..core.protocols import complete
        from ..core.types import Request, SamplingParams

        if self.engine is None:
            # One thread: a second team of OpenMP threads beside the loop's own makes every later step wait for wake-ups
            # (measured: steps took twice as long for the rest of the run). Compiling would outlast the samples.
            self.engine = self.context.open_model(
                model,
                tokenizer=self.tokenizer,
                chat_template=self.template,
                like=self.context.inputs[self.stage.model],
                max_batch_size=len(self.stage.samples),
                threads=1,
                compile="never",
            )
        self.engine.sync_weights()
        requests = []
        for prompt in self.stage.samples:
            text: Any = prompt if self.template is None else [{"role": "user", "content": prompt}]
            room = self.engine.capabilities.max_context_tokens - len(self.engine.prompt_ids(Request(prompt=text)))
            params = SamplingParams(
                max_tokens=max(1, min(self.stage.sample_tokens, room)), temperature=0.7, top_p=0.95, seed=step
            )
            requests.append(Request(prompt=text, params=params))
        made = complete(self.engine, requests)
        for prompt, completion in zip(self.stage.samples, made, strict=True):
            one_line = " ⏎ ".join(completion.text.splitlines())
            self.context.progress.say(f"  step {step:,}: {prompt!r} → {one_line[:160]}")
            self.context.tracker.event("sample", completion.text, prompt=prompt, step=step)

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()

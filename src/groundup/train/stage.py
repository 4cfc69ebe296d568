"""The `train` stage: a model directory and data in, a trained model directory out, within a budget.

A time budget becomes a number of steps by measuring before the first step; the plan (settings, steps) is written down, so that
a killed run goes on by the same plan.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from ..core.artifact import read_json, write_json
from ..core.config import Use, load_user_part, node
from ..core.errors import ConfigError
from ..core.recipe import StageContext
from ..models.decoder import Decoder
from ..nn.protocols import Objective
from ..objectives.causal import CausalConfig, CausalLM
from ..objectives.sft import SFT, SFTConfig
from .checkpoint import Checkpoints
from .examples import Examples, open_examples
from .loop import Loop, LoopConfig, Result
from .optim.build import OptimizerNode, build_optimizer
from .schedule import ScheduleConfig, ScheduleNode, build_schedule
from .settings import PrecisionConfig, Settings, choose_settings, gemm_peak
from .stability import StabilityConfig

BITS = math.log(2)
ObjectiveNode = node(CausalConfig, SFTConfig)
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
    ema_decay: float = 0.0
    checkpoint_activations: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    stability: StabilityConfig = StabilityConfig()
    evaluations: int = 8
    """How many times during the run the validation split is scored."""
    evaluation_tokens: int = 65536
    """How much of it each time."""
    samples: tuple[str, ...] = ()
    """Prompts continued at each evaluation, so that one sees the model learn."""
    sample_tokens: int = 60
    log_every_steps: int = 10
    checkpoint_every_seconds: float = 30.0
    checkpoint_every_steps: int = 0

    @property
    def kind(self) -> str:
        return "model"

    def inputs(self) -> tuple[str, ...]:
        return (self.model, self.data)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        from ..models.directory import copy_tokenizer_files, load_model, read_generation_config, save_model
        from ..tokenizers import load_tokenizer
        from ..tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, load_chat_template

        if not any((self.num_steps, self.num_tokens, self.num_epochs, self.budget_seconds)):
            raise ConfigError("nothing says when to stop", path=context.name,
                              hint=f"set {context.name}.num_steps, num_tokens, num_epochs or budget_seconds")  # fmt: skip
        start_directory = context.inputs[self.model]
        torch.manual_seed(context.seed)
        model = load_model(start_directory, trusted_parts=tuple(context.swaps.values()))
        tokenizer = load_tokenizer(start_directory)
        template = load_chat_template(start_directory)
        chat = isinstance(self.objective, SFTConfig)
        context_tokens = self.context_tokens or model.config.max_position_embeddings
        objective = build_objective(self.objective, context_tokens)
        examples = open_examples(
            context.inputs[self.data],
            objective,
            tokenizer=tokenizer,
            template=template,
            context_tokens=context_tokens,
            within_documents=self.within_documents,
            seed=context.seed,
            progress=context.progress,
        )
        model.checkpoint_activations = self.checkpoint_activations
        model.prepare_positions(examples.context_tokens)
        plan = self._plan(context, model, objective, examples)
        settings = Settings(**plan["settings"])
        sampler = _Sampler(self, context, tokenizer, template if chat else None) if self.samples else None
        try:
            result = self._train(context, model, objective, examples, plan, settings, sampler)
        finally:
            if sampler is not None:
                sampler.close()
        template_source = template.source if template is not None else DEFAULT_CHAT_TEMPLATE if chat else None
        copy_tokenizer_files(start_directory, context.directory)
        generation = read_generation_config(start_directory)
        save_model(model, context.directory, chat_template=template_source, generation=generation)
        return self._figures(result, plan, settings, examples, model)

    def _train(
        self,
        context: StageContext,
        model: Decoder,
        objective: Objective,
        examples: Examples,
        plan: Mapping[str, Any],
        settings: Settings,
        sampler: _Sampler | None,
    ) -> Result:
        num_steps = plan["num_steps"]
        every = max(1, math.ceil(num_steps / max(1, self.evaluations)))
        loop = Loop(
            model,
            objective,
            examples.source,
            build_optimizer(self.optimizer, model),
            build_schedule(self.schedule),
            LoopConfig(
                num_steps=num_steps,
                batch_size=self.batch_size,
                micro_batch_size=self.micro_batch_size or self.batch_size,
                max_grad_norm=self.max_grad_norm,
                log_every_steps=self.log_every_steps,
                evaluate_every_steps=every if self.evaluations else 0,
                sample_every_steps=every,
                checkpoint_every_seconds=self.checkpoint_every_seconds,
                checkpoint_every_steps=self.checkpoint_every_steps,
                ema_decay=self.ema_decay,
                flops_per_token=model.flops_per_token(examples.context_tokens),
                peak_flops=plan["peak_flops"],
                stability=self.stability,
            ),
            settings,
            Checkpoints(context.scratch / "checkpoints", context.tracker),
            evaluate=lambda m: self._evaluate(m, objective, examples, settings),
            sample=sampler,
            progress=context.progress,
        )
        return loop.run()

    def _evaluate(
        self, model: nn.Module, objective: Objective, examples: Examples, settings: Settings
    ) -> dict[str, float]:
        """Mean loss on the same validation examples every time; bits per byte where bytes are known."""
        total = weight = 0.0
        for batch in examples.validation(self.evaluation_tokens, self.micro_batch_size or self.batch_size):
            with settings.autocast():
                loss = float(objective.loss(model, batch).loss)
            total, weight = total + loss * batch.weight, weight + batch.weight
        if not weight:
            return {}
        figures = {"val_loss": total / weight}
        if examples.bytes_per_token:
            figures["val_bits_per_byte"] = figures["val_loss"] / BITS / examples.bytes_per_token
        return figures

    # ------------------------------------------------------------------------------------------------------ the plan

    def _plan(self, context: StageContext, model: Decoder, objective: Objective, examples: Examples) -> dict[str, Any]:
        """Settings and number of steps: measured once, then read from the scratch folder."""
        path = context.scratch / "plan.json"
        if path.is_file():
            plan: dict[str, Any] = read_json(path)
            return plan
        start = time.perf_counter()
        context.progress.say("  measuring dtype, threads and compilation for this model on this machine")
        size = self.micro_batch_size or self.batch_size
        taken = examples.source.take(0, self.batch_size)
        batches = [objective.collate(taken[i : i + size]) for i in range(0, len(taken), size)]
        limit = self._step_limit(examples)
        settings = choose_settings(
            self.precision, model, objective, batches,
            num_steps=limit, seconds=self.budget_seconds, tracker=context.tracker,
        )  # fmt: skip
        num_steps = limit
        if self.budget_seconds is not None:
            per_step = settings.step_seconds + self._update_seconds(model, settings)
            left = self.budget_seconds * (1 - _RESERVE) - (time.perf_counter() - start)
            affordable = max(1, int(left / per_step))
            num_steps = affordable if limit is None else min(limit, affordable)
        peak = gemm_peak(settings.dtype, settings.threads)
        plan = {"settings": asdict(settings), "num_steps": num_steps, "peak_flops": peak}
        write_json(path, plan)
        context.tracker.event("plan", f"{num_steps} steps", **plan)
        context.progress.say(
            f"  {num_steps:,} steps of {self.batch_size} x {examples.example_name}; {settings.dtype}, "
            f"{settings.threads} threads{', compiled' if settings.compile else ''}; "
            f"peak measured {peak / 1e9:,.0f} GFLOP/s"
        )
        return plan

    def _step_limit(self, examples: Examples) -> int | None:
        limits = []
        if self.num_steps is not None:
            limits.append(self.num_steps)
        if self.num_tokens is not None:
            limits.append(self.num_tokens // (self.batch_size * examples.context_tokens))
        if self.num_epochs is not None:
            limits.append(int(self.num_epochs * examples.num_examples / self.batch_size))
        return max(1, min(limits)) if limits else None

    def _update_seconds(self, model: Decoder, settings: Settings) -> float:
        """What an optimizer step takes, measured on a copy with made-up gradients."""
        import copy

        before = torch.get_num_threads()
        torch.set_num_threads(settings.threads)
        trial = copy.deepcopy(model)
        optimizers = build_optimizer(self.optimizer, trial)
        best = math.inf
        for _ in range(3):
            for parameter in trial.parameters():
                parameter.grad = torch.full_like(parameter, 1e-3)
            start = time.perf_counter()
            for optimizer in optimizers:
                optimizer.step()
            best = min(best, time.perf_counter() - start)
        torch.set_num_threads(before)
        return best

    def _figures(
        self, result: Result, plan: Mapping[str, Any], settings: Settings, examples: Examples, model: Decoder
    ) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "steps": result.step,
            "tokens": result.tokens,
            "epochs": round(result.step * self.batch_size / max(1, examples.num_examples), 3),
            "parameters": model.num_parameters(),
            "skipped_batches": result.skipped,
            "peak_gflops": plan["peak_flops"] / 1e9,
            "settings": {"dtype": settings.dtype, "threads": settings.threads, "compile": settings.compile},
            "measured_step_seconds": settings.measured,
            "history": result.history,
        }
        names = ("loss", "val_loss", "val_bits_per_byte", "tokens_per_second", "mfu", "accuracy")
        return figures | {name: result.metrics[name] for name in names if name in result.metrics}


def build_objective(config: CausalConfig | SFTConfig | Use, context_tokens: int) -> Objective:
    match config:
        case CausalConfig():
            return CausalLM(config)
        case SFTConfig():
            return SFT(replace(config, context_tokens=context_tokens))
        case Use():
            made: Objective = load_user_part(config)(**config.args)
            missing = [name for name in ("collate", "loss") if not callable(getattr(made, name, None))]
            if missing:
                raise ConfigError(
                    f"{config.use} lacks the method {missing[0]}",
                    hint="an objective has collate(examples) -> Batch and loss(model, batch) -> LossOutput",
                )
            return made
    raise AssertionError(config)


class _Sampler:
    """Continues the recipe's prompts with the model as it is, through the engine, and shows and records them."""

    def __init__(self, stage: TrainStage, context: StageContext, tokenizer: Any, template: Any) -> None:
        self.stage, self.context = stage, context
        self.tokenizer, self.template = tokenizer, template
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

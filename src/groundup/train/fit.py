"""The `fit` stage: a small network on labelled pictures or texts, through the one loop, to a Predictor and its figures.

One training, repetitions from other random numbers, or the folds of a cross-validation; each is a part with checkpoints of its own,
and what is finished is not trained again after a kill. Figures are of examples that chose nothing: where evaluations choose the
weights (early stopping), the data must have validation and test parts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ..core.artifact import atomic_write, read_json, write_json
from ..core.errors import ConfigError, DataError
from ..core.exhibits import Plot, Table, plain
from ..core.recipe import StageContext
from ..core.tracking import METRICS, JsonlTracker, read_lines
from ..data.card import read_card
from ..models.networks import NetworkNode
from ..nn.init import Scheme, initialise
from ..objectives.sources import ChatSource
from .checkpoint import Checkpoints
from .early_stopping import EarlyStoppingConfig
from .loop import Loop, LoopConfig
from .memory import PeakMemory
from .networks.labels import curves
from .networks.pictures import open_pictures
from .networks.task import Part, Task
from .networks.texts import WordsConfig, open_texts
from .optim.build import AdamWConfig, OptimizerNode, build_optimizer
from .schedule import ScheduleConfig, ScheduleNode, build_schedule
from .settings import PrecisionConfig, Settings, choose_settings
from .stability import StabilityConfig

_RESERVE = 0.3
"""Share of a time budget kept for updates, evaluations and checkpoints."""
_TRAIN_JUDGED = 2000
"""Training examples that are looked at again at the end, to tell learning from learning by heart."""


@dataclass(frozen=True, kw_only=True)
class FitStage:
    """Train a network on an `images` or `labelled` stage."""

    data: str = "data"
    """The stage with labelled pictures or texts."""
    model: NetworkNode
    """Pictures: mlp, cnn, resnet; vae and gan, which make some. Texts: mean_of_embeddings, text_cnn, text_rnn."""
    words: WordsConfig = WordsConfig()
    """Texts: how one becomes word numbers."""
    folds: int = 0
    """Texts: cross-validation over train and validation examples, by the same folds as the stage classify_text; the network that is
    saved learns from all of them."""
    repeats: int = 1
    """Trainings from different random numbers; the first one's network is saved."""
    limit: int | None = None
    """Learn from the first training examples only."""
    init: Scheme | None = None
    """Initial weights (groundup.nn.init); None: every layer's own way."""
    optimizer: OptimizerNode = AdamWConfig(weight_decay=0.0)
    schedule: ScheduleNode = ScheduleConfig(shape="constant", warmup_fraction=0.0)
    precision: PrecisionConfig = PrecisionConfig()
    batch_size: int = 64
    num_epochs: float | None = None
    num_steps: int | None = None
    budget_seconds: float | None = None
    """Time for all trainings together, turned into steps by measuring before the first one. Of all limits given, the first one reached
    ends a training."""
    label_smoothing: float = 0.0
    l1: float = 0.0
    """Added to the loss: l1 times the sum of all weights' sizes (matrices, not vectors)."""
    l2: float = 0.0
    """Added to the loss: l2 / 2 times the sum of their squares. For decoupled decay: optimizer.weight_decay."""
    kl_weight: float = 1.0
    """VAE: weight of the codes' divergence; 1 is the bound itself."""
    max_grad_norm: float = 0.0
    max_grad_value: float = 0.0
    ema_decay: float = 0.0
    early_stopping: EarlyStoppingConfig | None = None
    """End when evaluations get no better, and take the best one's weights."""
    evaluations: int = 10
    """How many times during a training held-out examples are looked at."""
    log_every_steps: int = 10
    checkpoint_every_seconds: float = 30.0
    type: Literal["fit"] = "fit"
    kind = "predictor"

    def __post_init__(self) -> None:
        for name in ("batch_size", "repeats", "log_every_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"must be at least 0 and below 1, not {self.label_smoothing}", path="label_smoothing")
        if not any((self.num_epochs, self.num_steps, self.budget_seconds)):
            raise ConfigError("nothing says when to stop", hint="set num_epochs, num_steps or budget_seconds")
        if self.folds and self.repeats > 1:
            raise ConfigError("folds are repetitions already", path="repeats", hint="leave out one of the two")

    def inputs(self) -> Sequence[str]:
        return (self.data,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        task = self._open(context)
        plan = self._plan(context, task)
        everyone = [*task.parts, *([task.final] if task.final is not None else [])]
        with context.progress.task("trainings", len(everyone)) as bar:
            for number, part in enumerate(everyone, start=1):
                self._train(context, task, part, plan)
                bar.update(completed=number, facts=part.name)
        models = [_trained(part, context) for part in task.parts]
        saved = task.final or task.parts[0]
        task.save(saved, _trained(saved, context), context.directory)
        ends = [read_json(_folder(context, part) / "end.json") for part in task.parts]
        judged, shown = task.judged(models)
        rows = ends[0]["rows"]
        named = {name: name.replace("_", " ") for name in dict.fromkeys(key for row in rows for key in row)}
        figures: dict[str, Any] = {
            "steps": ends[0]["steps"],
            "train_examples": len(task.parts[0].train),
            "parameters": sum(p.numel() for p in models[0].parameters()),
            **judged,
            **{f"train_{name}": _mean([end["train"].get(name) for end in ends]) for name in ends[0]["train"]},
            "step_seconds": _mean([end["step_seconds"] for end in ends]),
            "seconds": sum(end["seconds"] for end in ends),
            "memory_bytes": max(end["memory_bytes"] for end in ends),
            "skipped_batches": sum(end["skipped"] for end in ends),
            "settings": {name: plan["settings"][name] for name in ("dtype", "threads", "compile")},
        }
        if self.early_stopping is not None:
            figures["best_step"] = ends[0]["best_step"]
        losses = {"loss": "training batches", "val_loss": "held out"}
        accuracies = {"accuracy": "training batches", "val_accuracy": "held out"}
        other = {
            n: w for n, w in named.items() if n in ("discriminator_loss", "generator_loss", "reconstruction", "kl")
        }
        drawn = [
            curves(rows, losses, "Loss", "Of training batches, with smoothing and penalties; held out without."),
            curves(rows, accuracies, "Share of right labels", ""),
            curves(rows, {n: w for n, w in other.items() if n.endswith("loss")}, "The two players", ""),
            curves(
                rows,
                {n: w for n, w in other.items() if not n.endswith("loss")},
                "Parts of the bound",
                "Nats a picture.",
            ),
        ]
        exhibits: list[Table | Plot] = [plot for plot in drawn if plot is not None]
        return figures | {"history": [row for row in rows if "val_loss" in row], "exhibits": plain(*exhibits, *shown)}

    # ------------------------------------------------------------------------------------------------- its pieces

    def _open(self, context: StageContext) -> Task:
        kind = read_card(context.inputs[self.data]).get("kind")
        if kind == "images":
            if self.folds:
                raise ConfigError("folds are for texts", path=f"{context.name}.folds", hint="repeats=3 for pictures")
            return open_pictures(self, context)
        if kind == "labelled":
            return open_texts(self, context)
        raise DataError(f"the stage {self.data!r} holds {kind}, not pictures or texts with labels",
                        hint="a stage of type images or labelled")  # fmt: skip

    def _new(self, part: Part) -> nn.Module:
        model = part.build()
        if self.init is not None:
            initialise(model, self.init)
        return model

    def _plan(self, context: StageContext, task: Task) -> dict[str, Any]:
        """Settings, and steps of each part: measured once, then read from the scratch folder."""
        path = context.scratch / "plan.json"
        if path.is_file():
            plan: dict[str, Any] = read_json(path)
            return plan
        part = task.parts[0]
        torch.manual_seed(part.seed)
        batch = task.objective.collate(ChatSource(part.train, part.seed).take(0, self.batch_size))
        count = len(task.parts) + (task.final is not None)
        budget = None if self.budget_seconds is None else self.budget_seconds / count
        limits = [self.num_steps] if self.num_steps is not None else []
        if self.num_epochs is not None:
            limits.append(math.ceil(self.num_epochs * len(part.train) / self.batch_size))
        limit = max(1, min(limits)) if limits else None
        model = self._new(part)
        settings = choose_settings(self.precision, model, task.objective, [batch], num_steps=limit, seconds=budget,
                                   tracker=context.tracker)  # fmt: skip
        if budget is not None:
            affordable = max(1, int(budget * (1 - _RESERVE) / settings.step_seconds))
            limit = affordable if limit is None else min(limit, affordable)
        plan = {"settings": asdict(settings), "num_steps": limit}
        write_json(path, plan)
        context.tracker.event("plan", f"{limit} steps", **plan)
        return plan

    def _train(self, context: StageContext, task: Task, part: Part, plan: Mapping[str, Any]) -> None:
        """Train one part to its end, unless that is done: its weights, figures and curves are then in its folder."""
        folder = _folder(context, part)
        if (folder / "end.json").is_file():
            return
        folder.mkdir(exist_ok=True)
        # The run's own record shows one training; several would overwrite each other's steps in it.
        tracker = context.tracker if len(task.parts) == 1 and part is task.parts[0] else JsonlTracker(folder)
        settings = Settings(**plan["settings"])
        num_steps = plan["num_steps"]
        torch.manual_seed(part.seed)
        model = self._new(part)

        def evaluate(model: nn.Module) -> dict[str, float]:
            return {f"val_{name}": value for name, value in task.evaluate(model, part.watched).items()}

        loop = Loop(
            model,
            task.objective,
            ChatSource(part.train, part.seed),
            build_optimizer(self.optimizer, model),
            build_schedule(self.schedule),
            LoopConfig(
                num_steps=num_steps,
                batch_size=self.batch_size,
                micro_batch_size=self.batch_size,
                max_grad_norm=self.max_grad_norm,
                max_grad_value=self.max_grad_value,
                log_every_steps=min(self.log_every_steps, max(1, num_steps // 20)),
                evaluate_every_steps=max(1, math.ceil(num_steps / self.evaluations)) if self.evaluations else 0,
                checkpoint_every_seconds=self.checkpoint_every_seconds,
                ema_decay=self.ema_decay,
                stability=StabilityConfig(
                    spike_ratio=0.0
                ),  # a small network's last gradients are tiny beside a hard example's
                early_stopping=self.early_stopping,
            ),
            settings,
            Checkpoints(folder / "checkpoints", tracker),
            evaluate=evaluate if part.watched else None,
            progress=context.progress,
        )
        start = time.perf_counter()
        with PeakMemory() as memory:
            result = loop.run()
        from safetensors.torch import save

        with atomic_write(folder / "model.safetensors") as file:
            file.write(save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}))
        rows = [
            {name: value for name, value in row.items() if name != "stage"}
            for row in read_lines(tracker.directory / METRICS)
            if row.get("stage") == tracker.stage
        ]
        timed = [row["step_seconds"] for row in rows if "step_seconds" in row]
        write_json(
            folder / "end.json",
            {
                "steps": result.step,
                "skipped": result.skipped,
                "seconds": time.perf_counter() - start,
                "step_seconds": float(np.median(timed)) if timed else 0.0,
                "memory_bytes": memory.grown_bytes,
                "best_step": loop.best.step,
                "train": dict(task.evaluate(model, part.train[:_TRAIN_JUDGED])),
                "rows": rows,
            },
        )


def _folder(context: StageContext, part: Part) -> Path:
    return context.scratch / part.name


def _trained(part: Part, context: StageContext) -> nn.Module:
    from safetensors.torch import load_file

    torch.manual_seed(part.seed)
    model = part.build()
    model.load_state_dict(load_file(_folder(context, part) / "model.safetensors"))
    return model.eval()


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))

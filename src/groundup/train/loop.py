"""The loop: the only one. A training method is an Objective and an ExampleSource given to it.

What it promises
- A killed and resumed run is the uninterrupted run, bit for bit on a CPU: data order, random numbers, optimizer, averages.
- Gradient accumulation is exact: micro-batches are weighted by the positions they count.
- NaN, Inf and spikes never reach the weights (see stability.py); a full disk never costs the last good checkpoint.
- SIGTERM or Ctrl-C ends it at the next step with a checkpoint; the second Ctrl-C ends it at once.

What it leaves out: several processes (train/parallel), choosing the number of steps (stage.py does, from the budget).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ArtifactError, TrainingError
from ..core.progress import Progress, SilentProgress
from ..nn.protocols import Batch, ExampleSource, Objective
from .checkpoint import Checkpoints, TrainingState
from .early_stopping import BestWeights, EarlyStoppingConfig
from .loss_scale import LossScaler
from .schedule import Schedule
from .settings import Settings, compile_model
from .stability import StabilityConfig, StabilityGuard


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    num_steps: int
    batch_size: int
    """Examples a step."""
    micro_batch_size: int
    """Examples at once; a step accumulates the rest."""
    max_grad_norm: float = 1.0
    """Clip the gradient's global norm; 0 turns it off."""
    max_grad_value: float = 0.0
    """Then clip each of its numbers; 0 turns it off."""
    log_every_steps: int = 10
    evaluate_every_steps: int = 200
    sample_every_steps: int = 0
    """0: never."""
    checkpoint_every_seconds: float = 30.0
    checkpoint_every_steps: int = 0
    """If set, checkpoints are at multiples of this, not by the clock."""
    ema_decay: float = 0.0
    """Keep an exponential moving average of the weights, and end with it; 0 keeps none."""
    flops_per_token: float = 0.0
    peak_flops: float = 0.0
    stability: StabilityConfig = StabilityConfig()
    early_stopping: EarlyStoppingConfig | None = None


class Interrupted(TrainingError):
    """Asked to stop; a checkpoint was written. exit_code is 128 + the signal's number."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}",
                         hint="run the same command again to go on")  # fmt: skip
        self.exit_code = 128 + number


@dataclass(slots=True)
class Result:
    step: int
    metrics: dict[str, float]
    """The last logged figures."""
    tokens: int
    skipped: int
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)
    """Every evaluation: step and its figures."""


Evaluate = Callable[[nn.Module], Mapping[str, float]]
Sample = Callable[[nn.Module, int], None]


class Loop:
    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        source: ExampleSource,
        optimizers: Sequence[torch.optim.Optimizer],
        schedule: Schedule,
        config: LoopConfig,
        settings: Settings,
        checkpoints: Checkpoints,
        *,
        evaluate: Evaluate | None = None,
        sample: Sample | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.model, self.objective, self.source = model, objective, source
        self.optimizers, self.schedule = optimizers, schedule
        self.config, self.settings = config, settings
        self.checkpoints, self.tracker = checkpoints, checkpoints.tracker
        self.evaluate, self.sample = evaluate, sample
        self.progress = progress or SilentProgress()
        self.call: Callable[..., Any] = compile_model(model) if settings.compile else model
        self.guard = StabilityGuard(config.stability)
        self.scaler = LossScaler(settings.loss_scale)
        self.best = BestWeights(config.early_stopping)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.averaged: dict[str, Tensor] = {}
        self.step = self.cursor = self.tokens = self.skipped = 0
        self.stop_signal = 0
        self.metrics: dict[str, float] = {}
        self.history: list[dict[str, float]] = []

    # ------------------------------------------------------------------------------------------------- the whole run

    def run(self) -> Result:
        """Train to the end, from the newest good checkpoint if there is one."""
        torch.set_num_threads(self.settings.threads)
        start = time.perf_counter()
        self._resume()
        if self.step == 0:
            self._save()  # something to roll back to
        with self._signals(), self.progress.task("training", self.config.num_steps) as bar:
            bar.update(completed=self.step)
            saved, logged, tokens_then, steps_then = time.perf_counter(), time.perf_counter(), self.tokens, self.step
            while self.step < self.config.num_steps and not self.best.finished:
                applied = self._one_step()
                now, last = time.perf_counter(), self.step == self.config.num_steps
                if applied and (last or self.step % self.config.log_every_steps == 0):
                    self._log(now - logged, self.tokens - tokens_then, self.step - steps_then)
                    logged, tokens_then, steps_then = now, self.tokens, self.step
                    bar.update(completed=self.step, facts=self._facts())
                if applied and self._due(self.config.evaluate_every_steps, last) and self.evaluate:
                    self._evaluate()
                    bar.update(facts=self._facts())
                if applied and self.sample and self._due(self.config.sample_every_steps, False):
                    self._sample()
                if self.stop_signal:
                    self._save()
                    raise Interrupted(self.stop_signal, self.step)
                if applied and self._checkpoint_due(time.perf_counter() - saved):
                    self._save()
                    saved = time.perf_counter()
        if self.averaged:
            self._use_averaged()
        self.best.use(self.model)
        return Result(
            self.step, self.metrics, self.tokens, self.skipped, time.perf_counter() - start, self.history
        )  # fmt: skip

    def _due(self, every: int, last: bool) -> bool:
        return every > 0 and (last or self.step % every == 0)

    def _checkpoint_due(self, seconds: float) -> bool:
        if self.config.checkpoint_every_steps:
            return self.step % self.config.checkpoint_every_steps == 0
        return seconds >= self.config.checkpoint_every_seconds

    # --------------------------------------------------------------------------------------------------- one step

    def _one_step(self) -> bool:
        """One batch; False if it was skipped or rolled back."""
        self.model.train()
        batches = self._batches()
        loss, metrics = self._gradients(batches)
        norm = self._clip()
        self.cursor += 1
        if self.scaler.overflowed(norm):
            self._refuse("skip", f"float16 overflowed; the loss scale is now {self.scaler.scale:g}")
            return False
        decision, reason = self.guard.judge(loss, norm)
        if decision != "apply":
            self._refuse(decision, reason)
            return False
        scale = self.schedule(self.step, self.config.num_steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * scale
            optimizer.step()
        self._forget_gradients()
        self._average()
        self.step += 1
        self.tokens += sum(b.input_ids.numel() for b in batches)
        self.metrics = {
            **self.source.figures(),
            **metrics,
            "loss": loss,
            "grad_norm": norm,
            "lr": self.optimizers[0].param_groups[0]["lr"],
        }
        return True

    def _batches(self) -> list[Batch]:
        examples = self.source.take(self.cursor, self.config.batch_size)
        size = self.config.micro_batch_size
        return [self.objective.collate(examples[i : i + size]) for i in range(0, len(examples), size)]

    def _gradients(self, batches: list[Batch]) -> tuple[float, dict[str, float]]:
        """Backward over the micro-batches; the loss is the mean over all positions that count."""
        weights = [b.weight for b in batches]
        total = max(1, sum(weights))
        loss = torch.zeros(())
        sums: dict[str, Tensor | float] = {}
        for batch, weight in zip(batches, weights, strict=True):
            with self.settings.autocast():
                output = self.objective.loss(self.call, batch)
            share = weight / total
            (output.loss * (share * self.scaler.factor)).backward()  # type: ignore[no-untyped-call]
            loss = loss + output.loss.detach().float() * share
            for name, value in output.metrics.items():
                sums[name] = sums.get(name, 0.0) + value * share
        return float(loss), {name: float(value) for name, value in sums.items()}

    def _clip(self) -> float:
        limit = self.config.max_grad_norm
        self.scaler.unscale(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, limit if limit > 0 else float("inf"))
        if self.config.max_grad_value > 0:
            torch.nn.utils.clip_grad_value_(self.parameters, self.config.max_grad_value)
        return float(norm)

    def _forget_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def _refuse(self, decision: str, reason: str) -> None:
        self._forget_gradients()
        self.skipped += 1
        self.tracker.event("bad_step", f"{decision}: {reason}", step=self.step, batch=self.cursor - 1)
        if decision == "skip":
            return
        if self.guard.hopeless:
            raise TrainingError(
                f"rolled back {self.guard.rollbacks} times and {reason} again at step {self.step}",
                hint="lower optimizer.lr, lengthen the warm-up, or look at the data of that batch (events.log names it)",
            )
        path = self.checkpoints.newest()
        if path is None:
            raise TrainingError(f"{reason} at step {self.step}, and there is no checkpoint to go back to")
        cursor = self.cursor
        self._restore(self.checkpoints.load(path, self.model, self.optimizers))
        self.cursor = cursor  # go on with the batches that follow the bad ones
        self.tracker.rewind(self.step)
        self.tracker.event("rolled_back", f"to step {self.step}; next batch is {cursor}", step=self.step)

    def _average(self) -> None:
        if not self.config.ema_decay:
            return
        named = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if not self.averaged:
            self.averaged = {name: p.detach().clone() for name, p in named.items()}
            return
        # A young average follows quickly, so that the initial weights do not linger in it.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        ours, theirs = list(self.averaged.values()), [named[name].detach() for name in self.averaged]
        torch._foreach_lerp_(ours, theirs, 1 - decay)

    def _use_averaged(self) -> None:
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if name in self.averaged:
                    parameter.copy_(self.averaged[name])

    # --------------------------------------------------------------------------------------- evaluation and records

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Evaluation mode, with the random state put back afterwards so that looking changes nothing."""
        state, threads = torch.get_rng_state(), torch.get_num_threads()
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            torch.set_rng_state(state)
            torch.set_num_threads(threads)
            self.model.train()

    def _evaluate(self) -> None:
        assert self.evaluate is not None
        with self._aside():
            kept = None
            if self.averaged:
                kept = {name: p.detach().clone() for name, p in self.model.named_parameters()}
                self._use_averaged()
            figures = dict(self.evaluate(self.model))
            self.best.see(self.step, figures, self.model)
            if kept is not None:
                for name, parameter in self.model.named_parameters():
                    parameter.copy_(kept[name])
        self.metrics |= figures
        self.history.append({"step": self.step, **figures})
        self.tracker.log(self.step, figures)

    def _sample(self) -> None:
        assert self.sample is not None
        with self._aside():
            self.sample(self.model, self.step)

    def _log(self, seconds: float, tokens: int, steps: int) -> None:
        speed = tokens / max(seconds, 1e-9)
        self.metrics["tokens_per_second"] = speed
        if self.config.flops_per_token and self.config.peak_flops:
            self.metrics["mfu"] = speed * self.config.flops_per_token / self.config.peak_flops
        self.metrics["step_seconds"] = seconds / max(1, steps)
        self.tracker.log(self.step, {**self.metrics, "tokens": self.tokens})

    def _facts(self) -> str:
        m = self.metrics
        parts = [f"loss {m['loss']:.3f}"] if "loss" in m else []
        if "val_loss" in m:
            parts.append(f"val {m['val_loss']:.3f}")
        if "tokens_per_second" in m:
            parts.append(f"{m['tokens_per_second']:,.0f} tok/s")
        if "mfu" in m:
            parts.append(f"{100 * m['mfu']:.0f}% of peak")
        return "  ".join(parts)

    # --------------------------------------------------------------------------------------- checkpoints and signals

    def _save(self) -> None:
        own = {
            "tokens": self.tokens,
            "skipped": self.skipped,
            "best": self.best.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        state = TrainingState(
            self.step, self.cursor, {**self.source.state_dict(), "loop": own}, self.guard.state_dict(), self.averaged, self.best.tensors
        )  # fmt: skip
        try:
            self.checkpoints.save(self.model, self.optimizers, state)
            self.guard.rollbacks = 0
        except ArtifactError as error:
            self.tracker.event("checkpoint_failed", str(error), step=self.step)
            self.progress.say(f"warning: {error} ({error.hint}); training goes on")

    def _resume(self) -> None:
        path = self.checkpoints.newest()
        if path is None:
            self.tracker.rewind(-1)
            return
        self._restore(self.checkpoints.load(path, self.model, self.optimizers))
        self.tracker.rewind(self.step)
        self.tracker.event("resumed", f"from {path.name}", step=self.step)

    def _restore(self, state: TrainingState) -> None:
        self.step, self.cursor, self.averaged = state.step, state.cursor, dict(state.averaged)
        source = dict(state.source)
        own = source.pop("loop")
        self.tokens, self.skipped = own["tokens"], own["skipped"]
        self.best.load_state_dict(own["best"], state.best)
        self.scaler.load_state_dict(own["scaler"])
        self.source.load_state_dict(source)
        rollbacks = self.guard.rollbacks
        self.guard.load_state_dict(state.guard)
        self.guard.rollbacks = rollbacks

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C ask for a stop; the second Ctrl-C is the ordinary one. Only the main thread has signals."""
        import threading

        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: Any) -> None:
            self.stop_signal = number
            signal.signal(signal.SIGINT, signal.default_int_handler)

        old = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

"""A training run on the roofline of a machine (Williams, Waterman and Patterson 2009): what it reaches, what it could, what is in the way.

No code can do more floating-point operations a second than the processor's peak, nor more than its memory feeds: intensity
(operations per byte moved) times bandwidth. The two lines meet at the ridge. The run is a dot: its tokens per second times
operations per token, at the intensity of its steps.

Operations per token are the loop's own: 6 N + 12 L d T (Chowdhery et al. 2022, PaLM, appendix B; half the second term where
the causal half of the scores is never computed). Bytes are counted, not measured, and are the least that a step moves once
nothing stays in a cache from one use to the next (`StepBytes`). Caches make the real intensity higher, passes of unfused
operations over the same activations make it lower. One device: what processes send each other is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.core.artifact import read_json
from groundup.core.errors import GroundupError
from groundup.core.run_figures import RunCurves, is_number, read_resolved, run_report

_SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
_STORED = 4
"""Bytes of a weight, its gradient and a number of the optimizer's: training keeps float32 (train/settings.py)."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a machine reaches, measured."""

    flops_per_second: float
    bytes_per_second: float

    @property
    def ridge(self) -> float:
        """FLOP per byte from which on the processor, not the memory, is the limit."""
        return self.flops_per_second / self.bytes_per_second

    def at(self, intensity: float) -> float:
        """FLOP/s within reach at that intensity."""
        return min(self.flops_per_second, intensity * self.bytes_per_second)


@dataclass(frozen=True, kw_only=True)
class StepBytes:
    """The least that one training step moves between memory and processor. N weights (n of them trained), s bytes a number
    in matrix products, m micro-batches, k bytes of optimizer state a weight, A bytes that a micro-batch keeps for its backward pass.
    """

    weights: float
    """2 s N m: read by the forward pass and again by the backward pass; where s is below 4, (4 + s) N m more for the rounding."""
    gradients: float
    """4 n (2 m - 1): written once, then read and written again by each further micro-batch."""
    optimizer: float
    """n (12 + 2 k): gradient, weight and state read; weight and state written."""
    activations: float
    """2 A m: written on the way forward, read on the way back."""

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """One step of a run's training stage, from the run's own record."""

    stage: str
    dtype: str
    parameters: float
    tokens: float
    """Of a step."""
    flops_per_token: float
    moved: StepBytes
    step_seconds: float
    """As logged: the wall time of a step, evaluations, samples and checkpoints in between included."""
    bare_seconds: float | None
    """Forward and backward alone, as measured before the first step; without the optimizer."""
    recorded_peak: float | None
    """FLOP/s of this dtype, measured when the run was made."""
    decode: DecodeShape | None

    @property
    def flops(self) -> float:
        return self.flops_per_token * self.tokens

    @property
    def intensity(self) -> float:
        return self.flops / self.moved.total

    @property
    def achieved(self) -> float:
        """FLOP/s over the wall time of the run."""
        return self.flops / self.step_seconds

    def least_seconds(self, limits: Limits) -> float:
        """No step is faster: max(FLOP / peak, bytes / bandwidth)."""
        return max(self.flops / limits.flops_per_second, self.moved.total / limits.bytes_per_second)

    def most_tokens_per_second(self, limits: Limits) -> float:
        """peak / (6 N + 12 L d T): training at full use of the processor."""
        return limits.flops_per_second / self.flops_per_token

    def mfu(self, limits: Limits) -> float:
        """Model FLOPs utilisation: achieved over peak."""
        return self.achieved / limits.flops_per_second

    def ridge_batch(self, limits: Limits) -> float:
        """Tokens a weight must serve each time it is read: peak * bytes of a weight / (2 * bandwidth)."""
        return limits.flops_per_second * _SIZES.get(self.dtype, 4) / (2 * limits.bytes_per_second)


@dataclass(frozen=True, kw_only=True)
class DecodeShape:
    """What writing one token reads: all weights, and the keys and values of every position so far."""

    weight_bytes: float
    kv_bytes: float
    """Of one full context: 2 L n_kv d_head T bytes of a number."""

    def most_tokens_per_second(self, limits: Limits, batch: int) -> float:
        """B * bandwidth / (W + B * KV): one token for each of B sequences takes one pass over all of it."""
        return batch * limits.bytes_per_second / (self.weight_bytes + batch * self.kv_bytes)


def training_stages(run: Path) -> list[str]:
    """Stages that train by the loop, in the recipe's order."""
    return [
        str(name)
        for name, node in read_resolved(run).items()
        if isinstance(node, Mapping) and node.get("type") == "train"
    ]


def training_step(run: Path, stage: str, curves: RunCurves, events: Sequence[Mapping[str, Any]]) -> TrainingStep | None:
    """None where the run has not recorded enough yet: speed, tokens, operations per token."""
    node = read_resolved(run).get(stage)
    entry = run_report(run).get("stages", {}).get(stage, {})
    figures = {**curves.last(stage), **(entry.get("figures") or {})}
    plan: Mapping[str, Any] = next(
        (e for e in reversed(events) if e.get("kind") == "plan" and e.get("stage") == stage), {}
    )
    if not isinstance(node, Mapping) or not all(is_number(figures.get(k)) for k in ("tokens_per_second", "tokens")):
        return None
    steps = figures.get("steps", figures.get("step"))
    peak = plan.get("peak_flops") if plan else figures.get("peak_gflops", 0) * 1e9
    if not is_number(steps) or steps <= 0 or not is_number(peak):
        return None
    speed, mfu = float(figures["tokens_per_second"]), figures.get("mfu")
    if speed <= 0 or not is_number(mfu) or mfu <= 0 or peak <= 0:
        return None
    config = _model_config(run, stage, node)
    parameters = _parameters(run, stage, figures, node)
    if not parameters:
        return None
    settings = plan.get("settings") or figures.get("settings") or {}
    dtype = str(settings.get("dtype", "float32"))
    tokens = float(figures["tokens"]) / float(steps)
    memory = plan.get("memory_bytes") or (figures.get("memory") or {}).get("estimated_bytes") or 0
    bare = settings.get("step_seconds")
    if not is_number(bare):
        name = f"{dtype}, {settings.get('threads')} threads" + (", compiled" if settings.get("compile") else "")
        bare = (figures.get("measured_step_seconds") or {}).get(name)
    trained = float(figures.get("trained_parameters") or parameters)
    return TrainingStep(
        stage=stage,
        dtype=dtype,
        parameters=parameters,
        tokens=tokens,
        # The loop's own count: it logs mfu = tokens/s times operations per token over the peak of that moment.
        flops_per_token=float(mfu) * float(peak) / speed,
        moved=step_bytes(
            node, parameters=parameters, trained=trained, size=_SIZES.get(dtype, 4), memory=float(memory), config=config
        ),
        step_seconds=tokens / speed,
        bare_seconds=float(bare) if is_number(bare) and bare > 0 else None,
        recorded_peak=float(peak),
        decode=_decode(config, parameters, _SIZES.get(dtype, 4)),
    )


def step_bytes(
    node: Mapping[str, Any],
    *,
    parameters: float,
    trained: float,
    size: int,
    memory: float,
    config: Mapping[str, Any],
) -> StepBytes:
    """node: the stage's resolved config. memory: the run's own estimate of what a micro-batch needs beside the weights; what of it
    is neither gradient nor optimizer state is A. 0 where the run has none: then A is left out.
    """
    batch = float(node.get("batch_size") or 1)
    micro = -(-batch // float(node.get("micro_batch_size") or batch))
    state = optimizer_state_bytes(node.get("optimizer") or {}, trained, config)
    standing = state + (_STORED * trained if micro > 1 else 0)
    casting = (_STORED + size) * parameters * micro if size != _STORED else 0
    return StepBytes(
        weights=2 * size * parameters * micro + casting,
        gradients=_STORED * trained * (2 * micro - 1),
        optimizer=3 * _STORED * trained + 2 * state,
        activations=2 * max(0.0, memory - standing) * micro,
    )


def optimizer_state_bytes(optimizer: Mapping[str, Any], trained: float, config: Mapping[str, Any]) -> float:
    """Of all trained weights: none for SGD without momentum, one float32 a weight for momentum, Lion and RMSprop, two for Adam's two
    moments (and for a user's own optimizer), two bytes in 8-bit AdamW; Muon keeps one for the matrices inside blocks, two for the rest.
    """
    kind = optimizer.get("type")
    one = _STORED * trained
    if kind == "sgd":
        return one if optimizer.get("momentum") else 0.0
    if kind == "rmsprop":
        return one * (1 + bool(optimizer.get("momentum")) + bool(optimizer.get("centred")))
    if kind == "lion":
        return one
    if kind == "adamw8bit":
        return 2 * trained
    if kind == "muon":
        embedded = float(config.get("vocab_size") or 0) * float(config.get("hidden_size") or 0)
        outside = embedded * (1 if config.get("tie_word_embeddings") else 2)
        return one + _STORED * min(outside, trained)
    return 2 * one


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What limits a run, in one sentence, and the figures behind it."""

    sentence: str
    advice: str
    least_seconds: float
    share: float
    """Of the reachable FLOP/s that the run reached."""


_NEAR = 0.5
"""From this share of a limit on the limit is what holds a run: half of a roof is what well-made training reaches on CPUs and GPUs
(33 to 50 % of the peak in public logs of torchtitan, llm.c and nanochat)."""


def verdict(step: TrainingStep, limits: Limits) -> Verdict:
    least = step.least_seconds(limits)
    share = step.achieved / limits.at(step.intensity)
    by_memory = step.intensity < limits.ridge
    roof = "memory bandwidth" if by_memory else "the processor's peak"
    bare = step.bare_seconds
    if share >= _NEAR:
        sentence = f"{roof[0].upper()}{roof[1:]} limits this run: it reaches {share:.0%} of what that allows."
        advice = (
            "A larger micro-batch reuses each weight more often; a smaller dtype moves fewer bytes."
            if by_memory
            else "Only fewer operations (a smaller model, fewer tokens) or a faster machine or dtype make it faster."
        )
    elif bare is not None and bare < _NEAR * step.step_seconds:
        rest = 1 - bare / step.step_seconds
        sentence = (
            f"Neither roof limits this run: of the time of a step, {rest:.0%} is not its forward and backward pass but the "
            "optimizer, evaluations, samples, checkpoints, or others on this machine."
        )
        advice = "Evaluate less often or on fewer tokens (evaluations, evaluation_tokens), or let it run alone."
    else:
        sentence = (
            f"Neither roof limits this run: it reaches {share:.0%} of what {roof} allows; the rest goes into operations too "
            "small to fill the machine."
        )
        advice = "Try a larger micro-batch, precision.compile, or other threads: the run measured its choices before it began."
    return Verdict(sentence=sentence, advice=advice, least_seconds=least, share=share)


def _model_config(run: Path, stage: str, node: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in (stage, str(node.get("model", ""))):
        if not name or name != Path(name).name:
            continue
        try:
            found = read_json(run / name / "config.json")
        except (GroundupError, OSError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _parameters(run: Path, stage: str, figures: Mapping[str, Any], node: Mapping[str, Any]) -> float:
    """Of the finished stage; while it trains, of the stage that made the model."""
    if is_number(figures.get("parameters")):
        return float(figures["parameters"])
    made = (run_report(run).get("stages", {}).get(node.get("model")) or {}).get("figures") or {}
    return float(made["parameters"]) if is_number(made.get("parameters")) else 0.0


def _decode(config: Mapping[str, Any], parameters: float, size: int) -> DecodeShape | None:
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    positions, hidden = config.get("max_position_embeddings"), config.get("hidden_size")
    if not all(is_number(v) and v > 0 for v in (layers, heads, positions, hidden)):
        return None
    kv_heads, head_dim = config.get("num_key_value_heads") or heads, config.get("head_dim") or hidden / heads  # type: ignore[operator]
    return DecodeShape(
        weight_bytes=parameters * size,
        kv_bytes=2.0 * layers * kv_heads * head_dim * positions * size,  # type: ignore[operator]
    )

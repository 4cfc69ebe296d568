"""How to run: dtype, threads and compilation chosen by measuring this model on this machine; and the machine's own limits.

Small models on a CPU are often faster in float32 on one thread, wide ones in bfloat16 on all; compiling pays only when the
run is long enough. So each candidate runs a few real training steps on a copy of the model, and the choice is written
into the run, where a resumed run reads it: the same settings, the same bits.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from ..core.tracking import NullTracker
from ..nn.protocols import Batch, Objective
from .loss_scale import START

COMPILE_COST_SECONDS = 40.0
"""What compiling a small decoder's step takes on two cores (inductor and g++, measured 16 to 45 s)."""
_WORTH = 10
"""Compiling has saved between nothing and a third of a step here: it is tried when the run is this many times its cost."""
_GEMM_SIZE = 1024
_STREAM_FLOATS = 16 << 20  # 64 MiB an array, three of them: more than the last-level cache of most machines
_TRIAL_POSITIONS = 2048
"""A micro-batch of at least this many positions shows the order of the candidates as well as a whole step does."""


@dataclass(frozen=True, kw_only=True)
class PrecisionConfig:
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the matrix multiplications (autocast); weights and optimizer state stay float32. float16 is never chosen by itself."""
    loss_scale: float = START
    """float16: what the loss is multiplied by to begin with, so that small gradients do not vanish; 0 turns it off."""
    threads: int = 0
    """0: measured."""
    compile: Literal["auto", "on", "off"] = "auto"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was chosen, and what was measured for it; as it is, what needs no measuring."""

    dtype: str = "float32"
    threads: int = 1
    compile: bool = False
    step_seconds: float = 0.0
    """Measured time of one whole batch's forward and backward, with these settings."""
    measured: dict[str, float] = field(default_factory=dict)
    """Candidate -> seconds for the micro-batches that were tried."""
    loss_scale: float = 0.0
    """To begin with (float16 only)."""

    def autocast(self) -> AbstractContextManager[Any]:
        if self.dtype != "float32":
            return torch.autocast("cpu", dtype=getattr(torch, self.dtype))
        return nullcontext()


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compile_model(model: nn.Module) -> Callable[..., Any]:
    """The model's forward, compiled for the shapes it meets."""
    torch._dynamo.config.cache_size_limit = 64
    return torch.compile(model, dynamic=False)


def choose_settings(
    config: PrecisionConfig,
    model: nn.Module,
    objective: Objective,
    batches: list[Batch],
    *,
    num_steps: int | None,
    seconds: float | None,
    tracker: Any = None,
) -> Settings:
    """Measure the candidates that `config` leaves open on `batches` (the micro-batches of one step).

    num_steps or seconds: how long the run will be, to weigh compile time against.
    """
    tracker = tracker or NullTracker()
    before = torch.get_num_threads()
    dtypes = ["float32", "bfloat16"] if config.dtype == "auto" else [config.dtype]
    cores = available_cores()
    threads = sorted({1, cores}) if config.threads == 0 else [config.threads]
    measured: dict[str, float] = {}
    best: tuple[float, str, int] | None = None
    trial = copy.deepcopy(model)
    whole = sum(b.input_ids.numel() for b in batches)
    while len(batches) > 1 and sum(b.input_ids.numel() for b in batches[:-1]) >= _TRIAL_POSITIONS:
        batches = batches[:-1]
    share = whole / sum(b.input_ids.numel() for b in batches)
    for dtype in dtypes:
        for count in threads:
            torch.set_num_threads(count)
            took = _time_steps(trial, trial, objective, batches, dtype, give_up=math.inf if best is None else best[0])
            measured[f"{dtype}, {count} threads"] = took
            if best is None or took < best[0]:
                best = (took, dtype, count)
    assert best is not None
    took, dtype, count = best
    torch.set_num_threads(count)
    expected = took * share * num_steps if num_steps is not None else seconds or 0.0
    compiled = config.compile == "on"
    if config.compile != "off" and (compiled or expected > _WORTH * COMPILE_COST_SECONDS):
        start = time.perf_counter()
        try:
            fast = _time_steps(trial, compile_model(trial), objective, batches, dtype)
        except Exception as error:
            if config.compile == "on":
                raise
            tracker.event("compile_failed", f"{type(error).__name__}: {error}"[:500])
            fast = float("inf")
        measured[f"{dtype}, {count} threads, compiled"] = fast
        measured["seconds to compile"] = time.perf_counter() - start
        compiled = compiled or fast < 0.95 * took
        took = fast if compiled else took
        torch._dynamo.reset()
    torch.set_num_threads(before)
    scale = config.loss_scale if dtype == "float16" else 0.0
    return Settings(
        dtype=dtype, threads=count, compile=compiled, step_seconds=took * share, measured=measured, loss_scale=scale
    )


def _time_steps(
    model: nn.Module,
    call: Callable[..., Any],
    objective: Objective,
    batches: list[Batch],
    dtype: str,
    *,
    give_up: float = math.inf,
) -> float:
    """Seconds for forward and backward of all `batches`: the quicker of two, after a micro-batch that warms up (and compiles). A
    candidate a quarter slower than `give_up` seconds after one of them is out.
    """
    autocast = Settings(dtype=dtype).autocast

    def run(some: list[Batch]) -> float:
        start = time.perf_counter()
        for batch in some:
            with autocast():
                objective.loss(call, batch).loss.backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)
        return time.perf_counter() - start

    run(batches[:1])
    best = run(batches)
    if best < 1.25 * give_up:
        best = min(best, run(batches))
    return best


def gemm_peak(dtype: str, threads: int, *, seconds: float = 0.3) -> float:
    """Floating-point operations per second of this machine's best 1024^3 matrix product, measured now."""
    kind = getattr(torch, dtype)
    a, b = (torch.randn(_GEMM_SIZE, _GEMM_SIZE).to(kind) for _ in range(2))
    out = a @ b
    return 2 * _GEMM_SIZE**3 / _best_seconds(lambda: torch.matmul(a, b, out=out), threads, seconds)


def memory_bandwidth(threads: int, *, seconds: float = 0.3) -> float:
    """Bytes per second that this machine reads and writes when it adds arrays too large for its caches, measured now."""
    a, b, out = (torch.ones(_STREAM_FLOATS) for _ in range(3))
    return 3 * a.nbytes / _best_seconds(lambda: torch.add(a, b, out=out), threads, seconds)


def _best_seconds(work: Callable[[], Any], threads: int, seconds: float) -> float:
    """Of as many calls as fit into `seconds`, the first, which may load something, not counted."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        work()
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - start)
        return best
    finally:
        torch.set_num_threads(before)

"""How benchmarks here measure: interleaved rounds, medians and their ratio, peak memory in a process of its own, machine limits.

Two things are compared in one run, A B A B, because the speed of a shared machine drifts over minutes; the ratio of medians is the
figure, seconds are beside it. Outputs are proven equal before anything is timed. Limits (matrix product, memory copy) are measured
in the same run, never taken from a data sheet.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one contender, one entry per round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """(slowest - fastest) / median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All contenders of an interleaved run."""

    timings: Mapping[str, Timing]

    def ratio(self, ours: str, peer: str) -> float:
        """How many times faster `ours` is: median of peer / median of ours."""
        return self.timings[peer].median / self.timings[ours].median

    def as_json(self) -> dict[str, Any]:
        return {
            name: {"median_s": t.median, "best_s": t.best, "spread": t.spread, "seconds": list(t.seconds)}
            for name, t in self.timings.items()
        }


def interleave(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    warm_up: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Time every contender once per round, in turn; the order is reversed every other round. Warm-up rounds do not count. clock:
    time.process_time where one thread works on a machine that others use.
    """
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(warm_up + rounds):
        for name in names if number % 2 == 0 else reversed(names):
            start = clock()
            contenders[name]()
            elapsed = clock() - start
            if number >= warm_up:
                seconds[name].append(elapsed)
    return Comparison(timings={name: Timing(seconds=tuple(taken)) for name, taken in seconds.items()})


def peak_memory_of(
    script: Path, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run `python script arguments` by itself. Returns the JSON of its last line, with `peak_rss_bytes` (VmHWM) added.

    The script must print the result of `own_memory()` merged into one JSON object as its last line.
    """
    run = subprocess.run(
        [sys.executable, str(script), *arguments],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        text=True,
    )
    result: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return result


def own_memory() -> dict[str, int]:
    """Peak and present resident bytes of this process. The peak counts from the last `reset_peak`."""
    import psutil

    now = psutil.Process().memory_info().rss
    peak = now
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) * 1024
    except OSError:  # not Linux
        import resource

        scale = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return {"peak_rss_bytes": peak, "rss_bytes": now}


def reset_peak() -> None:
    """Start the count of peak memory again (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


# --- the machine


def machine_line(*packages: str) -> str:
    """One line: processor, cores, memory, load, Python, versions of the packages, commit."""
    import psutil

    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    parts = [model, f"{cores} cores", f"{memory:.0f} GiB", f"load {load:.1f}", f"Python {platform.python_version()}"]
    return ", ".join([*parts, *(f"{name} {_version(name)}" for name in packages), f"commit {_commit()}"])


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _commit() -> str:
    run = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return run.stdout.strip() or "unknown"


def gemm_peak_flops(
    dtype: str = "bfloat16", *, size: int = 2048, threads: int | None = None, seconds: float = 1.0
) -> float:
    """Best FLOP/s of a square matrix product of this dtype, over `seconds` of trying."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        a = torch.randn(size, size).to(getattr(torch, dtype))
        b = torch.randn(size, size).to(getattr(torch, dtype))
        best = _best_seconds(lambda: a @ b, seconds)
    finally:
        torch.set_num_threads(before)
    return 2 * size**3 / best


def memory_bandwidth_bytes(*, megabytes: int = 512, threads: int | None = None, seconds: float = 1.0) -> float:
    """Best bytes/s read from memory by summing an array far larger than the caches: the bound of decoding at batch 1."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        data = torch.ones(megabytes << 18)
        best = _best_seconds(data.sum, seconds)
    finally:
        torch.set_num_threads(before)
    return (megabytes << 20) / best


def _best_seconds(work: Callable[[], Any], seconds: float) -> float:
    work()
    best = float("inf")
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


# --- printing


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns aligned for a terminal; figures to three digits."""
    cells = [list(headings), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    lines = ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths)))
             for row in cells]  # fmt: skip
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def emit(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print one or the other."""
    print(json.dumps(result, indent=2, default=lambda value: asdict(value)) if as_json else text)

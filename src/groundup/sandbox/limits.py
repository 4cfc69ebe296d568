"""What a program may use, and how its run ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..core.errors import ConfigError

Tier: TypeAlias = Literal["isolated", "accident"]
"""isolated: namespaces, no capabilities, a system-call filter, limits: for programs nobody has read.
accident: a plain process with limits, no isolation: for programs one trusts and that may have mistakes."""

EndReason: TypeAlias = Literal["ok", "error", "timeout", "memory", "output", "killed"]

_MIN_MEMORY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one program may use at most, with all it starts."""

    seconds: float = 10.0
    """On the clock: for programs that wait. More than cpu_seconds, so that a loaded machine does not end the others."""
    cpu_seconds: float = 5.0
    """Of the processor, per process; rounded up to whole seconds."""
    memory_bytes: int = 512 << 20
    """Address space. With several processes each gets an equal part, so that the sum holds."""
    output_bytes: int = 1 << 20
    """Standard output and standard error together; more ends the run."""
    processes: int = 1
    """Processes at once. 1: the program may have threads (up to 16), and may start no process."""
    file_bytes: int = 16 << 20
    """All files it writes, together. They are in memory and go with the run."""

    def __post_init__(self) -> None:
        for name in ("seconds", "cpu_seconds", "output_bytes", "processes", "file_bytes"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"must be more than 0, is {getattr(self, name)}", path=f"limits.{name}")
        if self.memory_bytes // self.processes < _MIN_MEMORY_BYTES:
            raise ConfigError(
                f"{self.memory_bytes} bytes for {self.processes} processes is less than {_MIN_MEMORY_BYTES} each, which the "
                "interpreter itself needs",
                path="limits.memory_bytes",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended. Reason and outputs are the program's to shape: they prove nothing about what it computed."""

    reason: EndReason
    """ok: status 0. error: another status. timeout, memory, output: that limit. killed: ended by a signal."""
    returncode: int
    """Exit status; -n where signal n ended it."""
    stdout: str
    """Bytes that are not UTF-8 become U+FFFD."""
    stderr: str
    seconds: float
    """Of the program, without the sandbox's own."""
    tier: Tier
    peak_bytes: int = 0
    """Resident memory of its largest process; 0 where the tier does not measure it."""
    results: bytes = b""
    """JSON lines of the expressions it was asked to evaluate; see `groundup.sandbox.evaluate`."""

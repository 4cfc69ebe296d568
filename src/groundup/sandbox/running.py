"""Run one program, or let one evaluate expressions, at a named tier. Where the tier is missing this raises; it never takes a lesser one."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..core.errors import SandboxError
from .launchers import ENVIRONMENT, OutputReader, command, idle, lease, memory_file
from .limits import EndReason, Limits, Outcome, Tier
from .packages import paths_of

TIERS: tuple[Tier, ...] = ("isolated", "accident")


def available_tiers() -> dict[Tier, str]:
    """Every tier, and why it cannot be had here: "" where it can. Isolated is found out by running a program in it."""
    missing: dict[Tier, str] = {}
    for tier in TIERS:
        try:
            require(tier)
            missing[tier] = ""
        except SandboxError as error:
            missing[tier] = error.message
    return missing


def require(tier: Tier) -> None:
    """Raise SandboxError, saying what is missing and what to do, unless programs can be run at `tier` here."""
    if tier not in TIERS:
        raise SandboxError(f"there is no sandbox tier {tier!r}", hint=f"one of {', '.join(TIERS)}")
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"the sandbox needs Linux; this is {sys.platform}", hint="run it in a Linux virtual machine")
    if tier == "isolated":
        if platform.machine() not in ("x86_64", "aarch64"):
            raise SandboxError(
                f"the isolated tier has no system-call filter for {platform.machine()}; it knows x86_64 and aarch64"
            )
        with lease():
            pass


def run_python(
    source: str,
    *,
    stdin: str = "",
    files: Mapping[str, str | bytes] | None = None,
    tier: Tier = "isolated",
    limits: Limits | None = None,
    packages: Sequence[str] = (),
) -> Outcome:
    """Run `source` as a program in an empty folder holding `files` (relative name to content). It can import the standard library,
    and of what is installed only `packages` with what these need; they are loaded beforehand.

    Never raises for what the program does. Raises SandboxError where the tier is missing, the sandbox itself fails, or a
    file name leaves the folder. May be called from many threads.
    """
    return _run(source, (), stdin, files or {}, tier, limits or Limits(), tuple(packages))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Values of expressions, in the form of `groundup.sandbox.inside.values`, up to the first that could not be had.

    values: per expression ["value", encoded] or ["error", type name, message].
    outcome: of the program as a whole; where it is not ok, `values` may be shorter than the expressions.
    """

    values: list[list[Any]]
    outcome: Outcome


def evaluate(
    source: str,
    expressions: Sequence[str],
    *,
    files: Mapping[str, str | bytes] | None = None,
    tier: Tier = "isolated",
    limits: Limits | None = None,
    packages: Sequence[str] = (),
) -> Evaluated:
    """Run `source`, then evaluate each expression in its namespace and bring out the values as plain data.

    The expressions must not hold what the values are going to be compared with: what is inside can be read by the
    program. Compare outside, with `groundup.sandbox.same`; then the only way to the right values is to compute them.
    """
    outcome = _run(source, tuple(expressions), "", files or {}, tier, limits or Limits(), tuple(packages))
    values: list[list[Any]] = []
    for line in outcome.results.splitlines()[: len(expressions)]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            break  # the program wrote into the channel itself, or was cut off
        if not (isinstance(value, list) and len(value) == (2 if value[:1] == ["value"] else 3)):
            break
        values.append(value)
    return Evaluated(values=values, outcome=outcome)


def close() -> None:
    """End the launchers kept for the next run. They also end with this process."""
    idle().close()


# ------------------------------------------------------------------------------------------------------------- one run


def _run(
    source: str,
    expressions: tuple[str, ...],
    stdin: str,
    files: Mapping[str, str | bytes],
    tier: Tier,
    limits: Limits,
    packages: tuple[str, ...],
) -> Outcome:
    # A solution asked for values is imported, as it were: what it does under __name__ == "__main__" is not done.
    name = "solution" if expressions else "__main__"
    job = {
        "source": source,
        "name": name,
        "expressions": expressions,
        "files": _checked(files),
        "limits": asdict(limits),
    }
    data = stdin.encode("utf-8", "surrogatepass")
    if tier == "isolated":
        with lease(packages) as launcher:
            answer, outputs, exceeded = launcher.run(job, data, limits, results=bool(expressions))
    else:
        require(tier)
        job["packages"] = sorted({os.path.dirname(path) for path, _ in paths_of(packages)}) if packages else []
        answer, outputs, exceeded = _run_plain(job, data, limits, results=bool(expressions))
    if "failed" in answer:
        raise SandboxError(f"the sandbox could not confine the program, which was not run: {answer['failed']}")
    stdout, stderr = (output.decode(errors="replace") for output in outputs[:2])
    status = int(answer.get("status", -9))
    return Outcome(
        reason=_reason(answer, exceeded, status, stderr, limits),
        returncode=status,
        stdout=stdout,
        stderr=stderr,
        seconds=float(answer.get("seconds", 0.0)),
        tier=tier,
        peak_bytes=int(answer.get("peak_bytes", 0)),
        results=outputs[2] if len(outputs) > 2 else b"",
    )


def _reason(answer: Mapping[str, Any], exceeded: str, status: int, stderr: str, limits: Limits) -> EndReason:
    if exceeded:
        return "output"
    if answer.get("ended_by") == "clock" or status == -signal.SIGXCPU:
        return "timeout"
    if status < 0:
        return "timeout" if answer.get("cpu_seconds", 0.0) >= limits.cpu_seconds else "killed"
    if status != 0 and stderr.rstrip().rpartition("\n")[2].startswith("MemoryError"):
        return "memory"
    return "ok" if status == 0 else "error"


def _checked(files: Mapping[str, str | bytes]) -> dict[str, str]:
    """File contents as Latin-1 text, under names that stay in the folder."""
    checked = {}
    for name, content in files.items():
        parts = name.split("/")
        if not name or name.startswith("/") or "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise SandboxError(f"a program's file must have a plain relative name, not {name!r}")
        checked[name] = (content.encode() if isinstance(content, str) else content).decode("latin-1")
    return checked


def _run_plain(
    job: dict[str, Any], stdin: bytes, limits: Limits, *, results: bool
) -> tuple[dict[str, Any], list[bytes], str]:
    """The accident tier: a process group of its own in an empty folder, with rlimits and a clock."""
    job_file, stdin_file = memory_file(json.dumps(job).encode()), memory_file(stdin)
    pipes = [os.pipe() for _ in range(3 if results else 2)]
    ends = [write for _, write in pipes]
    with tempfile.TemporaryDirectory(prefix="groundup-") as folder:
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                command("accident", job_file, ends[2] if results else -1),
                pass_fds=[job_file, *ends[2:]],
                stdin=stdin_file,
                stdout=ends[0],
                stderr=ends[1],
                env=ENVIRONMENT,
                cwd=folder,
                start_new_session=True,
            )
        finally:
            for descriptor in (job_file, stdin_file, *ends):
                os.close(descriptor)
        reader = OutputReader([read for read, _ in pipes], limits)
        handle = os.pidfd_open(process.pid)
        try:
            within = reader.wait(handle, started + limits.seconds)
            late = within and process.poll() is None
            _end_group(process.pid)
            status = process.wait()
            answer = {"ended_by": "clock" if late else "exit", "status": status, "seconds": time.monotonic() - started}
            return answer, reader.drain(), reader.exceeded
        finally:
            reader.close()
            os.close(handle)


def _end_group(group: int) -> None:
    """What the program left running in its group; a program can leave its group, which is why this tier is no wall."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)

"""The library's end of the isolated tier: launcher processes, leased one run at a time, and the reading of what a run writes.

A launcher (`inside/launcher.py`) is started when the first program is run and kept for the next; several threads get one each.
The library's own process is never forked: it may hold a torch thread pool or a GPU.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import SandboxError
from .limits import Limits
from .packages import paths_of

_FOLDER = str(Path(__file__).parent)
_ENTRY = (
    "import sys; sys.path.insert(0, sys.argv[1]); from inside.{module} import main; del sys.path[0]\n"
    "program = main(*map(int, sys.argv[2:]))\n"
    "if program: program()\n"
)
_START_SECONDS = 30.0
# After its own time limit a program is ended by the launcher within milliseconds; a machine under load gets this much longer.
_GRACE_SECONDS = 20.0
_RESULT_BYTES = 4 << 20
_READ_BYTES = 1 << 16
_CLOSE_SECONDS = 2.0
_IDLE_KEPT = 8


def command(module: str, *numbers: int) -> list[str]:
    """Command line of a bare interpreter: no site-packages, no user folder, nothing from the current folder."""
    return [
        sys.executable,
        "-s",
        "-S",
        "-P",
        "-X",
        "utf8",
        "-c",
        _ENTRY.format(module=module),
        _FOLDER,
        *map(str, numbers),
    ]


# The hash seed is fixed so that a program that prints a set of strings does the same in every run.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


class Launcher:
    """One launcher process. Not for several threads at once; `lease` sees to that."""

    def __init__(self, packages: tuple[str, ...] = ()) -> None:
        self.packages = packages
        given = memory_file(json.dumps({"paths": paths_of(packages) if packages else (), "load": packages}).encode())
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log = os.memfd_create("launcher-log")
        try:
            self._process = subprocess.Popen(
                command("launcher", theirs.fileno(), given),
                pass_fds=[theirs.fileno(), given],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            self._channel.close()
            os.close(self._log)
            raise
        finally:
            theirs.close()
            os.close(given)
        self._channel.settimeout(_START_SECONDS)
        answer = self._answer()
        if "ready" not in answer:
            self.close()
            raise SandboxError(
                f"the isolated tier cannot be set up here: {answer.get('refused', answer)}",
                hint="it needs Linux 5.12 or newer on x86-64 or aarch64 with user namespaces: sysctl kernel.unprivileged_userns_clone=1, "
                "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces > 0; in a container, run with "
                "--security-opt seccomp=unconfined --security-opt apparmor=unconfined",
            )
        self.landlock_abi = int(answer["landlock"])

    def _answer(self) -> dict[str, Any]:
        try:
            message = self._channel.recv(1 << 16)
        except OSError as error:
            self.close()
            raise SandboxError(f"the sandbox's launcher did not answer within {_START_SECONDS:.0f} s") from error
        if not message:
            os.lseek(self._log, 0, os.SEEK_SET)
            last = os.read(self._log, 4000).decode(errors="replace").strip()[-400:]
            self.close()
            raise SandboxError(f"the sandbox's launcher ended unexpectedly: {last or 'it left no message'}")
        return dict(json.loads(message))

    def run(
        self, job: dict[str, Any], stdin: bytes, limits: Limits, *, results: bool
    ) -> tuple[dict[str, Any], list[bytes], str]:
        """One program: (how it ended, [stdout, stderr, results], the limit the library itself enforced or "")."""
        job_file, stdin_file = memory_file(json.dumps(job).encode()), memory_file(stdin)
        pipes = [os.pipe() for _ in range(3 if results else 2)]
        try:
            socket.send_fds(self._channel, [b"run"], [job_file, stdin_file, *(write for _, write in pipes)])
        finally:
            for descriptor in (job_file, stdin_file, *(write for _, write in pipes)):
                os.close(descriptor)
        reader = OutputReader([read for read, _ in pipes], limits)
        try:
            started = time.monotonic()
            end = started + limits.seconds + _GRACE_SECONDS
            while not reader.wait(self._channel.fileno(), end):
                self._channel.send(b"kill")  # too much output: the launcher ends the run and answers
                reader.stop()
            if time.monotonic() >= end and not select.select([self._channel], [], [], 0)[0]:
                self.close()
                return (
                    {"ended_by": "clock", "status": -9, "seconds": limits.seconds, "cpu_seconds": 0.0},
                    reader.drain(),
                    "",
                )
            answer = self._answer()
            answer.setdefault("seconds", time.monotonic() - started)
            return answer, reader.drain(), reader.exceeded
        finally:
            reader.close()

    @property
    def usable(self) -> bool:
        return self._channel.fileno() >= 0

    @property
    def alive(self) -> bool:
        """Whether it waits for a job: an idle launcher says nothing, a dead one's socket is at its end."""
        return self.usable and self._process.poll() is None and not select.select([self._channel], [], [], 0)[0]

    def close(self) -> None:
        """End the launcher and everything below it: it goes when its socket closes, and is killed where it does not."""
        self.forget()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Close our ends only: in a fork of the library's process, the launcher is not ours."""
        if self.usable:
            self._channel.close()
            os.close(self._log)


class OutputReader:
    """Reads a run's pipes as they fill, so that a program never waits, and no further than the limits allow.

    pipes: stdout, stderr and, where there is a third, the results (with a limit of their own).
    """

    def __init__(self, pipes: list[int], limits: Limits) -> None:
        self._pipes = pipes
        self._open = set(pipes)
        self._data: list[bytearray] = [bytearray() for _ in pipes]
        self._limit = limits.output_bytes
        self._stopped = False
        self.exceeded = ""
        for pipe in pipes:
            os.set_blocking(pipe, False)

    def wait(self, until_readable: int, end: float) -> bool:
        """Read until the descriptor `until_readable` has something, or the time `end`: True. False: a limit was passed."""
        poll = select.poll()
        for descriptor in (*self._open, until_readable):
            poll.register(descriptor, select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
            for pipe in ready & self._open:
                self._read(pipe)
                if pipe not in self._open:
                    poll.unregister(pipe)
            if self.exceeded and not self._stopped:
                return False
            if until_readable in ready:
                return True
        return True

    def stop(self) -> None:
        """Read no further."""
        self._stopped = True
        self._open.clear()

    def drain(self) -> list[bytes]:
        """What is left in the pipes of a program that has ended."""
        while self._open:
            before = sum(map(len, self._data))
            for pipe in list(self._open):
                self._read(pipe)
            if self.exceeded or sum(map(len, self._data)) == before:
                break
        return [bytes(data) for data in self._data]

    def _read(self, pipe: int) -> None:
        try:
            data = os.read(pipe, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._open.discard(pipe)
        index = self._pipes.index(pipe)
        room = (_RESULT_BYTES if index == 2 else self._limit) - sum(
            map(len, self._data[index:] if index == 2 else self._data[:2])
        )
        if len(data) > room:
            self.exceeded = "output"
        self._data[index] += data[:room]

    def close(self) -> None:
        for pipe in self._pipes:
            os.close(pipe)


def memory_file(data: bytes) -> int:
    """A descriptor at the start of `data`, in memory, that nobody can change."""
    import fcntl  # not on every system, and this module is imported on all

    descriptor = os.memfd_create("job", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(
        descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    )
    return descriptor


class _Idle:
    """Launchers nobody is using. One object per process, made on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._launchers: list[Launcher] = []
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forked)

    def take(self, packages: tuple[str, ...]) -> Launcher:
        while True:
            with self._lock:
                launcher = next((found for found in self._launchers if found.packages == packages), None)
                if launcher is None:
                    break
                self._launchers.remove(launcher)
            if launcher.alive:
                return launcher
            launcher.close()
        return Launcher(packages)

    def put(self, launcher: Launcher) -> None:
        with self._lock:
            if launcher.usable and len(self._launchers) < _IDLE_KEPT:
                self._launchers.append(launcher)
                return
        launcher.close()

    def close(self) -> None:
        with self._lock:
            launchers, self._launchers = self._launchers, []
        for launcher in launchers:
            launcher.close()

    def _forked(self) -> None:
        self._lock = threading.Lock()
        for launcher in self._launchers:
            launcher.forget()
            launcher._process.returncode = 0  # not our child: nothing to wait for
        self._launchers = []


_idle: _Idle | None = None
_making = threading.Lock()


def idle() -> _Idle:
    global _idle
    with _making:
        if _idle is None:
            _idle = _Idle()
        return _idle


@contextmanager
def lease(packages: tuple[str, ...] = ()) -> Iterator[Launcher]:
    """A launcher for one run, whose programs may import `packages`. Whatever goes wrong inside ends it, so that the next run starts clean."""
    launcher = idle().take(packages)
    try:
        yield launcher
    except BaseException:
        launcher.close()
        raise
    idle().put(launcher)

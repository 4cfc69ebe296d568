"""Labs opened from the studio: each a marimo server of its own, on a free port of loopback, behind a token; ended with the studio.

A process and not a mounted app: marimo's page needs workers and frames that the studio's content policy forbids, its kernel runs code that
may be heavy, and one that hangs or dies must not take the studio with it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from groundup.core.errors import GroundupError, MissingDependency

Mode = Literal["run", "edit"]
_MOST = 3
"""Open at a time: each has an interpreter and what its lab has loaded."""
_START_SECONDS = 90.0
_END_SECONDS = 5.0
_TOLD = 1500


@dataclass
class _Open:
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    url: str


class LabPages:
    """The labs that are open."""

    def __init__(self) -> None:
        self._open: dict[tuple[Path, Mode], _Open] = {}
        self._lock = threading.Lock()

    def open(self, path: Path, mode: Mode = "run") -> str:
        """The address of the lab's page, which is listening when this returns; the same one while it is open.

        Takes some seconds. Raises MissingDependency without marimo, GroundupError where it does not start.
        """
        import importlib.util

        if importlib.util.find_spec("marimo") is None:
            raise MissingDependency("marimo", extra="learn", purpose="labs")
        with self._lock:
            key = (path.resolve(), mode)
            known = self._open.get(key)
            if known is not None and known.process.poll() is None:
                return known.url
            if known is not None:
                self._end(key)
            while len(self._open) >= _MOST:
                self._end(next(iter(self._open)))
            made = _started(path, mode)
            self._open[key] = made
            try:
                _wait(made, path)
            except BaseException:
                self._end(key)
                raise
            return made.url

    def close(self) -> None:
        """End every lab."""
        with self._lock:
            for key in list(self._open):
                self._end(key)

    def _end(self, key: tuple[Path, Mode]) -> None:
        lab = self._open.pop(key)
        process = lab.process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
        lab.log.close()


def _started(path: Path, mode: Mode) -> _Open:
    port = _free_port()
    token = secrets.token_urlsafe(24)
    log = tempfile.TemporaryFile()
    process = subprocess.Popen(
        [sys.executable, "-m", "groundup.learn.lab_page", mode, str(path.resolve()), str(port)],
        stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=path.resolve().parent,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"{token}\n".encode())
    process.stdin.flush()
    return _Open(process, log, f"http://127.0.0.1:{port}/?access_token={token}")


def _wait(lab: _Open, path: Path) -> None:
    """Until it answers. GroundupError where it ends before, or never does."""
    health = f"{lab.url.partition('?')[0]}health"
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if lab.process.poll() is not None:
            lab.log.seek(0)
            said = lab.log.read().decode("utf-8", "replace").strip()[-_TOLD:]
            raise GroundupError(f"the lab {path.name} did not start: {said or 'it said nothing'}",
                                hint=f"python -m marimo check {path}")  # fmt: skip
        try:
            with urllib.request.urlopen(health, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise GroundupError(f"the lab {path.name} did not start within {_START_SECONDS:.0f} s",
                        hint="the machine may be busy: try again, or groundup lab in a terminal")  # fmt: skip


def _kill(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

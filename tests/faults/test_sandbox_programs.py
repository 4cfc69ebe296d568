"""Escapes, bombs and time bombs against the isolated tier. Each program is judged from outside, by what it left in the world:
files, listeners, signals, processes. Those marked "control" must do their harm when the wall is not there, which shows that
the program and the checks are real.

A program's header: `# ends:` the reasons its run may end for, `# control:`, `# processes:` the limit it gets.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from groundup.sandbox import Limits, Outcome, available_tiers, run_python
from groundup.sandbox.launchers import idle

pytestmark = [pytest.mark.row("12.3"), pytest.mark.faults]

FOLDER = Path(__file__).parent / "sandbox_programs"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py"))
SECRET = "a secret of the host"


def header(name: str) -> dict[str, str]:
    lines = [line[2:] for line in (FOLDER / f"{name}.py").read_text().splitlines()[:3] if line.startswith("# ")]
    return dict(line.split(": ", 1) for line in lines if ": " in line)


CONTROLS = [name for name in PROGRAMS if "control" in header(name)]


@pytest.fixture(scope="module")
def isolated() -> None:
    if missing := available_tiers()["isolated"]:
        pytest.skip(f"the isolated tier is not to be had here: {missing}")


class World:
    """What a program could reach if it got out, and whether it did."""

    def __init__(self, folder: Path) -> None:
        self.canary = folder / "canary"
        self.canary.mkdir()
        (self.canary / "secret").write_text(SECRET)
        (self.canary / "secret").chmod(0o644)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract_name = f"groundup-test-{os.getpid()}-{id(self)}"
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0{self.abstract_name}")
        self.abstract.listen()
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagram.bind(f"\0{self.abstract_name}-datagram")
        self.path = socket.socket(socket.AF_UNIX)
        self.path.bind(str(self.canary / "listener"))
        self.path.listen()
        self.signals: list[int] = []
        self.handler = signal.signal(signal.SIGUSR1, lambda number, _: self.signals.append(number))
        self.before = self.files()

    def source(self, name: str) -> str:
        text = (FOLDER / f"{name}.py").read_text()
        names = {
            "CANARY": self.canary,
            "PORT": self.tcp.getsockname()[1],
            "UDP_PORT": self.udp.getsockname()[1],
            "ABSTRACT": self.abstract_name,
            "ABSTRACT_DATAGRAM": f"{self.abstract_name}-datagram",
            "PARENT": os.getpid(),
            "PROJECT": Path(__file__).resolve().parents[2],
            "SITE": Path(pytest.__file__).parents[1],
            "PYTHON": Path(sys.executable).resolve(),
            "PREFIX": f"{sys.base_prefix}/lib",
        }
        for placeholder, value in names.items():
            text = text.replace(f"@{placeholder}@", str(value))
        return text

    def files(self) -> dict[str, tuple[str, int]]:
        paths = [p for p in self.canary.iterdir() if p.is_file()]
        return {p.name: (p.read_text(), p.stat().st_mode) for p in paths}

    def touched(self) -> list[str]:
        """Everything that shows a program was here."""
        found = []
        if self.files() != self.before:
            found.append("the canary's folder was changed")
        if self.signals:
            found.append(f"signals {self.signals} arrived")
        for listener in (self.tcp, self.abstract, self.path):
            listener.setblocking(False)
            try:
                listener.accept()[0].close()
                found.append(f"{listener.family.name} was connected to")
            except BlockingIOError:
                pass
        for receiver in (self.udp, self.datagram):
            receiver.setblocking(False)
            try:
                receiver.recv(100)
                found.append(f"{receiver.family.name} got a datagram")
            except BlockingIOError:
                pass
        return found

    def close(self) -> None:
        signal.signal(signal.SIGUSR1, self.handler)
        for each in (self.tcp, self.udp, self.abstract, self.datagram, self.path):
            each.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def leftovers() -> list[str]:
    """Processes below the launchers that should not be there: each idle launcher is a guard with one process below it."""
    found = []
    for launcher in idle()._launchers:
        below = psutil.Process(launcher._process.pid).children(recursive=True)
        found += [str(process) for process in below[1:]]
    return found


def check(outcome: Outcome, world: World, name: str, limits: Limits) -> None:
    seen = outcome.stdout + outcome.stderr
    assert "ESCAPED" not in outcome.stdout, seen[:500]
    assert SECRET not in seen
    assert world.touched() == []
    assert leftovers() == []
    assert outcome.reason in header(name)["ends"].split(), (outcome.reason, seen[-500:])
    assert len(outcome.stdout) + len(outcome.stderr) <= limits.output_bytes
    assert outcome.peak_bytes <= limits.memory_bytes
    assert outcome.tier == "isolated"


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_is_contained(name: str, world: World, isolated: None) -> None:
    # Short for those meant to be ended by time; the others must not meet it on a loaded machine.
    seconds = (1.5, 1.0) if "timeout" in header(name)["ends"] else (60.0, 30.0)
    processes = int(header(name).get("processes", 1))
    limits = Limits(seconds=seconds[0], cpu_seconds=seconds[1], memory_bytes=512 << 20, processes=processes)
    check(run_python(world.source(name), limits=limits), world, name, limits)


@pytest.mark.parametrize("name", CONTROLS)
def test_program_does_harm_without_the_wall(name: str, world: World) -> None:
    outcome = run_python(
        world.source(name), tier="accident", limits=Limits(seconds=20, processes=4, memory_bytes=1 << 30)
    )
    assert outcome.tier == "accident"
    assert "ESCAPED" in outcome.stdout, outcome


def test_there_are_sixty_programs_and_each_says_how_it_may_end() -> None:
    assert len(PROGRAMS) >= 60
    assert len(CONTROLS) >= 30
    reasons = {"ok", "error", "timeout", "memory", "output", "killed"}
    assert all(set(header(name)["ends"].split()) <= reasons for name in PROGRAMS)

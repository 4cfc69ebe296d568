"""R40: doctor names each seeded fault, and the fix."""

from __future__ import annotations

import collections
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from groundup.cli import doctor


def seed_python(m: pytest.MonkeyPatch) -> None:
    m.setattr(doctor.sys, "version_info", (3, 9, 1))


def seed_no_torch(m: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    m.setattr(doctor.importlib.util, "find_spec", lambda name, *a: None if name == "torch" else real(name, *a))


def seed_no_package(m: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    m.setattr(doctor.importlib.util, "find_spec", lambda name, *a: None if name == "numba" else real(name, *a))


def seed_no_disk(m: pytest.MonkeyPatch) -> None:
    usage = collections.namedtuple("usage", "total used free")
    m.setattr(doctor.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 5 * 10**6))


def seed_no_compiler(m: pytest.MonkeyPatch) -> None:
    m.setattr(doctor.shutil, "which", lambda name: None)


def seed_read_only_folder(m: pytest.MonkeyPatch) -> None:
    def refuse(*a: Any, **k: Any) -> Any:
        raise OSError(30, "Read-only file system")

    m.setattr(doctor.tempfile, "TemporaryFile", refuse)


def seed_read_only_home(m: pytest.MonkeyPatch) -> None:
    m.setattr(doctor.os, "access", lambda path, mode: False)


def seed_little_memory(m: pytest.MonkeyPatch) -> None:
    m.setattr(doctor.os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 1000)


def seed_ascii_terminal(m: pytest.MonkeyPatch) -> None:
    m.setattr(doctor, "check_locale", doctor.check_locale)
    m.setattr(doctor.sys, "stdout", collections.namedtuple("out", "encoding")("ascii"))


FAULTS = {
    "python": (seed_python, "broken", "PY="),
    "torch": (seed_no_torch, "broken", "make quickstart"),
    "packages": (seed_no_package, "broken", "pip install"),
    "disk": (seed_no_disk, "broken", "--out"),
    "compiler": (seed_no_compiler, "warning", "g++"),
    "folder": (seed_read_only_folder, "broken", "--out"),
    "caches": (seed_read_only_home, "warning", "export"),
    "memory": (seed_little_memory, "warning", "batch_size"),
    "terminal": (seed_ascii_terminal, "warning", "PYTHONUTF8"),
}


@pytest.mark.faults
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_with_its_fix(name: str) -> None:
    seed, state, fix = FAULTS[name]
    with pytest.MonkeyPatch.context() as m:
        seed(m)
        found = {row["check"]: row for row in doctor.findings()}
    assert found[name]["state"] == state, found[name]
    assert fix in found[name]["fix"]


def test_a_sound_installation_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(doctor.command, ["--json"])
    rows = {row["check"]: row["state"] for row in json.loads(done.stdout)["checks"]}
    assert rows["python"] == rows["torch"] == rows["packages"] == rows["folder"] == "ok"
    assert sys.version_info >= (3, 11)

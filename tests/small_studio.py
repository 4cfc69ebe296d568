"""`groundup studio` in a process of its own, for the tests of its views."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class StudioProcess(NamedTuple):
    url: str
    runs: Path
    """The folder of runs; `runs / "small"` is one of the quickstart recipe, made small."""
    files: Path
    """Where the learner's files are."""
    home: Path
    """GROUNDUP_HOME of the process: its progress."""


@contextlib.contextmanager
def studio_process(runs: Path, folder: Path, *options: str) -> Iterator[StudioProcess]:
    """`groundup studio` over `runs` in a process of its own, with files and progress in `folder`."""
    files, home = folder / "files", folder / "home"
    for made in (files, home):
        made.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GROUNDUP_API"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "groundup", "studio", str(runs), "--files", str(files), "--port", "0", "--json", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment | {"GROUNDUP_HOME": str(home)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield StudioProcess(json.loads(line)["url"], runs, files, home)
        process.terminate()
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, ""), f"it ended with {process.returncode}:\n{errors}"
    finally:
        process.kill()
        process.communicate()

"""The "accident" tier: a plain process with limits. It stops loops and runaway memory, not a program that means harm."""

from __future__ import annotations

import json
import os
import sys

from . import program
from .allowance import set_limits, write_files


def main(job_file: int, results: int) -> None:
    """Run one job read from a descriptor, in the current folder. results: -1 for none."""
    with open(job_file, "rb") as file:
        job = json.load(file)
    write_files(job["files"])
    # The process limit counts all of the user's processes, and would hit the wrong ones.
    set_limits(job["limits"], tasks=None)
    os.environ.clear()
    sys.path[:] = [*(path for path in sys.path if path), *job.get("packages", ())]
    program.run(job, results if results >= 0 else None)

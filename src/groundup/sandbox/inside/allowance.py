"""What both tiers give a program before it starts: its files and its rlimits."""

from __future__ import annotations

import math
import os
import resource
from typing import Any

_OPEN_FILES = 64


def write_files(files: dict[str, str]) -> None:
    """Put the job's files (relative name, content in Latin-1 so that any byte fits) into the working directory."""
    for name, content in files.items():
        if os.path.dirname(name):
            os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(content.encode("latin-1"))


def set_limits(limits: dict[str, Any], *, tasks: int | None) -> None:
    """The rlimits of one program. tasks: how many processes and threads its user may have, None to leave that alone."""
    cpu = max(1, math.ceil(limits["cpu_seconds"]))
    wanted = {
        resource.RLIMIT_CPU: (cpu, cpu + 1),
        resource.RLIMIT_AS: limits["memory_bytes"] // max(1, int(limits["processes"])),
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        # Not 0: a core_pattern that pipes ignores it, and would start a program of the host. The kernel takes 1 for "none at all".
        resource.RLIMIT_CORE: 1,
    }
    if tasks is not None:
        wanted[resource.RLIMIT_NPROC] = tasks
    for kind, value in wanted.items():
        soft, hard = value if isinstance(value, tuple) else (value, value)
        most = resource.getrlimit(kind)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(kind, (soft, hard))

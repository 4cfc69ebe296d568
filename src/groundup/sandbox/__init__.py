"""Runs programs nobody has read.

    outcome = run_python("print(6 * 7)", limits=Limits(seconds=2))

Two tiers. `isolated` (the default) needs Linux: own user, mount, pid, network, ipc and uts namespaces, an empty read-only file tree,
no capabilities, a system-call allow list, Landlock where there is, limits on time, memory, output, processes and files. `accident` is a
plain process with limits, for programs one trusts. A tier that is missing is refused with SandboxError, never replaced by a lesser one.

Left out: gVisor and virtual machines (a bug in the kernel's own system calls is not stopped here), packages other than the standard
library, several languages, files as outputs.
"""

from .comparing import as_source, same
from .limits import EndReason, Limits, Outcome, Tier
from .running import Evaluated, available_tiers, close, evaluate, require, run_python

__all__ = [
    "EndReason",
    "Evaluated",
    "Limits",
    "Outcome",
    "Tier",
    "as_source",
    "available_tiers",
    "close",
    "evaluate",
    "require",
    "run_python",
    "same",
]

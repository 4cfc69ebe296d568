"""The launcher: a bare interpreter that builds the sandbox once, then forks a confined process per program.

Processes, outer to inner:

    guard      started by the library; makes the namespaces, waits. When it dies, everything below dies with it.
    launcher   process 1 of its own namespaces (user, mount, pid, net, ipc, uts), its root the tree of `tree.py`. One program at a time.
      entry    per program: another user, mount, pid and ipc namespace, as an unprivileged user of the host
        init   process 1 of the program's pid namespace: the clock. When it ends, the kernel kills whatever the program left.
          program   no capabilities, Landlock, seccomp, rlimits, closed descriptors; runs the source (`program.py`)

The program is a fork, not a new interpreter: that is what makes a run cost milliseconds. The library speaks to the launcher over a
socket (`talk`); each job brings descriptors for its input and outputs. A closed socket ends the launcher, so it never outlives
the library.
"""

from __future__ import annotations

# Programs in Python import these again and again; loading them once here saves each run the time.
import array  # noqa: F401
import contextlib
import fcntl
import gc
import importlib
import json
import operator  # noqa: F401
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import kernel, landlock, program, seccomp, tree
from .allowance import set_limits, write_files

# The user that programs run as inside; which user of the host that is, see `_spare_identity`.
_INSIDE_ID = 1000
_MESSAGE_BYTES = 65536
_HIGH = 100  # descriptors are moved here while 0 to 3 are placed
_THREADS = 16
_WATCHERS = 2  # the entry process and init are the same user's as the program


def main(control: int, given: int) -> Callable[[], None] | None:
    """Serve jobs until the socket closes. Returns only in a process that is to run a program, with that program; and where the
    namespaces were refused, with None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the library's to handle
    channel = socket.socket(fileno=control)
    with open(given, "rb") as file:
        packages = json.load(file)
    try:
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        spare = _enter_namespaces(proc)
        launcher = os.fork()
    except OSError as error:
        _answer(channel, {"refused": f"{error.strerror}"})
        return None
    if launcher:
        channel.close()
        os.waitpid(launcher, 0)
        os._exit(0)
    try:
        kernel.die_with_parent()
        socket.sethostname("sandbox")
        tree.build(packages["paths"])
        if spare:
            os.setgroups([])
    except OSError as error:
        _answer(channel, {"refused": f"{error.strerror}"})
        return None
    try:
        # Loaded once here, a big package costs the programs nothing. It is the library's own installed code, not a program's.
        sys.path += [tree.PACKAGES] if packages["paths"] else []
        for name in packages["load"]:
            importlib.import_module(name)
    except Exception as error:
        _answer(channel, {"refused": f"{name} cannot be imported inside: {type(error).__name__}: {error}"})
        return None
    gc.freeze()  # what is loaded is never collected: a program's collector does not touch, and so copy, these pages
    _answer(channel, {"ready": True, "landlock": landlock.version()})
    return _serve(channel, proc, spare)


def _answer(channel: socket.socket, message: dict[str, Any]) -> None:
    channel.send(json.dumps(message).encode())


# ---------------------------------------------------------------------------------------------------------- namespaces


def _enter_namespaces(proc: int) -> bool:
    """New namespaces for what is started from here on. True where programs get a user of their own on the host.

    A process with the right to (root) maps a second, unused user, so that programs are not the host's root and count
    against their own process limit. Others map themselves alone.
    """
    user, group = os.geteuid(), os.getegid()
    spare = _spare_identity(proc) if user == 0 else None
    flags = kernel.NEW_USER | kernel.NEW_NS | kernel.NEW_PID | kernel.NEW_NET | kernel.NEW_IPC | kernel.NEW_UTS
    if spare is None:
        kernel.unshare(flags)
        _write_maps(proc, "self", f"{_INSIDE_ID} {user} 1", f"{_INSIDE_ID} {group} 1", deny_groups=True)
        return False
    # Two lines can only be written from outside the new namespace: by a helper that stays there.
    me, ready, done = os.getpid(), os.pipe(), os.pipe()
    helper = os.fork()
    if helper == 0:
        try:
            os.read(ready[0], 1)
            _write_maps(
                proc, str(me), f"0 0 1\n{_INSIDE_ID} {spare} 1", f"0 0 1\n{_INSIDE_ID} {spare} 1", deny_groups=False
            )
            os.write(done[1], b"1")
        finally:
            os._exit(0)
    os.close(done[1])
    try:
        kernel.unshare(flags)
        os.write(ready[1], b"1")
        if os.read(done[0], 1) != b"1":
            raise OSError(1, "the user map of the new namespace could not be written")
    finally:
        for descriptor in (ready[0], ready[1], done[0]):
            os.close(descriptor)
        os.waitpid(helper, 0)
    return True


def _spare_identity(proc: int) -> int | None:
    """A user number that is mapped here and that no account is likely to have; None where only one user is mapped."""
    with open(os.open("self/uid_map", os.O_RDONLY, dir_fd=proc)) as file:
        extents = [tuple(map(int, line.split())) for line in file]
    first, _, length = max(extents, key=lambda extent: extent[2])
    if length < 1000:
        return None
    # Below 2^31, above what distributions give to people, services and subordinate ranges.
    return min(first + length - 2, 2_000_000_000) - os.getpid() % 500


def _write_maps(proc: int, who: str, users: str, groups: str, *, deny_groups: bool) -> None:
    texts = [("setgroups", "deny")] if deny_groups else []
    for name, text in [*texts, ("uid_map", users), ("gid_map", groups)]:
        try:
            descriptor = os.open(f"{who}/{name}", os.O_WRONLY, dir_fd=proc)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise OSError(error.errno, f"writing {name}: {error.strerror}") from error


# --------------------------------------------------------------------------------------------------------------- serving


def _serve(channel: socket.socket, proc: int, spare: bool) -> Callable[[], None]:
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 5)
        if not message:
            os._exit(0)
        if message != b"run":
            continue  # "kill" for a program that has just ended
        report, write_report = os.pipe()
        entry = os.fork()
        if entry == 0:
            channel.close()
            os.close(report)
            return _enter(descriptors, write_report, proc, spare)
        os.close(write_report)
        for descriptor in descriptors:
            os.close(descriptor)
        alive = _watch(channel, entry)
        with open(report, "rb") as file:
            text = file.read()
        if not alive:
            os._exit(0)
        _answer(channel, json.loads(text) if text else {"killed": True})


def _watch(channel: socket.socket, entry: int) -> bool:
    """Wait for the end of one run; a "kill" ends it, a closed socket ends everything (False)."""
    handle = os.pidfd_open(entry)
    alive = True
    try:
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        waiting.register(channel, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in waiting.poll()}
            if handle in ready:
                break
            alive = bool(channel.recv(_MESSAGE_BYTES))
            os.kill(entry, signal.SIGKILL)
            if not alive:
                break
    finally:
        os.close(handle)
        # Where the entry process was killed, init falls to us and dies a moment later: wait for both, so that nothing of
        # the program is left when the answer is given.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    return alive


# ---------------------------------------------------------------------------------------------------------- one program


def _enter(descriptors: list[int], report: int, proc: int, spare: bool) -> Callable[[], None]:
    """In the entry process: from a job's descriptors (job, stdin, stdout, stderr, results) to the confined program."""
    try:
        with open(descriptors[0], "rb") as file:
            job = json.load(file)
        if spare:
            os.setresgid(_INSIDE_ID, _INSIDE_ID, _INSIDE_ID)
            os.setresuid(_INSIDE_ID, _INSIDE_ID, _INSIDE_ID)
        kernel.set_dumpable(True)  # changing user took it away, and with it the right to write the maps
        kernel.unshare(kernel.NEW_USER | kernel.NEW_NS | kernel.NEW_PID | kernel.NEW_IPC)
        one = f"{_INSIDE_ID} {_INSIDE_ID} 1"
        _write_maps(proc, "self", one, one, deny_groups=True)
        kernel.set_dumpable(False)
        os.close(proc)
        living, go = os.pipe(), os.pipe()
        init = os.fork()
    except BaseException as error:
        _failed(report, error)
    if init:
        # init arms its death with ours first, and only then is told to go on: no run can be left over.
        os.close(living[1])
        os.close(go[0])
        if os.read(living[0], 1):
            os.write(go[1], b"1")
        os.close(report)
        os.waitpid(init, 0)
        os._exit(0)
    try:
        os.close(living[0])
        os.close(go[1])
        kernel.die_with_parent()
        os.write(living[1], b"1")
        if not os.read(go[0], 1):
            os._exit(1)
        os.close(living[1])
        os.close(go[0])
        size = job["limits"]["file_bytes"]
        kernel.mount(
            "tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"size={size},nr_inodes=2048,mode=700"
        )
        os.chdir("/tmp")
        write_files(job["files"])
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        rules = seccomp.build(forks=job["limits"]["processes"] > 1)
        started = time.monotonic()
        child = os.fork()
    except BaseException as error:
        _failed(report, error)
    if child:
        # The outputs must end with the program, not with its watcher.
        os.closerange(0, report)
        os.closerange(report + 1, report + 256)
        _report_end(child, report, started, job["limits"]["seconds"])
    try:
        results, report = _place_descriptors(descriptors, report)
        _confine(job["limits"], rules)
    except BaseException as error:
        _failed(report, error)
    os.close(report)
    return lambda: program.run(job, results)


def _failed(report: int, error: BaseException) -> NoReturn:
    reason = getattr(error, "strerror", None) or repr(error)
    os.write(report, json.dumps({"failed": reason}).encode())
    os._exit(1)


def _report_end(child: int, report: int, started: float, seconds: float) -> NoReturn:
    """In init: wait for the program, no longer than its time, and say how it ended. The orphans it left are reaped too."""
    end, ended_by = started + seconds, "exit"
    status, usage = 0, resource.getrusage(resource.RUSAGE_CHILDREN)
    while True:
        left = end - time.monotonic()
        if left <= 0 and ended_by == "exit":
            ended_by = "clock"
            os.kill(child, signal.SIGKILL)
        if ended_by == "exit":
            signal.sigtimedwait([signal.SIGCHLD], left)
        pid, status, usage = os.wait4(-1, os.WNOHANG if ended_by == "exit" else 0)
        while pid and pid != child:
            pid, status, usage = os.wait4(-1, os.WNOHANG if ended_by == "exit" else 0)
        if pid == child:
            break
    message = {
        "ended_by": ended_by,
        "status": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
    }
    os.write(report, json.dumps(message).encode())
    os._exit(0)


def _place_descriptors(descriptors: list[int], report: int) -> tuple[int | None, int]:
    """Standard streams to 0, 1, 2 and the results, if asked for, to 3; the report stays open, every other descriptor is closed.

    Returns (results, report).
    """
    # Moved up first, so that placing one cannot close another.
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH) for descriptor in (*descriptors[1:], report)]
    kept = high.pop()
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number, inheritable=True)
        os.close(descriptor)
    os.closerange(len(high), kept)
    os.closerange(kept + 1, kept + 256)
    return (3 if len(high) > 3 else None), kept


def _confine(limits: dict[str, Any], rules: bytes) -> None:
    """The last steps before the program, each of which cannot be taken back by it."""
    os.setsid()
    processes = int(limits["processes"])
    # Threads share their process's memory limit, processes do not: each gets its part of the whole.
    set_limits(limits, tasks=_WATCHERS + (processes if processes > 1 else _THREADS))
    os.environ.clear()
    os.environ.update(HOME="/tmp", TMPDIR="/tmp", LANG="C.UTF-8")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    kernel.drop_capabilities()
    kernel.no_new_privileges()
    landlock.restrict(("/tmp", "/dev/null"))
    seccomp.install(rules)

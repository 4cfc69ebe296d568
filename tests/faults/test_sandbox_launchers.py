"""The sandbox's own processes killed, starved, forked and refused: the library never hangs, never leaves processes behind and never runs a
program at a lesser tier."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from groundup.core.errors import SandboxError
from groundup.sandbox import Limits, available_tiers, close, launchers, require, run_python

pytestmark = [pytest.mark.row("12.3"), pytest.mark.faults]

SOURCE = str(Path(__file__).resolve().parents[2] / "src")


@pytest.fixture
def isolated() -> None:
    if missing := available_tiers()["isolated"]:
        pytest.skip(f"the isolated tier is not to be had here: {missing}")


def own_launchers() -> list[psutil.Process]:
    """This process's launchers, and not a browser or server that another test has left running."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "inside.launcher" in " ".join(child.cmdline()):
                found.append(child)
    return found


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def in_new_user_namespace(program: str, *, prepare: str = "") -> subprocess.CompletedProcess[str]:
    """Run a Python program as an ordinary user (1000, no rights) of a user namespace of its own; `prepare` runs with rights in it."""
    outer = (
        "import os, sys\n"
        "from groundup.sandbox.inside import kernel\n"
        "user, group = os.geteuid(), os.getegid()\n"
        "kernel.unshare(kernel.NEW_USER)\n"
        "open('/proc/self/setgroups', 'w').write('deny')\n"
        "open('/proc/self/uid_map', 'w').write(f'1000 {user} 1')\n"
        "open('/proc/self/gid_map', 'w').write(f'1000 {group} 1')\n"
        f"{prepare}\n"
        f"os.execv(sys.executable, [sys.executable, '-c', {program!r}])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", outer],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )


def test_ordinary_user_gets_the_same_wall(isolated: None) -> None:
    program = (
        "import os\n"
        "from groundup.sandbox import run_python\n"
        "assert os.getuid() == 1000\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "assert int(status['CapEff'], 16) == 0\n"
        "o = run_python('import os; print(os.getuid(), os.getpid()); open(\"/etc/passwd\")')\n"
        "print(o.reason, o.tier, o.stdout.strip(), o.stderr.strip().splitlines()[-1])\n"
        "print(run_python('import socket; socket.socket()').stderr.strip().splitlines()[-1])\n"
        "print(run_python('import threading, time\\nwhile True: threading.Thread(target=time.sleep, args=(1,), daemon=True).start()')"
        ".stderr.strip().splitlines()[-1])\n"
    )
    done = in_new_user_namespace(program)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("error isolated 1000 2 FileNotFoundError"), lines
    assert "PermissionError" in lines[1]
    assert "can't start new thread" in lines[2]


def test_missing_namespaces_are_refused_and_nothing_lesser_runs(isolated: None) -> None:
    """A system that allows no further user namespace, as many containers do."""
    program = (
        "from groundup.core.errors import SandboxError\n"
        "from groundup.sandbox import available_tiers, evaluate, require, run_python\n"
        "for call in (lambda: require('isolated'), lambda: run_python('print(1)'), lambda: evaluate('', ['1'])):\n"
        "    try:\n"
        "        print('RAN', call())\n"
        "    except SandboxError as error:\n"
        "        print('refused', 'unshare' in error.message, 'userns' in error.hint)\n"
        "tiers = available_tiers()\n"
        "print(bool(tiers['isolated']), tiers['accident'] == '')\n"
        "print(run_python('print(6 * 7)', tier='accident').tier)\n"
    )
    prepare = "open('/proc/sys/user/max_user_namespaces', 'w').write('0')"
    done = in_new_user_namespace(program, prepare=prepare)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["refused True True"] * 3 + ["True True", "accident"]


def test_unknown_tier_is_refused() -> None:
    for call in (lambda: require("none"), lambda: run_python("print(1)", tier="none")):  # type: ignore[arg-type]
        with pytest.raises(SandboxError, match="no sandbox tier 'none'"):
            call()


def test_killed_launcher_is_an_error_for_its_run_and_replaced_for_the_next(isolated: None) -> None:
    run_python("pass")
    close()
    killed = []

    def kill_it() -> None:
        while not (found := own_launchers()) or len(below(found[0].pid)) < 4:
            pass
        killed.extend(below(found[0].pid))
        os.kill(found[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_it)
    killer.start()
    with pytest.raises(SandboxError, match="ended unexpectedly"):
        run_python("while True: pass", limits=Limits(seconds=60, cpu_seconds=60))
    killer.join()
    _gone, alive = psutil.wait_procs(killed, timeout=30)
    assert not alive, "processes of a killed launcher went on"
    assert run_python("print(6 * 7)").stdout == "42\n"


def test_idle_launcher_killed_between_runs(isolated: None) -> None:
    run_python("pass")
    for launcher in launchers.idle()._launchers:
        launcher._process.kill()
        launcher._process.wait()
    assert run_python("print(6 * 7)").stdout == "42\n"


def test_nothing_outlives_the_library(isolated: None, tmp_path: Path) -> None:
    """The library's process is killed in the middle of a run: launcher, guard and program go with it."""
    program = (
        "import threading, time\n"
        "from groundup.sandbox import Limits, run_python\n"
        "run_python('pass')\n"
        "print('ready', flush=True)\n"
        "run_python('while True: pass', limits=Limits(seconds=500, cpu_seconds=500))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": SOURCE}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    while len(processes := below(process.pid)) < 5:  # guard, launcher, entry, init, program
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive


def test_library_that_ends_cleanly_leaves_nothing(isolated: None) -> None:
    program = (
        "import psutil\nfrom groundup.sandbox import run_python\nrun_python('pass')\n"
        "print(*[p.pid for p in psutil.Process().children(recursive=True)])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2 and not any(psutil.pid_exists(pid) for pid in pids)


def test_fork_of_the_library_starts_launchers_of_its_own(isolated: None) -> None:
    program = (
        "import os\nfrom groundup.sandbox import launchers, run_python\nrun_python('pass')\n"
        "mine = launchers.idle()._launchers[0]._process.pid\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    ok = run_python('print(6 * 7)').stdout == '42\\n' and launchers.idle()._launchers[0]._process.pid != mine\n"
        "    launchers.idle().close()\n"
        "    os._exit(0 if ok else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert run_python('print(6 * 7)').stdout == '42\\n' and launchers.idle()._launchers[0]._process.pid == mine\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert done.returncode == 0, done.stderr


def test_many_threads_at_once(isolated: None) -> None:
    """Runs that end well, badly and by time, side by side: each gets its own answer."""

    def one(i: int) -> bool:
        if i % 8 == 7:
            return run_python("while True: pass", limits=Limits(seconds=20, cpu_seconds=1)).reason == "timeout"
        outcome = run_python(f"print({i} * 2); raise SystemExit({i % 3})")
        return outcome.stdout == f"{i * 2}\n" and outcome.returncode == i % 3

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(one, range(48)))
    assert len(launchers.idle()._launchers) <= 6


def test_a_run_in_the_middle_of_an_interrupt_does_not_poison_the_next(isolated: None) -> None:
    """Ctrl-C while a program runs: its launcher is ended, not given to the next run with the old answer in its socket."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            run_python("import time; time.sleep(30); print('old')", limits=Limits(seconds=60))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert run_python("print('new')").stdout == "new\n"

"""A lab's page, drawn by marimo: the command that shows it, and a process of its own for whoever shows several.

`python -m groundup.learn.lab_page run FILE PORT` is that process. The first line of its standard input is the token that the page asks
for: an argument could be read by everybody on the machine. When standard input ends, which it does when the process that began this one
is gone, however it went, this one ends with everything that it began.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def marimo_line(mode: str, path: str, *options: str) -> list[str]:
    """Arguments of marimo for a page on this machine's loopback alone. mode: run (to use it) or edit (with its code).

    Sets an environment variable: a lab begins with its first question, not with a button to run its cells.
    """
    os.environ.setdefault("_MARIMO_CONFIG_OVERLOAD_RUNTIME_AUTO_INSTANTIATE", "true")
    unasked = ["--skip-update-check"] if mode == "edit" else []
    return ["marimo", mode, path, "--host", "127.0.0.1", *unasked, *options]


def main(mode: str, path: str, port: str) -> None:
    token = sys.stdin.readline().strip()
    threading.Thread(target=_end_with_input, daemon=True, name="end-with-input").start()
    options = ["--port", port, "--headless", "--token", "--token-password", token]
    sys.argv = marimo_line(mode, path, *options)
    runpy.run_module("marimo", run_name="__main__", alter_sys=True)


def _end_with_input() -> None:
    while sys.stdin.read(4096):
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGTERM)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

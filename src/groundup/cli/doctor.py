"""`groundup doctor`: find what is broken in this installation, and name the fix.

Only the standard library is imported before a check has passed, so that it runs where nothing else does.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from .output import json_option, print_json

MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 3 << 30
MIN_MEMORY_BYTES = 4 << 30

Finding = tuple[str, str, str]
"""state (ok, warning, broken), what was found, the fix"""


def check_python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < MIN_PYTHON:
        return "broken", f"Python {version}; 3.11 or newer is needed", "make quickstart PY=python3.11"
    return "ok", f"Python {version}", ""


def check_torch() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return "broken", "torch is not installed", "make quickstart, or: pip install torch==2.13.0"
    try:
        import torch
    except Exception as error:
        return "broken", f"torch fails on import: {error}", "rm -rf .venv && make quickstart"
    return "ok", f"torch {torch.__version__}, {torch.get_num_threads()} threads", ""


def check_packages() -> Finding:
    needed = ("numpy", "numba", "safetensors", "regex", "jinja2", "pydantic", "yaml", "click", "rich", "matplotlib")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        return "broken", f"not installed: {', '.join(missing)}", "pip install groundup"
    return "ok", "all required packages are installed", ""


def check_extras() -> Finding:
    extras = {"data": ("pyarrow", "selectolax"), "serve": ("fastapi", "uvicorn", "nicegui")}
    missing = [extra for extra, names in extras.items() if any(importlib.util.find_spec(n) is None for n in names)]
    if missing:
        return "warning", f"extras not installed: {', '.join(missing)}", f"pip install 'groundup[{','.join(missing)}]'"
    return "ok", "extras data and serve are installed", ""


def check_compiler() -> Finding:
    if any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name):
        return "ok", "a C++ compiler is there for torch.compile", ""
    return (
        "warning",
        "no C++ compiler: training runs uncompiled, slower",
        "apt-get install g++ (or xcode-select --install)",
    )


def check_disk() -> Finding:
    where = Path.cwd()
    free = shutil.disk_usage(where).free
    if free < MIN_FREE_BYTES:
        return (
            "broken",
            f"{free / 2**30:.1f} GiB free at {where}; 3 GiB are needed",
            "free some space, or use --out on another disk",
        )
    return "ok", f"{free / 2**30:.0f} GiB free", ""


def check_memory() -> Finding:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return "ok", "memory unknown", ""
    if total < MIN_MEMORY_BYTES:
        return (
            "warning",
            f"{total / 2**30:.1f} GiB of memory; the quickstart uses up to 4",
            "model.num_hidden_layers=4 base.batch_size=8",
        )
    return "ok", f"{total / 2**30:.0f} GiB of memory", ""


def check_writable() -> Finding:
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()):
            pass
    except OSError as error:
        return (
            "broken",
            f"{Path.cwd()} cannot be written: {error.strerror}",
            "cd to a folder of yours, or --out elsewhere",
        )
    return "ok", "the current folder can be written", ""


def check_home() -> Finding:
    """Numba and torch.compile keep what they compiled in caches."""
    caches = {
        "NUMBA_CACHE_DIR": Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parents[1] / "tokenizers"),
        "TORCHINDUCTOR_CACHE_DIR": Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or tempfile.gettempdir()),
    }
    for variable, path in caches.items():
        near = next((p for p in (path, *path.parents) if p.exists()), Path("/"))
        if not os.access(near, os.W_OK):
            home = Path.home() if os.access(Path.home(), os.W_OK) else Path(tempfile.gettempdir())
            return (
                "warning",
                f"{near} is read-only: what is compiled is compiled again each time",
                f"export {variable}={home / '.cache' / 'groundup'}",
            )
    return "ok", "compilation caches can be written", ""


def check_locale() -> Finding:
    encoding = sys.stdout.encoding or "ascii"
    if encoding.lower().replace("-", "") != "utf8":
        return (
            "warning",
            f"the terminal's encoding is {encoding}: text may show as question marks",
            "export PYTHONUTF8=1",
        )
    return "ok", "the terminal takes UTF-8", ""


CHECKS: dict[str, Callable[[], Finding]] = {
    "python": check_python,
    "torch": check_torch,
    "packages": check_packages,
    "extras": check_extras,
    "compiler": check_compiler,
    "disk": check_disk,
    "memory": check_memory,
    "folder": check_writable,
    "caches": check_home,
    "terminal": check_locale,
}


def findings() -> Iterator[dict[str, Any]]:
    for name, check in CHECKS.items():
        try:
            state, found, fix = check()
        except Exception as error:
            state, found, fix = (
                "broken",
                f"the check failed: {type(error).__name__}: {error}",
                "rm -rf .venv && make quickstart",
            )
        yield {"check": name, "state": state, "found": found, "fix": fix}


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Find what is broken in this installation, and the command that fixes it. Exit code 1 if anything is.

    \b
    Examples:
      groundup doctor
      groundup doctor --json
    """
    rows = list(findings())
    broken = any(row["state"] == "broken" for row in rows)
    if as_json:
        print_json({"ok": not broken, "checks": rows})
    else:
        marks = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "broken": ("FIX", "red")}
        for row in rows:
            mark, colour = marks[row["state"]]
            click.echo(f"{click.style(f'{mark:>4}', fg=colour)}  {row['check']:<9} {row['found']}")
            if row["fix"]:
                click.echo(f"{'':>16} → {row['fix']}")
    if broken:
        sys.exit(1)

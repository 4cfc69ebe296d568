"""Runs one program the way `python program.py` would, in a process that is already confined.

A job is a dict: `source`, the `name` it sees as __name__, and optionally `expressions`, whose values are written to the
descriptor `results`, one JSON line each, after the program has run: ["value", encoded] or ["error", type, message]. Nothing in
the job is a secret: it holds no expected value, so that whatever a program does to this interpreter, the worst it can report is a
wrong answer.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import traceback
import types
from typing import Any

from .values import encode

FILENAME = "program.py"


def run(job: dict[str, Any], results: int | None) -> None:
    """Execute the job's source as __main__, then its expressions. Ends by SystemExit where the program failed."""
    source = str(job["source"])
    main = types.ModuleType(str(job["name"]))
    main.__dict__["__builtins__"] = __builtins__
    main.__dict__["__file__"] = FILENAME
    sys.modules["__main__"] = main
    sys.argv = [FILENAME]
    linecache.cache[FILENAME] = (len(source), None, source.splitlines(keepends=True), FILENAME)
    try:
        exec(compile(source, FILENAME, "exec", dont_inherit=True), main.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        _report(error)
        sys.exit(1)
    if results is not None:
        for expression in job.get("expressions", ()):
            line = json.dumps(_evaluate(str(expression), main.__dict__)) + "\n"
            data = line.encode()
            while data:
                data = data[os.write(results, data) :]
        os.close(results)


def _evaluate(expression: str, names: dict[str, Any]) -> list[Any]:
    try:
        return ["value", encode(eval(compile(expression, "<call>", "eval", dont_inherit=True), names))]
    except MemoryError:
        return ["error", "MemoryError", "out of memory"]
    except BaseException as error:
        return ["error", type(error).__name__, _message(error)]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except BaseException:
        return ""


def _report(error: BaseException) -> None:
    """The traceback on stderr, from the program's first line on."""
    here = error.__traceback__
    try:
        traceback.print_exception(type(error), error, here.tb_next if here else None)
    except BaseException as second:  # an exception whose own text fails
        os.write(2, f"{type(error).__name__} (its traceback could not be printed: {type(second).__name__})\n".encode())

"""What the sandbox adds to a program: `run_python` at each tier against a bare interpreter that is started to do nothing.

    python benchmarks/sandbox.py [--rounds 60] [--json]

The figure is the median of a run less the median of the bare interpreter (limit 30 ms). Programs are forks of a launcher that is
already there, so the isolated tier may come out below zero; its first run, which starts the launcher, is reported beside it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from measure import emit, interleave, machine_line, table

from groundup.sandbox import evaluate, run_python

LIMIT_SECONDS = 0.030
CALL = "def f(x):\n    return x + 1\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    start = time.perf_counter()
    assert run_python("print(6 * 7)").stdout == "42\n"
    first = time.perf_counter() - start
    assert run_python("print(6 * 7)", tier="accident").stdout == "42\n"
    bare = "python -I -S -c pass"
    timed = interleave(
        {
            bare: lambda: subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True),
            "isolated": lambda: run_python("pass"),
            "isolated, one call evaluated": lambda: evaluate(CALL, ["f(1)"]),
            "accident": lambda: run_python("pass", tier="accident"),
        },
        given.rounds,
        warm_up=2,
    )
    base = timed.timings[bare].median
    rows = [[name, t.median * 1000, t.best * 1000, (t.median - base) * 1000] for name, t in timed.timings.items()]
    text = (
        f"{machine_line()}\n{table(['run', 'median ms', 'best ms', 'added ms'], rows)}\n"
        f"first isolated run {first * 1000:.0f} ms; limit {LIMIT_SECONDS * 1000:.0f} ms added"
    )
    figures = {"machine": machine_line(), "first_s": first, "limit": LIMIT_SECONDS, **timed.as_json()}
    emit(figures, text, as_json=given.json)


if __name__ == "__main__":
    main()

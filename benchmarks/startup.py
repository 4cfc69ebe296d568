"""Seconds for `import groundup` and `groundup --help`, each in a fresh process: best and median of several.

python benchmarks/startup.py [--rounds 9] [--json]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from measure import emit, interleave, machine_line, table

LIMIT_SECONDS = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    program = str(Path(sys.executable).with_name("groundup"))

    def run(*command: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    timed = interleave(
        {
            "python -c pass": lambda: run(sys.executable, "-c", "pass"),
            "import groundup": lambda: run(sys.executable, "-c", "import groundup"),
            "groundup --help": lambda: run(program, "--help"),
            "groundup run --help": lambda: run(program, "run", "--help"),
        },
        given.rounds,
        warm_up=1,
    )
    rows = [[name, t.median, t.best] for name, t in timed.timings.items()]
    text = f"{machine_line()}\n{table(['command', 'median s', 'best s'], rows)}\nlimit {LIMIT_SECONDS} s"
    emit({"machine": machine_line(), "limit": LIMIT_SECONDS, **timed.as_json()}, text, as_json=given.json)


if __name__ == "__main__":
    main()

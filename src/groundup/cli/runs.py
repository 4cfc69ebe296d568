"""`groundup runs`: what has been run, from the runs' own records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .output import json_option, print_json, print_table


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("runs"))
@json_option
def command(directory: Path, as_json: bool) -> None:
    """List the runs under DIRECTORY (default: runs), or the stages of one run.

    \b
    Examples:
      groundup runs
      groundup runs runs/quickstart --json
    """
    from ..core.recipe import REPORT, read_report
    from ..core.runs import is_run, list_runs, read_run

    if is_run(directory):
        run = read_run(directory)
        if as_json:
            print_json(read_report(directory) if (directory / REPORT).is_file() else {"name": run.name, "stages": {}})
            return
        rows = [
            (name, stage["type"], stage["seconds"] or "", _headline(stage["figures"]))
            for name, stage in run.stages.items()
        ]
        rows += [(name, "", "", "going on" if run.is_live else "not finished") for name in run.unfinished]
        print_table(f"{run.name} in {directory}", ["stage", "type", "seconds", "figures"], rows)
        return
    runs = list_runs(directory)
    if as_json:
        print_json(
            {
                "runs": [
                    {"run": str(r.path), "name": r.name, "stages": list(r.stages), "unfinished": list(r.unfinished),
                     "seconds": round(r.seconds, 1)} for r in runs
                ]
            }
        )  # fmt: skip
        return
    listed = [(r.path, r.name, ", ".join(r.stages), ", ".join(r.unfinished), round(r.seconds, 1)) for r in runs]
    print_table(f"{len(runs)} runs in {directory}", ["run", "recipe", "done", "unfinished", "seconds"], listed)


def _headline(figures: dict[str, Any]) -> str:
    numbers = [(k, v) for k, v in figures.items() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return ", ".join(f"{key} {value:,.4g}" for key, value in numbers[:4])

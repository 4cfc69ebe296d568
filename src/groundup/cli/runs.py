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
    from ..core.errors import ArtifactError
    from ..core.recipe import REPORT, read_report

    if (directory / REPORT).is_file():
        report = read_report(directory)
        if as_json:
            print_json(report)
            return
        rows = [
            (name, stage["type"], stage["seconds"] or "", _headline(stage["figures"]))
            for name, stage in report["stages"].items()
        ]
        print_table(f"{report['name']} in {directory}", ["stage", "type", "seconds", "figures"], rows)
        return
    if not directory.is_dir():
        raise ArtifactError(f"{directory} does not exist", hint="groundup run recipes/quickstart.yaml")
    found = []
    for path in sorted(directory.iterdir()):
        if (path / REPORT).is_file():
            report = read_report(path)
            stages = report["stages"]
            seconds = sum(stage["seconds"] or 0 for stage in stages.values())
            partial = sorted(p.name.removesuffix(".partial") for p in path.glob("*.partial"))
            found.append(
                {
                    "run": str(path),
                    "name": report["name"],
                    "stages": list(stages),
                    "unfinished": partial,
                    "seconds": round(seconds, 1),
                }
            )
    if as_json:
        print_json({"runs": found})
        return
    listed = [(r["run"], r["name"], ", ".join(r["stages"]), ", ".join(r["unfinished"]), r["seconds"]) for r in found]
    print_table(f"{len(found)} runs in {directory}", ["run", "recipe", "done", "unfinished", "seconds"], listed)


def _headline(figures: dict[str, Any]) -> str:
    numbers = [(k, v) for k, v in figures.items() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return ", ".join(f"{key} {value:,.4g}" for key, value in numbers[:4])

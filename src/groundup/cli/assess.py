"""`groundup assess`: score your skills, get a path and the reasons for it."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json


@click.command()
@click.option(
    "--from", "file", type=click.Path(path_type=Path), help="A YAML or JSON file: {goal: ..., python: 3, ...}."
)
@click.option("--goal", help="learn, build, apps or research; asked for where it is missing.")
@json_option
def command(file: Path | None, goal: str | None, as_json: bool) -> None:
    """Answer a few questions (or give a file), and see which path through the roadmap fits, and why.

    \b
    Examples:
      groundup assess
      groundup assess --from me.yaml --json
    """
    from ..learn.assessment import GOALS, recommend
    from ..learn.paths import load_paths

    scores: dict[str, int] = {}
    if file is not None:
        from ..core.config import read_yaml

        scores = dict(read_yaml(file))
        said = str(scores.pop("goal", "learn"))
        goal = goal or said
    else:
        click.echo("Score each from 1 (never used it) to 5 (expert). Nothing here shuts a door.", err=as_json)
        for name, skill in load_paths().skills.items():
            scores[name] = click.prompt(f"  {skill.title}", type=click.IntRange(1, 5), default=1, err=as_json)
        if goal is None:
            for key, words in GOALS.items():
                click.echo(f"  {key}: {words}", err=as_json)
            goal = click.prompt("Your goal", type=click.Choice(list(GOALS)), default="learn", err=as_json)
    found = recommend(scores, goal)
    if as_json:
        print_json(
            {"path": found.path, "title": found.title, "why": list(found.why), "refreshers": list(found.refreshers)}
        )
        return
    click.echo(f"\n{found.title}")
    for reason in found.why:
        click.echo(f"  {reason}")
    if found.refreshers:
        click.echo("\nWorth a look before or beside it:")
        for line in found.refreshers:
            click.echo(f"  - {line}")
    click.echo(f"\n  groundup plan --path {found.path} --hours 6")

"""`groundup run`: a recipe, every stage that is not done yet, to a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .output import json_option, print_json, progress_for


def recipe_options(function: Any) -> Any:
    """The flags of `run` and `train`; everything else is an override of the form key.path=value."""
    for option in reversed(
        (
            click.argument("recipe", type=click.Path(path_type=Path)),
            click.argument("overrides", nargs=-1),
            click.option(
                "--swap", "swaps", multiple=True, metavar="KEY=FILE.py:CLASS", help="Put your own part at a node."
            ),
            click.option(
                "--out", type=click.Path(path_type=Path), help="Run directory. Default: runs/<recipe's name>."
            ),
            click.option("--only", metavar="STAGE", help="Run this stage and what it reads, and no other."),
            click.option("--budget", help="Scale the recipe's time budget: 3m, 90s, 1h."),
            click.option("--dry-run", is_flag=True, help="Check everything, say what would run, run nothing."),
            click.option("--print", "print_only", is_flag=True, help="Print the resolved recipe as YAML and stop."),
            json_option,
        )
    ):
        function = option(function)
    return function


def execute(
    recipe: Path,
    overrides: tuple[str, ...],
    swaps: tuple[str, ...],
    out: Path | None,
    only: str | None,
    budget: str | None,
    dry_run: bool,
    print_only: bool,
    as_json: bool,
    *,
    only_training: bool,
) -> None:
    from dataclasses import replace

    from ..core.recipe import load_recipe, only_stage, run_recipe, stage_plan
    from .wiring import STAGES, open_model

    loaded = load_recipe(recipe, STAGES, overrides=overrides, swaps=swaps, budget=budget)
    if only is not None:
        loaded = only_stage(loaded, only)
    if only_training:
        names = list(loaded.stages)
        trained = [i for i, name in enumerate(names) if getattr(loaded.stages[name], "type", "") == "train"]
        if not trained:
            raise click.ClickException(f"{recipe} has no stage of type train")
        loaded = replace(loaded, stages={name: loaded.stages[name] for name in names[: trained[-1] + 1]})
    out = out or Path("runs") / loaded.name
    if print_only:
        _print_resolved(loaded.resolved(), as_json)
        return
    if dry_run:
        plan = stage_plan(loaded, out)
        if as_json:
            print_json({"out": str(out), "stages": plan})
        else:
            from .output import print_table

            rows = [(row["name"], row["type"], row["state"], row["key"][:12]) for row in plan]
            print_table(f"{loaded.name}: {loaded.description}", ["stage", "type", "state", "key"], rows)
            click.echo(f"would write to {out}; nothing was run")
        return
    progress = progress_for(as_json)

    def on_stage(name: str, state: str, figures: Mapping[str, Any]) -> None:
        mark = {"start": "▸", "cached": "✓", "done": "✓"}[state]
        note = {"start": "", "cached": " (done before)", "done": ""}[state]
        progress.say(f"{mark} {name}{note}")

    report = run_recipe(loaded, out, progress=progress, on_stage=on_stage, open_model=open_model)
    from ..evals.report import report_card, write_report_html

    page = write_report_html(out)
    if as_json:
        print_json({"out": str(out), "report": str(page), **report})
        return
    from rich.console import Console

    Console().print(report_card(report, out))


def _print_resolved(resolved: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(resolved)
        return
    import yaml

    click.echo(yaml.safe_dump(json.loads(json.dumps(resolved)), sort_keys=False, allow_unicode=True))


@click.command()
@recipe_options
def command(**given: Any) -> None:
    """Run a recipe: every stage that is not done yet, to a report.

    Killing it and running it again goes on where it was; finished stages are not run twice.

    \b
    Examples:
      groundup run recipes/quickstart.yaml
      groundup run recipes/quickstart.yaml data.source.path=~/notes --out runs/notes
      groundup run recipes/quickstart.yaml --budget 3m model.num_hidden_layers=4
      groundup run recipes/quickstart.yaml --swap model.block.mixer=mine.py:MyAttention
    """
    execute(**given, only_training=False)

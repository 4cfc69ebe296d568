"""`groundup check`: is it right, and if not, what is the first thing that is wrong."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from .output import json_option, print_json, printable


@click.command()
@click.argument("exercise_id")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--hint", "level", type=click.IntRange(1, 3), default=1, show_default=True, help="How much the hint tells."
)
@click.option("--seed", type=int, help="The same random cases again. Default: fresh ones.")
@click.option("--no-record", is_flag=True, help="Grade without writing it to your progress.")
@json_option
def command(exercise_id: str, file: Path, level: int, seed: int | None, no_record: bool, as_json: bool) -> None:
    """Grade FILE against exercise EXERCISE_ID: fresh random cases, gradients, growth, speed, in a process of its own.

    The exit code is 0 where it is right, 1 where it is not.

    \b
    Examples:
      groundup check 5.4 exercise_5_4.py
      groundup check 5.4 exercise_5_4.py --hint 3
    """
    from ..learn.exercises.grader import load_exercise
    from ..learn.exercises.work import check_file, swap_line
    from ..learn.progress import Progress

    exercise = load_exercise(exercise_id)
    verdict = check_file(exercise_id, file, seed=seed, level=level, record=None if no_record else Progress())
    command_line = swap_line(exercise, file)
    if as_json:
        print_json({**asdict(verdict), "swap": command_line if verdict.passed else ""})
    else:
        for name in verdict.held:
            click.echo(f"  ✔ {name}")
        if verdict.passed:
            figures = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in verdict.figures.items() if k != "seed")
            click.echo(f"right: {exercise.title} ({figures})")
            if command_line:
                click.echo(f"now in the real system:\n  {command_line}")
        else:
            click.echo(f"  ✘ {verdict.failed}")
            click.echo(printable("\n".join(f"      {line}" for line in verdict.message.splitlines())))
            if verdict.mistake:
                click.echo(f"  what it looks like: {verdict.mistake}")
            click.echo(f"  hint {level}: {verdict.hint}")
            if level < 3 and not verdict.mistake:
                click.echo(f"  more: groundup check {exercise_id} {file} --hint {level + 1}")
        if verdict.tier != "isolated":
            click.echo("  (this machine has no isolated sandbox: the file ran in a plain process with limits)")
    if not verdict.passed:
        sys.exit(1)

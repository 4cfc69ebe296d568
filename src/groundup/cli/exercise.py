"""`groundup exercise`: list the exercises, and write the file that one begins with."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json, print_table


@click.command()
@click.argument("action", type=click.Choice(["list", "start", "show"]), default="list")
@click.argument("exercise_id", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="File to write. Default: exercise_5_4.py in this folder.")
@json_option
def command(action: str, exercise_id: str | None, out: Path | None, as_json: bool) -> None:
    """Components to write yourself. `start` writes a file with the signature, the shapes and what is asked; `groundup check` grades it.

    \b
    Examples:
      groundup exercise list
      groundup exercise start 5.4
      groundup check 5.4 exercise_5_4.py
    """
    from ..learn.exercises import EXERCISES
    from ..learn.exercises.grader import load_exercise
    from ..learn.exercises.work import file_name, start_file
    from ..learn.progress import Progress

    if action == "list":
        passed = Progress().names("exercise")
        found = [load_exercise(name) for name in EXERCISES]
        if as_json:
            print_json(
                [
                    {"id": e.id, "row": e.row, "title": e.title, "entry": e.entry, "passed": e.id in passed}
                    for e in found
                ]
            )
        else:
            rows = [(e.id, "✔" if e.id in passed else "", e.title, e.entry, " ".join(e.packages)) for e in found]
            print_table("Exercises", ["", "", "to write", "name", "with"], rows)
        return
    if exercise_id is None:
        raise click.UsageError(f"which one? groundup exercise {action} 5.4 (groundup exercise list)")
    exercise = load_exercise(exercise_id)
    if action == "show":
        if as_json:
            print_json({"id": exercise.id, "title": exercise.title, "template": exercise.template, "swap": exercise.swap,
                        "checks": [check.name for check in exercise.checks], "sources": list(exercise.sources)})  # fmt: skip
        else:
            click.echo(exercise.template)
        return
    path = out or Path(file_name(exercise_id))
    start_file(exercise_id, path)
    if as_json:
        print_json({"id": exercise.id, "file": str(path)})
        return
    click.echo(f"wrote {path}: {exercise.title}. Fill it in, then:\n  groundup check {exercise_id} {path}")

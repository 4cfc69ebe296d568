"""`groundup lab`: open a lab in the browser, or run it without one and check its figures."""

from __future__ import annotations

import sys

import click

from .output import json_option, print_json, print_table


@click.command()
@click.argument("lab_id", required=False)
@click.option("--headless", is_flag=True, help="Run it without a page; exit 1 where a figure is outside its band.")
@click.option("--budget", help="Time for the heavy part: 60s, 2m. Default: what the lab says it takes.")
@click.option(
    "--choice", type=click.IntRange(0), help="With --headless: take this option (from 0 on) wherever one can be chosen."
)
@click.option("--app", "as_app", is_flag=True, help="Open it to be used, with the code hidden.")
@click.option("--port", type=int, help="Port of the page. Default: a free one.")
@json_option
def command(
    lab_id: str | None,
    headless: bool,
    budget: str | None,
    choice: int | None,
    as_app: bool,
    port: int | None,
    as_json: bool,
) -> None:
    """Open lab LAB_ID: predict, run, compare, change, explain. Without an id: list the labs.

    \b
    Examples:
      groundup lab
      groundup lab 3.2
      groundup lab 3.2 --headless --budget 60s
      groundup lab 7.4 --headless --choice 1
    """
    from ..learn.content import all_labs, lab, lab_facts
    from ..learn.progress import Progress

    if choice is not None and not headless:
        raise click.UsageError("--choice is for --headless; on the page you choose yourself")
    if lab_id is None:
        finished = Progress().names("lab")
        rows = [
            (name, "✔" if name in finished else "", lab_facts(name).title, str(path.parent.name))
            for name, path in all_labs().items()
        ]
        if as_json:
            print_json([{"id": r[0], "finished": bool(r[1]), "title": r[2], "chapter": r[3]} for r in rows])
        else:
            print_table("Labs", ["", "", "lab", "chapter"], rows)
        return
    path = lab(lab_id)
    from ..core.config import parse_duration
    from ..core.errors import MissingDependency

    try:
        import marimo  # noqa: F401
    except ImportError:
        raise MissingDependency("marimo", extra="learn", purpose="labs") from None
    if not headless:
        _open(path, as_app, port)
        return
    from ..learn.lab import run_headless

    ran = run_headless(path, budget_seconds=None if budget is None else parse_duration(budget), choice=choice)
    figures = list(ran.figures.values())
    outside = [f for f in figures if not f.inside and not f.timed]
    if as_json:
        print_json({"lab": lab_id, "title": ran.title, "choices": ran.choices, "figures": [
            {"name": f.name, "value": f.value, "band": [f.low, f.high], "inside": f.inside, "timed": f.timed, "unit": f.unit}
            for f in figures], "inside": not outside})  # fmt: skip
    else:
        print_table(f"Lab {lab_id}: {ran.title}", ["figure", "value", "from", "to", ""], [
            (f.name, f.value, f.low, f.high, "✔" if f.inside else "outside (timed)" if f.timed else "OUTSIDE") for f in figures
        ])  # fmt: skip
    if outside:
        sys.exit(1)


def _open(path: object, as_app: bool, port: int | None) -> None:
    """marimo's own page, on this machine only, in place of this process: what ends it ends the page."""
    import os

    from ..learn.lab_page import marimo_line

    options = [] if port is None else ["--port", str(port)]
    line = [sys.executable, "-m", *marimo_line("run" if as_app else "edit", str(path), *options)]
    sys.stdout.flush()
    os.execv(sys.executable, line)

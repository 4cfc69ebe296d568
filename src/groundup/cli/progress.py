"""`groundup progress`: what you have done, marked, exported, brought in, and as a page to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .output import json_option, print_json, print_table


@click.command()
@click.option("--done", multiple=True, metavar="ROW", help="Mark a row (5.4) or a capstone (P.7) as done.")
@click.option("--undo", multiple=True, metavar="ROW", help="Take such a mark back.")
@click.option("--export", "export_to", type=click.Path(path_type=Path), help="Write everything as JSON.")
@click.option("--import", "import_from", type=click.Path(path_type=Path), help="Add what an exported file holds.")
@click.option("--portfolio", type=click.Path(path_type=Path), help="Write a page (HTML) of what you have finished.")
@click.option("--run", "runs", multiple=True, type=click.Path(path_type=Path), help="A run to show in the portfolio.")
@click.option("--name", default="", help="Whose portfolio it is.")
@json_option
def command(
    done: tuple[str, ...], undo: tuple[str, ...], export_to: Path | None, import_from: Path | None, portfolio: Path | None,
    runs: tuple[Path, ...], name: str, as_json: bool,
) -> None:  # fmt: skip
    """Show exercises passed, labs finished, rows and capstones done, and how far along the plan that is.

    \b
    Examples:
      groundup progress
      groundup progress --done 0.1 --done P.1
      groundup progress --export mine.json
      groundup progress --portfolio me.html --name Ada --run runs/quickstart
    """
    from ..learn.progress import Progress
    from ..learn.projects import project
    from ..learn.roadmap import load_roadmap
    from ..learn.standing import next_step, rows_done

    progress = Progress()
    for mark, undone in [*((d, False) for d in done), *((u, True) for u in undo)]:
        if mark.startswith("P."):
            project(mark)
        else:
            load_roadmap().row(mark)
        progress.add("capstone" if mark.startswith("P.") else "row", mark, {"undone": True} if undone else {})
    added = progress.read_in(import_from) if import_from is not None else None
    written = progress.export(export_to) if export_to is not None else None
    if portfolio is not None:
        from ..learn.portfolio import write_portfolio

        write_portfolio(portfolio, progress, runs=runs, name=name)
    rows = sorted(rows_done(progress), key=lambda r: tuple(map(int, r.split("."))))
    total = sum(1 for _ in load_roadmap().rows())
    step = next_step(progress)
    found: dict[str, Any] = {
        "rows": rows,
        "of": total,
        "exercises": sorted(progress.names("exercise")),
        "labs": sorted(progress.names("lab")),
        "capstones": sorted(progress.names("capstone")),
        "next": step,
        "file": str(progress.path),
    }
    if as_json:
        extra = {"imported": added, "exported": written, "portfolio": str(portfolio) if portfolio else None}
        print_json({**found, **{k: v for k, v in extra.items() if v is not None}})
        return
    print_table("Progress", ["", "done", "which"], [
        ("rows", f"{len(rows)} of {total}", " ".join(rows)),
        ("exercises", len(found["exercises"]), " ".join(found["exercises"])),
        ("labs", len(found["labs"]), " ".join(found["labs"])),
        ("capstones", len(found["capstones"]), " ".join(found["capstones"])),
    ])  # fmt: skip
    for told, value in (("facts brought in", added), ("facts written out", written)):
        if value is not None:
            click.echo(f"{value} {told}")
    if portfolio is not None:
        click.echo(f"wrote {portfolio}")
    click.echo(step["told"])

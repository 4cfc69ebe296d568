"""`groundup data`: look into what the data stages made."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import click

from .output import json_option, print_json, print_table, printable


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--dropped", is_flag=True, help="List dropped documents with their reasons.")
@click.option("--reason", help="With --dropped: only those whose reason holds this text.")
@click.option("--show", "document", metavar="ID", help="Print one document, token row or example.")
@click.option("--limit", type=click.IntRange(1), default=40, show_default=True, help="Rows of --dropped.")
@json_option
def command(path: Path, dropped: bool, reason: str | None, document: str | None, limit: int, as_json: bool) -> None:
    """Show the data of PATH, a run or one of its data directories: counts per step, what was dropped and why.

    \b
    Examples:
      groundup data runs/quickstart
      groundup data runs/quickstart/data --dropped --reason duplicate
      groundup data runs/quickstart/data --show json/decoder.py --json
    """
    from ..data.summary import data_directories, dropped_documents, show_document, summarise, summary_page

    directories = data_directories(path)
    first = next(iter(directories.values()))
    if dropped or reason is not None:
        rows = list(islice(dropped_documents(first, reason), limit))
        if as_json:
            print_json({"directory": str(first), "dropped": rows})
            return
        print_table(f"dropped from {first}", ["id", "reason"], [(r["id"], r["reason"]) for r in rows])
        return
    if document is not None:
        found = show_document(first, document)
        if as_json:
            print_json(found)
        else:
            for key, value in found.items():
                click.echo(f"{key}: {printable(str(value))}")
        return
    if as_json:
        print_json({name: summarise(directory) for name, directory in directories.items()})
        return
    from rich.console import Console
    from rich.markdown import Markdown

    for directory in directories.values():
        Console().print(Markdown(summary_page(directory)))

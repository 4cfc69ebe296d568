"""`groundup data`: look into what the data stages made; `groundup data convert`: rows from one form to another."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import click

from .output import json_option, print_json, print_table, printable


class _WithConvert(click.Command):
    """`convert` in front is a command of its own; a directory of that name is ./convert."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        if args and args[0] == "convert":
            return convert.make_context(f"{info_name} convert", args[1:], *rest, **extra)
        return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(cls=_WithConvert)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--dropped", is_flag=True, help="List dropped documents with their reasons.")
@click.option("--reason", help="With --dropped: only those whose reason holds this text.")
@click.option("--show", "document", metavar="ID", help="Print one document, token row or example.")
@click.option("--limit", type=click.IntRange(1), default=40, show_default=True, help="Rows of --dropped.")
@json_option
def command(path: Path, dropped: bool, reason: str | None, document: str | None, limit: int, as_json: bool) -> None:
    """Show the data of PATH, a run or one of its data directories: counts per step, what was dropped and why.
    `groundup data convert IN OUT` is another command: see `groundup data convert --help`.

    \b
    Examples:
      groundup data runs/quickstart
      groundup data runs/quickstart/data --dropped --reason duplicate
      groundup data runs/quickstart/data --show json/decoder.py --json
      groundup data convert alpaca.json talks.jsonl --to messages
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


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="FORM", help="The form to write (below).")
@click.option("--from", "form", metavar="FORM", help="The form of IN; by default each row's fields tell it.")
@click.option("--column", "columns", multiple=True, metavar="NAME=FIELD", help="Read FIELD of the file as NAME.")
@click.option("--skip-errors", is_flag=True, help="Leave out rows that cannot be read or written; count and name them.")
@json_option
def convert(
    source: str, target: Path, to: str, form: str | None, columns: tuple[str, ...], skip_errors: bool, as_json: bool
) -> None:
    """Convert post-training rows of IN (a file, folder or quoted glob) to another form, into OUT.

    \b
    instruct:   alpaca, sharegpt, messages, prompt_completion, prompt_completion_text
    preference: preference, preference_text, preference_implicit, preference_implicit_text,
                dialogues (hh-rlhf), alpaca_preference, sharegpt_preference
    feedback:   feedback, feedback_text, feedback_messages
    Files:      .jsonl .ndjson .json, plain or .gz .bz2 .xz; .parquet

    Nothing is lost in silence: fields of your own are kept, and a row that FORM cannot hold is an error.

    \b
    Examples:
      groundup data convert alpaca.json talks.jsonl --to messages
      groundup data convert pairs.json pairs.parquet --from alpaca_preference --to preference
      groundup data convert dolly.jsonl.gz out.jsonl --to alpaca --column completion=answer
    """
    from ..data.convert import convert_rows

    renamed = {}
    for entry in columns:
        name, equals, old = entry.partition("=")
        if not (name and equals and old):
            raise click.UsageError(f"--column {entry}: write NAME=FIELD, for example completion=answer")
        renamed[name] = old
    done = convert_rows(source, target, to=to, form=form, columns=renamed, skip_errors=skip_errors)
    if as_json:
        print_json(done)
        return
    click.echo(f"{done['rows']:,} rows of {', '.join(done['from'])} written to {target} as {to}")
    for error in done["left_out_first"]:
        click.echo(printable(f"left out: {error}"), err=True)
    if done["left_out"]:
        click.echo(f"{done['left_out']:,} rows were left out", err=True)

"""`groundup`: finds the verb's file and runs it. Nothing heavy is imported before the verb is known."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from .. import __version__
from ..core.errors import GroundupError

VERBS = {
    "run": "Run a recipe: every stage that is not done yet, to a report.",
    "search": "Look for a recipe's best settings: grid, random or Bayesian.",
    "train": "Run a recipe up to its last training stage.",
    "eval": "Score any model on any text, or show a run's evaluation.",
    "chat": "Talk to a model in the terminal.",
    "generate": "Continue a prompt.",
    "predict": "Label texts, rows or images, or forecast, with a trained model.",
    "tokenizer": "Train a tokenizer, or see how one cuts a text.",
    "data": "Look into documents, token shards and instruction pairs.",
    "serve": "Serve a model with the OpenAI API and a chat page.",
    "studio": "Open the local page: roadmap, runs, tokens, attention, sampling, data, chat.",
    "roadmap": "The roadmap: chapters, rows, how far they work, what comes next.",
    "assess": "Score your skills; get a path and the reasons for it.",
    "plan": "Dates for a path, as a table, Markdown and a calendar.",
    "progress": "What you have done; export, import, portfolio.",
    "lab": "Open a lab, or run it without a page.",
    "exercise": "Components to write yourself: list them, start one.",
    "check": "Grade a component you wrote: right, or the first thing that is wrong.",
    "runs": "List runs and their figures.",
    "schema": "Print the JSON Schema of a recipe's stages.",
    "info": "Say what a model directory or run holds.",
    "calc": "Work out an expression.",
    "todo": "Keep a to-do list.",
    "doctor": "Find what is broken in this installation, and the fix.",
}


class Verbs(click.Group):
    """Commands by name from `groundup.cli.<verb>`, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = importlib.import_module(f"groundup.cli.{name}")
        return module.command  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from ..core.config import did_you_mean

            raise click.UsageError(f"{error.message} {did_you_mean(args[0], list(VERBS))}", ctx=ctx) from None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="groundup")
def cli() -> None:
    """The whole life of a language model: from raw text to a model you can talk to.

    \b
    Examples:
      groundup run recipes/quickstart.yaml
      groundup run recipes/quickstart.yaml data.source.path=~/notes --budget 3m
      groundup chat runs/quickstart
      groundup serve runs/quickstart
    """


def main() -> None:
    """Entry point: one line per error with the next command, exit codes as documented; no traceback for known errors."""
    debug = bool(os.environ.get("GROUNDUP_DEBUG"))
    wants_json = "--json" in sys.argv
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), "", error.exit_code, wants_json)
    except click.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except GroundupError as error:
        if debug:
            raise
        _fail(error.message if error.message == str(error) else str(error), error.hint, error.exit_code, wants_json)
    except ModuleNotFoundError as error:
        if debug:
            raise
        _fail(f"the package {error.name!r} is not installed", "groundup doctor", 3, wants_json)
    except OSError as error:
        if debug:
            raise
        _fail(
            f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}",
            "groundup doctor",
            1,
            wants_json,
        )


def _fail(message: str, hint: str, code: int, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"error": {"message": message, "hint": hint, "exit_code": code}}))
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"  try: {hint}" if not hint.endswith("?") else f"  {hint}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

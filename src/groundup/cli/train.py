"""`groundup train`: a recipe up to its last training stage."""

from __future__ import annotations

from typing import Any

import click

from .run import execute, recipe_options


@click.command()
@recipe_options
def command(**given: Any) -> None:
    """Run a recipe up to and including its last training stage, and stop before evaluation.

    \b
    Examples:
      groundup train recipes/shakespeare_char.yaml data.source.path=input.txt
      groundup train recipes/quickstart.yaml --budget 2m --json
    """
    execute(**given, only_training=True)

"""`groundup schema`: JSON Schema of recipes, for editors and for people."""

from __future__ import annotations

import click

from .output import json_option, print_json


@click.command()
@click.argument("stage", required=False)
@json_option
def command(stage: str | None, as_json: bool) -> None:
    """Print the JSON Schema of a whole recipe, or of one STAGE type.

    \b
    Examples:
      groundup schema > recipe.schema.json
      groundup schema train
    """
    import json

    from ..core.config import json_schema
    from ..core.recipe import recipe_schema, stage_class
    from .wiring import STAGES

    schema = recipe_schema(STAGES) if stage is None else json_schema(stage_class(stage, STAGES, path="schema"))
    if as_json:
        print_json(schema)
    else:
        click.echo(json.dumps(schema, indent=2))

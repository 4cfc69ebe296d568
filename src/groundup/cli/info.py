"""`groundup info`: what a model directory or run holds."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json, print_table


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--no-verify", is_flag=True, help="Do not hash the files.")
@json_option
def command(path: Path, no_verify: bool, as_json: bool) -> None:
    """Say what a model, a predictor or a run is: family, size, context, where it came from; check its files against their hashes.

    \b
    Examples:
      groundup info runs/quickstart
      groundup info ~/models/SmolLM-135M --json
    """
    from dataclasses import asdict

    from ..core.artifact import SEAL, identity, verify
    from ..core.errors import ArtifactError
    from ..models.facts import read_model_facts, resolve_model_directory
    from .wiring import open_predictor, predictor_directory

    try:
        directory = resolve_model_directory(path)
        facts = asdict(read_model_facts(directory))
    except ArtifactError:
        found = predictor_directory(path)
        if found is None:
            raise
        directory, facts = found, asdict(open_predictor(found).facts)
    facts["directory"] = str(directory)
    if (directory / SEAL).is_file():
        seal = verify(directory, contents=not no_verify)
        facts |= {"identity": identity(seal), "verified": not no_verify, "parents": dict(seal.parents)}
    else:
        facts["identity"] = None
    if as_json:
        print_json(facts)
        return
    print_table(
        "",
        ["fact", "value"],
        [(key.replace("_", " "), value) for key, value in facts.items() if value not in ((), None)],
    )

"""`groundup info`: what a model directory or run holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .output import json_option, print_json, print_table


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--no-verify", is_flag=True, help="Do not hash the files.")
@click.option(
    "--train", "batch", metavar="ROWSxTOKENS", help="Estimate the memory of a training step with AdamW, of all weights."
)
@json_option
def command(path: Path, no_verify: bool, batch: str | None, as_json: bool) -> None:
    """Say what a model, a predictor or a run is: family, size, context, where it came from; check its files against their hashes.

    \b
    Examples:
      groundup info runs/quickstart
      groundup info ~/models/SmolLM-135M --json
      groundup info ~/models/SmolLM-135M --train 8x512
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
    if batch is not None:
        facts["training_memory"] = _training_memory(directory, batch, as_json)
    if as_json:
        print_json(facts)
        return
    print_table(
        "",
        ["fact", "value"],
        [(key.replace("_", " "), value) for key, value in facts.items() if value not in ((), None)],
    )


def _training_memory(directory: Path, batch: str, as_json: bool) -> Any:
    """Bytes by part as a mapping, or in words; from the config alone, so that a model larger than this machine can be asked about."""
    import re

    from ..core.errors import ConfigError
    from ..models.decoder import swapped_parts
    from ..models.facts import read_model_config
    from ..models.families import read_config
    from ..train.memory import estimate_config
    from ..train.optim.build import AdamWConfig

    size = re.fullmatch(r"(\d+)x(\d+)", batch)
    if size is None or "0" in size.groups():
        raise ConfigError(f"--train {batch!r} is not of the form ROWSxTOKENS", hint="for example --train 8x512")
    config = read_config(read_model_config(directory))
    if swapped_parts(config):  # whose code is not run for a look
        raise ConfigError(f"{directory} has parts of a user's own, whose memory is not known without running them")
    made = estimate_config(config, int(size[1]), int(size[2]), optimizer=AdamWConfig(), dtype="bfloat16")
    return made.as_dict() if as_json else str(made)

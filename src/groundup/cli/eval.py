"""`groundup eval`: any model on any text, or the evaluation that a run already has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .opening import adapter_option, model_options, opened
from .output import json_option, print_json, print_table, progress_for


@click.command()
@model_options
@adapter_option
@click.option("--text", type=click.Path(path_type=Path), help="A text file, plain or .gz, .xz, .bz2.")
@json_option
def command(
    model: Path, swaps: tuple[str, ...], dtype: str, adapter: Path | None, text: Path | None, as_json: bool
) -> None:
    """Score MODEL (a model directory or a run) on a text file: bits per byte, and perplexity with its unit.

    Without --text: show the evaluation that the run MODEL already holds.

    \b
    Examples:
      groundup eval runs/quickstart --text README.md --json
      groundup eval runs/quickstart
    """
    if text is None:
        _show_stored(model, as_json)
        return
    from ..evals.text import read_text_file, text_score

    content = read_text_file(text)
    with opened(model, swaps, dtype, adapter=adapter) as engine:
        with progress_for(as_json).task(f"scoring {text.name}", len(content)) as bar:
            figures = text_score(engine, content, on_progress=bar.advance)
        name = engine.capabilities.model
    if as_json:
        print_json({"model": str(model), "text": str(text), **figures})
        return
    rows: list[Any] = [
        ("bits per byte", figures["bits_per_byte"]),
        (f"perplexity per {figures['unit']}", figures["perplexity"]),
        (f"{figures['unit']}s", figures["tokens"]),
        ("bytes", figures["bytes"]),
    ]
    print_table(f"{name} on {text}", ["figure", "value"], rows)


def _show_stored(run: Path, as_json: bool) -> None:
    from ..core.errors import ArtifactError
    from ..core.recipe import REPORT, read_report

    if not (run / REPORT).is_file():
        raise ArtifactError(f"{run} is no run with a report", hint=f"groundup eval {run} --text FILE")
    report = read_report(run)
    found = {name: s["figures"] for name, s in report["stages"].items() if s["type"] == "evaluate"}
    if not found:
        raise ArtifactError(f"{run} has no evaluation yet", hint=f"groundup eval {run} --text FILE")
    if as_json:
        print_json({"run": str(run), "evaluations": found})
        return
    for name, figures in found.items():
        rows = [
            (table["measure"], table["about"], row["name"], row["value"] if row["value"] is not None else "infinite")
            for table in figures.get("evaluations", [])
            for row in table["rows"]
        ]
        print_table(f"{run}: {name}", ["measure", "of", "who", "value"], rows)

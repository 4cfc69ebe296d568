"""`groundup predict`: a trained classifier, regressor or forecast on new input."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import click

from .output import json_option, print_json, print_table, show

_SHOWN_SCORES = 3


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1)
@click.option(
    "--input", "files", type=click.Path(path_type=Path), multiple=True,
    help="A file: .txt (a text a line), .csv, .tsv or .jsonl (a row each), .png or .pgm (an image). - reads lines of text.",
)  # fmt: skip
@json_option
def command(model: Path, inputs: tuple[str, ...], files: tuple[Path, ...], as_json: bool) -> None:
    """Say what MODEL (a run, or a directory of one) makes of each of the INPUTS.

    An input is a text, a row as a JSON object, an image as JSON numbers, or a series as JSON numbers, as the model was trained.

    \b
    Examples:
      groundup predict runs/spam "WINNER!! Claim your prize now" "see you at eight"
      groundup predict runs/house_prices --input houses.csv --json
      groundup predict runs/digits --input seven.png
    """
    from .wiring import open_predictor

    predictor = open_predictor(model)
    facts = predictor.facts
    given = [(text if facts.input == "text" else _parsed(text, facts.input)) for text in inputs]
    names = [_short(text) for text in inputs]
    for file in files:
        for name, value in _read(file, facts):
            given.append(value)
            names.append(name)
    if not given:
        raise click.UsageError(f"nothing to predict from: this model takes {facts.input}s; give INPUTS or --input FILE")
    made = predictor.predict(given)
    if as_json:
        rows = [
            {k: v for k, v in (("input", n), ("label", p.label), ("value", p.value), ("scores", dict(p.scores))) if v}
            | ({"value": p.value} if p.value is not None else {})
            for n, p in zip(names, made, strict=True)
        ]
        print_json({"model": str(model), "type": facts.kind, "unit": facts.unit, "predictions": rows})
        return
    table = [(name, p.label if p.label is not None else f"{show(p.value)} {facts.unit}".strip(), _told(p.scores))
             for name, p in zip(names, made, strict=True)]  # fmt: skip
    print_table(f"{facts.summary or facts.kind}", ["input", "prediction", "how sure"], table)


def _told(scores: Any) -> str:
    best = sorted(scores.items(), key=lambda item: -item[1])[:_SHOWN_SCORES]
    return "  ".join(f"{label} {score:.3f}" for label, score in best)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"


def _parsed(text: str, kind: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise click.UsageError(f"{_short(text)!r} is not JSON ({error.msg}); this model takes a {kind}") from None


def _read(file: Path, facts: Any) -> list[tuple[str, Any]]:
    """(name, input) of everything in a file."""
    from ..core.errors import DataError

    if str(file) == "-":
        return [(_short(line), line.rstrip("\n")) for line in sys.stdin if line.strip()]
    if not file.is_file():
        raise DataError(f"{file} is not a file")
    suffix = file.suffix.lower()
    if facts.input == "image":
        from ..data.images import read_image

        return [(file.name, read_image(file))]
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8: byte {error.start}", hint="iconv -f LATIN1 -t UTF-8") from None
    if suffix in (".csv", ".tsv"):
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ","))
        return [(f"row {n}", _input(row, facts, f"{file}, row {n}")) for n, row in enumerate(rows, start=1)]
    if suffix == ".jsonl":
        lines = [line for line in text.split("\n") if line.strip()]
        found = []
        for n, line in enumerate(lines, start=1):
            try:
                found.append((f"row {n}", _input(json.loads(line), facts, f"{file}, row {n}")))
            except json.JSONDecodeError as error:
                raise DataError(f"{file}, row {n}: not JSON: {error.msg}") from None
        return found
    if facts.input == "series":
        try:
            return [(file.name, [float(word) for word in text.split()])]
        except ValueError as error:
            raise DataError(f"{file}: {error}; a series is numbers, oldest first") from None
    return [(_short(line), line) for line in text.split("\n") if line.strip()]


def _input(row: Any, facts: Any, where: str) -> Any:
    """What the model takes, of a row of a table."""
    from ..core.errors import DataError

    if facts.input == "text":
        if isinstance(row, str):
            return row
        if isinstance(row, dict) and isinstance(row.get("text"), str):
            return row["text"]
        raise DataError(f"{where}: has no column 'text'", hint="name the column that holds the text: text")
    return row

"""`groundup generate`: continue a prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .opening import adapter_option, fitted, model_options, opened, plain_params, sampling_options, sampling_params
from .output import json_option, print_json, printable


@click.command()
@model_options
@adapter_option
@click.argument("prompt", default="-")
@sampling_options
@click.option("-n", "count", type=click.IntRange(1, 128), default=1, show_default=True, help="Completions to make.")
@json_option
def command(
    model: Path,
    swaps: tuple[str, ...],
    dtype: str,
    adapter: Path | None,
    prompt: str,
    count: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Continue PROMPT (or standard input) with MODEL, a model directory or a run.

    \b
    Examples:
      groundup generate runs/quickstart/base "def read_lines(" --max-tokens 80
      groundup generate runs/quickstart/base "def read_lines(" --swap sampler=mine.py:top_p --top-p 0.9
      echo "Once upon a time" | groundup generate runs/tinystories -n 3 --seed 1 --json
    """
    from dataclasses import replace

    from ..core.protocols import complete

    asked = sampling_params(given)
    params = plain_params(asked, swaps)
    text = sys.stdin.read() if prompt == "-" else prompt
    if prompt == "-":
        text = text.removesuffix("\n")

    def seeded(i: int) -> Any:
        return params if params.seed is None else replace(params, seed=params.seed + i)

    with opened(model, swaps, dtype, adapter=adapter, params=asked, max_batch_size=min(count, 16)) as engine:
        requests = [fitted(engine, text, seeded(i)) for i in range(count)]
        shown = "" if "rewrites" in engine.capabilities.abilities else text
        if as_json or count > 1:
            made = complete(engine, requests)
            if as_json:
                rows = [
                    {
                        "text": c.text,
                        "finish_reason": c.finish_reason,
                        "prompt_tokens": c.usage.prompt_tokens,
                        "completion_tokens": c.usage.completion_tokens,
                    }
                    for c in made
                ]
                print_json({"prompt": text, "completions": rows})
                return
            for i, completion in enumerate(made, 1):
                click.echo(f"--- {i}\n{shown}{printable(completion.text)}")
            return
        click.echo(shown, nl=False)
        for _, chunk in engine.generate(requests):
            click.echo(printable(chunk.text), nl=False)
        click.echo()

"""`groundup chat`: talk to a model in the terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from .opening import adapter_option, fitted, model_options, opened, plain_params, sampling_options, sampling_params
from .output import json_option, print_json, printable


@click.command()
@model_options
@adapter_option
@click.argument("message", required=False)
@click.option("--system", help="A system message to begin with.")
@sampling_options
@json_option
def command(
    model: Path,
    swaps: tuple[str, ...],
    dtype: str,
    adapter: Path | None,
    message: str | None,
    system: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Talk to MODEL, a model directory or a run. With MESSAGE: one answer, then end.

    In the conversation: /new starts over, /quit or Ctrl-D ends, Ctrl-C stops an answer.

    \b
    Examples:
      groundup chat runs/quickstart
      groundup chat runs/quickstart "Which module defines urlparse?" --temperature 0 --json
    """
    from ..core.errors import RequestError

    asked = sampling_params(given)
    params = plain_params(asked, swaps)
    opening: list[dict[str, str]] = [{"role": "system", "content": system}] if system else []
    with opened(model, swaps, dtype, adapter=adapter, params=asked, max_batch_size=1) as engine:
        if "chat" not in engine.capabilities.abilities:
            raise RequestError(
                f"{model} has no chat template: it continues text, it was not taught to answer",
                hint=f'groundup generate {model} "Once upon a time"',
            )
        if message is not None:
            answer, facts = _answer(engine, [*opening, {"role": "user", "content": message}], params, quiet=as_json)
            if as_json:
                print_json({"message": {"role": "assistant", "content": answer}, **facts})
            return
        click.echo(f"{engine.capabilities.model}: type a message; /new starts over, /quit ends", err=True)
        messages = list(opening)
        while True:
            try:
                text = click.prompt(click.style("you", fg="cyan"), prompt_suffix=" › ").strip()
            except (click.Abort, EOFError):
                click.echo(err=True)
                return
            if text in ("/quit", "/exit"):
                return
            if text == "/new":
                messages = list(opening)
                continue
            messages.append({"role": "user", "content": text})
            try:
                answer, facts = _answer(engine, messages, params, quiet=as_json)
            except RequestError as error:
                click.echo(f"error: {error}; starting over", err=True)
                messages = list(opening)
                continue
            messages.append({"role": "assistant", "content": answer})
            if as_json:
                print_json({"message": messages[-1], **facts})
            else:
                click.echo(
                    click.style(f"{facts['completion_tokens']} tokens, {facts['tokens_per_second']:.0f}/s", dim=True),
                    err=True,
                )


def _answer(engine: Any, messages: list[dict[str, str]], params: Any, *, quiet: bool) -> tuple[str, dict[str, Any]]:
    """Stream one answer; Ctrl-C stops it and keeps what there is."""
    request = fitted(engine, tuple(messages), params)
    pieces: list[str] = []
    start, usage, reason = time.perf_counter(), None, "cancelled"
    stream = engine.generate([request])
    try:
        for _, chunk in stream:
            pieces.append(chunk.text)
            if not quiet:
                click.echo(printable(chunk.text), nl=False)
            if chunk.finish_reason is not None:
                usage, reason = chunk.usage, chunk.finish_reason
    except KeyboardInterrupt:
        request.cancel.set()
        stream.close()
    if not quiet:
        click.echo()
    seconds = time.perf_counter() - start
    tokens = usage.completion_tokens if usage else 0
    facts = {
        "finish_reason": reason,
        "prompt_tokens": usage.prompt_tokens if usage else 0,
        "completion_tokens": tokens,
        "tokens_per_second": tokens / max(seconds, 1e-9),
    }
    return "".join(pieces), facts

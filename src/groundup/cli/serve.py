"""`groundup serve`: the OpenAI API and a chat page over any model."""

from __future__ import annotations

from pathlib import Path

import click

from .opening import adapters_option, model_options, opened
from .output import json_option, print_json


@click.command()
@model_options
@adapters_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Anything but loopback needs a key.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one.")
@click.option("--key-file", type=click.Path(path_type=Path), help="File with the API key; else GROUNDUP_API_KEY.")
@click.option("--name", default="", help="Model name that clients see.")
@click.option("--max-batch-size", type=click.IntRange(1, 512), default=16, show_default=True)
@click.option("--no-page", is_flag=True, help="The API only, no chat page at /.")
@json_option
def command(
    model: Path,
    swaps: tuple[str, ...],
    dtype: str,
    adapters: dict[str, Path],
    host: str,
    port: int,
    key_file: Path | None,
    name: str,
    max_batch_size: int,
    no_page: bool,
    as_json: bool,
) -> None:
    """Serve MODEL (a model directory or a run): /v1/chat/completions, /v1/completions, /v1/models, /health, a page at /.

    \b
    Examples:
      groundup serve runs/quickstart
      groundup serve runs/base --adapter french=runs/lora/model   (clients ask for the model "french")
      GROUNDUP_API_KEY=... groundup serve runs/quickstart --host 0.0.0.0 --port 8080
    """
    from ..core.errors import MissingDependency

    try:
        from ..server.config import ServerConfig, read_api_key
        from ..server.run import serve
    except ModuleNotFoundError as error:
        raise MissingDependency(str(error.name), extra="serve", purpose="the server") from None
    config = ServerConfig(host=host, port=port, api_key=read_api_key(key_file), model=name, chat_page=not no_page)

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url, "model": name or str(model)})
        else:
            click.echo(f"serving {model} at {url}  (chat page: {url}/, API: {url}/v1, Ctrl-C ends)")

    with opened(model, swaps, dtype, adapters=adapters, max_batch_size=max_batch_size) as engine:
        serve(engine, config, ready)

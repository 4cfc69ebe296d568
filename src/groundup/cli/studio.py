"""`groundup studio`: the local page over the roadmap, the runs and any model."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .output import json_option, print_json


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), default=Path("runs"))
@click.option(
    "--files", type=click.Path(path_type=Path, file_okay=False), default=Path("."), help="Folder of your exercises."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Anything but loopback needs a key.")
@click.option("--port", type=click.IntRange(0, 65535), default=8010, show_default=True, help="0: a free one.")
@click.option("--key-file", type=click.Path(path_type=Path), help="File with the key; else GROUNDUP_API_KEY.")
@click.option("--dtype", type=click.Choice(["auto", "bfloat16", "float32"]), default="auto", show_default=True)
@click.option(
    "--swap",
    "swaps",
    multiple=True,
    metavar="KEY=FILE.py:CLASS",
    help="A part of your own that a model in RUNS was trained with, and may be run.",
)
@click.option("--no-browser", is_flag=True, help="Print the address, open nothing.")
@json_option
def command(
    runs: Path, files: Path, host: str, port: int, key_file: Path | None, dtype: str, swaps: tuple[str, ...], no_browser: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Open the studio: roadmap, chapters and exercises, runs as they go, tokens, attention, sampling, data, chat.

    RUNS is the folder of the runs to show (default: runs). Nothing leaves this machine.

    \b
    Examples:
      groundup studio
      groundup studio runs --port 8020 --no-browser
    """
    from ..core.errors import MissingDependency

    try:
        from ..server.config import ServerConfig, read_api_key
        from ..server.run import serve_app
        from ..studio import StudioConfig, create_studio
        from ..studio.app import Openers
    except ModuleNotFoundError as error:
        raise MissingDependency(str(error.name), extra="serve", purpose="the studio") from None
    from .opening import trusted_parts
    from .wiring import machine_limits, open_inspector, open_model, open_tokenizer

    trusted = trusted_parts(swaps)
    server = ServerConfig(host=host, port=port, api_key=read_api_key(key_file))
    app = create_studio(
        StudioConfig(runs=runs.expanduser(), files=files.expanduser(), server=server),
        Openers(
            model=lambda path: open_model(path, trusted_parts=trusted, dtype=dtype),
            inspector=lambda path: open_inspector(path, trusted_parts=trusted),
            tokenizer=open_tokenizer,
            machine=machine_limits,
        ),
    )

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url, "runs": str(runs)})
        else:
            click.echo(f"the studio is at {url}  (Ctrl-C ends it)")
        if not no_browser and not as_json and sys.stdout.isatty():
            import webbrowser

            webbrowser.open(url)

    serve_app(app, server, ready)

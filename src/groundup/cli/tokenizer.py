"""`groundup tokenizer`: train one, or see how one cuts a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .output import json_option, print_json, print_table, printable, progress_for


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("text", required=False)
@click.option(
    "--train", "train_on", type=click.Path(path_type=Path), help="Train on this file or folder; save to PATH."
)
@click.option("--vocab-size", type=int, default=8192, show_default=True)
@click.option("--pattern", default="cl100k", show_default=True, help="gpt2, cl100k, o200k, or a regular expression.")
@click.option("--special", multiple=True, default=("<|endoftext|>",), show_default=True, help="Special tokens.")
@click.option("--file", type=click.Path(path_type=Path), help="Cut this file instead of TEXT.")
@json_option
def command(
    path: Path,
    text: str | None,
    train_on: Path | None,
    vocab_size: int,
    pattern: str,
    special: tuple[str, ...],
    file: Path | None,
    as_json: bool,
) -> None:
    """Show how the tokenizer at PATH (a directory, tokenizer.json or .tiktoken file) cuts TEXT, or train one there.

    \b
    Examples:
      groundup tokenizer runs/quickstart/tokenizer "def hello(name):"
      groundup tokenizer runs/quickstart/tokenizer --file README.md --json
      groundup tokenizer my-tokenizer --train ~/notes --vocab-size 4096
    """
    if train_on is not None:
        _train(path, train_on, vocab_size, pattern, special, as_json)
        return
    from dataclasses import asdict

    from ..evals.text import read_text_file
    from ..tokenizers import describe, load_tokenizer, measure

    tokenizer = load_tokenizer(path)
    if text is None:
        text = read_text_file(file) if file is not None else sys.stdin.read()
    figures = asdict(measure(tokenizer, text)) | {"vocab_size": tokenizer.vocab_size}
    spans = describe(tokenizer, text)
    if as_json:
        pieces = [] if file is not None else [{"id": s.token_id, "text": s.text} for s in spans]
        print_json({"tokenizer": str(path), **figures, "pieces": pieces})
        return
    if len(spans) <= 2000:
        _show_pieces(spans)
    print_table("", ["measure", "value"], list(figures.items()))


def _show_pieces(spans: Any) -> None:
    """The text with each piece on a colour of its own, and the ids beneath."""
    from rich.console import Console
    from rich.text import Text

    colours = ("on #d0e8ff", "on #ffe4c4", "on #d8f5d0", "on #f5d0f0", "on #fff3b0")
    shown = Text()
    for i, span in enumerate(spans):
        piece = printable(span.text).replace("\n", "⏎\n")
        shown.append(piece, style=f"black {colours[i % len(colours)]}")
    console = Console(highlight=False)
    console.print(shown)
    console.print(" ".join(str(s.token_id) for s in spans), style="dim", soft_wrap=True)


def _train(path: Path, source: Path, vocab_size: int, pattern: str, special: tuple[str, ...], as_json: bool) -> None:
    import time

    from ..data.sources import FilesSource
    from ..tokenizers import BPETokenizer, BPETrainConfig

    progress = progress_for(as_json)
    files = FilesSource(path=str(source))
    config = BPETrainConfig(vocab_size=vocab_size, pattern=pattern, special_tokens=special)
    start, size = time.perf_counter(), [0]

    def texts() -> Any:
        for document in files.documents():
            if document.dropped is None:
                size[0] += len(document.text.encode("utf-8", "surrogatepass"))
                yield document.text

    with progress.task("training tokenizer"):
        tokenizer = BPETokenizer.train(texts(), config)
    path.mkdir(parents=True, exist_ok=True)
    tokenizer.save(path)
    figures = {
        "tokenizer": str(path),
        "vocab_size": tokenizer.vocab_size,
        "bytes": size[0],
        "seconds": round(time.perf_counter() - start, 2),
    }
    if as_json:
        print_json(figures)
    else:
        print_table("trained", ["figure", "value"], list(figures.items()))

"""Opening a model for a verb: the path, the user's own parts it may use, and a clear line while it loads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_SAMPLER = "sampler="


def model_options(function: F) -> F:
    """MODEL, --swap and --dtype."""
    for option in (
        click.option("--dtype", type=click.Choice(["auto", "bfloat16", "float32"]), default="auto", show_default=True),
        click.option(
            "--swap", "swaps", multiple=True, metavar="KEY=FILE.py:CLASS",
            help="A part of your own that this model was trained with, and may be run; or sampler=FILE.py:NAME.",
        ),
        click.argument("model", type=click.Path(path_type=Path)),
    ):  # fmt: skip
        function = option(function)
    return function


def adapters_option(function: F) -> F:
    """--adapter NAME=DIR, any number: adapters that clients choose by name."""
    return click.option(
        "--adapter", "adapters", multiple=True, metavar="NAME=DIR", callback=_named,
        help="An adapter on the model, chosen by its name; may be given several times.",
    )(function)  # fmt: skip


def adapter_option(function: F) -> F:
    """--adapter DIR: one adapter that everything goes through."""
    return click.option(
        "--adapter", type=click.Path(path_type=Path), metavar="DIR", help="An adapter to put on the model."
    )(function)


def _named(context: Any, option: Any, given: tuple[str, ...]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for text in given:
        name, equals, directory = text.partition("=")
        if not (name and equals and directory):
            raise click.BadParameter(f"{text!r} is not NAME=DIR")
        if name in named:
            raise click.BadParameter(f"the name {name!r} is given twice")
        named[name] = Path(directory)
    return named


def trusted_parts(swaps: tuple[str, ...]) -> tuple[str, ...]:
    """The parts named by --swap, as a model records them: absolute `file.py:Name`."""
    parts = []
    for swap in swaps:
        if swap.startswith(_SAMPLER):
            continue
        file, _, name = swap.partition("=")[2].rpartition(":")
        parts.append(f"{Path(file).expanduser().resolve()}:{name}")
    return tuple(parts)


@contextmanager
def opened(
    model: Path, swaps: tuple[str, ...], dtype: str, *, adapter: Path | None = None, params: Any = None, **options: Any
) -> Iterator[Any]:
    """The engine over a model directory or run. adapter: the one that everything goes through. params: what a sampler of the
    user's is told (see `plain_params`)."""
    from .wiring import open_model

    parts = [swap.removeprefix(_SAMPLER) for swap in swaps if swap.startswith(_SAMPLER)]
    if parts:
        from ..core.config import Use
        from ..core.types import SamplingParams
        from ..engine.own_sampler import own_sampler

        options["samplers"] = [own_sampler(Use(use=part), params or SamplingParams()) for part in parts]
    if adapter is not None:
        options["default_adapter"] = adapter
    if dtype == "auto" and params is not None and params.seed is not None:
        dtype = "float32"  # which one is faster is measured, so it can come out otherwise: the same seed, another text
    engine = open_model(model, trusted_parts=trusted_parts(swaps), dtype=dtype, **options)
    try:
        yield engine
    finally:
        engine.close()


def sampling_options(function: F) -> F:
    """The flags of `chat` and `generate`, named as in the API."""
    for option in (
        click.option("--seed", type=int, help="The same seed gives the same text; --dtype auto is float32 then."),
        click.option("--stop", multiple=True, help="End before this text; may be given several times."),
        click.option(
            "--repetition-penalty", type=float, default=1.0, show_default=True, help="Above 1: less of what was said."
        ),
        click.option("--min-p", type=float, default=0.0, show_default=True),
        click.option("--top-p", type=float, default=0.95, show_default=True),
        click.option("--top-k", type=int, default=0, show_default=True, help="0 keeps all tokens."),
        click.option("--temperature", type=float, default=0.7, show_default=True, help="0 is greedy."),
        click.option("--max-tokens", type=int, default=200, show_default=True),
    ):
        function = option(function)
    return function


def fitted(engine: Any, prompt: Any, params: Any) -> Any:
    """The request with max_tokens cut to what the model's context leaves after the prompt."""
    from dataclasses import replace

    from ..core.types import Request

    room = engine.capabilities.max_context_tokens - len(engine.prompt_ids(Request(prompt=prompt)))
    return Request(prompt=prompt, params=replace(params, max_tokens=max(1, min(params.max_tokens, room))))


def plain_params(params: Any, swaps: tuple[str, ...]) -> Any:
    """`params` for requests: where a sampler of the user's decides, the built-in cuts and penalties are left out."""
    from dataclasses import replace

    if not any(swap.startswith(_SAMPLER) for swap in swaps):
        return params
    return replace(params, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0)


def sampling_params(given: dict[str, Any]) -> Any:
    """SamplingParams from the flags, which are taken out of `given`."""
    from ..core.types import SamplingParams

    names = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "stop")
    return SamplingParams(**{name: given.pop(name) for name in names})

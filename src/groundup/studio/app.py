"""The studio's app: the gate, the pages, and what they share.

Below the Generator waist, like the server: models, their insides and tokenizers are opened by functions that the composition root gives
(`Openers`). Pages only read artifacts; the only things written are the learner's files and progress.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from groundup.core.errors import GroundupError, MissingDependency
from groundup.server.config import ServerConfig

if TYPE_CHECKING:
    from fastapi import FastAPI

    from .models import OpenModels


class Inspector(Protocol):
    """A language model with its insides open. L layers, H heads, T positions."""

    def pieces(self, text: str) -> Sequence[str]:
        """The T tokens that the model reads `text` as, as text."""
        ...

    @property
    def heads(self) -> tuple[int, ...]:
        """How many heads each of the L layers has that can be looked into; 0 for a layer without attention."""
        ...

    def attention(self, text: str) -> Sequence[NDArray[np.float32]]:
        """L arrays [H, T, T]: how much position t (row) takes from position s (column). Rows sum to one."""
        ...

    def losses(self, text: str, *, without: Sequence[tuple[int, int]] = ()) -> NDArray[np.float32]:
        """[T - 1] nats for each next token, with the output of the heads (layer, head) in `without` set to zero."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Openers:
    """How a path becomes a model."""

    model: Callable[[Path], Any]
    """A run or model directory -> Generator (and Scorer) with `tokenizer`, `capabilities`, `prompt_ids` and `close()`."""
    inspector: Callable[[Path], Inspector]
    tokenizer: Callable[[Path], Any]
    """A run, tokenizer or model directory -> Tokenizer."""
    machine: Callable[[str], tuple[float, float]]
    """A dtype -> what this machine reaches: (FLOP/s of a matrix product, bytes/s from memory). Takes about a second."""


@dataclass(frozen=True, kw_only=True)
class StudioConfig:
    runs: Path = Path("runs")
    """Folder of the runs that are shown."""
    files: Path = Path(".")
    """Where the learner's own files are (exercises that were started)."""
    server: ServerConfig = ServerConfig(port=8010)


class Studio:
    """What the pages share."""

    def __init__(self, config: StudioConfig, openers: Openers) -> None:
        from .models import OpenModels

        self.config = config
        self.openers = openers
        self.models: OpenModels = OpenModels(openers.model, config.server)
        self.closing: list[Callable[[], None]] = []
        """What ends with the studio; each is called once, after the models have been let finish."""

    def close(self, grace_seconds: float) -> None:
        """Close everything that pages have opened. What is being generated ends with its model: `serve_app`'s grace is not waited for."""
        self.models.close()
        while self.closing:
            self.closing.pop()()

    def page(self, path: str, title: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare `build` as the page at `path`: it fills the frame's content. What it raises of our errors is shown in place.

        `build` may be async; its parameters are the path's and the query's.
        """
        from nicegui import ui

        from groundup.server.mount import ICON

        from .frame import error_box, frame

        def register(build: Callable[..., Any]) -> Callable[..., Any]:
            @ui.page(
                path, title=f"{title} · groundup", dark=None, favicon=ICON, language="en-US", response_timeout=30.0
            )
            @wraps(build)
            async def shown(**given: Any) -> None:
                with frame(path):
                    try:
                        built = build(**given)
                        if inspect.isawaitable(built):
                            await built
                    except (GroundupError, OSError) as error:
                        error_box(error)

            return build

        return register


def create_studio(config: StudioConfig, openers: Openers) -> FastAPI:
    """The ASGI app. Host and Origin of every request are checked as the server does; off loopback it needs a key.

    Raises MissingDependency without the extra `serve`, GroundupError when this process has another app with pages.
    """
    try:
        from fastapi import FastAPI
        from starlette.middleware import Middleware
    except ImportError as error:
        raise MissingDependency(error.name or "fastapi", extra="serve", purpose="the studio") from None
    from groundup.server.gate import Gate
    from groundup.server.mount import claim_page, mount_pages

    claim_page("the studio")
    app = FastAPI(
        title="groundup studio", docs_url=None, redoc_url=None, openapi_url=None,
        middleware=[Middleware(Gate, config=config.server)],
    )  # fmt: skip
    studio = Studio(config, openers)
    app.state.studio = studio
    app.state.drain = studio.close
    from .pages import attention, chapter, chat, data, projects, roadmap, runs, sampling, tokens

    for view in (roadmap, chapter, projects, runs, tokens, attention, sampling, data, chat):
        view.add(studio)
    mount_pages(app)
    return app

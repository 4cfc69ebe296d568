"""The application over any Generator: the OpenAI-compatible API, and the chat page beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundup.core.errors import MissingDependency
from groundup.core.protocols import Generator

from .config import ServerConfig

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(generator: Generator, *, config: ServerConfig) -> FastAPI:
    """An ASGI app that serves `generator`.

    Raises MissingDependency when the extra `serve` is not installed, and GroundupError when a second app of this process
    asks for the chat page.
    """
    try:
        from fastapi import FastAPI
        from starlette.middleware import Middleware
        from starlette.routing import Route
    except ImportError as error:
        raise MissingDependency(error.name or "fastapi", extra="serve", purpose="the server") from None
    from .gate import Gate
    from .routes import Generate, Health, Missing, Models, Service

    service = Service(generator, config)
    app = FastAPI(
        title="groundup", docs_url=None, redoc_url=None, openapi_url=None, middleware=[Middleware(Gate, config=config)]
    )
    app.state.service = service
    app.state.drain = service.bridge.drain
    endpoints = [
        Route("/health", Health(service), methods=["GET"]),
        Route("/v1/models", Models(service), methods=["GET"]),
        Route("/v1/models/{model:path}", Models(service), methods=["GET"]),
        Route("/v1/chat/completions", Generate(service, chat=True), methods=["POST"]),
        Route("/v1/completions", Generate(service, chat=False), methods=["POST"]),
    ]

    def methods(path: str) -> set[str]:
        return {m for route in endpoints if route.path_regex.match(path) for m in route.methods or ()} - {"HEAD"}

    missing = Missing(methods)
    app.router.routes.extend([*endpoints, Route("/v1/{rest:path}", missing), Route("/v1", missing)])
    if config.chat_page:
        from .mount import claim_page

        claim_page("the chat page")
        from .page import add_page

        add_page(app, service)
    else:
        app.router.routes.append(Route("/{rest:path}", missing))
    return app

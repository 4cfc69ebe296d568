"""Running the app: in the foreground until a signal, or in a thread beside a test or a notebook."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from groundup.core.errors import ConfigError, GroundupError, MissingDependency
from groundup.core.protocols import Generator

from .app import create_app
from .config import ServerConfig

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

_AFTER_GRACE_SECONDS = 5.0  # for the last error events to be sent once requests have been ended


def _server(app: FastAPI, config: ServerConfig, on_started: Callable[[], None]) -> uvicorn.Server:
    try:
        import uvicorn
    except ImportError:
        raise MissingDependency("uvicorn", extra="serve", purpose="the server") from None
    from .protocol import timed_protocol

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_started()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.drain(config.shutdown_grace_seconds)
            await super().shutdown(sockets)

    return Server(
        uvicorn.Config(
            app,
            http=timed_protocol(
                read_timeout_seconds=config.read_timeout_seconds, write_timeout_seconds=config.write_timeout_seconds
            ),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=round(config.shutdown_grace_seconds + _AFTER_GRACE_SECONDS),
            lifespan="on",
        )
    )


def _listen(config: ServerConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    host = config.host.strip("[]")
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, config.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}",
            path="port",
            hint="another program has the port; choose another one, or 0 for any free one",
        ) from None
    return listener


def _url(config: ServerConfig, listener: socket.socket) -> str:
    name = f"[{config.host.strip('[]')}]" if ":" in config.host else config.host
    return f"http://{name}:{listener.getsockname()[1]}"


def serve(generator: Generator, config: ServerConfig, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish (`shutdown_grace_seconds`) and return.

    on_ready: called with the URL once it is listening; without it the URL is printed.
    Raises ConfigError when the port is taken. Call from the main thread.
    """
    app = create_app(generator, config=config)
    model = app.state.service.model
    serve_app(
        app, config, on_ready or (lambda url: print(f"{model} at {url} (API: {url}/v1; Ctrl+C stops it)", flush=True))
    )


def serve_app(app: FastAPI, config: ServerConfig, on_ready: Callable[[str], None]) -> None:
    """`serve` for an app that is made already; its `state.drain(grace_seconds)` lets running work finish."""
    with _listen(config) as listener:
        url = _url(config, listener)

        def started() -> None:
            on_ready(url)

        # uvicorn raises the signal again when it has shut down; the process ends by returning from here instead.
        before = {number: signal.signal(number, _ignore) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            _server(app, config, started).run(sockets=[listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _ignore(number: int, frame: Any) -> None:
    pass


class ServerThread:
    """The server in a thread of this process, for tests and notebooks: `with ServerThread(app, config) as server`."""

    def __init__(self, app: FastAPI, config: ServerConfig) -> None:
        self._listener = _listen(config)
        self.url = _url(config, self._listener)
        """`http://host:port`."""
        self.port: int = self._listener.getsockname()[1]
        self._started = threading.Event()
        self._server = _server(app, config, self._started.set)
        self._thread = threading.Thread(target=self._run, name="groundup-server", daemon=True)

    def __enter__(self) -> ServerThread:
        self._thread.start()
        while not self._started.wait(0.1):
            if not self._thread.is_alive():
                raise GroundupError("the server did not start; its log says why")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Shut down as on SIGTERM and wait for it."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

"""NiceGUI in an app: its pages beside the app's own routes, once per process, offline."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from groundup.core.errors import GroundupError, MissingDependency

if TYPE_CHECKING:
    from fastapi import FastAPI

_claimed: list[str] = []

ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='8' fill='#0f766e'/>"
    "<path d='M8 22h16M11 17h10M14 12h4' stroke='#fff' stroke-width='2.6' stroke-linecap='round'/></svg>"
)


def claim_page(purpose: str) -> None:
    """Take the one place that this process has: NiceGUI's pages and their state are the process's, not an app's.

    Raises GroundupError where it is taken, MissingDependency where NiceGUI is not installed.
    """
    if _claimed:
        raise GroundupError(
            f"this process already has an app with {_claimed[0]}",
            hint="give the second one ServerConfig(chat_page=False), or a process of its own",
        )
    try:
        import nicegui  # noqa: F401
    except ImportError:
        raise MissingDependency("nicegui", extra="serve", purpose=purpose) from None
    _claimed.append(purpose)


def mount_pages(app: FastAPI) -> None:
    """Serve the pages that were declared (`@ui.page`) from `app`."""
    from nicegui import ui

    ui.run_with(app, tailwind=False, show_welcome_message=False, reconnect_timeout=10.0)
    start = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with AsyncExitStack() as running:
            # To find its server, which only its own `shutdown` needs, NiceGUI asks every object that the collector knows for
            # its class. One that answers with an error stops the start, one that warns (torch.distributed.reduce_op) shows
            # the user a stranger's warning. Frozen objects are not asked.
            gc.freeze()
            try:
                state = await running.enter_async_context(start(app))
            finally:
                gc.unfreeze()
            yield state

    app.router.lifespan_context = lifespan

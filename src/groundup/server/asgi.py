"""The few ASGI messages that this server sends itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Send

from .errors import Failure


async def send_bytes(
    send: Send, status: int, body: bytes, *, kind: str = "application/json", headers: Mapping[str, str] | None = None
) -> None:
    """One whole response."""
    listed = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    listed += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, value: Any, *, status: int = 200) -> None:
    # Escaped to ASCII: no client can cut a line at U+2028 or get half a character.
    await send_bytes(send, status, json.dumps(value).encode())


async def send_failure(send: Send, failure: Failure) -> None:
    await send_bytes(send, failure.status, failure.body, headers=failure.headers)


async def read_body(receive: Receive) -> bytes:
    """The whole body; its length was bounded by the gate."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)

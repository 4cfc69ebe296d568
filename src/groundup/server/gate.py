"""What stands before every route, the page's and the websocket's included: Host, Origin, key, size and time of the body.

Deny by default: a path is public only if it is named here. A browser cannot send the key with a page, so the page's paths
also take a session cookie, which the sign-in form gives for the key; the API never takes the cookie.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup.core.errors import RequestError

from .asgi import send_bytes, send_failure
from .config import ServerConfig, is_loopback
from .errors import Failure
from .signin import sign_in_page

PUBLIC = frozenset({"/health"})
"""Paths that need no key. Everything else answers 401 without it (the page: with the sign-in form as its body)."""
SIGN_IN = "/sign-in"
_UNANSWERED = "No response returned."
_API = "/v1/"
_COOKIE = "groundup_session"
_LONGEST_FORM = 4096
_DISCARDED_BODIES = 16  # times the limit: a client that is told 413 only after sending gets to read it

_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]
# NiceGUI's page holds inline scripts and Vue compiles templates with eval; all else is shut: nothing is fetched from, sent to
# or framed by any other host, whatever a model writes.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class Gate:
    """ASGI middleware, outermost."""

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self.app = app
        self.config = config
        self._key = _digest(config.api_key) if config.api_key is not None else None
        self._session = secrets.token_urlsafe(32)
        self._local_only = is_loopback(config.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = _Headers(scope)
        send = _with_headers(send, scope["path"])
        refusal = self._foreign(scope, headers)
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
            return
        origin = headers.one(b"origin")
        if origin is not None and origin in self.config.allow_origins:
            if scope["type"] == "http" and scope["method"] == "OPTIONS":
                await send_bytes(send, 204, b"", headers=_preflight(origin))
                return
            send = _with_origin(send, origin)
        if scope["path"] == SIGN_IN and scope["type"] == "http":
            await self._sign_in(scope, receive, send)
            return
        if self._key is not None and scope["path"] not in PUBLIC and not self._known(scope, headers):
            await self._ask(scope, receive, send, headers)
            return
        if scope["type"] == "http":
            body = await self._body(headers, receive, send)
            if body is not None:
                replay = _Replay(body, receive)
                try:
                    await self.app(scope, replay, send)
                except RuntimeError as error:
                    # Whoever asked left before there was an answer, and middleware of Starlette's takes that for a mistake.
                    if not (replay.left and str(error) == _UNANSWERED):
                        raise
        else:
            await self.app(scope, receive, send)

    def _foreign(self, scope: Scope, headers: _Headers) -> RequestError | None:
        """Requests that another web page made a browser send: a foreign Host (DNS rebinding) or Origin."""
        host = headers.one(b"host")
        if host is None:
            return RequestError("the request needs exactly one Host header", code="foreign_host", status=403)
        name = _host_name(host)
        if name is None or (self._local_only and not is_loopback(name)):
            return RequestError(
                "this server answers to localhost only", code="foreign_host", status=403, hint="see the option --host"
            )
        if headers.count(b"origin") > 1:
            return RequestError("the request has two Origin headers", code="foreign_origin", status=403)
        origin = headers.one(b"origin")
        if origin is not None and origin not in self.config.allow_origins:
            scheme, _, place = origin.partition("://")
            if scheme not in ("http", "https") or place.lower() != host.lower():
                return RequestError(
                    "pages of another origin may not call this server", code="foreign_origin", status=403
                )
        elif (
            # Images, scripts and frames of other pages send no Origin; a person following a link is let in.
            origin is None
            and headers.one(b"sec-fetch-site") in ("cross-site", "same-site")
            and (headers.one(b"sec-fetch-mode") != "navigate" or scope.get("method") not in ("GET", "HEAD"))
        ):
            return RequestError("pages of another origin may not call this server", code="foreign_origin", status=403)
        return None

    def _known(self, scope: Scope, headers: _Headers) -> bool:
        assert self._key is not None
        if headers.count(b"authorization") == 1:
            scheme, _, given = (headers.one(b"authorization") or "").partition(" ")
            # Digests, so that neither the length nor the first wrong character shows in the time taken.
            if scheme.lower() == "bearer" and hmac.compare_digest(_digest(given.strip()), self._key):
                return True
        if not scope["path"].startswith(_API):
            return hmac.compare_digest(_digest(headers.cookie(_COOKIE)), _digest(self._session))
        return False

    async def _ask(self, scope: Scope, receive: Receive, send: Send, headers: _Headers) -> None:
        if scope["type"] == "http" and scope["path"] == "/" and scope["method"] in ("GET", "HEAD"):
            await send_bytes(send, 401, sign_in_page(), kind="text/html; charset=utf-8", headers=_NO_STORE)
            return
        given = headers.one(b"authorization") is not None
        error = RequestError(
            "the API key is wrong" if given else "an API key is needed, as the header Authorization: Bearer KEY",
            code="invalid_api_key",
            status=401,
        )
        await _refuse(scope, receive, send, error)

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The form of the page: POST key=... gives the session cookie."""
        given = ""
        if scope["method"] == "POST":
            body = await self._body(_Headers(scope), receive, send)
            if body is None:
                return
            if len(body) <= _LONGEST_FORM:
                given = parse_qs(body.decode("latin-1")).get("key", [""])[0].strip()
        if self._key is None or not hmac.compare_digest(_digest(given), self._key):
            page = sign_in_page("That key is not right." if given else "")
            await send_bytes(send, 401, page, kind="text/html; charset=utf-8", headers=_NO_STORE)
            return
        cookie = f"{_COOKIE}={self._session}; HttpOnly; SameSite=Strict; Path=/"
        await send_bytes(
            send, 303, b"", kind="text/plain", headers={"location": "/", "set-cookie": cookie, **_NO_STORE}
        )

    async def _body(self, headers: _Headers, receive: Receive, send: Send) -> bytes | None:
        """The body, at most `max_body_bytes` of it in memory; None when it was refused or the client left."""
        limit = self.config.max_body_bytes
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.config.read_timeout_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
                    if size <= limit:
                        parts.append(message.get("body", b""))
                    else:
                        parts.clear()
                    if size > limit * _DISCARDED_BODIES:
                        break
        except TimeoutError:
            error = RequestError("the body did not arrive in time", code="timeout", status=408)
            await _fail_and_close(send, error)
            return None
        if size > limit:
            error = RequestError(
                f"the body is longer than {limit:,} bytes, the limit of this server", code="body_too_large", status=413
            )
            await _fail_and_close(send, error)
            return None
        return b"".join(parts)


_NO_STORE = {"cache-control": "no-store"}


class _Headers:
    """Header look-up that tells one value from several."""

    def __init__(self, scope: Scope) -> None:
        self._all: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            self._all.setdefault(name.lower(), []).append(value)

    def count(self, name: bytes) -> int:
        return len(self._all.get(name, ()))

    def one(self, name: bytes) -> str | None:
        values = self._all.get(name, ())
        return values[0].decode("latin-1") if len(values) == 1 else None

    def cookie(self, name: str) -> str:
        try:
            found = SimpleCookie(self.one(b"cookie") or "").get(name)
        except CookieError:
            return ""
        return found.value if found is not None else ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _host_name(host: str) -> str | None:
    """The name in a Host header, without its port; None if it is malformed."""
    if host.startswith("["):
        name, bracket, rest = host[1:].partition("]")
        if not bracket:
            return None
        return name if rest == "" or (rest[0] == ":" and rest[1:].isdigit()) else None
    name, colon, port = host.partition(":")
    return name if name and (not colon or port.isdigit()) else None


def _preflight(origin: str) -> dict[str, str]:
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization, content-type",
        "access-control-max-age": "600",
        "vary": "origin",
    }


def _with_origin(send: Send, origin: str) -> Send:
    added = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]
    return _adding(send, added)


def _with_headers(send: Send, path: str) -> Send:
    added = list(_SECURITY_HEADERS)
    if not path.startswith(_API):
        added.append((b"content-security-policy", CONTENT_POLICY.encode()))
    return _adding(send, added)


def _adding(send: Send, added: list[tuple[bytes, bytes]]) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return wrapped


class _Replay:
    """A body that was read, for the app to read again; and has whoever sent it left?"""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self.body, self.receive = body, receive
        self.read = self.left = False

    async def __call__(self) -> Message:
        if not self.read:
            self.read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        message = await self.receive()
        self.left = self.left or message["type"] == "http.disconnect"
        return message


async def _refuse(scope: Scope, receive: Receive, send: Send, error: RequestError) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    failure = Failure(error)
    if error.status == 401:
        failure.headers["www-authenticate"] = "Bearer"
    await send_failure(send, failure)


async def _fail_and_close(send: Send, error: RequestError) -> None:
    failure = Failure(error)
    failure.headers["connection"] = "close"
    await send_failure(send, failure)

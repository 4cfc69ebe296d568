"""Who may come in: every route without the key, foreign hosts and origins, the sign-in of the page, and secrets in logs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.middleware.base import BaseHTTPMiddleware

from groundup.core.errors import ConfigError, GroundupError
from groundup.core.types import Request
from groundup.server import ServerConfig, ServerThread, create_app, read_api_key
from groundup.server.gate import PUBLIC, Gate
from small_generator import MarkovGenerator

pytestmark = [pytest.mark.row("17.2"), pytest.mark.faults]
KEY = "canary-5f0e1c7d9b"


def routes(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(method, path) of every route, mounted apps' too."""
    for route in app.routes:
        path = prefix + re.sub(r"\{[^}]*\}", "x", route.path)
        if hasattr(route, "app") and hasattr(route.app, "routes"):
            yield "GET", path or "/"
            yield from routes(route.app, prefix + route.path.rstrip("/"))
        else:
            for method in sorted(getattr(route, "methods", None) or {"GET", "POST", "DELETE"}):
                yield method, path or "/"


class Prickly:
    """An object of some other library that cannot be asked for its class, as lazy and deprecated ones may not."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("asked for its class")


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[ServerThread, list[tuple[str, str]]]]:
    """The whole app, chat page included, behind a key; in a process with objects that are best left alone."""
    config = ServerConfig(port=0, api_key=KEY)
    app = create_app(MarkovGenerator(), config=config)
    listed = sorted(set(routes(app)))
    prickly = Prickly()
    starting = ServerThread(app, config)
    gc.collect()  # else the server is the youngest object, which a search through all of them finds first
    with starting as server:
        del prickly
        yield server, listed


def test_every_route_is_shut_without_the_key(
    guarded: tuple[ServerThread, list[tuple[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    server, listed = guarded
    listed = [
        *listed,
        ("POST", "/sign-in"),
        ("GET", "/sign-in"),
        ("GET", "/x"),
        ("GET", "//v1/models"),
        ("GET", "/HEALTH"),
    ]
    listed += [
        ("GET", "/health/"),
        ("GET", "/health/../v1/models"),
        ("GET", "/%76%31/models"),
        ("OPTIONS", "/v1/models"),
    ]
    assert {"/v1/chat/completions", "/v1/models/x", "/", "/health"} <= {path for _, path in listed}
    assert any(path.startswith("/_nicegui") for _, path in listed)
    right = f"Bearer {KEY}"
    attempts: dict[str, list[tuple[str, str]]] = {
        "no key": [],
        "wrong key": [("authorization", "Bearer wrong-key-entirely")],
        "empty": [("authorization", "")],
        "no value": [("authorization", "Bearer")],
        "prefix of the key": [("authorization", right[:-1])],
        "key and more": [("authorization", right + "x")],
        "basic": [("authorization", f"Basic {KEY}")],
        "token": [("authorization", f"Token {KEY}")],
        "bare": [("authorization", KEY)],
        "x-api-key": [("x-api-key", KEY)],
        "api-key": [("api-key", KEY)],
        "cookie": [("cookie", f"groundup_session={KEY}")],
        "twice": [("authorization", right), ("authorization", right)],
        "wrong and right": [("authorization", "Bearer x"), ("authorization", right)],
        "bytes": [("authorization", "Bearer \xff\xfe")],
    }
    open_ones, asked = set(), 0
    with httpx2.Client(base_url=server.url, timeout=30) as http:
        for (method, path), (name, headers) in itertools.product(listed, attempts.items()):
            encoded = [(n.encode(), v.encode("latin-1")) for n, v in headers]
            answer = http.request(method, path, headers=encoded)
            asked += 1
            if answer.status_code != 401:
                open_ones.add((method, path, answer.status_code))
            assert KEY not in answer.text, (method, path, name)
        assert http.get(f"/v1/models?api_key={KEY}").status_code == 401
        assert http.get("/v1/models", headers={"authorization": f"bearer  {KEY}"}).status_code == 200
    with capsys.disabled():
        print(
            f"\n{len(listed)} routes x {len(attempts)} ways without the key: {asked} requests; open: {sorted(open_ones)}"
        )
    assert {path for _, path, _ in open_ones} == PUBLIC == {"/health"}


def test_the_page_signs_in_and_its_cookie_opens_no_api(guarded: tuple[ServerThread, list[tuple[str, str]]]) -> None:
    server, _ = guarded
    with httpx2.Client(base_url=server.url, timeout=30) as http:
        page = http.get("/")
        assert page.status_code == 401 and "API key" in page.text and "_nicegui" not in page.text
        assert http.post("/sign-in", data={"key": "not-this-one"}).status_code == 401
        entered = http.post("/sign-in", data={"key": KEY}, headers={"origin": server.url})
        assert entered.status_code == 303 and entered.headers["location"] == "/"
        assert "HttpOnly" in entered.headers["set-cookie"] and "SameSite=Strict" in entered.headers["set-cookie"]
        assert KEY not in entered.headers["set-cookie"]
        page = http.get("/")
        assert page.status_code == 200 and "_nicegui" in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert http.get("/v1/models").status_code == 401


def test_a_second_page_in_one_process_is_refused(guarded: object) -> None:
    with pytest.raises(GroundupError, match="chat page"):
        create_app(MarkovGenerator(), config=ServerConfig())


@pytest.fixture(scope="module")
def local() -> Iterator[ServerThread]:
    config = ServerConfig(port=0, chat_page=False, allow_origins=("https://notebook.example",))
    with ServerThread(create_app(MarkovGenerator(), config=config), config) as server:
        yield server


BODY = json.dumps({"model": "markov", "prompt": "the ", "max_tokens": 1})


def test_foreign_hosts_and_origins_are_refused(local: ServerThread, capsys: pytest.CaptureFixture[str]) -> None:
    port = local.port
    own = f"http://127.0.0.1:{port}"
    allowed = [
        {},
        {"host": f"localhost:{port}"},
        {"host": "localhost"},
        {"host": f"[::1]:{port}"},
        {"host": "127.0.0.2"},
    ]
    allowed += [{"origin": own}, {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"}]
    allowed += [{"origin": "https://notebook.example"}, {"sec-fetch-site": "same-origin"}]
    refused = [{"host": host} for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "0.0.0.0")]
    refused += [
        {"host": host} for host in ("10.0.0.1", "[::2]", "[fe80::1]", "", "localhost.evil", "localhost:x", "[::1")
    ]
    refused += [
        {"host": host} for host in ("2130706433", "0x7f000001", "localhost@evil.example", "evil.example#localhost")
    ]
    refused += [
        {"origin": origin} for origin in ("null", "http://evil.example", "http://localhost", "", "file://", "x")
    ]
    refused += [{"origin": f"http://127.0.0.1:{port + 1}"}, {"origin": f"http://evil.example:{port}"}]
    refused += [{"origin": f"http://localhost:{port}"}, {"origin": f"ftp://127.0.0.1:{port}"}, {"origin": own + "/"}]
    refused += [{"origin": "https://notebook.example.evil.example"}, {"origin": "http://notebook.example"}]
    refused += [{"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, {"sec-fetch-site": "same-site"}]
    plain = {"content-type": "text/plain"}  # what a form of another page can send without asking first
    with httpx2.Client(base_url=own, timeout=30) as http:
        for headers in allowed:
            assert http.post("/v1/completions", content=BODY, headers={**plain, **headers}).status_code == 200, headers
        for headers, path in itertools.product(refused, ("/v1/completions", "/health", "/")):
            answer = http.post(path, content=BODY, headers={**plain, **headers})
            assert answer.status_code == 403, (headers, path)
            assert answer.json()["error"]["type"] == "permission_error"
        preflight = {"origin": "https://notebook.example", "access-control-request-method": "POST"}
        answer = http.options("/v1/completions", headers=preflight)
        assert answer.status_code == 204 and answer.headers["access-control-allow-origin"] == "https://notebook.example"
        answer = http.get("/v1/models", headers={"origin": "https://notebook.example"})
        assert answer.headers["access-control-allow-origin"] == "https://notebook.example"
        assert (
            http.options("/v1/completions", headers={**preflight, "origin": "http://evil.example"}).status_code == 403
        )
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert b" 403 " in raw.recv(4096).split(b"\r\n")[0]
    with capsys.disabled():
        print(f"\n{3 * len(refused)} foreign requests refused, {len(allowed)} own ones answered")


def test_other_addresses_need_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ConfigError, match="API key") as caught:
            ServerConfig(host=host)
        assert "GROUNDUP_API_KEY" in caught.value.hint
        ServerConfig(host=host, api_key=KEY)
    for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9"):
        ServerConfig(host=host)


def test_the_key_is_read_and_never_shown(tmp_path: Path) -> None:
    assert read_api_key(environment={"GROUNDUP_API_KEY": f" {KEY}\n"}) == KEY
    assert read_api_key(environment={}) is None
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="other users"):
        read_api_key(file)
    file.chmod(0o600)
    assert read_api_key(file) == KEY
    assert KEY not in repr(ServerConfig(api_key=KEY)) and KEY not in str(ServerConfig(api_key=KEY))
    with pytest.raises(ConfigError) as caught:
        ServerConfig(api_key="sh0rt-\n")
    assert "sh0rt" not in str(caught.value)


class Broken(MarkovGenerator):
    """Fails in the ways a generator can."""

    def generate(self, requests: Any) -> Any:
        how = self._prompt(requests[0])
        if how == "at once":
            raise RuntimeError("inside: /secret/path")
        return self._fail_late(requests) if how == "late" else super().generate(requests)

    def _fail_late(self, requests: list[Request]) -> Any:
        for number, item in enumerate(super().generate(requests)):
            if number == 3:
                raise ValueError("inside: /secret/path")
            yield item


def test_no_error_path_logs_the_key_or_shows_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    config = ServerConfig(port=0, chat_page=False, api_key=KEY, max_body_bytes=5000)
    right = {"authorization": f"Bearer {KEY}"}
    with (
        ServerThread(create_app(Broken(), config=config), config) as server,
        httpx2.Client(base_url=server.url, timeout=30) as http,
    ):
        for path, body, headers in [
            ("/v1/completions", BODY, right),
            ("/v1/completions", BODY, {"authorization": f"Basic {KEY}"}),
            ("/v1/completions", BODY, {**right, "origin": f"http://{KEY}.example"}),
            ("/v1/completions", BODY, {**right, "host": f"{KEY}.example"}),
            ("/v1/completions", "{", right),
            ("/v1/completions", "x" * 6000, right),
            ("/v1/completions", json.dumps({"model": KEY, "prompt": "x"}), right),
            ("/v1/completions", json.dumps({"model": "markov", "prompt": "x", KEY: 1}), right),
            ("/v1/nowhere", BODY, right),
            (f"/{KEY}", BODY, right),
            ("/sign-in", f"key={KEY}", {}),
            ("/sign-in", f"key={KEY}x", {}),
        ]:
            http.post(path, content=body, headers=headers)
        for prompt, stream in itertools.product(("at once", "late"), (False, True)):
            body = json.dumps({"model": "markov", "prompt": prompt, "stream": stream})
            answer = http.post("/v1/completions", content=body, headers=right)
            assert "inside" not in answer.text and "secret" not in answer.text
            if prompt == "late" and stream:
                assert answer.status_code == 200
                events = [line[6:] for line in answer.text.split("\n\n") if line]
                assert events[-1] == "[DONE]" and json.loads(events[-2])["error"]["type"] == "server_error"
                assert "choices" in json.loads(events[0])
            else:
                assert answer.status_code == 500 and "incident" in answer.json()["error"]["message"]
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(b"GET \x00 nonsense " + KEY.encode() + b"\r\n\r\n")
            assert b" 400 " in raw.recv(4096).split(b"\r\n")[0]
    own = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert sum("incident" in record.getMessage() for record in own) == 4
    # The client's own log names the URL that it was told to ask; the server's logs must not.
    shown = "".join(logging.Formatter().format(record) for record in own)
    assert KEY not in shown


@pytest.mark.parametrize(("leaves", "fails"), [(True, False), (False, True)])
def test_who_leaves_before_the_answer_is_no_error(leaves: bool, fails: bool) -> None:
    """A tab that is closed while its page is made: Starlette's middleware calls an answer that nobody waits for an error."""

    async def page(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            if not leaves:
                return

    arriving: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return arriving.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError(f"nobody waits for {message}")

    async def as_it_is(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "scheme": "http",
        "headers": [(b"host", b"localhost:1"), (b"content-length", b"0")], "server": ("localhost", 1), "client": ("127.0.0.1", 2),
    }  # fmt: skip
    asked = Gate(BaseHTTPMiddleware(page, as_it_is), ServerConfig(port=1))(scope, receive, send)
    with pytest.raises(RuntimeError, match="No response") if fails else contextlib.nullcontext():
        asyncio.run(asked)

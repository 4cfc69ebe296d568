"""Clients that leave, clients that do not read, too many clients, a model that hangs, and SIGTERM.

Nothing here waits for time to pass: the generator makes a token only when the test lets it, and what is waited for is an event.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from groundup.core.errors import BusyError
from groundup.core.types import Capabilities, Chunk, Request
from groundup.server import ServerConfig, ServerThread, create_app
from small_generator import MarkovGenerator

pytestmark = [pytest.mark.row("17.2"), pytest.mark.faults]
TESTS = Path(__file__).resolve().parents[1]


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"never happened: {what}"
        tick.wait(0.002)


def send(server: ServerThread, prompt: str, *, stream: bool, max_tokens: int = 4000) -> socket.socket:
    """A completion asked for over a bare socket, so that the test decides what is read and when it is cut."""
    body = json.dumps({"model": "markov", "prompt": prompt, "max_tokens": max_tokens, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    raw = socket.create_connection(("127.0.0.1", server.port))
    raw.settimeout(30)
    raw.sendall(head + body)
    return raw


def read_until(raw: socket.socket, mark: bytes, times: int = 1) -> bytes:
    data = b""
    while data.count(mark) < times:
        piece = raw.recv(65536)
        assert piece, f"the connection ended before {mark!r}: {data[-300:]!r}"
        data += piece
    return data


class Lane:
    """The permits of one prompt: each client is let on, held and cut by itself."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)


class LanedGenerator(MarkovGenerator):
    """A semaphore per prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: dict[str, Lane] = {}

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        one = MarkovGenerator(permits=self.lanes[str(requests[0].prompt)].permits)
        one.counts, one.made, one.closed, one.lock = self.counts, self.made, self.closed, self.lock
        self.seen.extend(requests)
        return one.generate(requests)


def test_work_of_a_client_that_left_stops_within_two_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.SystemRandom().getrandbits(32)
    chance = random.Random(seed)
    generator = LanedGenerator()
    config = ServerConfig(port=0, chat_page=False)
    app = create_app(generator, config=config)
    after: list[int] = []
    with ServerThread(app, config) as server:
        clients = []
        for number in range(40):
            prompt, streamed = f"client {number} ", number % 2 == 0
            lane = generator.lanes[prompt] = Lane()
            raw = send(server, prompt, stream=streamed)
            clients.append((prompt, raw, streamed, lane, 0 if number % 10 == 1 else chance.randrange(1, 60)))
        for prompt, raw, streamed, lane, tokens in clients:
            if tokens:  # 0: cut before its first token
                lane.permits.release(tokens)
            if streamed:
                read_until(raw, b"data: ", tokens)
            until(
                lambda p=prompt, t=tokens: generator.made[p] == t and any(r.prompt == p for r in generator.seen), prompt
            )
        chance.shuffle(clients)
        for prompt, raw, _, lane, tokens in clients:
            if chance.random() < 0.5:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset, not a goodbye
            raw.close()
            request = next(r for r in generator.seen if r.prompt == prompt)
            until(request.cancel.is_set, f"{prompt} was cancelled")  # noticed without another token being made
            lane.permits.release(1000)
            until(lambda p=prompt: generator.closed[p] == 1, f"{prompt} ended")
            after.append(generator.made[prompt] - tokens)
        until(lambda: app.state.service.bridge.waiting == 0, "every place is free again")
        assert httpx2.get(server.url + "/v1/models").status_code == 200
    with capsys.disabled():
        print(f"\n40 clients cut (seed {seed}), 20 streaming and 20 not: tokens made after the cut {sorted(after)}")
    assert max(after) <= 2


def test_a_full_queue_says_when_to_come_back() -> None:
    permits = threading.Semaphore(0)
    generator = MarkovGenerator(permits=permits)
    config = ServerConfig(port=0, chat_page=False, max_waiting=3)
    with (
        ServerThread(create_app(generator, config=config), config) as server,
        openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0) as client,
    ):
        held = [send(server, f"{i}", stream=True, max_tokens=2) for i in range(3)]
        until(lambda: len(generator.seen) == 3, "three run")
        with pytest.raises(openai.RateLimitError) as caught:
            client.completions.create(model="markov", prompt="x", max_tokens=1)
        assert caught.value.code == "queue_full" and 1 <= int(caught.value.response.headers["retry-after"]) <= 60
        with pytest.raises(openai.RateLimitError):
            client.completions.create(model="markov", prompt="x", max_tokens=1, stream=True)
        with pytest.raises(openai.BadRequestError):  # would never fit: waiting is no use
            client.completions.create(model="markov", prompt="x", max_tokens=1, n=4)
        assert len(generator.seen) == 3
        permits.release(6)
        for raw in held:
            assert b"[DONE]" in read_until(raw, b"[DONE]")
            raw.close()
        permits.release(1)
        assert client.completions.create(model="markov", prompt="x", max_tokens=1).choices[0].text


def test_a_generator_that_is_busy_is_passed_on() -> None:
    class Busy(MarkovGenerator):
        def generate(self, requests: Any) -> Any:
            raise BusyError("the engine's queue is full", retry_after_seconds=7.4)

    config = ServerConfig(port=0, chat_page=False)
    with ServerThread(create_app(Busy(), config=config), config) as server:
        body = {"model": "markov", "prompt": "x", "stream": True}
        answer = httpx2.post(server.url + "/v1/completions", json=body)
        assert answer.status_code == 429 and answer.headers["retry-after"] == "7"
        assert httpx2.get(server.url + "/health").json()["status"] == "busy"


class Endless(MarkovGenerator):
    """Long chunks as fast as they are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        if requests[0].prompt != "flood":
            yield from super().generate(requests)
            return
        while not requests[0].cancel.is_set():
            self.pieces += 1
            yield 0, Chunk(text="x" * 4000, token_ids=(1,))


def test_a_client_that_does_not_read_is_dropped_and_holds_up_nobody() -> None:
    generator = Endless()
    config = ServerConfig(port=0, chat_page=False, write_timeout_seconds=0.5)
    app = create_app(generator, config=config)
    with ServerThread(app, config) as server, httpx2.Client(base_url=server.url, timeout=30) as http:
        slow = [send(server, "flood", stream=True) for _ in range(10)]
        until(lambda: app.state.service.bridge.waiting == 10 or generator.pieces > 100, "the floods run")
        while app.state.service.bridge.waiting:
            good = http.post("/v1/completions", json={"model": "markov", "prompt": "the ", "max_tokens": 3})
            assert good.status_code == 200
        # Sockets' own buffers take some megabytes each; what is made beyond them is bounded.
        assert generator.pieces * 4000 < 10 * 16e6
        for raw in slow:
            raw.close()


def was_cut(raw: socket.socket) -> bool:
    try:
        return raw.recv(4096) == b""
    except ConnectionError:
        return True


def test_headers_and_bodies_that_never_come_are_cut() -> None:
    config = ServerConfig(port=0, chat_page=False, read_timeout_seconds=0.3)
    with ServerThread(create_app(MarkovGenerator(), config=config), config) as server:
        for start in (b"", b"GET /health HTT", b"GET /health HTTP/1.1\r\nhost: localhost\r\n"):
            with socket.create_connection(("127.0.0.1", server.port)) as raw:
                raw.settimeout(30)
                raw.sendall(start)
                assert was_cut(raw)
        with socket.create_connection(("127.0.0.1", server.port)) as raw:  # the second request of a connection
            raw.settimeout(30)
            raw.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            read_until(raw, b'"ok"')
            raw.sendall(b"GET /hea")
            assert was_cut(raw)
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.settimeout(30)
            raw.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{")
            assert b" 408 " in raw.recv(4096)


class Hung(MarkovGenerator):
    """Gives `prompt` tokens ("2": two), then never comes back until the test ends."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()
        self.calls = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        self.calls += 1
        for _ in range(int(str(requests[0].prompt)) if str(requests[0].prompt).isdigit() else 0):
            yield 0, Chunk(text="x", token_ids=(1,))
        self.release.wait()
        yield 0, Chunk(finish_reason="cancelled")


def test_a_hung_model_turns_health_red_and_its_requests_into_errors() -> None:
    generator = Hung()
    config = ServerConfig(port=0, chat_page=False, health_timeout_seconds=0.3, request_timeout_seconds=0.4)
    with (
        ServerThread(create_app(generator, config=config), config) as server,
        httpx2.Client(base_url=server.url, timeout=30) as http,
    ):
        for _ in range(4):
            health = http.get("/health")
            assert (health.status_code, health.json()["status"]) == (503, "unresponsive")
        assert generator.calls == 1  # a hung model is not asked again and again
        for prompt, stream in (("0", False), ("0", True), ("2", False)):
            body = {"model": "markov", "prompt": prompt, "stream": stream}
            answer = http.post("/v1/completions", json=body)
            assert answer.status_code == 504 and answer.json()["error"]["code"] == "timeout"
        answer = http.post("/v1/completions", json={"model": "markov", "prompt": "2", "stream": True})
        events = [line[6:] for line in answer.text.split("\n\n") if line]
        assert answer.status_code == 200 and events[-1] == "[DONE]"
        assert json.loads(events[-2])["error"]["code"] == "timeout"
        generator.release.set()


class Probing(MarkovGenerator):
    """Has the ability `probe`, as an engine with its own health check has."""

    def __init__(self) -> None:
        super().__init__()
        self.well = True

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(model="markov", max_context_tokens=100, abilities=frozenset({"probe"}))

    def probe(self, timeout_seconds: float) -> bool:
        return self.well


@pytest.mark.parametrize("well", [True, False])
def test_health_uses_the_models_own_probe(well: bool) -> None:
    generator = Probing()
    generator.well = well
    config = ServerConfig(port=0, chat_page=False)
    with ServerThread(create_app(generator, config=config), config) as server:
        assert httpx2.get(server.url + "/health").status_code == (200 if well else 503)
    assert not generator.made


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its URL; killed if the test did not end it."""
    process = subprocess.Popen(
        [sys.executable, str(TESTS / "serve_small.py"), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)["url"]
    finally:
        process.kill()
        process.communicate()


def let(process: subprocess.Popen[str], tokens: int) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{tokens}\n")
    process.stdin.flush()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_streams_finish_and_exits_0(number: signal.Signals) -> None:
    with (
        served("held", "--no-page", "--grace", "60") as (process, url),
        httpx2.Client(base_url=url, timeout=30) as http,
        openai.OpenAI(base_url=url + "/v1", api_key="x", max_retries=0) as client,
    ):
        assert http.get("/v1/models").status_code == 200  # this connection stays open
        let(process, 5)
        stream = client.completions.create(model="markov", prompt="the ", max_tokens=20, stream=True)
        text = "".join(next(stream).choices[0].text for _ in range(5))
        process.send_signal(number)

        def closed() -> bool:
            try:
                socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))).close()
            except (ConnectionRefusedError, ConnectionResetError):
                return True
            return False

        until(closed, "new connections are refused")
        let(process, 15)
        text += "".join(chunk.choices[0].text for chunk in stream)
        assert len(text) == 20
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and json.loads(out) == {"ended": True} and err == ""


def test_streams_that_outlast_the_grace_period_end_with_an_error() -> None:
    with (
        served("held", "--no-page", "--grace", "0.3") as (process, url),
        httpx2.Client(base_url=url, timeout=30) as http,
    ):
        body = {"model": "markov", "prompt": "the ", "max_tokens": 20, "stream": True}
        let(process, 2)
        with http.stream("POST", "/v1/completions", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            rest = [line[6:] for line in lines if line]
        assert rest[-1] == "[DONE]" and json.loads(rest[-2])["error"]["code"] == "shutting_down"
        process.communicate(timeout=60)
        assert process.returncode == 0

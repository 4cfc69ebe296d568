"""An endpoint that misbehaves as it is told, in a thread of this process: one behaviour for each request, in order.

Behaviours: "answer" (four pieces and a usage), a status with headers and a body, "hang" (headers, one piece, then nothing
until released), "deaf" (not even headers), "cut" (two pieces, then the connection closes in good order), "break" (two pieces,
then the connection is cut inside a chunk), "malformed" (an event that is not JSON).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECES = ("The ", "sun ", "is ", "warm.")
Behaviour = str | tuple[int, dict[str, str], Any]


class FaultyEndpoint:
    """`with FaultyEndpoint(["cut", "answer"]) as endpoint`: then every later request gets the last behaviour again."""

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        self.behaviours = list(behaviours)
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.release = threading.Event()
        self.hanging = threading.Semaphore(0)
        """Released once for each request that hangs."""
        self.under_way = self.most_under_way = 0
        self.gate: threading.Event | None = None
        """Where it is set, answers wait for it before they begin."""
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._handle(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *args: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> FaultyEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.release.set()
        if self.gate is not None:
            self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handle(self, handler: Any) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self.lock:
            behaviour = self.behaviours[min(len(self.bodies), len(self.behaviours) - 1)]
            self.bodies.append(body)
            self.paths.append(handler.path)
            self.keys.append(handler.headers.get("authorization"))
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.gate is not None:
                self.gate.wait()
            self._behave(handler, behaviour)
        finally:
            with self.lock:
                self.under_way -= 1

    def _behave(self, handler: Any, behaviour: Behaviour) -> None:
        if isinstance(behaviour, tuple):
            status, headers, answer = behaviour
            data = json.dumps(answer).encode()
            handler.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(data)),
                **headers,
            }.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)
            return
        if behaviour == "deaf":
            self.hanging.release()
            self.release.wait()
            handler.close_connection = True
            return
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        pieces = PIECES if behaviour == "answer" else PIECES[:2] if behaviour in ("cut", "break") else PIECES[:1]
        for piece in pieces:
            self._event(handler, {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
        if behaviour == "hang":
            self.hanging.release()
            self.release.wait()
            handler.close_connection = True
        elif behaviour == "break":
            handler.wfile.write(b"40\r\ndata: {")
            handler.close_connection = True
        elif behaviour == "malformed":
            self._write(handler, b"data: {nothing that is JSON\n\n")
            self._write(handler, b"")
        elif behaviour == "cut":
            self._write(handler, b"")
        else:
            self._event(handler, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            usage = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
            self._event(handler, {"choices": [], "usage": usage})
            self._write(handler, b"data: [DONE]\n\n")
            self._write(handler, b"")

    def _event(self, handler: Any, fields: dict[str, Any]) -> None:
        event = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}
        self._write(handler, b"data: " + json.dumps(event).encode() + b"\n\n")

    def _write(self, handler: Any, data: bytes) -> None:
        handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        handler.wfile.flush()

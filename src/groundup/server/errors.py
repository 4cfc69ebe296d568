"""Every failure as OpenAI's error object: {"error": {message, type, param, code}}, all four always there.

What goes wrong inside is logged under a number and told to the client as that number only.
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import Any

from groundup.core.errors import BusyError, RequestError

logger = logging.getLogger("groundup.server")

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ServerTimeout(Exception):
    """The request did not end within the server's time limit."""


class Draining(Exception):
    """The server is shutting down."""


class Failure:
    """One error as status, body and headers. `error` is never shown to the client unless it was meant for it."""

    def __init__(self, error: BaseException) -> None:
        self.headers: dict[str, str] = {}
        param: str | None = None
        code: str | None = None
        if isinstance(error, RequestError):
            self.status = error.status if 400 <= error.status < 600 else 400
            message = f"{error.message} ({error.hint})" if error.hint else error.message
            param, code = error.param, error.code
            if isinstance(error, BusyError):
                self.headers["retry-after"] = str(max(1, round(error.retry_after_seconds)))
        elif isinstance(error, ServerTimeout):
            self.status, message, code = 504, "the request did not finish within the server's time limit", "timeout"
        elif isinstance(error, Draining):
            self.status, message, code = 503, "the server is shutting down", "shutting_down"
            self.headers["retry-after"] = "5"
        else:
            number = secrets.token_hex(4)
            logger.error("request failed (incident %s)", number, exc_info=error)
            self.status, code = 500, "internal_error"
            message = f"the server failed to answer; its log has the cause under incident {number}"
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        self.object: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    @property
    def body(self) -> bytes:
        return json.dumps(self.object).encode()

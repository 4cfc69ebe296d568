"""Where an endpoint is and how it is asked. The key is never here: only the name of the environment variable that has it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from ..core.errors import ConfigError

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """An OpenAI-compatible server: our own (`groundup serve`), vLLM, llama.cpp, a provider."""

    base_url: str
    """Ends before /chat/completions: `http://127.0.0.1:8000/v1`."""
    model: str
    """The name that the server gives the model."""
    api_key_env: str | None = None
    """Environment variable that holds the key; null sends none. The key itself is never written anywhere."""
    timeout_seconds: float = 120.0
    """Longest silence, before the first token or between two."""
    max_retries: int = 5
    """How often a request is sent again after 408, 409, 429, 5xx, a timeout or a broken connection."""
    backoff_seconds: float = 0.5
    """Wait before the first retry; doubled for each one after it, with jitter."""
    max_wait_seconds: float = 60.0
    """Longest wait for one retry. An endpoint that asks for more (Retry-After) raises BusyError."""
    max_concurrency: int = 8
    """Requests under way at once, over all callers."""
    max_context_tokens: int = 32_768
    """What the model takes; endpoints do not tell it."""
    max_tokens_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How the endpoint calls the limit of a chat answer."""
    whole: bool = False
    """Give out each completion only once it is whole, so that one cut in the middle can be asked for again."""
    cache_directory: str | None = None
    """Keep completions of greedy and seeded requests here, and answer the same request from it."""
    type: Literal["endpoint"] = "endpoint"

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                "must be an http or https address", path="base_url", hint="for example http://127.0.0.1:8000/v1"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigError(
                "must have no user, password, query or fragment: addresses are logged",
                path="base_url",
                hint="put the key into an environment variable and its name into api_key_env",
            )
        if not self.model:
            raise ConfigError("must not be empty", path="model", hint="GET <base_url>/models lists the names")
        if self.api_key_env is not None and not _ENV_NAME.fullmatch(self.api_key_env):
            # Not shown: a key put here by mistake would be in the message.
            raise ConfigError("must be the name of an environment variable, not a key", path="api_key_env",
                              hint="export MY_KEY=... and write api_key_env: MY_KEY")  # fmt: skip
        for name in ("timeout_seconds", "max_wait_seconds", "max_concurrency", "max_context_tokens"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"must be more than zero, not {getattr(self, name)}", path=name)
        for name in ("max_retries", "backoff_seconds"):
            if getattr(self, name) < 0:
                raise ConfigError(f"must be at least zero, not {getattr(self, name)}", path=name)

    @classmethod
    def from_url(cls, text: str) -> EndpointConfig:
        """`http(s)://host/v1#model`, or with a key `https://host/v1?api_key_env=NAME#model`."""
        address, _, model = text.partition("#")
        address, _, query = address.partition("?")
        given = parse_qs(query)
        if not model or set(given) - {"api_key_env"}:
            raise ConfigError(
                "an endpoint is written http(s)://host/v1#model, or http(s)://host/v1?api_key_env=NAME#model",
                path="model",
            )
        return cls(base_url=address, model=model, api_key_env=given.get("api_key_env", [None])[0])

    def read_key(self) -> str | None:
        """The key from the environment. ConfigError when the variable is named and not set."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError(
                f"the environment variable {self.api_key_env} is not set",
                path="api_key_env",
                hint=f"export {self.api_key_env}=... before the command",
            )
        return key

"""What a server is told before it starts, and where its key comes from.

The key is read from the environment or from a file, so that it is in no shell history, process list or recipe; its
`repr` is hidden, so that printing the config prints no secret.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from groundup.core.errors import ConfigError

API_KEY_VARIABLE = "GROUNDUP_API_KEY"
_SHORTEST_KEY = 8


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything a server may be told. The defaults are those of one person on their own machine."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but a loopback address needs an api_key."""
    port: int = 8000
    """TCP port; 0 lets the system choose a free one."""
    api_key: str | None = field(default=None, repr=False)
    """What clients send as `Authorization: Bearer <key>`. None: no key is asked for (loopback only). See `read_api_key`."""
    model: str = ""
    """The name clients see; empty: the name that the Generator gives itself."""
    chat_page: bool = True
    """Serve the page at `/`. At most one app per process can (NiceGUI keeps its state in the process)."""
    allow_origins: tuple[str, ...] = ()
    """Web pages of other origins (`https://host:port`) whose scripts may call this server. Others get 403."""
    max_body_bytes: int = 4 << 20
    """Longest request body; a longer one gets 413 and is never held in memory."""
    max_waiting: int = 256
    """Completions in work and waiting, all clients together (a request with n=4 counts four); beyond it 429."""
    max_choices: int = 128
    """Most completions of one request: prompts times n."""
    max_messages: int = 2048
    """Most chat messages of one request."""
    default_max_tokens: int = 512
    """Length limit of a chat answer whose request names none (never more than half the model's context)."""
    request_timeout_seconds: float = 600.0
    """From the request to its last token; then it is ended with an error."""
    read_timeout_seconds: float = 20.0
    """For a client to send its headers, and again for its body; then it is disconnected."""
    write_timeout_seconds: float = 20.0
    """For a client to take in what is waiting for it (64 KiB); then it is disconnected."""
    health_timeout_seconds: float = 2.0
    """For the model to make one token when /health asks; then 503."""
    shutdown_grace_seconds: float = 20.0
    """After SIGTERM: for running requests to finish; then they are ended with an error."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"{self.port} is not a TCP port; the limit is 65535", path="port")
        for name in ("max_body_bytes", "max_waiting", "max_choices", "max_messages", "default_max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{getattr(self, name)} is too small; the least is 1", path=name)
        for name in ("request", "read", "write", "health"):
            if not getattr(self, f"{name}_timeout_seconds") > 0:
                raise ConfigError("a timeout must be more than 0 seconds", path=f"{name}_timeout_seconds")
        if self.api_key is not None and (
            len(self.api_key) < _SHORTEST_KEY or not self.api_key.isascii() or not self.api_key.isprintable()
        ):
            raise ConfigError(
                f"the key must be at least {_SHORTEST_KEY} printable ASCII characters",
                path="api_key",
                hint='python -c "import secrets; print(secrets.token_urlsafe(32))" makes a good one',
            )
        if self.api_key is None and not is_loopback(self.host):
            raise ConfigError(
                f"{self.host} can be reached from other machines, and no API key is set",
                path="host",
                hint=f"put a key into the environment variable {API_KEY_VARIABLE}, or listen on 127.0.0.1",
            )
        for origin in self.allow_origins:
            if "://" not in origin or origin.endswith("/") or "*" in origin:
                raise ConfigError(
                    f"{origin!r} is not an origin", path="allow_origins", hint="write it as https://example.org"
                )


def is_loopback(host: str) -> bool:
    """Whether an address or name can be reached from this machine only."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def read_api_key(path: Path | str | None = None, environment: Mapping[str, str] | None = None) -> str | None:
    """The key in the file `path`, else in the variable GROUNDUP_API_KEY, else None.

    Raises ConfigError when the file cannot be read or others can read it; the message never holds the key.
    """
    if path is None:
        value = (os.environ if environment is None else environment).get(API_KEY_VARIABLE, "")
        return value.strip() or None
    path = Path(path)
    try:
        text = path.read_text(encoding="ascii")
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise ConfigError(f"the key file {path} cannot be read: {reason}", path="api_key") from None
    if mode & 0o077:
        raise ConfigError(f"the key file {path} can be read by other users", path="api_key", hint=f"chmod 600 {path}")
    if not text.strip():
        raise ConfigError(f"the key file {path} is empty", path="api_key")
    return text.strip()

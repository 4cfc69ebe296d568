"""The one tree of errors. Every message says what was wrong, the limit, the likely cause, and what to do next.

`hint` is the next command or edit, printed on a line of its own by the command line, and put into the API's error object.
Errors that a caller may treat as a bad value also derive from ValueError.
"""

from __future__ import annotations


class GroundupError(Exception):
    """Root of all errors that groundup raises on purpose.

    exit_code: what the command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(GroundupError, ValueError):
    """A recipe, override, swap or config value is wrong. `path` is the dotted key."""

    exit_code = 2

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message, hint=hint)
        self.path = path


class DataError(GroundupError, ValueError):
    """Input text, a record or a token shard cannot be read; names the file and row."""


class TokenizerError(GroundupError, ValueError):
    """A tokenizer file or input is malformed, or two tokenizers that must agree do not."""


class ModelError(GroundupError, ValueError):
    """A model directory or a part does not have the shape that was expected."""


class ArtifactError(GroundupError):
    """A stored artifact is missing, incomplete, truncated or changed since it was written."""


class TrainingError(GroundupError):
    """Training cannot go on: unstable beyond repair, out of disk, or asked to stop."""


class SandboxError(GroundupError):
    """A program could not be run at the tier of isolation asked for. It was not run at a lesser one."""


class RequestError(GroundupError, ValueError):
    """A generation or scoring request is invalid. `param` and `code` are the OpenAI error fields; `status` is HTTP's."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.param = param
        self.code = code
        self.status = status


class BusyError(RequestError):
    """The queue is full. `retry_after_seconds` is when a place is likely."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message, code="queue_full", status=429)
        self.retry_after_seconds = retry_after_seconds


class MissingDependency(GroundupError):
    """An optional library is not installed; the hint is the install command."""

    exit_code = 3

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed", hint=f"pip install 'groundup[{extra}]'"
        )

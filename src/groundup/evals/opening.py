"""How an evaluation gets a model from a directory without knowing the engine: the composition root registers who opens what.

`register_opener("model", factory)` is called once, where everything is wired; `open_model(path)` looks up the kind that the
directory's seal states and hands back the model behind the text-level protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..core.artifact import SEAL, read_seal
from ..core.errors import ArtifactError
from ..core.protocols import Generator, Scorer, Tokenizer


def _nothing() -> None: ...


@dataclass(frozen=True, kw_only=True)
class OpenModel:
    """A model that is loaded and ready. What it cannot do is None."""

    generator: Generator | None = None
    scorer: Scorer | None = None
    tokenizer: Tokenizer | None = None
    close: Callable[[], None] = field(default=_nothing)
    """Frees its memory and threads."""


class Opener(Protocol):
    """Loads a directory. trusted_parts: dotted path -> `file.py:Name` of the user's own parts that may be imported."""

    def __call__(self, path: Path, *, trusted_parts: Mapping[str, str]) -> OpenModel: ...


_openers: dict[str, Opener] = {}


def register_opener(kind: str, factory: Opener) -> None:
    """Name who opens directories whose seal says `kind`. A later call for the same kind replaces the earlier one."""
    _openers[kind] = factory


def registered_kinds() -> list[str]:
    return sorted(_openers)


def open_model(path: Path | str, *, trusted_parts: Mapping[str, str] | None = None) -> OpenModel:
    """Load the model in `path`. A directory without a seal but with a `config.json` counts as a "model" (that is what
    a Hugging Face download looks like). Raises ArtifactError when it is neither, or nothing is registered for its kind.
    """
    path = Path(path)
    if path.is_dir() and not (path / SEAL).is_file() and (path / "config.json").is_file():
        kind = "model"
    else:
        kind = read_seal(path).kind
    opener = _openers.get(kind)
    if opener is None:
        known = ", ".join(registered_kinds()) or "none, because nothing has been wired in this process"
        raise ArtifactError(
            f"{path} holds a {kind!r}, and nothing here opens that kind (known kinds: {known})",
            hint="give a model directory; in your own program call groundup.evals.opening.register_opener first",
        )
    return opener(path, trusted_parts=dict(trusted_parts or {}))

"""Several adapters on one base model, chosen by each request: names, opening, and the choice for the rows of a call.

A request without an adapter gets what the model gives when nobody asks: the base, or, where the engine was made over a model
that is being trained with an adapter selected, that adapter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor

from ..adapt import adapter_names, load_adapter, select
from ..adapt.attach import adapters_of
from ..core.artifact import read_json
from ..core.errors import ArtifactError, ModelError, RequestError
from ..models.decoder import Decoder

ADAPTER_CONFIG = "adapter_config.json"


class Adapters:
    """The adapters of one model; used on the thread that runs the model."""

    def __init__(self, model: Decoder) -> None:
        self._model = model
        chosen = adapters_of(model).selection.chosen if adapter_names(model) else None
        self.default = chosen if isinstance(chosen, str) else None
        """What a request gets that names none; None: the base."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(adapter_names(self._model))

    def wanted(self, asked: str | None) -> str | None:
        """The adapter of a request; RequestError for a name that there is not."""
        if asked is None:
            return self.default
        names = self.names
        if asked not in names:
            listed = ", ".join(names) if names else "none"
            raise RequestError(
                f"adapter: this model has no adapter {asked[:80]!r}; it has {listed}",
                param="adapter",
                code="unknown_adapter",
            )
        return asked

    def add(self, name: str, directory: Path) -> None:
        load_adapter(self._model, directory, name=name)

    def choose(self, rows: Sequence[str | None]) -> AbstractContextManager[None]:
        """Inside, each row of the model's calls goes through its adapter."""
        if not adapter_names(self._model) or adapters_of(self._model).merged is not None:
            return nullcontext()
        first = rows[0] if rows else None
        return select(self._model, first if all(name == first for name in rows) else list(rows))

    def load_base(self, values: Mapping[str, Tensor]) -> None:
        """New weights for everything that `values` names; adapters that it does not name stay as they are."""
        found = self._model.load_state_dict(values, strict=not self.names)
        missing = [key for key in found.missing_keys if "adapters." not in key]
        if missing or found.unexpected_keys:
            raise ModelError(
                f"these weights are not this model's: missing {missing[:3]}, unexpected {found.unexpected_keys[:3]}",
                hint="give sync_weights a model of the same configuration",
            )


def is_adapter(directory: Path) -> bool:
    """Does the directory hold an adapter, rather than a model?"""
    return (directory / ADAPTER_CONFIG).is_file() and not (directory / "config.json").is_file()


def base_of(directory: Path) -> Path:
    """The model directory that an adapter names as its base: as written, or relative to the adapter."""
    raw: Any = read_json(directory / ADAPTER_CONFIG)
    named = raw.get("base_model_name_or_path") if isinstance(raw, Mapping) else None
    if isinstance(named, str) and named:
        for path in (Path(named).expanduser(), directory / named):
            if path.is_dir():
                return path
    raise ArtifactError(
        f"{directory} is an adapter, and the base model it names, {named!r}, is no directory here",
        hint="open the base model and give the adapter beside it: MODEL --adapter NAME=DIRECTORY",
    )

"""The files of a model that predicts: `predictor.json` (what it is, and all that is no array) and `model.safetensors`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .artifact import atomic_write, read_json, write_json
from .errors import ArtifactError

if TYPE_CHECKING:
    import numpy as np

CONFIG, ARRAYS = "predictor.json", "model.safetensors"
KIND = "predictor"
"""Of the seal of such a directory."""


def save_predictor(directory: Path, kind: str, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write both files; the stage runner seals the directory. kind: the `type` that cli/wiring.py opens it by."""
    import numpy as np
    from safetensors.numpy import save

    with atomic_write(directory / ARRAYS) as file:
        file.write(save({name: np.ascontiguousarray(value) for name, value in arrays.items()}))
    write_json(directory / CONFIG, {"type": kind, **config})


def read_predictor(directory: Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(config, arrays). ArtifactError when a file is missing, damaged or of another kind."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    config = read_json(directory / CONFIG)
    if not isinstance(config, dict) or config.get("type") != kind:
        raise ArtifactError(f"{directory / CONFIG} does not describe a {kind}")
    try:
        arrays = load_file(directory / ARRAYS)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{directory / ARRAYS} cannot be read: {error}", hint="run its recipe again") from None
    return config, arrays

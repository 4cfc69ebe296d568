"""What a model directory says of itself, without torch: for `groundup info`, and for finding the model in a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.artifact import SEAL, read_json, read_seal
from ..core.errors import ArtifactError, ModelError
from .weights import DTYPE_NAMES, inspect_weights

CONFIG = "config.json"
_REPORT = "report.json"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    family: str
    parameters: int
    """Stored numbers; tied matrices once."""
    context_tokens: int
    vocab_size: int
    hidden_size: int
    num_layers: int
    dtype: str
    """Of most of the weights, in torch's words."""
    weight_bytes: int
    swapped_parts: tuple[str, ...] = ()
    """`file.py:Name` of every user part."""


def read_model_config(directory: Path) -> dict[str, Any]:
    """config.json as a mapping; ArtifactError or ModelError say what is wrong with it."""
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise ArtifactError(f"{directory} has no {CONFIG}, so it is no model directory",
                            hint="groundup runs lists the runs that exist")  # fmt: skip
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise ModelError(f"{path} does not hold a mapping")
    return raw


def read_model_facts(directory: Path) -> ModelFacts:
    """Family, size, context and dtype from config.json and the headers of the weights."""
    from ..core.config import find_uses

    raw = read_model_config(directory)
    stored = inspect_weights(Path(directory))
    by_dtype: dict[str, int] = {}
    for tensor in stored.values():
        by_dtype[tensor.dtype] = by_dtype.get(tensor.dtype, 0) + tensor.numel
    biggest = max(by_dtype, key=lambda name: by_dtype[name], default="F32")

    def first(*keys: str) -> int:
        return int(next((raw[k] for k in keys if isinstance(raw.get(k), int)), 0))

    return ModelFacts(
        family=str(raw.get("model_type", "?")),
        parameters=sum(by_dtype.values()),
        context_tokens=first("max_position_embeddings", "n_positions"),
        vocab_size=first("vocab_size"),
        hidden_size=first("hidden_size", "n_embd"),
        num_layers=first("num_hidden_layers", "n_layer"),
        dtype=DTYPE_NAMES[biggest],
        weight_bytes=sum(tensor.nbytes for tensor in stored.values()),
        swapped_parts=tuple(find_uses(raw.get("decoder", {})).values()),
    )


def resolve_model_directory(path: Path) -> Path:
    """A model directory itself, or the last finished model stage of a run directory.

    ArtifactError lists what was found otherwise.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise ArtifactError(f"{path} is not a directory", hint="groundup runs lists the runs that exist")
    if (path / CONFIG).is_file():
        return path
    found = _stages(path)
    models = [name for name, kind in found.items() if kind == "model"]
    if models:
        return path / models[-1]
    if found:
        listed = ", ".join(f"{name} ({kind})" for name, kind in found.items())
        raise ArtifactError(
            f"{path} holds no finished model; its stages: {listed}",
            hint="run its recipe again with the same --out: it goes on where it was",
        )
    names = ", ".join(sorted(p.name for p in path.iterdir())[:12]) or "nothing"
    raise ArtifactError(
        f"{path} is neither a model directory ({CONFIG}) nor a run ({_REPORT}); it has: {names}",
        hint="groundup runs lists the runs that exist",
    )


def _stages(run: Path) -> dict[str, str]:
    """Name -> kind of each sealed stage, in the order in which the report says they ran."""
    order: list[str] = []
    if (run / _REPORT).is_file():
        report = read_json(run / _REPORT)
        order = list(report.get("stages", {})) if isinstance(report, dict) else []
    sealed = [p.parent for p in run.glob(f"*/{SEAL}") if p.parent.suffix not in (".partial", ".old")]
    sealed.sort(key=lambda p: (p / SEAL).stat().st_mtime_ns)
    order = [name for name in order if (run / name / SEAL).is_file()]
    order += [p.name for p in sealed if p.name not in order]
    return {name: read_seal(run / name).kind for name in order}

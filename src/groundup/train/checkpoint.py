"""Checkpoints: everything a run needs to go on bit for bit, in directories that prove they are whole.

`step_00001200/` holds model.safetensors, optimizer.safetensors (moments, step counts, averaged weights), random.safetensors
and state.json (step, place in the data, guard), sealed last. It is written beside its name and renamed; the newest `keep` stay.
A checkpoint that fails its hashes is set aside, reported, and the one before it is used.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..core.artifact import commit_directory, read_json, seal, verify, write_json
from ..core.errors import ArtifactError
from ..core.protocols import Tracker

PREFIX = "step_"


@dataclass(slots=True)
class TrainingState:
    """What a checkpoint holds beside the model's weights."""

    step: int
    cursor: int
    """Number of batches taken from the source, skipped ones included."""
    source: dict[str, Any]
    guard: dict[str, Any]
    averaged: dict[str, Tensor]
    """Exponential moving average of the weights; empty if none is kept."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The weights of the best evaluation so far, where early stopping keeps them."""


class Checkpoints:
    def __init__(self, directory: Path, tracker: Tracker, *, keep: int = 2) -> None:
        self.directory = directory
        self.tracker = tracker
        self.keep = keep

    def save(
        self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], state: TrainingState, *, key: str = ""
    ) -> Path:
        """Write one checkpoint. Raises ArtifactError (disk full, not writable); older ones are then untouched."""
        final = self.directory / f"{PREFIX}{state.step:08d}"
        partial = final.with_name(final.name + ".partial")
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        weights = {name: tensor.detach().contiguous() for name, tensor in kept_tensors(model).items()}
        moments = optimizer_tensors(model, optimizers)
        moments |= {f"averaged.{name}": tensor for name, tensor in state.averaged.items()}
        moments |= {f"best.{name}": tensor for name, tensor in state.best.items()}
        needed = sum(t.nbytes for t in (*weights.values(), *moments.values()))
        try:
            free = shutil.disk_usage(self.directory).free
            if free < needed * 1.05:
                raise ArtifactError(
                    f"a checkpoint needs {needed:,} bytes, {free:,} are free under {self.directory}",
                    hint="free some space, or choose another place with --out",
                )
            _save(weights, partial / "model.safetensors")
            _save(moments, partial / "optimizer.safetensors")
            _save({"torch": torch.get_rng_state()}, partial / "random.safetensors")
            write_json(
                partial / "state.json",
                {"step": state.step, "cursor": state.cursor, "source": state.source, "guard": state.guard},
            )
            seal(partial, kind="checkpoint", facts={"step": state.step}, key=key)
            commit_directory(partial, final)
        except (OSError, ArtifactError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(
                f"checkpoint of step {state.step} could not be written ({needed:,} bytes): {error.strerror or error}",
                hint="free some space; the checkpoint before it is unchanged",
            ) from error
        except Exception as error:  # safetensors raises its own error type for a failed write
            shutil.rmtree(partial, ignore_errors=True)
            if "I/O error" in str(error) or "IoError" in str(error):
                raise ArtifactError(f"checkpoint of step {state.step} could not be written: {error}",
                                    hint="free some space; the checkpoint before it is unchanged") from error  # fmt: skip
            raise
        self._rotate()
        return final

    def _rotate(self) -> None:
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def steps(self) -> list[Path]:
        """Committed checkpoints, oldest first."""
        if not self.directory.is_dir():
            return []
        found = [p for p in self.directory.iterdir() if p.name.startswith(PREFIX) and p.name[len(PREFIX) :].isdigit()]
        return sorted(found)

    def newest(self) -> Path | None:
        """The newest checkpoint that passes its hashes; damaged ones are set aside as `*.damaged`."""
        for path in reversed(self.steps()):
            try:
                verify(path, kind="checkpoint")
                return path
            except ArtifactError as error:
                self.tracker.event("damaged_checkpoint", str(error), path=path.name)
                aside = path.with_name(path.name + ".damaged")
                shutil.rmtree(aside, ignore_errors=True)
                os.rename(path, aside)
        return None

    def load(self, path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> TrainingState:
        """Put a verified checkpoint back into the model, the optimizers and the random generator."""
        weights = load_file(path / "model.safetensors")
        own = kept_tensors(model)
        if set(weights) != set(own):
            odd = sorted(set(weights) ^ set(own))[:3]
            raise ArtifactError(f"{path} is of another model: parameters differ, for example {', '.join(odd)}")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(weights[name])
        moments = load_file(path / "optimizer.safetensors")
        averaged, best = (
            {n.removeprefix(prefix): t for n, t in moments.items() if n.startswith(prefix)}
            for prefix in ("averaged.", "best.")
        )
        load_optimizer_tensors(model, optimizers, moments)
        torch.set_rng_state(load_file(path / "random.safetensors")["torch"])
        raw = read_json(path / "state.json")
        return TrainingState(raw["step"], raw["cursor"], raw["source"], raw["guard"], averaged, best)


def kept_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What training changes: the parameters that are trained, and buffers that belong to the model (running statistics)."""
    found: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    buffers = dict(model.named_buffers())
    return found | {name: buffers[name] for name in model.state_dict() if name in buffers}


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    save_file(dict(tensors), str(path), metadata={"format": "pt"})


def optimizer_tensors(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """`<number of the optimizer>.<parameter's name>.<entry>` -> tensor."""
    names = {id(p): name for name, p in model.named_parameters()}
    found: dict[str, Tensor] = {}
    for i, optimizer in enumerate(optimizers):
        for parameter, state in optimizer.state.items():
            for entry, value in state.items():
                tensor = value if isinstance(value, Tensor) else torch.tensor(value)
                found[f"{i}.{names[id(parameter)]}.{entry}"] = tensor.contiguous()
    return found


def load_optimizer_tensors(
    model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], tensors: Mapping[str, Tensor]
) -> None:
    own = dict(model.named_parameters())
    for optimizer in optimizers:
        optimizer.state.clear()
    for key, tensor in tensors.items():
        number, _, rest = key.partition(".")
        if not number.isdigit():
            continue
        name, _, entry = rest.rpartition(".")
        optimizers[int(number)].state[own[name]][entry] = tensor.clone()

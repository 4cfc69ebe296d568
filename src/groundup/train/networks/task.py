"""What the `fit` stage is given by a kind of data: examples, a network, an objective, and what to measure and show of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ...core.errors import ConfigError, DataError
from ...core.exhibits import Plot, Table
from ...nn.protocols import Objective
from ...objectives.networks import Example

if TYPE_CHECKING:
    from ..fit import FitStage

Exhibits = list[Table | Plot]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One training: on which examples, judged by which."""

    name: str
    """Of its folder under scratch."""
    train: Sequence[Example]
    held_out: Sequence[Example]
    watched: Sequence[Example]
    """What the evaluations during training go over: validation examples, or the same where there are none."""
    seed: int
    build: Callable[[], nn.Module]
    """A new network; draws from torch's generator."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the task wants to know of it again: a vocabulary."""


@dataclass(frozen=True, kw_only=True)
class Task:
    objective: Objective
    parts: Sequence[Part]
    """Trained and judged one after the other: folds, or repetitions from other random numbers."""
    final: Part | None
    """Trained last, and saved; None: the first of the parts is saved."""
    evaluate: Callable[[nn.Module, Sequence[Example]], Mapping[str, float]]
    """Figures of a network on examples. No name says which examples."""
    judged: Callable[[Sequence[nn.Module]], tuple[dict[str, Any], Exhibits]]
    """Figures and exhibits of the parts' networks, each on the examples that were held out from it."""
    save: Callable[[Part, nn.Module, Path], None]
    """Write a predictor, or a maker of pictures."""


def judged_and_watched(stage: FitStage, name: str, validation: Any, test: Any) -> tuple[Any, Any]:
    """Which examples judge the end, and which are looked at during training: never the same when those choose the weights."""
    if not test and not validation:
        raise DataError(f"the stage {stage.data!r} holds no example out", hint=f"set {stage.data}.split.test to 0.2")
    if stage.early_stopping is not None and not (validation and test):
        raise ConfigError(
            "needs validation examples to choose by and test examples to be judged by",
            path=f"{name}.early_stopping",
            hint=f"set {stage.data}.split.validation and test, for example to 0.1 each",
        )
    return test or validation, validation or test

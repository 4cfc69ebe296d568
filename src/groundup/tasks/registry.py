"""Which task a config node names, and how to build it. The user's own: `use: mine.py:MyTask`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.config import Use, load_user_part, node
from ..core.errors import ConfigError
from .problems.kind import ProblemKind
from .problems.task import SPLITS, GeneratedProblems, ProblemsConfig, ProblemTask

TaskNode = node(ProblemsConfig)


def build_task(config: Any, *, split: str, seed: int, count: int, root: Path | None = None) -> ProblemTask:
    """The task that a config node names, for one split.

    seed: what generated problems are drawn from. count: how many `examples()` gives. root: where the files of `use:` nodes
    are looked up. The user's own class is called with `split`, `seed`, `count` and its `args`.
    """
    if isinstance(config, Use):
        task: ProblemTask = load_user_part(config, root=root)(split=split, seed=seed, count=count, **config.args)
        return task
    if isinstance(config, ProblemsConfig):
        return GeneratedProblems(config, split=split, seed=seed, count=count, kinds=_kinds(config.kinds, root))
    raise ConfigError(f"{type(config).__name__} is no config of a task")


def _kinds(kinds: Sequence[Any], root: Path | None) -> list[ProblemKind]:
    return [load_user_part(kind, root=root)(**kind.args) if isinstance(kind, Use) else kind for kind in kinds]


__all__ = ["SPLITS", "ProblemTask", "TaskNode", "build_task"]

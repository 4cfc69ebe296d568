"""Which task a config node names, and how to build it. The user's own: `use: mine.py:MyTask`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.config import Use, load_user_part, node
from .code import MBPPConfig, PythonFunctionsConfig
from .problems.task import SPLITS, ProblemsConfig, ProblemTask
from .word_problems import WordProblemsConfig

TaskNode = node(ProblemsConfig, WordProblemsConfig, PythonFunctionsConfig, MBPPConfig)


def build_task(config: Any, *, split: str, seed: int, count: int, root: Path | None = None) -> ProblemTask:
    """The task that a config node names, for one split: train, validation, test or harder.

    seed: what generated problems are drawn from. count: how many `examples()` gives. root: where the files of `use:` nodes
    are looked up. The user's own class is called with `split`, `seed`, `count` and its `args`.
    """
    if isinstance(config, Use):
        own: ProblemTask = load_user_part(config, root=root)(split=split, seed=seed, count=count, **config.args)
        return own
    task: ProblemTask = config.build(split=split, seed=seed, count=count, root=root)
    return task


__all__ = ["SPLITS", "ProblemTask", "TaskNode", "build_task"]

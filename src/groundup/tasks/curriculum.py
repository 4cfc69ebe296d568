"""From easy to hard: problems whose difficulty follows the pass rate of the one who answers them.

A curriculum stands before a task and is one: `example(index)` asks for the problem at the present level (and now and then at an
easier one, so that what was learned stays), `score` judges and takes note. When the pass rate over the last verdicts at the
present level reaches the mark, the level goes up by one. What is drawn is a function of (index, level) alone, and the
level of the verdicts seen, so a run that stores `state_dict` goes on exactly as it would have. The level never goes down.
Curriculum learning: Bengio et al. 2009; pass-rate thresholds: Narvekar et al. 2020, section 4.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..core.errors import ConfigError
from ..core.types import Completion, TaskExample, Verdict
from .problems.kind import HARDEST
from .problems.task import ProblemTask


@dataclass(frozen=True, kw_only=True)
class CurriculumConfig:
    """When problems become harder."""

    difficulty: tuple[int, int] = (1, 5)
    """Where it begins and where it ends."""
    raise_at: float = 0.7
    """Pass rate at the present level at which the next is begun."""
    window: int = 128
    """Verdicts at the present level that the pass rate is taken over; none is judged by fewer."""
    easier: float = 0.2
    """Share of problems that come from a level already passed."""
    type: Literal["pass_rate"] = "pass_rate"

    def __post_init__(self) -> None:
        low, high = self.difficulty
        if not 1 <= low <= high <= HARDEST:
            raise ConfigError(
                f"must be a low and a high value from 1 to {HARDEST}, not {[low, high]}", path="difficulty"
            )
        if not 0 < self.raise_at <= 1:
            raise ConfigError(f"must be above 0 and at most 1, not {self.raise_at}", path="raise_at")
        if self.window < 1:
            raise ConfigError(f"must be at least 1, not {self.window}", path="window")
        if not 0 <= self.easier < 1:
            raise ConfigError(f"must be at least 0 and below 1, not {self.easier}", path="easier",
                              hint="at 1 no problem of the present level would ever be asked")  # fmt: skip


class Curriculum:
    """See the module. The task must have a difficulty to ask for: one from a file refuses with a ConfigError."""

    def __init__(self, task: ProblemTask, config: CurriculumConfig) -> None:
        self.task, self.config = task, config
        self.level = config.difficulty[0]
        self._passed: deque[bool] = deque(maxlen=config.window)

    def examples(self) -> Iterator[TaskExample]:
        return self.task.examples()

    def example(self, index: int, *, difficulty: int | None = None) -> TaskExample:
        """Problem `index` of the present level, or of an easier one."""
        if difficulty is None:
            difficulty = self.level
            rng = random.Random(f"curriculum/{index}")
            if self.level > self.config.difficulty[0] and rng.random() < self.config.easier:
                difficulty = rng.randrange(self.config.difficulty[0], self.level)
        return self.task.example(index, difficulty=difficulty)

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        verdict = self.task.score(example, completion)
        # Easier problems, and those drawn before the level went up, say nothing about this level.
        if example.meta.get("difficulty") == self.level:
            self._passed.append(verdict.score >= 1.0)
            if self.level < self.config.difficulty[1] and self._ripe():
                self.level += 1
                self._passed.clear()
        return verdict

    def _ripe(self) -> bool:
        return len(self._passed) == self.config.window and self.pass_rate >= self.config.raise_at

    @property
    def pass_rate(self) -> float:
        """Over the verdicts at the present level, the last `window` of them; 0 where there are none."""
        return sum(self._passed) / len(self._passed) if self._passed else 0.0

    def figures(self) -> Mapping[str, float]:
        return {"difficulty": float(self.level), "level_pass_rate": self.pass_rate}

    def state_dict(self) -> dict[str, Any]:
        return {"level": self.level, "passed": [int(passed) for passed in self._passed]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.level = int(state["level"])
        self._passed = deque((bool(passed) for passed in state["passed"]), maxlen=self.config.window)

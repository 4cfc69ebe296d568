"""Generated problems as a Task: every problem is a pure function of (seed, split, index).

Which split a problem belongs to is decided by what it asks (a hash of `Problem.key`), not by when it is drawn: each index
draws again until it meets a problem of its own split. So no two splits share a problem, whatever their seeds, sizes and
difficulties are, and training can go on drawing for ever without ever meeting a held-out one. Within a split a problem can
come up again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Protocol

from ...core.config import Use, load_user_part, node
from ...core.errors import ConfigError, DataError
from ...core.types import Completion, TaskExample, Verdict
from ..judge import judge
from .arithmetic import ArithmeticConfig
from .comparison import ComparisonConfig
from .counting import CountingConfig
from .dates import DatesConfig
from .kind import HARDEST, Problem, ProblemKind
from .lists import ListsConfig
from .logic import LogicConfig
from .units import UnitsConfig

SPLITS = ("train", "validation", "test", "harder")
_SHARES = {"train": range(0, 17), "validation": range(17, 18), "test": range(18, 19), "harder": range(19, 20)}
_BUCKETS = 20
# A held-out split takes one problem in 20: that none of 2,000 draws falls into it has a chance below 1e-44 unless the kind
# has only a handful of problems at this difficulty.
_DRAWS = 2000

KindNode: Any = node(
    ArithmeticConfig, ComparisonConfig, CountingConfig, DatesConfig, UnitsConfig, LogicConfig, ListsConfig
)


class ProblemTask(Protocol):
    """A Task (groundup.core.protocols) that can also be asked for any one problem by its number, without end."""

    def examples(self) -> Iterator[TaskExample]: ...

    def example(self, index: int, *, difficulty: int | None = None) -> TaskExample:
        """Problem `index` >= 0, the same at every call; of the given difficulty where the task has such a dial."""
        ...

    def score(self, example: TaskExample, completion: Completion) -> Verdict: ...


@dataclass(frozen=True, kw_only=True)
class ProblemsConfig:
    """A mixture of kinds of generated problem."""

    kinds: tuple[KindNode, ...] = field(default_factory=lambda: (ArithmeticConfig(),))
    """Kinds with their weights."""
    difficulty: tuple[int, int] = (1, 3)
    """Lowest and highest difficulty of train, validation and test, each as likely."""
    harder: tuple[int, int] = (4, 5)
    """Those of the split `harder`."""
    style: Literal["short", "long", "mixed"] = "short"
    """How the worked solutions are written."""
    instruction: str = ""
    """Put under every question: what a model that was not trained on these answers needs to be told."""
    type: Literal["problems"] = "problems"

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ConfigError("needs at least one kind", path="kinds", hint="for example kinds=[{type: arithmetic}]")
        for name in ("difficulty", "harder"):
            low, high = getattr(self, name)
            if not 1 <= low <= high <= HARDEST:
                raise ConfigError(f"must be a low and a high value from 1 to {HARDEST}, not {[low, high]}", path=name)

    def fingerprint(self) -> str:
        return ""

    def build(self, *, split: str, seed: int, count: int, root: Path | None = None) -> GeneratedProblems:
        """The problems of a split; the user's own kinds are looked up under `root`."""
        kinds = [load_user_part(k, root=root)(**k.args) if isinstance(k, Use) else k for k in self.kinds]
        return GeneratedProblems(self, split=split, seed=seed, count=count, kinds=kinds)


class GeneratedProblems:
    """See the module. `count` is how many problems `examples()` gives; `example()` has no end.

    kinds: the kinds of the config, with the user's own built.
    """

    def __init__(
        self, config: ProblemsConfig, *, split: str, seed: int, count: int, kinds: Sequence[ProblemKind]
    ) -> None:
        if split not in SPLITS:
            raise ConfigError(f"no split {split!r}; problems have {', '.join(SPLITS)}")
        self.config, self.split, self.seed, self.count = config, split, seed, count
        self.kinds = tuple(kinds)
        self._weights = [kind.weight for kind in self.kinds]

    def examples(self) -> Iterator[TaskExample]:
        return (self.example(index) for index in range(self.count))

    def example(self, index: int, *, difficulty: int | None = None) -> TaskExample:
        """Problem `index`; the kind is the same at every difficulty. DataError where the kind has no problem for this split."""
        rng = random.Random(f"{self.seed}/{self.split}/{index}")
        kind = rng.choices(self.kinds, self._weights)[0]
        drawn = rng.randint(*(self.config.harder if self.split == "harder" else self.config.difficulty))
        long = {"short": False, "long": True, "mixed": rng.random() < 0.5}[self.config.style]
        problem = self._draw(kind, rng, drawn if difficulty is None else difficulty)
        text = f"{problem.question}\n{self.config.instruction}" if self.config.instruction else problem.question
        meta: dict[str, Any] = {
            "kind": kind.type,
            "difficulty": drawn if difficulty is None else difficulty,
            "solution": problem.solution(long=long),
            "key": problem.key,
        }
        suffix = "" if difficulty is None else f"@{difficulty}"
        return TaskExample(
            id=f"{self.split}:{index}{suffix}",
            prompt=[{"role": "user", "content": text}],
            answer=problem.answer,
            meta=meta,
        )

    def _draw(self, kind: ProblemKind, rng: random.Random, difficulty: int) -> Problem:
        for _ in range(_DRAWS):
            problem = kind.make(rng, difficulty)
            if bucket(problem.key) in _SHARES[self.split]:
                return problem
        raise DataError(
            f"{kind.type} has too few different problems at difficulty {difficulty}: none for the split {self.split!r}",
            hint="raise the difficulty, or widen what the kind draws from",
        )

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        return judge(completion, str(example.answer))


def bucket(key: str) -> int:
    """Which of the 20 parts of all problems this one is in."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") % _BUCKETS

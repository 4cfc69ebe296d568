"""The stages `problems` (problems with exact answers, in splits) and `worked_solutions` (their solutions as instruct rows)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ..core.artifact import atomic_write, read_seal, write_json
from ..core.config import Use
from ..core.errors import ConfigError, DataError
from ..core.recipe import StageContext
from ..core.types import TaskExample
from .filter import filter_by_task
from .problems.task import ProblemsConfig
from .registry import SPLITS, ProblemTask, TaskNode, build_task
from .stored import open_problems, read_problems, write_examples, write_task

# How many numbers are drawn for each held-out problem before a small space of problems is taken to be used up.
_DRAWS_PER_PROBLEM = 20


@dataclass(frozen=True, kw_only=True)
class ProblemsStage:
    """Draw problems for every split. A held-out split has no problem twice, and none that any other split has."""

    task: TaskNode = field(default_factory=ProblemsConfig)
    train: int = 4000
    """Problems that are written down; `open_problems(directory, "train")` goes on beyond them where they are generated."""
    validation: int = 200
    test: int = 500
    harder: int = 200
    """Problems from the task's harder range; 0 for none. So for the others."""
    type: Literal["problems"] = "problems"
    kind = "problems"

    def __post_init__(self) -> None:
        for split in SPLITS:
            if getattr(self, split) < 0:
                raise ConfigError(f"must be at least zero, not {getattr(self, split)}", path=split)

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return "" if isinstance(self.task, Use) else str(self.task.fingerprint())

    def run(self, context: StageContext) -> Mapping[str, Any]:
        drawn: dict[str, int] = {}
        figures: dict[str, dict[str, Any]] = {
            "problems": {},
            "kinds": {},
            "difficulties": {},
            "solution_characters": {},
        }
        for split in SPLITS:
            wanted = getattr(self, split)
            if not wanted:
                continue
            task = build_task(self.task, split=split, seed=context.seed, count=wanted, root=context.recipe_directory)
            with context.progress.task(f"{split} problems", total=wanted) as bar:
                examples, drawn[split] = _drawn(task, wanted, distinct=split != "train", on_problem=bar.advance)
            if not examples:
                raise DataError(
                    f"the task has no problem for the split {split!r}", hint=f"{context.name}.{split}=0 leaves it out"
                )
            write_examples(context.directory / f"{split}.jsonl", examples)
            figures["problems"][split] = len(examples)
            figures["kinds"][split] = _counts(examples, "kind")
            figures["difficulties"][split] = _counts(examples, "difficulty")
            characters = [len(str(e.meta.get("solution", ""))) for e in examples]
            figures["solution_characters"][split] = {
                "mean": round(sum(characters) / len(examples), 1),
                "max": max(characters),
            }
        write_task(context.directory, self.task, seed=context.seed, drawn=drawn)
        return figures


@dataclass(frozen=True, kw_only=True)
class WorkedSolutionsStage:
    """Worked solutions of stored problems as instruction pairs: question, solution."""

    problems: str = "problems"
    """The stage whose problems are taken."""
    limit: int | None = None
    """The first so many problems of train; null takes all."""
    difficulty: tuple[int, int] | None = None
    """Only problems of these difficulties, lowest and highest; null takes all."""
    kinds: tuple[str, ...] | None = None
    """Only these kinds of problem; null takes all."""
    answer_only: float = 0.0
    """Share of problems whose solution is its last line alone: data as people write it, where the working is often left out. A
    model that learned from it answers at once as often, and is then mostly wrong."""
    type: Literal["worked_solutions"] = "worked_solutions"
    kind = "instruct"

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit <= 0:
            raise ConfigError(f"must be more than zero, not {self.limit}", path="limit")
        if not 0 <= self.answer_only <= 1:
            raise ConfigError(f"must be from 0 to 1, not {self.answer_only}", path="answer_only")

    def _shown(self, example: TaskExample, seed: int) -> str:
        solution = str(example.meta["solution"])
        draw = int.from_bytes(blake2b(f"{seed} {example.id}".encode(), digest_size=4).digest(), "big") / 2**32
        return solution.rstrip().splitlines()[-1] if draw < self.answer_only else solution

    def inputs(self) -> Sequence[str]:
        return (self.problems,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        directory = _input(context, self.problems, "problems")
        counts: dict[str, dict[str, int]] = {}
        for split in ("train", "validation", "test"):
            present = (directory / f"{split}.jsonl").is_file()
            examples = list(islice(self._taken(read_problems(directory, split)), self.limit)) if present else []
            if split == "train" and not examples:
                raise DataError(f"no problem of {self.problems!r} was left to learn from",
                                hint=f"loosen {context.name}.difficulty and {context.name}.kinds")  # fmt: skip
            with atomic_write(context.directory / f"{split}.jsonl") as file:
                for row in (instruct_row(e, self._shown(e, context.seed)) for e in examples):
                    file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            counts[split] = _counts(examples, "kind")
        totals = {split: sum(row.values()) for split, row in counts.items()}
        write_json(
            context.directory / "card.json",
            {
                "title": f"Worked solutions: {self.problems}",
                "kind": "instruct",
                "source": self.problems,
                "splits": {split: {"examples": total} for split, total in totals.items()},
                "kinds": {
                    k: {s: counts[s].get(k, 0) for s in counts} for k in sorted({k for r in counts.values() for k in r})
                },
            },
        )
        return {"examples": totals, "kinds": counts}

    def _taken(self, examples: Iterator[TaskExample]) -> Iterator[TaskExample]:
        low, high = self.difficulty or (None, None)
        for example in examples:
            level = example.meta.get("difficulty")
            fits = low is None or high is None or (level is not None and low <= level <= high)
            if fits and "solution" in example.meta and (self.kinds is None or example.meta.get("kind") in self.kinds):
                yield example


@dataclass(frozen=True, kw_only=True)
class JudgedStage:
    """Instruction rows that answer stored problems, those left out that the task does not judge right."""

    rows: str = "synthetic"
    """The stage with the instruction rows."""
    problems: str = "problems"
    """The stage whose problems they answer; rows of a split that it lacks are looked up in train."""
    keep_others: bool = False
    """Keep rows that answer none of the problems."""
    type: Literal["judged"] = "judged"
    kind = "instruct"

    def inputs(self) -> Sequence[str]:
        return (self.rows, self.problems)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        directory, problems = _input(context, self.rows, "instruct"), _input(context, self.problems, "problems")
        trusted = tuple(context.swaps.values())
        kept, left_out = dict[str, int](), Counter[str]()
        for split in ("train", "validation", "test"):
            source = directory / f"{split}.jsonl"
            if not source.is_file():
                continue
            kept[split] = 0
            stored = split if _has(problems, split) else "train"
            task = open_problems(problems, stored, trusted_parts=trusted)
            with open(source, encoding="utf-8") as lines, atomic_write(context.directory / f"{split}.jsonl") as file:
                rows = (json.loads(line) for line in lines if line.strip())
                for row in filter_by_task(task, rows, keep_others=self.keep_others, reasons=left_out):
                    file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                    kept[split] += 1
        if not kept.get("train"):
            raise DataError(f"no train row of {self.rows!r} was judged right: {dict(left_out)}",
                            hint=f"look at the rows, or name the problems they answer with {context.name}.problems")  # fmt: skip
        write_json(
            context.directory / "card.json",
            {
                "title": f"Judged right: {self.rows}",
                "kind": "instruct",
                "source": self.rows,
                "splits": {split: {"examples": n} for split, n in kept.items()},
                "left_out": dict(left_out),
            },
        )
        return {"examples": kept, "left_out": dict(left_out)}


def _has(directory: Path, split: str) -> bool:
    return (directory / f"{split}.jsonl").is_file()


def _input(context: StageContext, name: str, kind: str) -> Path:
    """Directory of an earlier stage. Raises ConfigError when that stage makes something else."""
    if (found := read_seal(context.inputs[name]).kind) != kind:
        raise ConfigError(f"stage {name!r} makes {found}, not {kind}", path=context.name, hint="name the right stage")
    return context.inputs[name]


def instruct_row(example: TaskExample, solution: str | None = None) -> dict[str, Any]:
    """Prompt and solution (None: the worked one) of a problem as one row of an `instruct` directory."""
    prompt = [{"role": "user", "content": example.prompt}] if isinstance(example.prompt, str) else list(example.prompt)
    messages = [*prompt, {"role": "assistant", "content": solution or str(example.meta["solution"])}]
    return {"messages": messages, "kind": str(example.meta.get("kind", "problem")), "id": example.id}


def _drawn(task: ProblemTask, wanted: int, *, distinct: bool, on_problem: Any) -> tuple[list[TaskExample], int]:
    """The first `wanted` problems, and how many numbers that took."""
    if not distinct:
        examples = []
        for example in task.examples():
            examples.append(example)
            on_problem()
        return examples, len(examples)
    seen: set[str] = set()
    kept: list[TaskExample] = []
    number = 0
    while len(kept) < wanted and number < wanted * _DRAWS_PER_PROBLEM:
        example = task.example(number)
        number += 1
        if (key := str(example.meta.get("key", example.prompt))) not in seen:
            seen.add(key)
            kept.append(example)
            on_problem()
    return kept, number


def _counts(examples: Sequence[TaskExample], field_name: str) -> dict[str, int]:
    return {
        str(k): n
        for k, n in sorted(Counter(e.meta.get(field_name, "") for e in examples).items(), key=lambda p: str(p[0]))
    }

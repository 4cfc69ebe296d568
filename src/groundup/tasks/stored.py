"""A directory of problems: one JSON-lines file a split, and `task.json`, from which the judge (and more problems) are rebuilt.

train.jsonl validation.jsonl test.jsonl harder.jsonl      {"id", "prompt": [messages], "answer", "meta"} a row
task.json                                                 config of the task, its seed, numbers drawn per split
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.artifact import atomic_write, read_json, write_json
from ..core.config import find_uses, parse, to_plain
from ..core.errors import ArtifactError, ConfigError, DataError
from ..core.types import Completion, TaskExample, Verdict
from .registry import ProblemTask, TaskNode, build_task

TASK = "task.json"


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """What `task.json` is parsed as."""

    task: TaskNode


class StoredProblems:
    """The stored problems of a split; `example()` goes on beyond them where the task can make more."""

    def __init__(self, task: ProblemTask, rows: Sequence[TaskExample], *, drawn: int) -> None:
        self._task, self._rows, self._drawn = task, rows, drawn
        self.count = len(rows)

    def examples(self) -> Iterator[TaskExample]:
        return iter(self._rows)

    def example(self, index: int, *, difficulty: int | None = None) -> TaskExample:
        """Row `index`, then fresh problems; with a difficulty always the task's own problem of that number."""
        if difficulty is not None:
            return self._task.example(index, difficulty=difficulty)
        if index < len(self._rows):
            return self._rows[index]
        return self._task.example(self._drawn + index - len(self._rows))

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        return self._task.score(example, completion)


def write_task(directory: Path, config: Any, *, seed: int, drawn: Mapping[str, int]) -> None:
    """`task.json`. `drawn`: how many problem numbers of each split were used for its rows."""
    write_json(directory / TASK, {"task": to_plain(config), "seed": seed, "drawn": dict(drawn)})


def write_examples(path: Path, examples: Sequence[TaskExample]) -> None:
    with atomic_write(path) as file:
        for e in examples:
            row = {"id": e.id, "prompt": e.prompt, "answer": e.answer, "meta": dict(e.meta)}
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def read_problems(directory: Path | str, split: str) -> Iterator[TaskExample]:
    """The stored problems of a split. DataError names the file and row that is malformed."""
    path = Path(directory) / f"{split}.jsonl"
    if not path.is_file():
        have = ", ".join(sorted(p.stem for p in Path(directory).glob("*.jsonl"))) or "none"
        raise ArtifactError(f"{directory} has no problems of split {split!r}; it has {have}",
                            hint=f"give the stage that made it a number for {split}")  # fmt: skip
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                yield TaskExample(id=row["id"], prompt=row["prompt"], answer=row["answer"], meta=row["meta"])
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(f"{path}, row {number}: no problem: {type(error).__name__}: {error}",
                                hint="the file was cut or edited; run the stage again") from None  # fmt: skip


def open_problems(directory: Path | str, split: str, *, trusted_parts: Collection[str] = ()) -> StoredProblems:
    """Problems of a `problems` directory with their judge, as a Task.

    A part of the user's own is run only when `trusted_parts` (StageContext.swaps.values()) names it: a directory may come
    from anywhere. Raises ArtifactError, DataError, ConfigError.
    """
    stored = read_json(Path(directory) / TASK)
    try:
        plain, seed, drawn = stored["task"], int(stored["seed"]), int(stored["drawn"].get(split, 0))
    except (TypeError, KeyError, ValueError, AttributeError):
        raise ArtifactError(
            f"{directory}/{TASK} does not describe a task", hint="run the problems stage again"
        ) from None
    for path, use in find_uses(plain).items():
        if use not in trusted_parts:
            raise ConfigError(
                f"the problems of {directory} need the part {use!r}, which was not named on the command line or in the recipe",
                path=path,
                hint="run them from the recipe that names it",
            )
    rows = list(read_problems(directory, split))
    config = parse(_Stored, {"task": plain}, path=f"{directory}/{TASK}").task
    return StoredProblems(build_task(config, split=split, seed=seed, count=len(rows)), rows, drawn=drawn)

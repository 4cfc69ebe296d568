"""MBPP as a task (Austin et al. 2021, "Program Synthesis with Large Language Models", section 2.1): short functions in Python.

Reads the published JSON lines: task_id, text, code, test_list, and test_setup_code where there is. Splits are the paper's: 11-510 test,
511-600 validation, 601-974 train; 1-10 are its few-shot prompts and belong to no split. There is no harder split.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from ...core.errors import ConfigError, DataError
from ...core.types import Completion, TaskExample, Verdict
from .judging import LIMITS, CodeTest, judge_code, judge_many

_SPLITS = {"train": range(601, 975), "validation": range(511, 601), "test": range(11, 511), "harder": range(0)}
_DEFINED = re.compile(r"^(?:async +)?(?:def|class)[ \t]+(\w+)", re.MULTILINE)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class MBPPConfig:
    """MBPP's problems from a file of the user's."""

    path: str
    """mbpp.jsonl."""
    num_shown_tests: int = 1
    """Tests shown in the prompt, which tell the function's name. All are judged; the paper shows three."""
    cpu_seconds: float = 10.0
    """Computing that a solution may take for all its tests. The file's own solution of problem 123 takes about 3 s."""
    type: Literal["mbpp"] = "mbpp"

    def __post_init__(self) -> None:
        if self.cpu_seconds <= 0:
            raise ConfigError(f"must be more than 0, not {self.cpu_seconds}", path="cpu_seconds")
        if self.num_shown_tests < 1:
            raise ConfigError("must be at least 1: nothing else names the function", path="num_shown_tests")

    def fingerprint(self) -> str:
        return sha256(_read(Path(self.path))).hexdigest()

    def build(self, *, split: str, seed: int, count: int, root: Path | None = None) -> MBPP:
        """The problems of a split, the first `count`. They are in a fixed order: `seed` changes nothing."""
        path = Path(self.path)
        return MBPP(
            path if root is None or path.is_absolute() or path.exists() else root / path,
            config=self,
            split=split,
            count=count,
        )


class MBPP:
    """Problems of one split. split "all": every row of the file, the few-shot ones too."""

    def __init__(
        self, path: Path, *, config: MBPPConfig | None = None, split: str = "test", count: int | None = None
    ) -> None:
        self.config = config or MBPPConfig(path=str(path))
        if split != "all" and split not in _SPLITS:
            raise ConfigError(f"MBPP has no split {split!r}; it has {', '.join(_SPLITS)}, all", path="split")
        self._limits = replace(LIMITS, cpu_seconds=self.config.cpu_seconds, seconds=10 * self.config.cpu_seconds)
        rows = [row for row in _rows(path) if split == "all" or row["task_id"] in _SPLITS[split]]
        self._examples = [self._example(row, path) for row in rows[:count]]
        self.count = len(self._examples)

    def examples(self) -> Iterator[TaskExample]:
        return iter(self._examples)

    def example(self, index: int, *, difficulty: int | None = None) -> TaskExample:
        """Problem `index`, beginning again after the last. There is no dial: a `difficulty` is refused."""
        if difficulty is not None:
            raise ConfigError("MBPP's problems have no difficulty to ask for", path="difficulty")
        if not self._examples:
            raise DataError("MBPP has no problem in this split", hint="its splits are train, validation and test")
        return self._examples[index % len(self._examples)]

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        return judge_code(example, completion, limits=self._limits)

    def score_many(self, pairs: Sequence[tuple[TaskExample, Completion]], *, workers: int = 2) -> list[Verdict]:
        """`score` for many completions, `workers` programs at a time."""
        return judge_many(pairs, limits=self._limits, workers=workers)

    def _example(self, row: dict[str, Any], path: Path) -> TaskExample:
        code = str(row["code"]).replace("\r\n", "\n")
        where = f"{path}, task_id {row['task_id']}"
        try:
            defined = set(_DEFINED.findall(code))
            tests = [CodeTest.from_assert(text, defined) for text in row["test_list"]]
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        shown = "\n".join(text.strip() for text in row["test_list"][: self.config.num_shown_tests])
        used = {name for text in row["test_list"] for name in _WORD.findall(text)}
        meta = {
            "kind": "mbpp",
            "solution": f"```python\n{code.strip()}\n```",
            "key": f"mbpp:{row['task_id']}",
            "name": min(used & defined, default=""),
            "tests": [test.to_row() for test in tests],
            "setup": str(row.get("test_setup_code") or "").replace("\r\n", "\n"),
        }
        content = f"{str(row['text']).strip()}\nYour code should pass this test:\n```python\n{shown}\n```"
        return TaskExample(
            id=f"mbpp:{row['task_id']}", prompt=[{"role": "user", "content": content}], answer=code, meta=meta
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read MBPP's file {path}: {error.strerror}", hint="give the path of mbpp.jsonl"
        ) from None


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_read(path).splitlines(), start=1):
        try:
            row = json.loads(line)
            missing = {"task_id", "text", "code", "test_list"} - row.keys()
        except (ValueError, AttributeError) as error:
            raise DataError(f"{path}, row {number}: not a JSON object: {error}") from None
        if missing or not row["test_list"]:
            raise DataError(f"{path}, row {number}: no {', '.join(sorted(missing)) or 'tests in test_list'}")
        yield row

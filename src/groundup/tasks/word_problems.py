"""Word problems from a file of the user's: GSM8K, SVAMP, MultiArith. Judged by the number they come to.

GSM8K (Cobbe et al. 2021): JSON lines of question and answer; the answer ends in `#### n`, and its calculator notes `<<48/2=24>>`
are left out of the worked solutions. SVAMP (Patel et al. 2021) and MultiArith (Roy and Roth 2015): a JSON list with equations,
which become the worked solutions. Where there is no file of its own for the test, a hash of the question says which split a row
is in. There is no split `harder`, and no difficulty to ask for: `difficulty` in the meta is how many steps the solution has.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from ..core.errors import ConfigError, DataError
from ..core.types import Completion, TaskExample, Verdict
from .judge import judge
from .problems.kind import ANSWER
from .problems.task import bucket

_NOTE = re.compile(r"<<[^<>]*>>")
_ZERO = re.compile(r"(?<=\d)\.0(?!\d)")
_HELD_OUT = {"validation": 17, "test": 18}
Format = Literal["auto", "gsm8k", "svamp", "multiarith"]


@dataclass(frozen=True, kw_only=True)
class WordProblemsConfig:
    """Word problems from a file."""

    path: str
    """The file, plain or .gz."""
    test_path: str | None = None
    """A file with the test split; null takes it from `path`, one row in 20. Validation always comes from `path`, one row in 20."""
    format: Format = "auto"
    """auto tells by the fields of the first row."""
    instruction: str = ""
    """Put under every question."""
    type: Literal["word_problems"] = "word_problems"

    def fingerprint(self) -> str:
        paths = [self.path, *([self.test_path] if self.test_path else [])]
        return " ".join(sha256(_contents(Path(path))).hexdigest() for path in paths)

    def build(self, *, split: str, seed: int, count: int, root: Path | None = None) -> WordProblems:
        """The first `count` problems of a split, in the order of the file: `seed` changes nothing."""
        return WordProblems(self, split=split, count=count, root=root)


class WordProblems:
    """The problems of one split. split "all": every row of `path`."""

    def __init__(
        self, config: WordProblemsConfig, *, split: str = "all", count: int | None = None, root: Path | None = None
    ) -> None:
        if split not in ("all", "train", "harder", *_HELD_OUT):
            raise ConfigError(
                f"word problems have no split {split!r}; they have train, validation, test, all", path="split"
            )
        own_test = config.test_path is not None
        path = Path(config.test_path if own_test and split == "test" else config.path)  # type: ignore[arg-type]
        if root is not None and not path.is_absolute() and not path.exists():
            path = root / path
        taken = (
            example
            for example in _examples(path, config)
            if split == "all" or (own_test and split == "test") or split == _split_of(example.meta["key"], own_test)
        )
        self._examples = [example for example, _ in zip(taken, range(count))] if count is not None else list(taken)
        self._where = f"{path} has no word problem in the split {split!r}"
        self.count = len(self._examples)

    def examples(self) -> Iterator[TaskExample]:
        return iter(self._examples)

    def example(self, index: int, *, difficulty: int | None = None) -> TaskExample:
        """Problem `index`, beginning again after the last. A `difficulty` is refused: the file is as hard as it is."""
        if difficulty is not None:
            raise ConfigError("word problems from a file have no difficulty to ask for", path="difficulty")
        if not self._examples:
            raise DataError(self._where, hint="set the stage's number of problems for this split to 0")
        return self._examples[index % len(self._examples)]

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        return judge(completion, str(example.answer))


def _split_of(key: str, own_test: bool) -> str:
    place = bucket(key)
    found = next((split for split, number in _HELD_OUT.items() if number == place), "train")
    return "train" if own_test and found == "test" else found


def _examples(path: Path, config: WordProblemsConfig) -> Iterator[TaskExample]:
    """Every row of a file. DataError names the row and the field."""
    for number, row in _rows(path):
        try:
            form = _form(row) if config.format == "auto" else config.format
            question, answer, steps = _READERS[form](row)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(
                f"{path}, row {number}: no word problem of {config.format}: {type(error).__name__}: {error}",
                hint="the formats are gsm8k, svamp and multiarith; name one with format=",
            ) from None
        question = " ".join(question.split())
        text = f"{question}\n{config.instruction}" if config.instruction else question
        solution = "\n".join((*steps, f"{ANSWER} {answer}"))
        meta = {"kind": form, "difficulty": len(steps), "solution": solution, "key": f"{form} {question.casefold()}"}
        yield TaskExample(id=f"{form}:{number}", prompt=[{"role": "user", "content": text}], answer=answer, meta=meta)


def _form(row: Mapping[str, Any]) -> str:
    for form, field in (("gsm8k", "answer"), ("svamp", "Body"), ("multiarith", "sQuestion")):
        if field in row:
            return form
    raise ValueError(f"it has the fields {', '.join(map(repr, row))}")


def _gsm8k(row: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    worked, mark, answer = row["answer"].rpartition("####")
    if not mark or not answer.strip():
        raise ValueError("its answer does not end in #### and a number")
    lines = [_NOTE.sub("", line).strip() for line in worked.splitlines()]
    return row["question"], answer.strip(), [line for line in lines if line]


def _svamp(row: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    body = row["Body"].strip()
    answer = _whole(row["Answer"])
    equation = row["Equation"].strip().removeprefix("( ").removesuffix(" )")
    return f"{body}{'' if body.endswith(('.', '?', ',')) else '.'} {row['Question']}", answer, [
        f"{_ZERO.sub('', equation)} = {answer}"
    ]  # fmt: skip


def _multiarith(row: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    answer = _whole(row["lSolutions"][0])
    equation = row["lEquations"][0].partition("=")[2].strip()
    if equation.startswith("(") and equation.endswith(")"):
        equation = equation[1:-1]
    equation = re.sub(r"\s*([-+*/])\s*", r" \1 ", _ZERO.sub("", equation))
    return row["sQuestion"], answer, [f"{equation} = {answer}"]


_READERS: dict[str, Callable[[Mapping[str, Any]], tuple[str, str, list[str]]]] = {
    "gsm8k": _gsm8k,
    "svamp": _svamp,
    "multiarith": _multiarith,
}


def _whole(number: float | int) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = _contents(path).decode("utf-8-sig")
        rows = json.loads(text) if text.lstrip().startswith("[") else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not UTF-8 text of JSON: {error}") from None
    if rows is None:
        rows = []
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path}, row {number}: not valid JSON: {error}") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: must be an object, not {type(row).__name__}")
        yield number, row


def _contents(path: Path) -> bytes:
    try:
        data = path.expanduser().read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read the word problems of {path}: {error}", hint="give the path of the file") from None

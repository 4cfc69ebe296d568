"""Asking a Generator the questions of a Task and judging what comes back.

Every example is kept with its prompt, completion and verdict, so that a figure can be looked into. A baseline is anything that
answers an example with text, judged by the same Task on the same examples.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ..core.artifact import write_bytes
from ..core.errors import BusyError, RequestError
from ..core.protocols import Generator, Task, complete
from ..core.types import Completion, Request, SamplingParams, TaskExample, Usage, Verdict
from ..foundations.intervals import Difference, Estimate, bootstrap_mean, paired_bootstrap, wilson

GREEDY = SamplingParams(temperature=0.0)
# Enough for an engine to batch, few enough that progress is seen.
_REQUESTS_PER_CALL = 32


@dataclass(frozen=True, kw_only=True)
class ExampleResult:
    """One example, what was answered, and what the Task said of it."""

    example: TaskExample
    text: str
    finish_reason: str
    verdict: Verdict

    def plain(self) -> dict[str, Any]:
        prompt = self.example.prompt
        return {
            "id": self.example.id,
            "prompt": prompt if isinstance(prompt, str) else [dict(message) for message in prompt],
            "answer": self.example.answer,
            "text": self.text,
            "finish_reason": self.finish_reason,
            "score": self.verdict.score,
            "reason": self.verdict.reason,
            "details": dict(self.verdict.details),
            "meta": dict(self.example.meta),
        }


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """All examples of one task under one system."""

    name: str
    """Which system answered."""
    results: Sequence[ExampleResult]
    seconds: float = 0.0
    completion_tokens: int = 0

    def scores(self) -> list[float]:
        return [result.verdict.score for result in self.results]

    def detail(self, key: str) -> list[float]:
        """A number that the judge put into every verdict's details."""
        return [float(result.verdict.details[key]) for result in self.results]

    def share(self) -> Estimate:
        """Mean score: Wilson's interval where every score is 0 or 1, else the bootstrap's. ValueError without results."""
        scores = self.scores()
        if all(score in (0.0, 1.0) for score in scores):
            return wilson(int(sum(scores)), len(scores))
        return bootstrap_mean(scores)

    def of(self, key: str, value: Any) -> TaskResult:
        """Only the examples whose meta[key] is `value`."""
        return replace(self, results=[r for r in self.results if r.example.meta.get(key) == value])

    def having(self, detail: str) -> TaskResult:
        """Only the examples whose verdict has this detail."""
        return replace(self, results=[r for r in self.results if detail in r.verdict.details])

    def against(self, other: TaskResult) -> Difference:
        """Difference of the mean scores on the same examples. ValueError when they are not the same."""
        if [r.example.id for r in self.results] != [r.example.id for r in other.results]:
            raise ValueError(f"{self.name} and {other.name} did not answer the same examples in the same order")
        return paired_bootstrap(self.scores(), other.scores())

    def write_jsonl(self, path: Path) -> None:
        lines = (json.dumps(r.plain(), ensure_ascii=False, default=str) for r in self.results)
        write_bytes(path, "".join(line + "\n" for line in lines).encode("utf-8", errors="replace"))


def run_task(
    generator: Generator,
    task: Task,
    *,
    name: str = "",
    limit: int | None = None,
    params: SamplingParams = GREEDY,
    on_progress: Callable[[int], None] | None = None,
) -> TaskResult:
    """Ask the first `limit` examples and judge the completions. on_progress(n) is told of n more examples done.

    A prompt that the generator refuses (too long, say) counts as answered with nothing, and its verdict says why; a full
    queue is the caller's to handle.
    """
    started = time.perf_counter()
    results: list[ExampleResult] = []
    tokens = 0
    examples = list(islice(task.examples(), limit))
    for first in range(0, len(examples), _REQUESTS_PER_CALL):
        group = examples[first : first + _REQUESTS_PER_CALL]
        for example, answer in zip(group, _ask(generator, group, params)):
            if isinstance(answer, RequestError):
                verdict = Verdict(score=0.0, reason=f"refused: {answer.message}", details=_nothing(task, example))
                results.append(ExampleResult(example=example, text="", finish_reason="error", verdict=verdict))
                continue
            tokens += answer.usage.completion_tokens
            results.append(_judged(task, example, answer))
        if on_progress:
            on_progress(len(group))
    seconds = time.perf_counter() - started
    model = name or generator.capabilities.model
    return TaskResult(name=model, results=results, seconds=round(seconds, 3), completion_tokens=tokens)


def run_baseline(
    answer: Callable[[TaskExample], str], task: Task, *, name: str, limit: int | None = None
) -> TaskResult:
    """The same judge on the same examples, answered by a function."""
    results = [_judged(task, example, written(answer(example))) for example in islice(task.examples(), limit)]
    return TaskResult(name=name, results=results)


def written(text: str) -> Completion:
    """A completion that no model made."""
    return Completion(
        text=text,
        token_ids=(),
        logprobs=(),
        finish_reason="stop",
        usage=Usage(prompt_tokens=0, completion_tokens=0),
    )


def _judged(task: Task, example: TaskExample, completion: Completion) -> ExampleResult:
    return ExampleResult(
        example=example,
        text=completion.text,
        finish_reason=completion.finish_reason,
        verdict=task.score(example, completion),
    )


def _nothing(task: Task, example: TaskExample) -> dict[str, Any]:
    """Details of an empty answer, so that every verdict of a task has the same keys."""
    return dict(task.score(example, written("")).details)


def _ask(
    generator: Generator, examples: Iterable[TaskExample], params: SamplingParams
) -> list[Completion | RequestError]:
    requests = [Request(prompt=example.prompt, params=params) for example in examples]
    try:
        return list(complete(generator, requests))
    except BusyError:
        raise
    except RequestError as error:
        if len(requests) == 1:
            return [error]
    return [answer for example in examples for answer in _ask(generator, [example], params)]

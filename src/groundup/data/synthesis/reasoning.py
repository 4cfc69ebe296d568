"""Reasoning traces: several worked answers to each problem of a task, of which those that the task's judge finds right stay.

The first step of STaR (Zelikman et al. 2022) with any Generator, an endpoint included. Of the right ones the shortest are kept, or
those least like each other. What is asked and how it is judged is `groundup.data.samples`; what is trained on it is `train`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, Literal

from ...core.errors import ConfigError
from ...core.protocols import Generator
from ...core.types import SamplingParams, TaskExample
from ...tasks.problems.task import ProblemsConfig
from ...tasks.registry import TaskNode, build_task
from ...text.overlap import rouge_l, words
from ..samples import Answer, answer_all
from .made import Asking, Made, turn

HINT = "Work it out step by step, then give the answer."


@dataclass(frozen=True, kw_only=True)
class ReasoningTraces:
    """Verified worked answers to generated problems."""

    task: TaskNode = field(default_factory=ProblemsConfig)
    samples: int = 4
    """Answers to each problem."""
    keep: int = 1
    """Rows of each problem at most."""
    prefer: Literal["shortest", "diverse"] = "shortest"
    instruction: str = HINT
    """Put under the question for the model; the row has the plain question."""
    attempts_per_row: int = 4
    """Problems asked for each wanted row before giving up."""
    asking: Asking = field(default_factory=Asking)
    type: Literal["reasoning_traces"] = "reasoning_traces"
    needs_model: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("samples", "keep", "attempts_per_row"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)
        if self.keep > self.samples:
            raise ConfigError(f"cannot keep {self.keep} of {self.samples} samples", path="keep")

    def prompts(self) -> Mapping[str, str]:
        return {"instruction": self.instruction} if self.instruction else {}

    def make(self, generator: Generator | None, *, count: int, seed: int) -> Iterator[Made]:
        """Problems are those of the task's split `train`, so that no held-out problem is among them."""
        assert generator is not None
        limit = count * self.attempts_per_row
        task = build_task(self.task, split="train", seed=seed, count=limit)
        return self.make_from(generator, task, count=count, limit=limit, seed=seed)

    def make_from(self, generator: Generator, task: Any, *, count: int, limit: int, seed: int) -> Iterator[Made]:
        """Traces of any task (groundup.core.protocols.Task): its first `limit` examples, until `count` rows are good."""
        params = SamplingParams(
            max_tokens=self.asking.max_tokens, temperature=self.asking.temperature, top_p=self.asking.top_p
        )
        examples = iter(task.examples())
        good = asked = 0
        seen: set[str] = set()
        while good < count and asked < limit:
            batch = list(islice(examples, min(self.asking.batch_size, limit - asked)))
            if not batch:
                return
            hint = self.instruction.replace("{", "{{").replace("}", "}}")
            answers = answer_all(
                generator, task, batch, params, samples=self.samples, seed=seed + asked * self.samples, hint=hint
            )
            asked += len(batch)
            for example, own in zip(batch, answers):
                for made in self._judged(example, own, seed):
                    if made.dropped is None and made.id in seen:
                        continue  # the task drew the same problem again, and it was answered in the same way
                    seen.add(made.id)
                    good += made.dropped is None
                    yield made
                    if good == count:
                        return

    def _judged(self, example: TaskExample, answers: Sequence[Answer], seed: int) -> list[Made]:
        rows = [self._row(example, answer, number, seed) for number, answer in enumerate(answers)]
        right: list[int] = []
        for number, answer in enumerate(answers):
            if not answer.ended:
                rows[number] = rows[number].drop(self.type, "answer cut off")
            elif answer.verdict.score < 1.0:
                rows[number] = rows[number].drop(self.type, "not right", answer.verdict.reason)
            elif answer.text.strip() in {answers[other].text.strip() for other in right}:
                rows[number] = rows[number].drop(self.type, "the same trace again")
            else:
                right.append(number)
        chosen = set(self._chosen({number: answers[number].text for number in right}))
        return [
            row if row.dropped or number in chosen else row.drop(self.type, "another trace is kept")
            for number, row in enumerate(rows)
        ]

    def _chosen(self, texts: Mapping[int, str]) -> list[int]:
        left = sorted(texts, key=lambda number: (len(texts[number]), number))
        if self.prefer == "shortest":
            return left[: self.keep]
        chosen: list[int] = []
        while left and len(chosen) < self.keep:
            # The one whose nearest chosen neighbour is farthest; the shortest of all comes first.
            near = {n: max((rouge_l(words(texts[n]), words(texts[c])) for c in chosen), default=0.0) for n in left}
            best = min(left, key=lambda n: near[n])
            chosen.append(best)
            left.remove(best)
        return chosen

    def _row(self, example: TaskExample, answer: Answer, number: int, seed: int) -> Made:
        prompt = (
            [turn("user", example.prompt)] if isinstance(example.prompt, str) else [dict(m) for m in example.prompt]
        )
        return Made(
            row={
                "messages": [*prompt, turn("assistant", answer.text.strip())],
                "kind": str(example.meta.get("kind", self.type)),
                "id": f"{self.type}/{seed}/{example.id}/{number}",
                "answer": str(example.answer),
                "verified": answer.verdict.score >= 1.0,
                **({"difficulty": example.meta["difficulty"]} if "difficulty" in example.meta else {}),
            }
        )

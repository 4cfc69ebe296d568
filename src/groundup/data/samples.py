"""The stage `sample`: a model answers problems, the task judges, and what it judged becomes data to learn from.

make: right      instruct rows of right answers: rejection-sampled fine-tuning (Yuan et al. 2023); after each round of training on
                 them again, STaR (Zelikman et al. 2022), with `hint` its rationalisation; from a better model, distilled traces.
make: pairs      preference rows: of two answers to one problem the better one is chosen. What is better is decided by `better`,
                 the same order that the stage `compare` counts wins by.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..core.artifact import atomic_write
from ..core.errors import ConfigError, DataError
from ..core.protocols import Generator, complete
from ..core.recipe import StageContext
from ..core.types import Completion, Message, Request, SamplingParams, TaskExample, Verdict

_REQUESTS_PER_CALL = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion of a problem, judged."""

    text: str
    tokens: int
    ended: bool
    """False: cut off at max_tokens."""
    verdict: Verdict


def better(a: Answer, b: Answer) -> int:
    """1 if a is the better answer, -1 if b is, 0 if neither: right before wrong; then one that ends with a final answer before one
    that does not. Length decides nothing: of two right answers the one with its working is not the worse.
    """
    for left, right in ((a.verdict.score, b.verdict.score), (_formed(a), _formed(b))):
        if left != right:
            return 1 if left > right else -1
    return 0


def _formed(answer: Answer) -> float:
    return float(answer.verdict.details.get("format", 1.0)) * answer.ended


def answer_all(
    generator: Generator,
    task: Any,
    examples: Sequence[TaskExample],
    params: SamplingParams,
    *,
    samples: int,
    seed: int,
    hint: str = "",
    on_progress: Any = None,
) -> list[list[Answer]]:
    """`samples` judged answers to each example, in order. hint: added to the question with {answer} filled in."""
    requests = [
        Request(
            prompt=_hinted(example, hint) if hint else example.prompt,
            params=_with_seed(params, seed * 1_000_003 + i * samples + k),
        )
        for i, example in enumerate(examples)
        for k in range(samples)
    ]
    made: list[Completion] = []
    for start in range(0, len(requests), _REQUESTS_PER_CALL):
        part = requests[start : start + _REQUESTS_PER_CALL]
        made += complete(generator, part)
        if on_progress:
            on_progress(len(part))
    answers = []
    for i, example in enumerate(examples):
        own = made[i * samples : (i + 1) * samples]
        answers.append(
            [
                # An endpoint tells how many tokens, not which.
                Answer(c.text, len(c.token_ids) or c.usage.completion_tokens, c.finish_reason != "length", verdict)
                for c, verdict in ((c, task.score(example, c)) for c in own)
            ]
        )
    return answers


def _with_seed(params: SamplingParams, seed: int) -> SamplingParams:
    return replace(params, seed=seed % (1 << 62))


def _hinted(example: TaskExample, hint: str) -> list[Message]:
    messages = _messages(example)
    last = dict(messages[-1])
    last["content"] = f"{last['content']}\n{hint.format(answer=example.answer)}"
    return [*messages[:-1], last]


def _messages(example: TaskExample) -> list[Message]:
    if isinstance(example.prompt, str):
        return [{"role": "user", "content": example.prompt}]
    return [dict(message) for message in example.prompt]


@dataclass(frozen=True, kw_only=True)
class SampleStage:
    """Let a model answer training problems and keep what the task says is worth learning."""

    model: str
    """Stage of the model that answers."""
    problems: str = "problems"
    make: Literal["right", "pairs"] = "right"
    num_problems: int = 1000
    first_problem: int = 0
    """Number of the first problem: rounds with other problems."""
    samples: int = 8
    """Answers to each."""
    keep: int = 1
    """Rows of each problem at most: different right answers, or pairs."""
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 128
    hint: str = ""
    """For make: right. Problems that no sample solved are asked again with this under the question, {answer} filled in; what is right
    then is learned as the answer to the plain question."""
    validation_share: float = 0.05
    type: Literal["sample"] = "sample"

    def __post_init__(self) -> None:
        for name in ("num_problems", "samples", "keep", "max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)
        if self.first_problem < 0:
            raise ConfigError(f"must be at least 0, not {self.first_problem}", path="first_problem")
        if not 0 <= self.validation_share < 1:
            raise ConfigError(f"must be in [0, 1), not {self.validation_share}", path="validation_share")
        if self.temperature < 0:
            raise ConfigError(f"must be at least 0, not {self.temperature}", path="temperature")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"must be in (0, 1], not {self.top_p}", path="top_p")
        if self.make == "pairs" and self.samples < 2:
            raise ConfigError(f"a pair takes at least 2 answers, not {self.samples}", path="samples")
        if self.hint and "{answer}" not in self.hint:
            raise ConfigError("has no {answer} to fill in", path="hint", hint='"(The answer is {answer}.)"')

    @property
    def kind(self) -> str:
        return "instruct" if self.make == "right" else "preference"

    def inputs(self) -> Sequence[str]:
        return (self.model, self.problems)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        from ..tasks.stored import open_problems

        task = open_problems(context.inputs[self.problems], "train", trusted_parts=tuple(context.swaps.values()))
        examples = [task.example(self.first_problem + i) for i in range(self.num_problems)]
        params = SamplingParams(max_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p)
        opened = context.open_model(
            context.inputs[self.model], trusted_parts=tuple(context.swaps.values()), max_batch_size=_REQUESTS_PER_CALL
        )
        with closing(opened) as model, context.progress.task("answers", len(examples) * self.samples) as bar:
            answers = answer_all(
                model, task, examples, params, samples=self.samples, seed=context.seed, on_progress=bar.advance
            )
            unaided = [list(own) for own in answers]
            helped = self._with_hint(model, task, examples, answers, params, context.seed)
        rng = random.Random(context.seed)
        rows = []
        for example, own in zip(examples, answers, strict=True):
            rows += self._rows(example, own, rng)
        if not rows:
            raise DataError(
                f"none of {len(examples)} problems gave a row",
                hint="train the model longer, ask easier problems, or draw more samples",
            )
        self._write(context, rows)
        solved = [sum(a.verdict.score == 1.0 for a in own) for own in unaided]
        return {
            "problems": len(examples),
            "rows": len(rows),
            "pass_rate": round(sum(solved) / (len(examples) * self.samples), 4),
            "solved_once": round(sum(1 for s in solved if s) / len(examples), 4),
            "solved_always": round(sum(1 for s in solved if s == self.samples) / len(examples), 4),
            "solved_with_hint": helped,
            "mean_tokens": round(sum(a.tokens for own in unaided for a in own) / (len(examples) * self.samples), 1),
        }

    def _with_hint(
        self, model: Generator, task: Any, examples: Sequence[TaskExample], answers: list[list[Answer]],
        params: SamplingParams, seed: int,
    ) -> int:  # fmt: skip
        """Rationalisation (STaR, section 3.2): answers to unsolved problems, made with the answer in sight, join `answers`."""
        if not self.hint or self.make != "right":
            return 0
        unsolved = [i for i, own in enumerate(answers) if not any(a.verdict.score == 1.0 for a in own)]
        found = answer_all(
            model, task, [examples[i] for i in unsolved], params, samples=self.samples, seed=seed + 1, hint=self.hint
        )
        for i, own in zip(unsolved, found, strict=True):
            answers[i] = [*answers[i], *own]
        return sum(any(a.verdict.score == 1.0 for a in own) for own in found)

    def _rows(self, example: TaskExample, answers: list[Answer], rng: random.Random) -> list[dict[str, Any]]:
        messages = _messages(example)
        facts = {"kind": str(example.meta.get("kind", "")), "id": example.id}
        if self.make == "right":
            right = {a.text: a for a in answers if a.verdict.score == 1.0 and a.ended}
            shortest_first = sorted(right.values(), key=lambda a: a.tokens)[: self.keep]
            return [
                {"messages": [*messages, {"role": "assistant", "content": a.text}], **facts} for a in shortest_first
            ]
        pairs = [(a, b) for a in answers for b in answers if better(a, b) > 0]
        rng.shuffle(pairs)
        return [
            {
                "prompt": messages,
                "chosen": [{"role": "assistant", "content": a.text}],
                "rejected": [{"role": "assistant", "content": b.text}],
                **facts,
            }
            for a, b in pairs[: self.keep]
        ]

    def _write(self, context: StageContext, rows: list[dict[str, Any]]) -> None:
        """Problems of the validation split are not those of train: rows of one problem stay together."""
        ids = sorted({row["id"] for row in rows})
        random.Random(context.seed).shuffle(ids)
        held_out = set(ids[: int(len(ids) * self.validation_share)])
        for split in ("train", "validation"):
            with atomic_write(context.directory / f"{split}.jsonl") as file:
                for row in rows:
                    if (row["id"] in held_out) == (split == "validation"):
                        file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

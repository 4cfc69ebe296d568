"""The stage `compare`: the models of a run side by side, on problems with exact answers, verified comparisons, and general text.

Every model answers the same held-out problems. A comparison of two models is verified, not voted: for each problem both give a
sampled answer, and `groundup.data.samples.better` says whose is better by the task's own verdict. What alignment cost is the
change of bits per byte on text that has nothing to do with the problems.

Figures: one entry a model under `of_stages`, which the run's report shows beside that stage's own, and the tables of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..core.artifact import write_json
from ..core.errors import ConfigError
from ..core.recipe import StageContext
from ..core.types import SamplingParams, TaskExample
from ..data.samples import Answer, answer_all, better
from ..foundations.intervals import bootstrap_mean
from ..tasks.questions import prompt_text
from ..tasks.stored import open_problems
from .harness import GREEDY, TaskResult, run_task
from .stages import OpenedModel, bits_row, held_out_texts
from .text import TextScore, score_texts

SPLITS = {"exact_match": "test", "exact_match_harder": "harder"}


@dataclass(frozen=True, kw_only=True)
class CompareStage:
    """Measure several models of a run on the same things."""

    models: tuple[str, ...]
    """Stages of the models, in the order they were made."""
    against: str | None = None
    """The model whose answers the others' are compared with; null: the second, or the first where there is only one."""
    problems: str = "problems"
    documents: str | None = None
    """Stage with held-out documents for bits per byte; null leaves it out."""
    num_problems: int = 300
    """Of each of the splits test and harder."""
    num_comparisons: int = 300
    max_tokens: int = 128
    temperature: float = 0.7
    """Of the answers that are compared; exact match is greedy."""
    text_bytes: int = 200_000
    context_tokens: int | None = None
    """Longest context for general text; null: what the models were made for."""
    type: Literal["compare"] = "compare"
    kind = "evaluation"

    def __post_init__(self) -> None:
        if not self.models:
            raise ConfigError("needs at least one model", path="models")
        if len(set(self.models)) != len(self.models):
            raise ConfigError(f"names a model twice: {', '.join(self.models)}", path="models")
        if self.temperature < 0:
            raise ConfigError(f"must be at least 0, not {self.temperature}", path="temperature")
        if self.context_tokens is not None and self.context_tokens < 1:
            raise ConfigError(f"must be at least 1, not {self.context_tokens}", path="context_tokens")
        if self.against is not None and self.against not in self.models:
            raise ConfigError(f"{self.against!r} is none of {', '.join(self.models)}", path="against")
        for name in ("num_problems", "num_comparisons", "max_tokens", "text_bytes"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"must be more than zero, not {getattr(self, name)}", path=name)

    @property
    def opponent(self) -> str:
        return self.against or self.models[min(1, len(self.models) - 1)]

    def inputs(self) -> Sequence[str]:
        documents = () if self.documents is None else (self.documents,)
        return (*self.models, self.problems, *documents)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        measured = _Comparison(self, context)
        for name in self.models:
            with closing(
                context.open_model(
                    context.inputs[name],
                    trusted_parts=tuple(context.swaps.values()),
                    **({} if self.context_tokens is None else {"max_context_tokens": self.context_tokens}),
                )
            ) as model:
                measured.measure(name, model)
        figures = measured.figures()
        write_json(context.directory / "results.json", figures)
        return figures


class _Comparison:
    def __init__(self, stage: CompareStage, context: StageContext) -> None:
        self.stage, self.context = stage, context
        self.results: dict[str, dict[str, TaskResult]] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.text: dict[str, list[TextScore]] = {}
        trusted = tuple(context.swaps.values())
        directory = context.inputs[stage.problems]
        self.tasks = {
            measure: _First(open_problems(directory, split, trusted_parts=trusted), stage.num_problems)
            for measure, split in SPLITS.items()
            if (directory / f"{split}.jsonl").is_file()
        }
        self.texts = (
            []
            if stage.documents is None
            else held_out_texts(context.inputs[stage.documents], stage.text_bytes, context.seed)
        )

    def measure(self, name: str, model: OpenedModel) -> None:
        stage, progress = self.stage, self.context.progress
        greedy = replace(GREEDY, max_tokens=stage.max_tokens)
        self.results[name] = {}
        plain = "chat" not in model.capabilities.abilities
        for measure, task in self.tasks.items():
            task.plain = plain
            with progress.task(f"{name}: {measure}", len(task.kept)) as bar:
                result = run_task(model, task, name=name, params=greedy, on_progress=bar.advance)
            result.write_jsonl(self.context.directory / f"{measure}-{name}.jsonl")
            self.results[name][measure] = result
        if "exact_match" in self.tasks:
            task = self.tasks["exact_match"]
            asked = list(task.examples())[: stage.num_comparisons]
            params = SamplingParams(max_tokens=stage.max_tokens, temperature=stage.temperature)
            with progress.task(f"{name}: answers to compare", len(asked)) as bar:
                found = answer_all(
                    model, task, asked, params, samples=1, seed=self.context.seed, on_progress=bar.advance
                )
            self.answers[name] = [own[0] for own in found]
        if self.texts:
            with progress.task(f"{name}: held-out text", sum(map(len, self.texts))) as bar:
                self.text[name] = score_texts(model, self.texts, on_progress=bar.advance)

    def wins(self, name: str) -> list[float]:
        """1, 0.5 or 0 for each comparison with the opponent; a tie is half a win."""
        pairs = zip(self.answers[name], self.answers[self.stage.opponent], strict=True)
        return [0.5 + 0.5 * better(a, b) for a, b in pairs]

    def figures(self) -> dict[str, Any]:
        of_stages = {name: self._of(name) for name in self.stage.models}
        return {
            "of_stages": of_stages,
            "against": self.stage.opponent,
            "evaluations": list(self._tables()),
            "comparison": {"rows": [{"name": name, **of} for name, of in of_stages.items()]},
        }

    def _of(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            measure: round(bootstrap_mean(result.scores()).value, 4) for measure, result in self.results[name].items()
        }
        if self.answers:
            wins = self.wins(name)
            decided = [w for w in wins if w != 0.5]
            found["win_rate"] = round(sum(wins) / len(wins), 4)
            found["decided"] = len(decided)
            found["win_rate_of_decided"] = round(sum(decided) / len(decided), 4) if decided else None
        if "exact_match" in self.results[name]:
            result = self.results[name]["exact_match"]
            found["answer_tokens"] = round(result.completion_tokens / max(1, len(result.results)), 1)
        if self.text:
            found["bits_per_byte"] = bits_row(name, self.text[name])["value"]
        return found

    def _tables(self) -> Any:
        about = {"exact_match": "held-out problems", "exact_match_harder": "harder problems than were trained on"}
        for measure in self.tasks:
            rows = [{"name": name, **results[measure].share().plain()} for name, results in self.results.items()]
            yield {"measure": "solved", "about": about[measure], "rows": rows}
        if self.answers:
            rows = [{"name": name, **bootstrap_mean(self.wins(name)).plain()} for name in self.stage.models]
            yield {
                "measure": "win_rate",
                "about": f"against {self.stage.opponent}",
                "rows": rows,
                "notes": [
                    "Right beats wrong, a final answer beats none; where both are right or both wrong nobody wins: half a win."
                ],
            }
        if self.text:
            rows = [bits_row(name, scores) for name, scores in self.text.items()]
            yield {"measure": "bits_per_byte", "about": "general held-out text", "rows": rows}


class _First:
    """The first problems of a task, as a task; `plain`: put to a model without a chat template, as text."""

    def __init__(self, task: Any, count: int) -> None:
        self.task = task
        self.kept: list[TaskExample] = [example for example, _ in zip(task.examples(), range(count))]
        self.plain = False

    def examples(self) -> Sequence[TaskExample]:
        if not self.plain:
            return self.kept
        return [replace(example, prompt=f"{prompt_text(example.prompt)}\n") for example in self.kept]

    def score(self, example: TaskExample, completion: Any) -> Any:
        return self.task.score(example, completion)

"""The stage `evaluate`: what the models of a run are worth, beside simple baselines, on data that they have not seen.

The model is opened through the context, so nothing here knows the engine. Everything that is measured is kept: `results.json`
has the figures, `<task>-<who>.jsonl` every question with its answer and verdict.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from ..core.artifact import write_json
from ..core.errors import ConfigError, DataError
from ..core.protocols import Generator, Scorer, Task, Tokenizer, complete
from ..core.recipe import StageContext
from ..core.types import Capabilities, Request, SamplingParams, TaskExample
from ..data.documents import read_documents
from ..data.messages import read_questions
from ..foundations.intervals import bootstrap_mean, bootstrap_ratio, paired_bootstrap, wilson
from ..tasks.functions import GeneratedFunctions, find_functions
from ..tasks.questions import HeldOutQuestions, prompt_text
from .baselines import ByteUnigram, MostCommonAnswer, NearestExample, TokenUnigram, xz_bits_per_byte
from .harness import TaskResult, run_baseline, run_task
from .text import TextScore, combined, score_texts

_HELD_OUT = ("test", "validation")
# Pieces of at most this much of each document, so that a few long ones are not most of the measurement.
_MAX_DOCUMENT_CHARACTERS = 10_000
# What begins at the margin after a function has ended: no need to write on.
_AFTER_FUNCTION = ("\ndef ", "\nclass ", "\n@", "\nif ", "\nasync def ")
_FORBIDDEN = -100.0
_MOST_BIASES = 300  # what the OpenAI API takes
# A token of code is about four bytes: the byte baseline gets to write as much as the model.
_BYTES_PER_TOKEN = 4
_SHOWN_CHARACTERS = 1200


class OpenedModel(Generator, Scorer, Protocol):
    """What `StageContext.open_model` gives: a Generator and Scorer with its tokenizer, to be closed."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class EvaluateStage:
    """Measure one model, and the base model it was made from, on held-out text, functions and questions."""

    model: str = "sft"
    """Stage whose model is evaluated."""
    base: str | None = None
    """Stage of the model it was fine-tuned from: measured on text and functions too."""
    documents: str = "data"
    """Stage with the held-out documents (and the training documents for the baselines)."""
    instruct: str | None = "instruct"
    """Stage with the instruction pairs; null leaves the questions out."""
    context_tokens: int | None = None
    """Longest context the models are given; null: what they were made for. Give the length that they were trained on where
    that is shorter: positions never trained on make text look worse than it is."""
    text_bytes: int = 300_000
    """How much held-out text is scored."""
    train_bytes: int = 4_000_000
    """How much training text the baselines learn from. xz reads this much before the held-out text."""
    num_functions: int = 48
    """0 leaves the functions out."""
    function_tokens: int = 128
    questions_per_kind: int = 40
    answer_tokens: int = 64
    num_samples: int = 2
    """Pieces of free text in the report, per model."""
    sample_tokens: int = 96
    type: Literal["evaluate"] = "evaluate"
    kind = "evaluation"

    def __post_init__(self) -> None:
        for name in ("text_bytes", "train_bytes", "function_tokens", "answer_tokens", "sample_tokens"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"must be more than zero, not {getattr(self, name)}", path=name)
        if self.context_tokens is not None and self.context_tokens <= 0:
            raise ConfigError(f"must be more than zero, not {self.context_tokens}", path="context_tokens")
        for name in ("num_functions", "questions_per_kind", "num_samples"):
            if getattr(self, name) < 0:
                raise ConfigError(f"must be at least zero, not {getattr(self, name)}", path=name)

    def inputs(self) -> Sequence[str]:
        return tuple(name for name in (self.base, self.model, self.documents, self.instruct) if name is not None)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        evaluation = _Evaluation(self, context)
        for name in dict.fromkeys(name for name in (self.base, self.model) if name is not None):
            options = {} if self.context_tokens is None else {"max_context_tokens": self.context_tokens}
            opened = context.open_model(context.inputs[name], trusted_parts=tuple(context.swaps.values()), **options)
            with closing(opened) as model:
                evaluation.measure(name, model)
        figures = evaluation.figures()
        write_json(context.directory / "results.json", figures)
        return figures


class _Evaluation:
    """One run of the stage: the data it is measured on, and the results so far."""

    def __init__(self, stage: EvaluateStage, context: StageContext) -> None:
        self.stage, self.context = stage, context
        self.skipped: dict[str, str] = {}
        self.samples: list[dict[str, Any]] = []
        self.text_scores: dict[str, list[TextScore]] = {}
        self.function_results: list[TaskResult] = []
        self.question_results: list[TaskResult] = []
        self.token_unigram: TokenUnigram | None = None
        documents = context.inputs[stage.documents]
        self.texts = held_out_texts(documents, stage.text_bytes, context.seed)
        self.training = list(_training_texts(documents, stage.train_bytes, context.seed))
        self.functions = self._functions(documents)
        self.questions = self._questions()

    def measure(self, name: str, model: OpenedModel) -> None:
        if self.texts:
            self.text_scores[name] = self._score(name, model)
            # Trained on the same text with the same tokenizer, so one unigram stands for both models.
            self.token_unigram = TokenUnigram(model.tokenizer, self.training)
        abilities = model.capabilities.abilities
        if self.functions is not None:
            params = SamplingParams(
                temperature=0.0,
                max_tokens=self.stage.function_tokens,
                stop=_AFTER_FUNCTION,
                logit_bias=_no_specials(model.tokenizer),
            )
            result = self._ask(name, "functions", model, self.functions, params)
            self.function_results.append(result)
            self._show(result, "functions", 2)
        if self.questions is not None and name == self.stage.model:
            if "chat" in abilities:
                params = SamplingParams(temperature=0.0, max_tokens=self.stage.answer_tokens)
                result = self._ask(name, "questions", model, self.questions, params)
                self.question_results.append(result)
                for kind in self.questions.kinds():
                    self._show(result.of("kind", kind), "questions", 2)
            else:
                self.skipped["questions"] = f"the model of stage {name} has no chat template"
        self._sample(name, model)

    def figures(self) -> dict[str, Any]:
        """The stage's figures: plain numbers first, then `evaluations` with their baselines, and samples."""
        with self.context.progress.task("evaluate: baselines"):
            evaluations = [*self._text_tables(), *self._function_tables(), *self._question_tables()]
        figures: dict[str, Any] = {}
        model = self.stage.model
        if model in self.text_scores:
            total = combined(self.text_scores[model])
            figures |= {"bits_per_byte": _finite(total.bits_per_byte), "perplexity": _finite(total.perplexity)}
            figures |= {"perplexity_unit": total.unit, "text_bytes": total.bytes, "text_documents": len(self.texts)}
        for key, results in (("functions_compile", self.function_results), ("exact_match", self.question_results)):
            own = [result for result in results if result.name == model]
            if own:
                figures[key] = round(own[0].share().value, 6)
        return {**figures, "evaluations": evaluations, "samples": self.samples, "skipped": self.skipped}

    # Data

    def _functions(self, documents: Path) -> GeneratedFunctions | None:
        if not self.stage.num_functions:
            return None
        found: list[TaskExample] = []
        for split in _HELD_OUT:
            found += _functions_of(documents, split)
        if not found:
            self.skipped["functions_compile"] = "no Python function with a docstring in the held-out documents"
            return None
        random.Random(self.context.seed).shuffle(found)
        return GeneratedFunctions(found[: self.stage.num_functions])

    def _questions(self) -> HeldOutQuestions | None:
        if self.stage.instruct is None or not self.stage.questions_per_kind:
            return None
        directory = self.context.inputs[self.stage.instruct]
        for split in _HELD_OUT:
            examples = _pairs(directory, split)
            if examples:
                random.Random(self.context.seed).shuffle(examples)
                return HeldOutQuestions(examples, per_kind=self.stage.questions_per_kind)
        self.skipped["exact_match"] = f"stage {self.stage.instruct} held out no questions"
        return None

    # Asking the model

    def _score(self, name: str, model: OpenedModel) -> list[TextScore]:
        characters = sum(map(len, self.texts))
        with self.context.progress.task(f"{name}: held-out text", characters) as task:
            return score_texts(model, self.texts, on_progress=task.advance)

    def _ask(self, name: str, what: str, model: OpenedModel, task: Task, params: SamplingParams) -> TaskResult:
        total = len(list(task.examples()))
        with self.context.progress.task(f"{name}: {what}", total) as bar:
            result = run_task(model, task, name=name, params=params, on_progress=bar.advance)
        result.write_jsonl(self.context.directory / f"{what}-{name}.jsonl")
        return result

    def _sample(self, name: str, model: OpenedModel) -> None:
        """Free text from the beginnings of held-out documents, with some chance in it."""
        beginnings = ["\n".join(text.split("\n")[:4])[:300].rstrip() for text in self.texts]
        beginnings = [b for b in beginnings if b][: self.stage.num_samples]
        params = SamplingParams(
            max_tokens=self.stage.sample_tokens, temperature=0.7, top_p=0.95, seed=self.context.seed
        )
        for prompt, made in zip(beginnings, complete(model, [Request(prompt=b, params=params) for b in beginnings])):
            self.samples.append({"model": name, "task": "free text", "prompt": prompt, "text": made.text})

    def _show(self, result: TaskResult, task: str, count: int) -> None:
        for one in result.results[:count]:
            sample = {
                "model": result.name,
                "task": task,
                "prompt": prompt_text(one.example.prompt)[:_SHOWN_CHARACTERS],
                "text": one.text[:_SHOWN_CHARACTERS],
                "verdict": one.verdict.reason,
                "right": one.verdict.score == 1.0,
            }
            if task == "questions":
                sample |= {"kind": one.example.meta["kind"], "answer": str(one.example.answer), "chat": True}
            self.samples.append(sample)

    # Tables

    def _text_tables(self) -> Iterator[dict[str, Any]]:
        if not self.texts:
            self.skipped["bits_per_byte"] = "no document was held out"
            return
        scorers: list[Scorer] = [ByteUnigram(self.training), ByteUnigram(name="uniform")]
        if self.token_unigram is not None:
            scorers.insert(0, self.token_unigram)
        baselines = {s.capabilities.model: score_texts(s, self.texts) for s in scorers}
        rows = [bits_row(name, scores) for name, scores in self.text_scores.items()]
        for name, primer in (("xz, primed", self.training), ("xz", [])):
            bits = xz_bits_per_byte(self.texts, primer=primer)
            rows.append({"name": name, "value": round(bits, 6), "count": len(self.texts), "baseline": True})
        rows += [{**bits_row(name, scores), "baseline": True} for name, scores in baselines.items()]
        notes = [f"Held-out text: {sum(s.bytes for s in baselines['uniform']):,} bytes of {len(self.texts)} documents."]
        base, model = self.stage.base, self.stage.model
        if base is not None and base != model and len(self.texts) > 1:
            a, b = self.text_scores[model], self.text_scores[base]
            if all(math.isfinite(s.nats) for s in (*a, *b)):
                change = paired_bootstrap([s.bits_per_byte for s in a], [s.bits_per_byte for s in b])
                notes.append(
                    f"Fine-tuning changed a document's bits per byte by {change.value:+.3f} on average "
                    f"({change.low:+.3f} to {change.high:+.3f}, p = {change.p_value:.2g})."
                )
        yield {"measure": "bits_per_byte", "about": "held-out text", "rows": rows, "notes": notes}
        per_unit: dict[str, list[dict[str, Any]]] = {}
        for name, scores in self.text_scores.items():
            total = combined(scores)
            row = {"name": name, "value": _finite(total.perplexity), "count": total.tokens}
            per_unit.setdefault(total.unit, []).append(row)
        if self.token_unigram is not None:
            total = combined(baselines["token unigram"])
            row = {"name": "token unigram", "value": _finite(total.perplexity), "count": total.tokens, "baseline": True}
            per_unit.setdefault(total.unit, []).append(row)
        for unit, lines in per_unit.items():
            if any(not row.get("baseline") for row in lines):
                yield {"measure": "perplexity", "about": f"per {unit}, held-out text", "rows": lines}

    def _function_tables(self) -> Iterator[dict[str, Any]]:
        if self.functions is None:
            return
        training = [example for text in self.training for example in find_functions(text)]
        rng = random.Random(self.context.seed)
        unigram = ByteUnigram(self.training)
        num_bytes = _BYTES_PER_TOKEN * self.stage.function_tokens
        systems: list[TaskResult] = [*self.function_results]
        baselines = [
            run_baseline(lambda _: unigram.sample(num_bytes, rng), self.functions, name="byte unigram samples"),
            *(
                [run_baseline(NearestExample(training), self.functions, name="nearest training example")]
                if training
                else []
            ),
        ]
        yield {
            "measure": "functions_compile",
            "about": "from a held-out signature and docstring",
            "rows": [_share_row(r) for r in systems] + [{**_share_row(r), "baseline": True} for r in baselines],
            "notes": [
                "A copied function always compiles: what counts here is how near to it the model comes by itself."
            ],
        }

    def _question_tables(self) -> Iterator[dict[str, Any]]:
        if self.questions is None or not self.question_results or self.stage.instruct is None:
            return
        training = _pairs(self.context.inputs[self.stage.instruct], "train")
        result = self.question_results[0]
        common = run_baseline(MostCommonAnswer(training), self.questions, name="most common answer")
        nearest = run_baseline(NearestExample(training), self.questions, name="nearest training example")
        systems = [result, nearest, common]
        kinds = self.questions.kinds()
        groups = [(kind, [system.of("kind", kind) for system in systems]) for kind in kinds]
        for about, parts in [("all questions", systems), *groups] if len(kinds) > 1 else groups:
            difference = parts[0].against(parts[1])
            note = (
                f"{result.name} minus {nearest.name}: {100 * difference.value:+.1f} points "
                f"({100 * difference.low:+.1f} to {100 * difference.high:+.1f}, p = {difference.p_value:.2g})."
            )
            rows = [
                {
                    **_share_row(part),
                    "word_overlap": round(bootstrap_mean(part.detail("overlap")).value, 6),
                    **_baseline(part, result),
                }
                for part in parts
            ]
            yield {"measure": "exact_match", "about": about, "rows": rows, "notes": [note]}
        coded = [system.having("compiles") for system in systems]
        if coded[0].results:
            rows = [{**_compile_row(part), **_baseline(part, result)} for part in coded]
            yield {"measure": "functions_compile", "about": "asked for in a chat", "rows": rows}


def held_out_texts(directory: Path, limit_bytes: int, seed: int) -> list[str]:
    """Documents of the first split that was held out, in an order drawn from the seed, up to about `limit_bytes`."""
    for split in _HELD_OUT:
        texts = [d.text[:_MAX_DOCUMENT_CHARACTERS] for d in _documents(directory, split) if d.text.strip()]
        if not texts:
            continue
        random.Random(seed).shuffle(texts)
        chosen: list[str] = []
        room = limit_bytes
        for text in texts:
            # One long document is better cut than left out: the first is always there.
            piece = text.encode("utf-8")[:room].decode("utf-8", errors="ignore")
            if not piece:
                break
            chosen.append(piece)
            room -= len(piece.encode("utf-8"))
        return chosen
    return []


def _training_texts(directory: Path, limit_bytes: int, seed: int) -> Iterator[str]:
    """A sample of whole training documents of about `limit_bytes`, spread over the file."""
    path = directory / "train.jsonl"
    share = limit_bytes / max(1, path.stat().st_size) if path.is_file() else 0.0
    rng = random.Random(seed)
    room = limit_bytes
    for document in _documents(directory, "train"):
        if rng.random() < share and room > 0:
            piece = document.text.encode("utf-8")[:room].decode("utf-8", errors="ignore")
            room -= len(piece.encode("utf-8"))
            yield piece


def _functions_of(directory: Path, split: str) -> list[TaskExample]:
    """Functions with docstrings of the Python documents of a split."""
    return [
        example
        for document in _documents(directory, split)
        if "def " in document.text
        for example in find_functions(document.text, name=document.id)
    ]


def _no_specials(tokenizer: Tokenizer) -> dict[int, float]:
    """A bias against special tokens: a chat model ends at once on text that is no question, and that measures nothing."""
    return dict.fromkeys(list(tokenizer.special_ids.values())[:_MOST_BIASES], _FORBIDDEN)


def _pairs(directory: Path, split: str) -> list[TaskExample]:
    return list(read_questions(directory, split)) if (directory / f"{split}.jsonl").is_file() else []


def _documents(directory: Path, split: str) -> Iterator[Any]:
    if not directory.is_dir():
        raise DataError(f"{directory} does not exist", hint="run the recipe from its start")
    if (directory / f"{split}.jsonl").is_file():
        yield from read_documents(directory, split)


def bits_row(name: str, scores: Sequence[TextScore]) -> dict[str, Any]:
    if not all(math.isfinite(score.nats) for score in scores):
        return {"name": name, "value": None, "count": len(scores), "note": "it held some of the text to be impossible"}
    bits = [score.nats / math.log(2) for score in scores]
    return {"name": name, **bootstrap_ratio(bits, [float(score.bytes) for score in scores]).plain()}


def _share_row(result: TaskResult) -> dict[str, Any]:
    return {"name": result.name, **result.share().plain()}


def _compile_row(result: TaskResult) -> dict[str, Any]:
    compiled = result.detail("compiles")
    return {"name": result.name, **wilson(int(sum(compiled)), len(compiled)).plain()}


def _baseline(part: TaskResult, own: TaskResult) -> dict[str, Any]:
    return {} if part.name == own.name else {"baseline": True}


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None

"""A whole run of real runner stages, evaluated: documents, pairs, a model, `evaluate`, the report. The model is a byte n-gram
made here, behind the same protocols as the engine: evaluation must work on any Generator and Scorer.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from groundup.core.artifact import read_json, write_json, write_text
from groundup.core.errors import ConfigError
from groundup.core.recipe import StageContext, load_recipe, run_recipe
from groundup.core.types import Capabilities, Chunk, Request, ScoreRequest, TokenLogprobs, Usage
from groundup.data.documents import read_documents
from groundup.evals.report import write_report_html
from groundup.evals.text import score_texts
from page_checks import read_page

pytestmark = [pytest.mark.row("11.1"), pytest.mark.row("11.6")]
HERE = "test_evals_stage"


class Bytes:
    vocab_size = 256
    special_ids: Mapping[str, int] = {}

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return bytes(ids).decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id])


class NGram:
    """Order-3 byte model with backing-off by interpolation, and the questions it was taught word for word."""

    def __init__(self, directory: Path) -> None:
        self.tokenizer = Bytes()
        data = (directory / "text").read_bytes()
        self.taught: dict[str, str] = read_json(directory / "taught.json")
        self.capabilities = Capabilities(
            model="ngram",
            max_context_tokens=2000,
            abilities=frozenset({"score", "chat"} if self.taught else {"score"}),
        )
        self._after: list[dict[bytes, Counter[int]]] = []
        for order in (1, 2, 3):
            table: dict[bytes, Counter[int]] = {}
            for i in range(order, len(data)):
                table.setdefault(data[i - order : i], Counter())[data[i]] += 1
            self._after.append(table)
        self.closed = False

    def _probability(self, before: bytes, byte: int) -> float:
        value = 1 / 256
        for order, table in enumerate(self._after, start=1):
            row = table.get(before[-order:]) if len(before) >= order else None
            if row:
                value = (row[byte] + 2 * value) / (row.total() + 2)
        return value

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[TokenLogprobs]:
        results = []
        for request in requests:
            before, data = str(request.context).encode(), str(request.continuation).encode()
            whole = before + data
            values = [
                math.log(self._probability(whole[max(0, i - 3) : i], whole[i])) for i in range(len(before), len(whole))
            ]
            results.append(TokenLogprobs(token_ids=tuple(data), logprobs=tuple(values)))
        return results

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        for index, request in enumerate(requests):
            if not isinstance(request.prompt, str):
                text, reason = self.taught.get(str(request.prompt[-1]["content"]), "no idea"), "stop"
            else:
                made = bytearray(str(request.prompt).encode())
                for _ in range(request.params.max_tokens):
                    row = self._after[2].get(bytes(made[-3:])) or self._after[0].get(bytes(made[-1:]))
                    made.append(row.most_common(1)[0][0] if row else 32)
                text, reason = made[len(str(request.prompt).encode()) :].decode(errors="ignore"), "length"
            yield index, Chunk(text=text)
            usage = Usage(prompt_tokens=0, completion_tokens=len(text))
            yield index, Chunk(finish_reason=reason, usage=usage)  # type: ignore[arg-type]

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True, kw_only=True)
class TrainNGram:
    documents: str = "data"
    instruct: str | None = None
    type: Literal["ngram"] = "ngram"
    kind = "model"

    def inputs(self) -> Sequence[str]:
        return tuple(n for n in (self.documents, self.instruct) if n)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        text = "\n".join(d.text for d in read_documents(context.inputs[self.documents], "train"))
        write_text(context.directory / "text", text)
        taught = {}
        if self.instruct:  # half of the held-out questions: a model that is right half the time
            rows = (context.inputs[self.instruct] / "test.jsonl").read_text().splitlines()
            for row in map(json.loads, [r for i, r in enumerate(rows) if i % 4 < 2]):
                taught[row["messages"][0]["content"]] = row["messages"][1]["content"]
        write_json(context.directory / "taught.json", taught)
        for step in range(40):
            context.tracker.log(
                step, {"loss": 5 / (step + 1) if step != 7 else math.nan, "lr": 0.1, "tokens_per_second": 10.0}
            )
        return {"loss": 0.125, "odd": {"<i>deep</i>": [1, {"x": 2.5}]}, "nothing": None}


@dataclass(frozen=True, kw_only=True)
class Pairs:
    type: Literal["pairs"] = "pairs"
    kind = "instruct"

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        for split, numbers in (("train", range(60)), ("test", range(60, 100))):
            lines = []
            for n in numbers:
                kind = ("module", "complete")[n % 2]
                answer = f"package.part{n % 7}" if kind == "module" else f"    return {n % 5}"
                asked = [{"role": "user", "content": f"{kind} thing{n}?"}, {"role": "assistant", "content": answer}]
                row = {"id": f"{split}{n}", "kind": kind, "messages": asked}
                lines.append(json.dumps(row | ({"code": f"def f{n}():\n"} if kind == "complete" else {})) + "\n")
            write_text(context.directory / f"{split}.jsonl", "".join(lines))
        return {"pairs": 100}


TABLE = {
    "documents": "groundup.data.stages:DocumentsStage",
    "evaluate": "groundup.evals.stages:EvaluateStage",
    "ngram": f"{HERE}:TrainNGram",
    "pairs": f"{HERE}:Pairs",
}

RECIPE = """
name: tiny <b>run</b>
description: 'A test & its report'
data:
  type: documents
  source: {type: files, path: SOURCE}
  split: {by: document, validation: 0.1, test: 0.3}
pretrain: {type: ngram}
instruct: {type: pairs}
sft: {type: ngram, instruct: instruct}
evaluate: {type: evaluate, base: pretrain, model: sft, context_tokens: 2000, text_bytes: 20000, num_functions: 6, function_tokens: 60}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[NGram]]:
    import sys

    sys.modules.setdefault(HERE, sys.modules[__name__])
    root = tmp_path_factory.mktemp("evals")
    source = root / "source"
    source.mkdir()
    rng = random.Random(5)
    names = ["read", "write", "parse", "walk", "join", "split", "load", "dump"]
    for number in range(60):
        functions = [
            f'def {rng.choice(names)}_{rng.choice(names)}_{number}_{i}(value, other=None):\n    """{rng.choice(names).title()} '
            f'the {rng.choice(names)} of value number {rng.randrange(10**6)}."""\n    if other is None:\n'
            f"        return {rng.choice(names)}(value)\n    return [value, other, {rng.randrange(10**6)}]\n\n\n"
            for i in range(8)
        ]
        (source / f"m{number}.py").write_text(f"import os\nimport re{number}\n\n\n" + "".join(functions))
    (root / "recipe.yaml").write_text(RECIPE.replace("SOURCE", str(source)))
    opened: list[NGram] = []

    def open_model(path: Path, *, trusted_parts: Sequence[str], max_context_tokens: int) -> NGram:
        assert max_context_tokens == 2000
        opened.append(NGram(path))
        return opened[-1]

    run_recipe(load_recipe(root / "recipe.yaml", TABLE), root / "run", open_model=open_model)
    return root / "run", opened


def evaluation(run: Path, measure: str, about: str = "") -> dict[str, Any]:
    listed = read_json(run / "report.json")["stages"]["evaluate"]["figures"]["evaluations"]
    return next(e for e in listed if e["measure"] == measure and about in e["about"])


def test_models_are_opened_once_and_closed(finished: tuple[Path, list[NGram]]) -> None:
    assert len(finished[1]) == 2 and all(model.closed for model in finished[1])


def test_bits_per_byte_are_those_of_the_held_out_documents_beside_every_baseline(
    finished: tuple[Path, list[NGram]],
) -> None:
    run, _ = finished
    table = evaluation(run, "bits_per_byte")
    values = {row["name"]: row["value"] for row in table["rows"]}
    assert list(values) == ["pretrain", "sft", "xz, primed", "xz", "token unigram", "byte unigram", "uniform"]
    assert values["uniform"] == pytest.approx(8)
    assert values["pretrain"] == values["sft"] < values["xz"] < values["byte unigram"] < 8
    assert values["token unigram"] == pytest.approx(
        values["byte unigram"], abs=1e-6
    )  # this tokenizer's tokens are bytes
    texts = [d.text for d in read_documents(run / "data", "test")]
    assert sum(len(t.encode()) for t in texts) > 20_000  # so that the limit cuts
    figures = read_json(run / "report.json")["stages"]["evaluate"]["figures"]
    assert figures["text_bytes"] == 20_000 and figures["bits_per_byte"] == values["sft"]
    assert figures["perplexity_unit"] == "token"
    assert figures["perplexity"] == pytest.approx(2 ** values["sft"], rel=1e-4)
    everything = score_texts(NGram(run / "sft"), texts)
    whole = sum(s.nats for s in everything) / math.log(2) / sum(s.bytes for s in everything)
    assert values["sft"] == pytest.approx(whole, rel=0.1)
    own = table["rows"][1]
    assert own["low"] < own["value"] < own["high"] and own["count"] == figures["text_documents"]
    assert "by +0.000 on average" in table["notes"][1]


def test_questions_are_scored_by_kind_beside_nearest_and_most_common(finished: tuple[Path, list[NGram]]) -> None:
    run, _ = finished
    for kind in ("module", "complete"):
        rows = {row["name"]: row for row in evaluation(run, "exact_match", kind)["rows"]}
        assert list(rows) == ["sft", "nearest training example", "most common answer"]
        assert rows["sft"]["count"] == 20 and not rows["sft"].get("baseline")
        assert rows["most common answer"]["baseline"] and rows["sft"]["value"] == 0.5
    together = evaluation(run, "exact_match", "all questions")["rows"]
    assert (together[0]["count"], together[0]["value"]) == (40, 0.5)
    answered = [json.loads(line) for line in (run / "evaluate" / "questions-sft.jsonl").read_text().splitlines()]
    assert len(answered) == 40 and sum(row["score"] for row in answered) == 20
    assert read_json(run / "report.json")["stages"]["evaluate"]["figures"]["exact_match"] == 0.5
    compiled = {row["name"]: row["value"] for row in evaluation(run, "functions_compile", "chat")["rows"]}
    assert compiled["nearest training example"] == 1.0 and compiled["sft"] == 0.5


def test_functions_are_those_of_held_out_documents(finished: tuple[Path, list[NGram]]) -> None:
    run, _ = finished
    rows = {row["name"]: row["value"] for row in evaluation(run, "functions_compile", "held-out")["rows"]}
    assert set(rows) == {"pretrain", "sft", "byte unigram samples", "nearest training example"}
    assert rows["nearest training example"] == 1.0 and rows["byte unigram samples"] == 0.0
    asked = [json.loads(line) for line in (run / "evaluate" / "functions-sft.jsonl").read_text().splitlines()]
    held_out = "".join(d.text for split in ("test", "validation") for d in read_documents(run / "data", split))
    assert len(asked) == 6 and all(row["prompt"] in held_out for row in asked)


def test_the_report_has_every_figure_of_a_real_run(finished: tuple[Path, list[NGram]]) -> None:
    from groundup.evals.report.reading import flat, shown

    run, _ = finished
    page = read_page(write_report_html(run))
    text = " ".join(" ".join(page.text).split())
    report = read_json(run / "report.json")
    count = 0
    for stage in report["stages"].values():
        for name, value in flat(stage["figures"]):
            count += 1
            assert " ".join(shown(value).split()) in text, (name, value)
            assert " ".join(name.replace("_", " ").split()) in text, name
    assert count > 60
    for part in (
        "tiny <b>run</b>",
        "A test & its report",
        "<i>deep</i>",
        "groundup chat",
        "groundup serve",
        "1 of loss",
    ):
        assert part in text, part
    own = shown(evaluation(run, "bits_per_byte")["rows"][1]["value"])[:4]
    assert f"text it has never seen in {own}" in text and "It answered 50 % of held-out questions" in text
    assert page.tags["svg"] >= 8 and page.tags["b"] >= 5
    assert str(report["environment"]["python"]) in text and str(report["seed"]) in text


def test_stage_settings_are_checked() -> None:
    from groundup.core.config import parse
    from groundup.evals.stages import EvaluateStage

    with pytest.raises(ConfigError, match="num_functions"):
        parse(EvaluateStage, {"type": "evaluate", "num_functions": -1})
    with pytest.raises(ConfigError, match="text_bytes"):
        parse(EvaluateStage, {"type": "evaluate", "text_bytes": 0})
    assert parse(EvaluateStage, {"type": "evaluate", "instruct": None, "base": None}).inputs() == ("sft", "data")

"""The stage `compare`: verified wins counted by hand, figures that reach the report, and what the page shows of them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from groundup.core.artifact import read_json, write_json
from groundup.core.config import parse
from groundup.core.errors import ConfigError
from groundup.core.recipe import StageContext, load_recipe, run_recipe
from groundup.core.types import Capabilities, Chunk, Request, ScoreRequest, TokenLogprobs, Usage
from groundup.evals.compare import CompareStage
from groundup.evals.report import write_report_html
from groundup.tasks.stored import read_problems
from page_checks import read_page

pytestmark = pytest.mark.row("10.7")
HERE = "test_evals_compare"
PERIOD = 6


class Pupil:
    """Solves the problems whose number within its split, modulo PERIOD, is in its list: one list for greedy answers and one for
    sampled ones, which are `words` long. A byte costs it `bits`.
    """

    def __init__(self, directory: Path) -> None:
        self.told = read_json(directory / "pupil.json")
        self.capabilities = Capabilities(model="pupil", max_context_tokens=1000, abilities=frozenset({"chat", "score"}))
        self.tokenizer = None
        self.closed = False

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        for i, request in enumerate(requests):
            number, answer = self.told["known"][str(request.prompt[-1]["content"])]  # type: ignore[index]
            able = number % PERIOD in self.told["sampled" if request.params.temperature else "greedy"]
            words = [*["hm"] * (self.told["words"] - 2), "Answer:", answer if able else "x"]
            usage = Usage(prompt_tokens=1, completion_tokens=len(words))
            yield i, Chunk(text=" ".join(words), token_ids=tuple(range(len(words))), finish_reason="stop", usage=usage)

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[TokenLogprobs]:
        found = []
        for request in requests:
            data = str(request.continuation).encode()
            found.append(TokenLogprobs(token_ids=tuple(data), logprobs=(-self.told["bits"] * math.log(2),) * len(data)))
        return found

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True, kw_only=True)
class PupilStage:
    greedy: tuple[int, ...]
    sampled: tuple[int, ...]
    words: int
    bits: float
    pays: bool = False
    type: Literal["pupil"] = "pupil"
    kind = "model"

    def inputs(self) -> Sequence[str]:
        return ("problems",)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        known = {
            example.prompt[-1]["content"]: (number, str(example.answer))  # type: ignore[index]
            for split in ("test", "harder")
            for number, example in enumerate(read_problems(context.inputs["problems"], split))
        }
        told = {"known": known, "greedy": self.greedy, "sampled": self.sampled, "words": self.words, "bits": self.bits}
        write_json(context.directory / "pupil.json", told)
        for rollout in range(0, 40, 10) if self.pays else ():
            context.tracker.log(rollout, {"loss": 1.5, "reward": rollout / 40, "lr": 0.1})
            context.tracker.event(
                "rollout", f"rollout {rollout}", prompt=[{"role": "user", "content": f"what is <{rollout}>?"}], answer="7",
                samples=[
                    {"text": f"<right> {rollout}", "reward": 1.25, "against_group": 0.625, "tokens": 3},
                    {"text": "wrong & long", "reward": 0.0, "against_group": -0.625, "tokens": 9},
                ],
            )  # fmt: skip
        return {"loss": 1.5}


TABLE = {
    "documents": "groundup.data.stages:DocumentsStage",
    "problems": "groundup.tasks.stages:ProblemsStage",
    "compare": "groundup.evals.compare:CompareStage",
    "pupil": f"{HERE}:PupilStage",
}
PUPILS: dict[str, dict[str, Any]] = {
    "base": {"greedy": [], "sampled": [0], "words": 4, "bits": 2.0},
    "sft": {"greedy": [0, 1], "sampled": [0, 1, 2], "words": 4, "bits": 2.25},
    "rl": {"greedy": [0, 1, 2, 3], "sampled": [0, 1, 3, 4], "words": 3, "bits": 3.0, "pays": True},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Pupil], dict[str, Any]]:
    sys.modules.setdefault(HERE, sys.modules[__name__])
    root = tmp_path_factory.mktemp("compare")
    (root / "source").mkdir()
    for number in range(30):
        (root / "source" / f"{number}.txt").write_text(f"This is text {number}, of nothing in particular. " * 6)
    recipe = {
        "name": "three",
        "data": {"type": "documents", "source": {"type": "files", "path": str(root / "source")},
                 "split": {"by": "document", "validation": 0.2, "test": 0.3}},
        "problems": {"type": "problems", "train": 10, "validation": 4, "test": 40, "harder": 12},
        **{name: {"type": "pupil", **fields} for name, fields in PUPILS.items()},
        "comparison": {"type": "compare", "models": list(PUPILS), "documents": "data", "num_problems": 36,
                       "num_comparisons": 30, "max_tokens": 20},
    }  # fmt: skip
    (root / "recipe.yaml").write_text(json.dumps(recipe))
    opened: list[Pupil] = []

    def open_model(path: Path, **options: Any) -> Pupil:
        opened.append(Pupil(path))
        return opened[-1]

    report = run_recipe(load_recipe(root / "recipe.yaml", TABLE), root / "run", open_model=open_model)
    return root / "run", opened, report


def won(name: str, other: str) -> list[float]:
    """By hand: right beats wrong, and of two right or two wrong ones neither wins."""
    points = []
    for number in range(30):
        a, b = (number % PERIOD in PUPILS[who]["sampled"] for who in (name, other))
        if a != b:
            points.append(1.0 if a else 0.0)
        else:
            points.append(0.5)
    return points


def test_figures_of_each_model_are_those_counted_by_hand(finished: tuple[Path, list[Pupil], dict[str, Any]]) -> None:
    run, opened, _ = finished
    assert len(opened) == 3 and all(pupil.closed for pupil in opened)
    figures = read_json(run / "comparison" / "results.json")
    assert figures["against"] == "sft" and list(figures["of_stages"]) == list(PUPILS)
    for name, told in PUPILS.items():
        of = figures["of_stages"][name]
        assert of["exact_match"] == pytest.approx(sum(n % PERIOD in told["greedy"] for n in range(36)) / 36, abs=1e-4)
        assert of["exact_match_harder"] == pytest.approx(len(told["greedy"]) / PERIOD, abs=1e-4)
        points = won(name, "sft")
        assert of["win_rate"] == pytest.approx(sum(points) / 30, abs=1e-4)
        decided = [p for p in points if p != 0.5]
        assert of["decided"] == len(decided)
        wanted = None if not decided else pytest.approx(sum(decided) / len(decided), abs=1e-4)
        assert of["win_rate_of_decided"] == wanted
        assert of["answer_tokens"] == told["words"] and of["bits_per_byte"] == pytest.approx(told["bits"])
    # Once in plain numbers. Of every six problems: rl is alone right at 3 and 4, sft alone at 2.
    assert figures["of_stages"]["rl"]["decided"] == 15 and figures["of_stages"]["rl"]["win_rate"] == pytest.approx(
        3.5 / 6, abs=1e-4
    )
    assert figures["of_stages"]["base"]["win_rate"] == pytest.approx(2 / 6, abs=1e-4)
    assert figures["of_stages"]["sft"]["win_rate"] == 0.5 and figures["of_stages"]["sft"]["decided"] == 0


def test_every_answer_is_kept(finished: tuple[Path, list[Pupil], dict[str, Any]]) -> None:
    run, _, _ = finished
    for name, told in PUPILS.items():
        for measure, count in (("exact_match", 36), ("exact_match_harder", 12)):
            lines = (run / "comparison" / f"{measure}-{name}.jsonl").read_text().splitlines()
            assert [json.loads(line)["score"] for line in lines] == [
                float(n % PERIOD in told["greedy"]) for n in range(count)
            ]


def test_the_tables_have_intervals(finished: tuple[Path, list[Pupil], dict[str, Any]]) -> None:
    run, _, _ = finished
    tables = read_json(run / "comparison" / "results.json")["evaluations"]
    assert [t["measure"] for t in tables] == ["solved", "solved", "win_rate", "bits_per_byte"]
    for table in tables:
        assert [row["name"] for row in table["rows"]] == list(PUPILS)
        assert all(row["low"] <= row["value"] <= row["high"] for row in table["rows"])
    assert [row["count"] for row in tables[0]["rows"]] == [36] * 3 and [r["count"] for r in tables[2]["rows"]] == [
        30
    ] * 3


def test_the_report_shows_them_beside_each_stages_own(finished: tuple[Path, list[Pupil], dict[str, Any]]) -> None:
    run, _, report = finished
    assert read_json(run / "report.json") == report
    of_stages = report["stages"]["comparison"]["figures"]["of_stages"]
    for name, of in of_stages.items():
        beside = report["stages"][name]
        assert beside["figures"] == {"loss": 1.5} and {k: beside[k] for k in of} == of and beside["type"] == "pupil"


def test_a_second_run_does_nothing_and_says_the_same(finished: tuple[Path, list[Pupil], dict[str, Any]]) -> None:
    run, _, report = finished
    states: list[str] = []
    again = run_recipe(
        load_recipe(run.parent / "recipe.yaml", TABLE), run, on_stage=lambda name, state, _: states.append(state)
    )
    assert set(states) == {"cached"} and again["stages"] == report["stages"]


def test_the_page_has_the_table_the_plot_and_the_rollouts(finished: tuple[Path, list[Pupil], dict[str, Any]]) -> None:
    run, _, _ = finished
    path = write_report_html(run)
    page = read_page(path)
    text = " ".join(" ".join(page.text).split())
    part = text[text.index("What each stage of training did") :]
    for heading in ("solved", "harder ones", "verified wins", "tokens an answer", "bits per byte"):
        assert heading in part, heading
    table = part[part.index("seconds of training") : part.index("Wins are against sft.")]
    for row in ("base 0.0 % 0.0 % 33.3 % 4 2 ", "sft 33.3 % 33.3 % 50.0 % 4 2.25 ", "rl 66.7 % 66.7 % 58.3 % 3 3 "):
        assert row in table, row
    assert text.count("What it was paid for") == 1 and "rl, 4 groups of samples" in text
    for rollout in range(0, 40, 10):
        assert f"rollout {rollout}" in text and f"what is <{rollout}>?" in text and f"<right> {rollout}" in text
    assert "wrong & long" in text and "0.625" in text and "-0.625" in text.replace("\u2212", "-")
    assert page.tags["svg"] >= 2


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"models": []}, "models"),
        ({"against": "other"}, "against"),
        ({"num_problems": 0}, "num_problems"),
        ({"num_comparisons": 0}, "num_comparisons"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"text_bytes": 0}, "text_bytes"),
        ({"temperature": -0.5}, "temperature"),
        ({"context_tokens": 0}, "context_tokens"),
        ({"models": ["a", "a"]}, "models"),
    ],
)
def test_wrong_settings_are_named(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(CompareStage, {"type": "compare", "models": ["a", "b"], **fields}, path="comparison")
    assert caught.value.path == f"comparison.{path}"


def test_who_is_compared_with_whom() -> None:
    assert CompareStage(models=("a", "b", "c")).opponent == "b"
    assert CompareStage(models=("a",)).opponent == "a"
    assert CompareStage(models=("a", "b"), against="a").opponent == "a"
    assert CompareStage(models=("a", "b"), documents="d").inputs() == ("a", "b", "problems", "d")

"""Best-of-n, votes and rejection sampling against every subset, counted one by one."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from groundup.core.artifact import seal
from groundup.core.config import parse
from groundup.core.errors import ConfigError, DataError
from groundup.core.progress import SilentProgress
from groundup.core.recipe import StageContext
from groundup.core.tracking import JsonlTracker
from groundup.core.types import Capabilities, Chunk, Message, Request, Usage
from groundup.evals.best_of_n import (
    BestOfNStage,
    Samples,
    best_of_n,
    best_of_n_kl,
    curves,
    majority,
    rejection_curve,
    weighted_majority,
)
from groundup.evals.report.page import write_report_html
from groundup.tasks.stages import ProblemsStage

pytestmark = pytest.mark.row("10.2")


def by_subsets(k: int, n: int, worth: Any) -> float:
    subsets = list(itertools.combinations(range(k), n))
    return sum(worth(subset) for subset in subsets) / len(subsets)


def voted(
    answers: Sequence[Hashable], weights: Sequence[float], truths: Sequence[float], subset: Sequence[int]
) -> float:
    votes: dict[Hashable, float] = {}
    for i in subset:
        if answers[i] is not None:
            votes[answers[i]] = votes.get(answers[i], 0) + weights[i]
    if not votes:
        return 0.0
    best = max(votes.values())
    winners = [a for a, v in votes.items() if abs(v - best) < 1e-9]
    means = [sum(t for t, b in zip(truths, answers, strict=True) if b == a) / list(answers).count(a) for a in winners]
    return sum(means) / len(means)


def random_problem(rng: random.Random) -> tuple[list[float], list[float], list[str | None]]:
    k = rng.randint(1, 8)
    scores = [rng.choice([0.0, 1.0, 2.0, rng.random()]) for _ in range(k)]
    truths = [rng.choice([0.0, 1.0, rng.random()]) for _ in range(k)]
    return scores, truths, [rng.choice(["a", "b", "c", None]) for _ in range(k)]


def test_every_curve_is_the_mean_over_all_subsets() -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(60):
        scores, truths, answers = random_problem(rng)
        k = len(scores)
        for n in range(1, k + 1):

            def chosen(subset: Sequence[int]) -> float:
                best = max(scores[i] for i in subset)  # noqa: B023
                tied = [truths[i] for i in subset if scores[i] == best]  # noqa: B023
                return sum(tied) / len(tied)

            # Ties share over the whole tied group in expectation: the mean over subsets of the mean of those present.
            assert best_of_n(scores, truths, n) == pytest.approx(by_subsets(k, n, chosen), abs=1e-12)
            plain = by_subsets(k, n, lambda s: voted(answers, [1.0] * k, truths, s))  # noqa: B023
            assert majority(answers, truths, n) == pytest.approx(plain, abs=1e-12)
            heavy = by_subsets(k, n, lambda s: voted(answers, scores, truths, s))  # noqa: B023
            assert weighted_majority(answers, scores, truths, n) == pytest.approx(heavy, abs=1e-9)


def test_a_perfect_chooser_is_pass_at_n() -> None:
    for k, right in ((10, 3), (7, 0), (5, 5)):
        truths = [1.0] * right + [0.0] * (k - right)
        for n in range(1, k + 1):
            assert best_of_n(truths, truths, n) == pytest.approx(1 - math.comb(k - right, n) / math.comb(k, n))
    assert best_of_n([1, 2], [0.25, 0.75], 2) == 0.75
    for wrong in (0, 3):
        with pytest.raises(ValueError, match="from 1 to the 2"):
            best_of_n([1, 2], [0, 1], wrong)


def test_many_samples_are_counted_quickly_and_votes_drawn_agree() -> None:
    rng = random.Random(2)
    answers = [rng.choice("aaabbcdefgh") for _ in range(40)]
    truths = [float(a == "a") for a in answers]
    assert majority(answers, truths, 31) > majority(answers, truths, 5) > majority(answers, truths, 1)
    drawn = weighted_majority(answers, [1.0] * 40, truths, 9, seed=4)
    assert drawn == pytest.approx(majority(answers, truths, 9), abs=0.12)
    assert drawn == weighted_majority(answers, [1.0] * 40, truths, 9, seed=4)


def test_the_distance_is_that_of_best_of_n() -> None:
    """With m equally likely samples that never tie, best-of-n's own KL comes to the bound from below as m grows."""
    for n in (1, 2, 4, 16):
        found = []
        for m in (50, 5000):
            shares = [(i / m) ** n - ((i - 1) / m) ** n for i in range(1, m + 1)]
            found.append(math.fsum(p * math.log(p * m) for p in shares if p > 0))
        assert found[0] <= best_of_n_kl(n) + 1e-12 and found[1] == pytest.approx(best_of_n_kl(n), abs=2e-3)


def test_rejection_keeps_fewer_and_better() -> None:
    problems = [
        Samples((0.0, 1.0, 0.0, 1.0), (-1.0, 2.0, 0.5, 0.7)),
        Samples((0.0, 0.0, 1.0, 0.0), (3.0, -2.0, 1.0, -3.0)),
    ]
    curve = rejection_curve(problems)
    assert (curve[0].share, curve[0].truth, curve[0].solved, curve[0].kl) == (1.0, 3 / 8, 1.0, 0.0)
    at = next(a for a in curve if a.threshold == 0.7)
    assert at.share == 4 / 8 and at.truth == 3 / 4 and at.kl == pytest.approx(math.log(2))
    assert curve[-1].threshold == 3.0 and curve[-1].truth == 0.0 and curve[-1].solved == 0.0
    assert rejection_curve([]) == []


def test_curves_need_enough_samples() -> None:
    with pytest.raises(DataError, match="too few"):
        curves([Samples((1.0, 0.0))], [1, 3])
    with pytest.raises(ConfigError, match="temperature"):
        BestOfNStage(model="m", temperature=0.0)
    made = curves([Samples((1.0, 0.0), (0.5, 0.1), ("1", "2"))], [1, 2])
    assert made["verifier"] == [0.5, 1.0] and made["reward_model"] == [0.5, 1.0] and made["majority"] == [0.5, 0.5]
    assert made["weighted_vote"][1] == 1.0


class Guesser:
    """Answers by its seed: a Generator without a model."""

    capabilities = Capabilities(model="guesser", max_context_tokens=100)

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        for i, request in enumerate(requests):
            rng = random.Random(request.params.seed)
            usage = Usage(prompt_tokens=1, completion_tokens=1)
            yield i, Chunk(text=f"Answer: {rng.randint(0, 3)}", token_ids=(1,), finish_reason="stop", usage=usage)

    def close(self) -> None: ...


class LikesTwo:
    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        assert all(c[0]["role"] == "user" and c[-1]["role"] == "assistant" for c in conversations)
        return [float("2" in str(c[-1]["content"])) for c in conversations]


def test_the_stage_draws_judges_and_draws_the_curves(tmp_path: Path) -> None:
    def context(name: str, inputs: dict[str, Path]) -> StageContext:
        directory, scratch = tmp_path / name, tmp_path / "scratch" / name
        directory.mkdir(parents=True)
        scratch.mkdir(parents=True)
        return StageContext(
            name=name, directory=directory, scratch=scratch, inputs=inputs, figures={}, run_directory=tmp_path,
            recipe_directory=tmp_path, seed=3, swaps={}, tracker=JsonlTracker(tmp_path, stage=name),
            progress=SilentProgress(),
            open_model=lambda path, **_: LikesTwo() if path.name == "reward" else Guesser(),
        )  # fmt: skip

    problems = parse(ProblemsStage, {"test": 6, "train": 4, "validation": 2, "harder": 2})
    made = context("problems", {})
    problems.run(made)
    seal(made.directory, kind="problems", facts={}, key="p")
    for name in ("model", "reward"):
        (tmp_path / name).mkdir()
    stage = BestOfNStage(model="model", reward_model="reward", num_problems=6, samples=5)
    assert stage.inputs() == ("model", "problems", "reward")
    at = context("choice", {"problems": made.directory, "model": tmp_path / "model", "reward": tmp_path / "reward"})
    figures = dict(stage.run(at))
    found = figures["best_of_n"]
    assert found["n"] == [1, 2, 3, 4, 5]
    assert found["verifier"] == sorted(found["verifier"])
    assert found["reward_model"][0] == pytest.approx(found["verifier"][0])
    stored = json.loads((at.directory / "samples.json").read_text())
    assert len(stored) == 6 and {len(row["answers"]) for row in stored} == {5}
    assert all(float(a == "2") == s for row in stored for a, s in zip(row["answers"], row["scores"], strict=True))
    report = {"name": "r", "stages": {"choice": {"type": "best_of_n", "figures": figures}}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    page = write_report_html(tmp_path).read_text()
    assert "Choosing among samples" in page and "perfect chooser" in page and "<svg" in page

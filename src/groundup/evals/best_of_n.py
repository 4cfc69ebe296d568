"""What choosing among n samples is worth: best-of-n by a verifier or a reward model, majority votes, rejection sampling.

Of k samples to each problem, every curve gives for n = 1 .. k what a set of n of them, drawn without replacement, is worth on
average: exact counts of subsets, so no subset is drawn and the estimate is unbiased for n fresh samples. Only the vote weighted by
scores has no such count; beyond a limit it is averaged over random subsets. Left out: sequential search, whose samples are not alike.

Letters: k samples of a problem, n of them chosen from.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from ..core.artifact import write_json
from ..core.errors import ConfigError, DataError
from ..core.protocols import Generator, Rewarder
from ..core.recipe import StageContext, open_rewarder
from ..core.types import SamplingParams, TaskExample
from ..data.samples import answer_all
from ..tasks.stored import open_problems

_MOST_SUBSETS = 256
"""Up to this many are all looked at; else this many are drawn, which leaves a standard error of at most 0.031 for one problem and
0.003 for the mean of a hundred."""


@dataclass(frozen=True, slots=True)
class Samples:
    """k samples of one problem."""

    truths: tuple[float, ...]
    """What each is worth: the verifier's score."""
    scores: tuple[float, ...] = ()
    """What the chooser says of each; (): none was asked."""
    answers: tuple[Hashable, ...] = ()
    """What each votes for; None does not vote."""


def best_of_n(scores: Sequence[float], truths: Sequence[float], n: int) -> float:
    """Expected truth of the sample with the highest score among n of the k, over all subsets; equal scores share.

    With scores = truths it is what a perfect chooser reaches: for truths of 0 and 1 that is pass@n (Chen et al. 2021, section
    2.1), and in general the estimator of Nakano et al. 2021 (WebGPT, appendix I). Raises ValueError unless 1 <= n <= k.
    """
    k = len(scores)
    _check(n, k)
    order = sorted(range(k), key=lambda i: scores[i])
    total, below = 0.0, 0
    while below < k:
        end = below
        while end < k and scores[order[end]] == scores[order[below]]:
            end += 1
        # Subsets whose highest score is this one: all within the first `end`, less those within the first `below`.
        subsets = math.comb(end, n) - math.comb(below, n)
        total += subsets * math.fsum(truths[i] for i in order[below:end]) / (end - below)
        below = end
    return total / math.comb(k, n)


def _check(n: int, k: int) -> None:
    if not 1 <= n <= k:
        raise ValueError(f"n must be from 1 to the {k} samples there are, not {n}")


def best_of_n_kl(n: int) -> float:
    """log n - (n - 1) / n: at most so far, in nats, is the best of n from one sample (Stiennon et al. 2020; it is a bound, which
    is reached where no two samples are alike: Beirami et al. 2024, theorem 1).
    """
    return math.log(n) - (n - 1) / n


def majority(answers: Sequence[Hashable], truths: Sequence[float], n: int) -> float:
    """Expected truth of the most common answer of n of the k, over all subsets; equally common ones share (Wang et al. 2022,
    self-consistency). An answer is worth the mean truth of its samples; a subset without a vote is worth 0.
    """
    _check(n, len(answers))
    groups: dict[Hashable, list[float]] = {}
    for answer, truth in zip(answers, truths, strict=True):
        if answer is not None:
            groups.setdefault(answer, []).append(truth)
    silent = sum(answer is None for answer in answers)
    counts = [len(group) for group in groups.values()]
    won: dict[int, float] = {}
    total = 0.0
    for group in groups.values():
        if len(group) not in won:
            others = list(counts)
            others.remove(len(group))
            won[len(group)] = _subsets_won(len(group), others, silent, n)
        total += won[len(group)] * math.fsum(group) / len(group)
    return total / math.comb(len(answers), n)


def _subsets_won(own: int, others: Sequence[int], silent: int, n: int) -> float:
    """Of all subsets of n, how many a group of `own` samples wins; one that it wins with t others counts 1 / (t + 1)."""
    total = 0.0
    for votes in range(1, min(own, n) + 1):
        # ways[picked][ties]: subsets of the groups so far in which none has more than `votes`.
        ways = {(0, 0): 1}
        for count in others:
            grown: dict[tuple[int, int], int] = {}
            for (picked, ties), number in ways.items():
                for more in range(min(count, votes, n - votes - picked) + 1):
                    key = (picked + more, ties + (more == votes))
                    grown[key] = grown.get(key, 0) + number * math.comb(count, more)
            ways = grown
        of_own = math.comb(own, votes)
        for (picked, ties), number in ways.items():
            total += of_own * number * math.comb(silent, n - votes - picked) / (ties + 1)
    return total


def weighted_majority(
    answers: Sequence[Hashable], scores: Sequence[float], truths: Sequence[float], n: int, *, seed: int = 0
) -> float:
    """As `majority`, each vote counted with its score (at least 0): verifier-weighted voting (Li et al. 2022, DiVeRSe,
    equation 2). All subsets up to 256, else as many drawn from the seed.
    """
    k = len(answers)
    _check(n, k)
    if any(score < 0 for score in scores):
        raise ValueError("the weight of a vote is at least 0; turn scores into probabilities first")
    worth: dict[Hashable, list[float]] = {}
    for answer, truth in zip(answers, truths, strict=True):
        worth.setdefault(answer, []).append(truth)
    if math.comb(k, n) <= _MOST_SUBSETS:
        subsets: Any = itertools.combinations(range(k), n)
    else:
        rng = random.Random(seed)
        subsets = (rng.sample(range(k), n) for _ in range(_MOST_SUBSETS))
    total, seen = 0.0, 0
    for subset in subsets:
        seen += 1
        votes: dict[Hashable, list[float]] = {}
        for i in subset:
            if answers[i] is not None:
                votes.setdefault(answers[i], []).append(scores[i])
        if votes:
            sums = {answer: math.fsum(sorted(given)) for answer, given in votes.items()}
            highest = max(sums.values())
            # Sums of the same scores in another order may differ in their last bit.
            winners = [a for a, s in sums.items() if math.isclose(s, highest, rel_tol=1e-12)]
            total += math.fsum(math.fsum(worth[a]) / len(worth[a]) for a in winners) / len(winners)
    return total / seen


@dataclass(frozen=True, slots=True)
class Accepted:
    """Rejection sampling: keep what scores at least `threshold`."""

    threshold: float
    share: float
    """Of samples that are kept: 1 / share are drawn for each one."""
    truth: float
    """Mean worth of the kept ones."""
    solved: float
    """Share of problems with any kept sample that is worth 1: what is left to learn from."""
    kl: float
    """-log share, in nats: how far the kept ones are from the model's own, all problems together."""


def rejection_curve(problems: Sequence[Samples], *, num_points: int = 20) -> list[Accepted]:
    """From keeping everything to keeping the best few, at quantiles of the scores."""
    drawn = [(s, t) for p in problems for s, t in zip(p.scores, p.truths, strict=True)]
    ordered = sorted({score for score, _ in drawn})
    if not ordered:
        return []
    thresholds = sorted({ordered[len(ordered) * i // num_points] for i in range(num_points)})
    curve = []
    for threshold in thresholds:
        kept = [truth for score, truth in drawn if score >= threshold]
        solved = sum(any(s >= threshold and t >= 1 for s, t in zip(p.scores, p.truths, strict=True)) for p in problems)
        share = len(kept) / len(drawn)
        curve.append(
            Accepted(threshold, share, math.fsum(kept) / len(kept), solved / len(problems), abs(math.log(share)))
        )
    return curve


def curves(problems: Sequence[Samples], counts: Sequence[int], *, seed: int = 0) -> dict[str, list[float]]:
    """Means over problems for each n: `verifier` (a perfect chooser), `reward_model` and `weighted_vote` where there are scores,
    `majority` where there are answers; and `kl_bound` in nats. DataError if a problem has fewer samples than the largest n.
    """
    fewest = min((len(p.truths) for p in problems), default=0)
    if not problems or fewest < max(counts):
        raise DataError(f"{fewest} samples of a problem are too few for n = {max(counts)}", hint="draw more samples")

    def mean(of: Callable[[Samples, int], float]) -> list[float]:
        return [math.fsum(of(p, n) for p in problems) / len(problems) for n in counts]

    made = {"n": [float(n) for n in counts], "kl_bound": [best_of_n_kl(n) for n in counts]}
    made["verifier"] = mean(lambda p, n: best_of_n(p.truths, p.truths, n))
    if all(p.scores for p in problems):
        made["reward_model"] = mean(lambda p, n: best_of_n(p.scores, p.truths, n))
    if all(p.answers for p in problems):
        made["majority"] = mean(lambda p, n: majority(p.answers, p.truths, n))
        if "reward_model" in made:
            weights = [[_probability(s) for s in p.scores] for p in problems]
            made["weighted_vote"] = [
                math.fsum(
                    weighted_majority(p.answers, w, p.truths, n, seed=seed)
                    for p, w in zip(problems, weights, strict=True)
                )
                / len(problems)
                for n in counts
            ]
    return made


def _probability(score: float) -> float:
    """Logistic function: of a score that is a logit, how likely it is the better one than a score of 0."""
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


def sample_problems(
    generator: Generator,
    task: Any,
    examples: Sequence[TaskExample],
    params: SamplingParams,
    *,
    samples: int,
    seed: int,
    rewarder: Rewarder | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[Samples]:
    """`samples` answers to each problem, judged by the task, scored by the reward model, and what each votes for (the answer
    that the judge read, where it reads one).
    """
    answered = answer_all(
        generator, task, examples, params, samples=samples, seed=seed, on_progress=on_progress
    )  # fmt: skip
    scores: list[float] = []
    if rewarder is not None:
        prompts = [
            [{"role": "user", "content": e.prompt}] if isinstance(e.prompt, str) else list(e.prompt) for e in examples
        ]
        scores = rewarder.scores(
            [
                [*prompt, {"role": "assistant", "content": a.text}]
                for prompt, own in zip(prompts, answered, strict=True)
                for a in own
            ]
        )
    made = []
    for i, own in enumerate(answered):
        votes = [a.verdict.details.get("answer") or None for a in own]
        made.append(
            Samples(
                truths=tuple(a.verdict.score for a in own),
                scores=tuple(scores[i * samples : (i + 1) * samples]),
                answers=tuple(votes) if any("answer" in a.verdict.details for a in own) else (),
            )
        )
    return made


@dataclass(frozen=True, kw_only=True)
class BestOfNStage:
    """Curves of best-of-n, votes and rejection sampling for one model, on held-out problems."""

    type: Literal["best_of_n"] = "best_of_n"
    model: str
    """Stage of the model that answers."""
    problems: str = "problems"
    split: str = "test"
    reward_model: str | None = None
    """Stage of the reward model that chooses; null: the verifier and votes only."""
    num_problems: int = 100
    samples: int = 16
    """Answers to each problem; n goes to this."""
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 128
    kind = "evaluation"

    def __post_init__(self) -> None:
        for name in ("num_problems", "samples", "max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)
        if not self.temperature > 0:
            raise ConfigError("must be more than 0, or all samples are one", path="temperature")

    def inputs(self) -> Sequence[str]:
        return tuple(name for name in (self.model, self.problems, self.reward_model) if name is not None)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        trusted = tuple(context.swaps.values())
        task = open_problems(context.inputs[self.problems], self.split, trusted_parts=trusted)
        examples = list(itertools.islice(task.examples(), self.num_problems))
        params = SamplingParams(max_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p)
        rewarder = None if self.reward_model is None else open_rewarder(context, self.reward_model)
        opened = context.open_model(context.inputs[self.model], trusted_parts=trusted)
        with closing(opened) as model, context.progress.task("samples", len(examples) * self.samples) as bar:
            found = sample_problems(
                model, task, examples, params,
                samples=self.samples, seed=context.seed, rewarder=rewarder, on_progress=bar.advance,
            )  # fmt: skip
        write_json(
            context.directory / "samples.json",
            [
                {"id": e.id, "truths": list(s.truths), "scores": list(s.scores), "answers": list(s.answers)}
                for e, s in zip(examples, found, strict=True)
            ],
        )
        made = curves(found, list(range(1, self.samples + 1)), seed=context.seed)
        figures: dict[str, Any] = {"problems": len(found), "samples": self.samples}
        figures["best_of_n"] = {name: [round(v, 6) for v in values] for name, values in made.items()}
        if rewarder is not None:
            figures["rejection"] = [
                {"share": a.share, "truth": a.truth, "solved": a.solved, "kl": a.kl} for a in rejection_curve(found)
            ]
        write_json(context.directory / "curves.json", figures)
        return figures

"""Exercises of sampling, row 5.5: top-p, repetition penalty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .exercise import Case, Check, Exercise, Mistake, drive_calling, result

# ----------------------------------------------------------------------------------------------------------------- 5.5 top-p


def _distributions(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [{"logits": np.log([0.5, 0.3, 0.2]), "top_p": p} for p in (0.4, 0.6, 0.9, 1.0)]
    for v in (4, 8, 30):
        for p in (0.1, 0.5, 0.9):
            cases.append({"logits": rng.normal(size=v) * 2, "top_p": p})
    return cases


def _top_p(case: Case, *, reach: bool = True, ascending: bool = False, on_logits: bool = False) -> Any:
    logits = case["logits"]
    p = np.exp(logits - logits.max())
    p = p / p.sum()
    order = np.argsort(p if ascending else -p)
    total = np.cumsum(p[order])
    count = (
        int(np.searchsorted(total, case["top_p"] - 1e-12) + 1)
        if reach
        else max(1, int((total <= case["top_p"] + 1e-12).sum()))
    )
    kept = order[: min(count, len(p))]
    made = np.zeros_like(p)
    made[kept] = p[kept]
    return made if on_logits else made / made.sum()


def _own_top_p(case: Case) -> Any:
    import torch

    from ...engine.sampling import TopP

    return TopP([case["top_p"]])(torch.tensor(case["logits"])[None], [[]]).softmax(-1)[0].numpy()


TOP_P = Exercise(
    id="5.5",
    title="Nucleus sampling",
    entry="top_p",
    template='''"""Exercise 5.5: cut the tail off, and no more (Holtzman et al. 2020)."""

import numpy as np


def top_p(logits, share):
    """logits [V], 0 < share <= 1 -> probabilities [V].

    Kept are the fewest most likely tokens whose probabilities add up to at least `share` (the one that reaches it included); the others get
    0, and the kept ones are scaled to add up to 1.
    """
    raise NotImplementedError
''',
    drive=drive_calling("top_p", "logits", "top_p"),
    reference=result(_own_top_p),
    checks=(
        Check(
            name="the distribution that is left",
            cases=_distributions,
            hints=(
                "0.5, 0.3, 0.2 with a share of 0.6: which are kept?",
                "The token with which the share is reached is kept too. Scale what is left.",
                "order = argsort(-p); n = first place where cumsum(p[order]) >= share, plus one; keep order[:n].",
            ),
            tolerance=1e-6,
        ),
    ),
    mistakes=(
        Mistake(name="the token that reaches the share is left out", outputs=result(lambda c: _top_p(c, reach=False)),
                hint="The fewest that reach the share: the one that crosses it belongs to them."),
        Mistake(name="the least likely tokens are kept", outputs=result(lambda c: _top_p(c, ascending=True)),
                hint="Sort with the likeliest first."),
        Mistake(name="what is left is not scaled", outputs=result(lambda c: _top_p(c, on_logits=True)),
                hint="Divide by the sum of what is kept."),
    ),
    swap="groundup generate runs/quickstart/base 'def read(' --swap sampler={file}:top_p --top-p 0.9",
    sources=("Holtzman et al. 2020",),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------ 5.5b repetition


def _histories(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [{"logits": np.array([2.0, -2.0, 1.0]), "history": [0, 1], "penalty": 2.0}]
    for v in (3, 6, 20):
        history = [int(i) for i in rng.integers(v, size=rng.integers(0, 2 * v))]
        cases.append({"logits": 3 * rng.normal(size=v), "history": history, "penalty": float(rng.uniform(1.05, 1.8))})
    cases.append({"logits": np.array([1.5, -0.5, 0.3]), "history": [2, 2, 2, 0, 0], "penalty": 1.3})
    return cases


def _penalised(case: Case, way: str = "") -> Any:
    made = case["logits"].copy()
    for i in case["history"] if way == "counts" else set(case["history"]):
        if way == "divide":
            made[i] = made[i] / case["penalty"]
        elif way == "subtract":
            made[i] -= case["penalty"]
        elif way == "reward":
            made[i] = made[i] * case["penalty"] if made[i] > 0 else made[i] / case["penalty"]
        else:
            made[i] = made[i] / case["penalty"] if made[i] > 0 else made[i] * case["penalty"]
    if way == "others":
        made = case["logits"] + (case["logits"] - made)
    return made


def _own_penalty(case: Case) -> Any:
    import torch

    from ...engine.sampling import RepetitionPenalty

    return RepetitionPenalty([case["penalty"]])(torch.tensor(case["logits"])[None], [case["history"]])[0].numpy()


REPETITION = Exercise(
    id="5.5b",
    title="Repetition penalty",
    entry="penalise",
    template='''"""Exercise 5.5b: what has been said is said less (Keskar et al. 2019)."""

import numpy as np


def penalise(logits, history, penalty):
    """logits [V], history: ids so far, penalty > 1 -> logits [V].

    The logit of every id in the history becomes less, once however often it is there: divided by the penalty where it is positive, multiplied
    by it where it is not. The logits given must not be changed in place.
    """
    raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    given = case["logits"].copy()
    made = solution.penalise(given, case["history"], case["penalty"])
    if not np.array_equal(given, case["logits"]):
        raise ValueError("the logits that were given have been changed")
    return {"result": np.asarray(made)}
""",
    reference=result(_own_penalty),
    checks=(
        Check(
            name="logits after the penalty",
            cases=_histories,
            hints=(
                "Logits 2 and -2 with a penalty of 2 become 1 and -4. Yours?",
                "Dividing a negative logit would make it more likely. Each id counts once. Work on a copy.",
                "made[i] = made[i] / penalty if made[i] > 0 else made[i] * penalty, for i in set(history)",
            ),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="negative logits are divided too", outputs=result(lambda c: _penalised(c, "divide")),
                hint="Multiply where it is negative."),
        Mistake(name="every occurrence is punished again", outputs=result(lambda c: _penalised(c, "counts")), hint="Once: set(history)."),
        Mistake(name="the penalty is subtracted", outputs=result(lambda c: _penalised(c, "subtract")), hint="Divide or multiply."),
        Mistake(name="repetition is rewarded", outputs=result(lambda c: _penalised(c, "reward")), hint="The logit becomes less."),
    ),
    swap="groundup generate runs/quickstart/base 'def read(' --swap sampler={file}:penalise --repetition-penalty 1.3",
    sources=("Keskar et al. 2019: CTRL, section 4.1",),
)  # fmt: skip

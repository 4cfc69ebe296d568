"""Exercises of chapters 6 to 10: packing, loss masks, gradient accumulation, clipping, DPO, advantages of groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .exercise import Case, Check, Exercise, Mistake, Outputs, drive_calling, result

IGNORE = -100

# ---------------------------------------------------------------------------------------------------------------- 6.8 packing


def _lengths(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [
        {"lengths": [3], "capacity": 5},
        {"lengths": [2, 4, 3], "capacity": 6},
        {"lengths": [5, 1, 1], "capacity": 5},
    ]
    for n in (5, 12, 40, 40, *[60] * 10):
        capacity = int(rng.integers(15, 40))
        cases.append({"lengths": [int(v) for v in rng.integers(1, capacity + 1, size=n)], "capacity": capacity})
    return cases


def _packed(case: Case, *, order: str = "longest", fit: str = "first", slack: int = 0) -> list[list[int]]:
    lengths, capacity = case["lengths"], case["capacity"] - slack
    indices = list(range(len(lengths)))
    if order == "longest":
        indices.sort(key=lambda i: -lengths[i])
    elif order == "shortest":
        indices.sort(key=lambda i: lengths[i])
    rows: list[list[int]] = []
    room: list[int] = []
    for i in indices:
        fits = [r for r, free in enumerate(room) if free >= lengths[i]]
        if fit == "last":
            fits = fits[-1:] if fits and fits[-1] == len(room) - 1 else []
        elif fit == "best":
            fits = sorted(fits, key=lambda r: room[r])
        if fits:
            rows[fits[0]].append(i)
            room[fits[0]] -= lengths[i]
        else:
            rows.append([i])
            room.append(capacity - lengths[i])
    return rows


def _own_packed(case: Case) -> list[list[int]]:
    from ...objectives.sft import ChatExample, pack

    examples = [ChatExample(np.zeros(n + 1, np.int32), np.zeros(n + 1, bool)) for n in case["lengths"]]
    place = {id(example): i for i, example in enumerate(examples)}
    return [[place[id(example)] for example in row] for row in pack(examples, case["capacity"])]


PACKING = Exercise(
    id="6.8",
    title="Packing",
    entry="pack",
    template='''"""Exercise 6.8: many short examples in few rows (first-fit decreasing)."""


def pack(lengths, capacity):
    """lengths: positions of each example, none more than capacity. -> rows, each a list of indices of examples.

    The longest first (of equally long ones, the one with the lower index), each into the first row that still has room for it; a new row
    where none has.
    """
    raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    return {"result": [[int(i) for i in row] for row in solution.pack(list(case["lengths"]), case["capacity"])]}
""",
    reference=result(_own_packed),
    checks=(
        Check(
            name="the rows",
            cases=_lengths,
            hints=(
                "Put the examples of the smallest failing case into rows by hand.",
                "Longest first, then the first row with room, not the last nor the fullest.",
                "for i in sorted(range(n), key=lambda i: -lengths[i]): r = next((r for r, f in enumerate(room) if f >= lengths[i]), None)",
            ),
        ),
    ),
    mistakes=(
        Mistake(name="examples are taken in the order given", outputs=result(lambda c: _packed(c, order="given")), hint="Sort: longest first."),
        Mistake(name="the shortest go first", outputs=result(lambda c: _packed(c, order="shortest")), hint="Longest first."),
        Mistake(name="only the last row is looked at", outputs=result(lambda c: _packed(c, fit="last")),
                hint="Look for room from the first row on."),
        Mistake(name="the fullest row with room is taken", outputs=result(lambda c: _packed(c, fit="best")), hint="The first row with room."),
        Mistake(name="a row is never filled to the end", outputs=result(lambda c: _packed(c, slack=1)),
                hint="Room equal to the length is enough."),
    ),
    sources=("Johnson 1973",),
)  # fmt: skip

# -------------------------------------------------------------------------------------------------------------- 8.2 loss mask


def _conversations(rng: np.random.Generator) -> Sequence[Case]:
    cases = []
    for turns in ([("user", 2), ("assistant", 1)], [("user", 1), ("assistant", 2)], [("system", 2), ("user", 3), ("assistant", 4)],
                  [("user", 2), ("assistant", 3), ("user", 1), ("assistant", 2)]):  # fmt: skip
        cases.append({"turns": [(role, [int(i) for i in rng.integers(10, 99, size=n)]) for role, n in turns]})
    return cases


def _targets(
    case: Case, *, shift: bool = True, learn: str = "assistant", first: bool = True, last: bool = True
) -> Outputs:
    ids = [i for _, turn in case["turns"] for i in turn]
    mask: list[bool] = []
    for role, turn in case["turns"]:
        learned = [learn == "all" or role == learn] * len(turn)
        if learned and learned[0] and not first:
            learned[0] = False
        if learned and learned[0] and not last:
            learned[-1] = False
        mask += learned
    aim = [i if m else IGNORE for i, m in zip(ids, mask)]
    return {"input_ids": ids[:-1], "targets": aim[1:] if shift else aim[:-1]}


def _own_targets(case: Case) -> Outputs:
    from ...objectives.sft import SFT, ChatExample, SFTConfig

    ids = np.array([i for _, turn in case["turns"] for i in turn], np.int32)
    mask = np.array([role == "assistant" for role, turn in case["turns"] for _ in turn])
    objective = SFT(SFTConfig(packing=False, pad_multiple_tokens=1, context_tokens=4096))
    batch = objective.collate([ChatExample(ids, mask)])
    return {"input_ids": batch.input_ids[0].tolist(), "targets": batch.targets[0].tolist()}


LOSS_MASK = Exercise(
    id="8.2",
    title="Targets and loss mask of a conversation",
    entry="example",
    template='''"""Exercise 8.2: what a chat model learns from, and what it does not."""


def example(turns):
    """turns: [(role, ids), ...], the ids of each turn with its marks. -> {"input_ids": [T], "targets": [T]} as lists.

    targets[t] is what should follow input_ids[t], where that belongs to an assistant's turn, and -100 (learn nothing) elsewhere. Nothing
    follows the last id of all, so it is a target only.
    """
    raise NotImplementedError
''',
    drive="def drive(solution, case):\n    return solution.example([tuple(turn) for turn in case['turns']])\n",
    reference=_own_targets,
    checks=(
        Check(
            name="inputs and targets",
            cases=_conversations,
            hints=(
                "Write inputs and targets below each other for the smallest conversation.",
                "Targets are shifted by one: the last id before an assistant's turn learns its first one.",
                "mask = [role == 'assistant' for each id]; inputs = ids[:-1]; targets = [i if m else -100 ...][1:]",
            ),
        ),
    ),
    mistakes=(
        Mistake(name="targets are not shifted", outputs=lambda c: _targets(c, shift=False), hint="targets[t] follows input_ids[t]."),
        Mistake(name="every turn is learned", outputs=lambda c: _targets(c, learn="all"), hint="Only the assistant's."),
        Mistake(name="the user's turns are learned", outputs=lambda c: _targets(c, learn="user"), hint="The assistant's."),
        Mistake(name="the first id of an answer is not learned", outputs=lambda c: _targets(c, first=False),
                hint="Mask by what the target is, not by what the input is."),
        Mistake(name="the last id of an answer is not learned", outputs=lambda c: _targets(c, last=False),
                hint="The id that ends a turn is what teaches the model to stop."),
    ),
    sources=("Ouyang et al. 2022",),
)  # fmt: skip

# --------------------------------------------------------------------------------------------------- 7.2 gradient accumulation


def _micro(rng: np.random.Generator) -> Sequence[Case]:
    cases = []
    for sizes in ([2], [1, 1], [3, 1], [5, 2, 1], [4, 0, 2]):
        cases.append(
            {
                "w": rng.normal(size=3),
                "xs": [rng.normal(size=(n, 3)) for n in sizes],
                "ys": [rng.normal(size=n) for n in sizes],
            }
        )
    return cases


def _mean_gradient(case: Case, way: str = "weighted") -> Any:
    w = case["w"]
    each = [2 * x.T @ (x @ w - y) for x, y in zip(case["xs"], case["ys"])]
    total = sum(len(y) for y in case["ys"])
    if way == "weighted":
        return sum(each) / total
    if way == "mean of means":
        return sum(g / max(1, len(y)) for g, y in zip(each, case["ys"])) / len(each)
    if way == "sum of means":
        return sum(g / max(1, len(y)) for g, y in zip(each, case["ys"]))
    if way == "sum":
        return sum(each)
    return each[-1] / max(1, len(case["ys"][-1]))


def _whole_batch(case: Case) -> Any:
    """All examples at once: what accumulation must come to, and does in the library's loop (its own test holds it)."""
    x, y = np.concatenate(case["xs"]), np.concatenate(case["ys"])
    return 2 * x.T @ (x @ case["w"] - y) / len(y)


ACCUMULATION = Exercise(
    id="7.2",
    title="Gradient accumulation",
    entry="gradient",
    template='''"""Exercise 7.2: the gradient of a large batch, from small ones."""

import numpy as np


def gradient(w, xs, ys):
    """w [D]; xs, ys: micro-batches, x [n, D] and y [n] each, n different from one to the next (and perhaps 0).

    -> [D]: the gradient by w of the mean of (x . w - y)^2 over all examples of all micro-batches together. Look at one micro-batch at
    a time.
    """
    raise NotImplementedError
''',
    drive=drive_calling("gradient", "w", "xs", "ys"),
    reference=result(_whole_batch),
    checks=(
        Check(
            name="as if it were one batch",
            cases=_micro,
            hints=(
                "With micro-batches of equal size the mean of means is right. With others?",
                "A micro-batch counts by its number of examples: n / total.",
                "sum over micro-batches of 2 x.T (x w - y), divided by the number of all examples.",
            ),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="micro-batches are averaged, whatever their size", outputs=result(lambda c: _mean_gradient(c, "mean of means")),
                hint="Weigh each by its number of examples."),
        Mistake(name="the means are added, not averaged", outputs=result(lambda c: _mean_gradient(c, "sum of means")),
                hint="Divide by the total."),
        Mistake(name="nothing is divided", outputs=result(lambda c: _mean_gradient(c, "sum")), hint="It is a mean: divide by all examples."),
        Mistake(name="only the last micro-batch counts", outputs=result(lambda c: _mean_gradient(c, "last")),
                hint="Add (+=), do not overwrite."),
    ),
    sources=("groundup.train.loop",),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------- 7.2b clip


def _lists(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [
        {"gradients": [np.array([3.0, 4.0])], "limit": 1.0},
        {"gradients": [np.array([0.3, 0.4])], "limit": 1.0},
    ]
    for shapes in ([(2,), (3,)], [(2, 2), (3,), (1,)]):
        for limit in (0.5, 100.0):
            cases.append({"gradients": [rng.normal(size=s) * 2 for s in shapes], "limit": limit})
    return cases


def _clipped(case: Case, way: str = "global") -> Any:
    gradients, limit = case["gradients"], case["limit"]
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    if way == "each":
        return [g * min(1.0, limit / max(float(np.sqrt((g * g).sum())), 1e-12)) for g in gradients]
    if way == "value":
        return [np.clip(g, -limit, limit) for g in gradients]
    if way == "always":
        return [g * limit / norm for g in gradients]
    if way == "l1":
        return [g * min(1.0, limit / sum(float(np.abs(g).sum()) for g in gradients)) for g in gradients]
    if way == "max":
        return [g * min(1.0, limit / max(float(np.abs(g).max()) for g in gradients)) for g in gradients]
    return [g * min(1.0, limit / norm) for g in gradients]


def _own_clipped(case: Case) -> Any:
    import torch

    parameters = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in case["gradients"]]
    for parameter, gradient in zip(parameters, case["gradients"]):
        parameter.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_norm_(parameters, case["limit"])  # as the loop does
    return [p.grad.numpy() for p in parameters if p.grad is not None]


CLIP = Exercise(
    id="7.2b",
    title="Clipping by the global norm",
    entry="clip",
    template='''"""Exercise 7.2b: one bad batch must not undo a thousand good ones (Pascanu et al. 2013)."""

import numpy as np


def clip(gradients, limit):
    """gradients: a list of arrays -> a list of arrays of the same shapes.

    Where the norm of all of them together (the root of the sum of all squares) is more than limit, all are scaled by limit / norm; else they
    stay as they are.
    """
    raise NotImplementedError
''',
    drive="def drive(solution, case):\n    return {'result': list(solution.clip([g.copy() for g in case['gradients']], case['limit']))}\n",
    reference=result(_own_clipped),
    checks=(
        Check(
            name="scaled together, and only where needed",
            cases=_lists,
            hints=(
                "(3, 4) has the norm 5. What does a limit of 1 leave?",
                "One norm for all arrays; one factor for all; never more than 1.",
                "norm = sqrt(sum((g * g).sum() for g in gradients)); scale = min(1, limit / norm)",
            ),
            tolerance=1e-5,
        ),
    ),
    mistakes=(
        Mistake(name="each array is clipped by its own norm", outputs=result(lambda c: _clipped(c, "each")), hint="One norm over all arrays."),
        Mistake(name="single numbers are clipped", outputs=result(lambda c: _clipped(c, "value")), hint="Scale, so that the direction stays."),
        Mistake(name="small gradients are scaled up", outputs=result(lambda c: _clipped(c, "always")), hint="min(1, limit / norm)"),
        Mistake(name="the norm is the sum of sizes", outputs=result(lambda c: _clipped(c, "l1")), hint="The root of the sum of squares."),
        Mistake(name="the norm is the largest number", outputs=result(lambda c: _clipped(c, "max")), hint="The root of the sum of squares."),
    ),
    sources=("Pascanu, Mikolov, Bengio 2013",),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------------------ 10.4 DPO


def _pairs(rng: np.random.Generator) -> Sequence[Case]:
    names = ("chosen", "rejected", "reference_chosen", "reference_rejected")
    cases = [{**{n: np.array([v]) for n, v in zip(names, (-10.0, -12.0, -11.0, -11.0))}, "beta": 0.1}]
    for n in (1, 3, 8):
        cases.append({**{name: -20 * rng.random(n) for name in names}, "beta": float(rng.uniform(0.05, 0.5))})
    return cases


def _dpo(case: Case, *, reference: bool = True, sign: float = 1.0, beta: bool = True, log: bool = True) -> float:
    chosen = case["chosen"] - (case["reference_chosen"] if reference else 0)
    rejected = case["rejected"] - (case["reference_rejected"] if reference else 0)
    margin = sign * (case["beta"] if beta else 1.0) * (chosen - rejected)
    return float((np.logaddexp(0, -margin) if log else 1 - 1 / (1 + np.exp(-margin))).mean())


def _own_dpo(case: Case) -> float:
    import torch

    from ...objectives.preference import DPOConfig, PairPreference

    objective = PairPreference(DPOConfig(beta=case["beta"]))
    sums = torch.tensor(np.concatenate((case["chosen"], case["rejected"])))
    ratios = sums - torch.tensor(np.concatenate((case["reference_chosen"], case["reference_rejected"])))
    return float(objective._losses(sums, ratios, torch.ones_like(sums))[0].mean())


DPO = Exercise(
    id="10.4",
    title="The loss of DPO",
    entry="dpo_loss",
    template='''"""Exercise 10.4: preferences without a reward model (Rafailov et al. 2023, equation 7)."""

import numpy as np


def dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta):
    """Log-probabilities [N] of the better and the worse completion under the policy and under the reference. -> the mean loss, a float.

    -ln sigmoid(beta * ((chosen - reference_chosen) - (rejected - reference_rejected))); margins may be in the hundreds.
    """
    raise NotImplementedError
''',
    drive=drive_calling("dpo_loss", "chosen", "rejected", "reference_chosen", "reference_rejected", "beta"),
    reference=result(_own_dpo),
    checks=(
        Check(
            name="the mean loss",
            cases=_pairs,
            hints=(
                "Where the policy is the reference, the loss is ln 2.",
                "Each log-probability is taken against the reference's of the same completion; the better one's ratio comes first.",
                "margin = beta * ((c - rc) - (r - rr)); np.logaddexp(0, -margin).mean()",
            ),
            tolerance=1e-9,
        ),
        Check(
            name="large margins do no harm",
            cases=lambda rng: [{"chosen": np.array([-5000.0]), "rejected": np.array([-10.0]), "reference_chosen": np.array([-10.0]),
                                "reference_rejected": np.array([-10.0]), "beta": 1.0}],
            hints=("exp(4990) is infinite.", "-ln sigmoid(m) = ln(1 + exp(-m)), without overflow.", "np.logaddexp(0, -margin)"),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="the reference is left out", outputs=result(lambda c: _dpo(c, reference=False)),
                hint="Take the reference's log-probabilities away."),
        Mistake(name="the pair is the wrong way round", outputs=result(lambda c: _dpo(c, sign=-1.0)), hint="Chosen minus rejected."),
        Mistake(name="beta is left out", outputs=result(lambda c: _dpo(c, beta=False)), hint="beta times the difference."),
        Mistake(name="the logarithm is missing", outputs=result(lambda c: _dpo(c, log=False)), hint="-ln sigmoid, not 1 - sigmoid."),
    ),
    sources=("Rafailov et al. 2023",),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------------ 10.5 advantages


def _rollouts(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [{"rewards": np.array([1.0, 0.0]), "groups": np.array([0, 0])}]
    for groups, size in ((1, 4), (2, 3), (4, 8)):
        rewards = np.round(rng.random(groups * size), 2) + np.repeat(rng.normal(size=groups) * 3, size)
        cases.append({"rewards": rewards, "groups": np.repeat(np.arange(groups), size)})
    return cases


def _advantages(case: Case, *, over: str = "group", scale: str = "group", ddof: int = 1) -> Any:
    rewards, groups = case["rewards"], case["groups"]
    made = np.zeros_like(rewards)
    for group in np.unique(groups):
        at = groups == group
        inside = rewards[at] if over == "group" else rewards
        made[at] = rewards[at] - inside.mean()
        if scale == "group":
            made[at] /= rewards[at].std(ddof=ddof) + 1e-4
        elif scale == "variance":
            made[at] /= rewards[at].var(ddof=ddof) + 1e-4
    return made


def _own_advantages(case: Case) -> Any:
    from ...objectives.policy import group_advantages

    return group_advantages(case["rewards"], case["groups"], baseline="group", scale="group", epsilon=1e-4)


GRPO = Exercise(
    id="10.5",
    title="Advantages within groups",
    entry="advantages",
    template='''"""Exercise 10.5: how GRPO tells a good sample from a bad one (Shao et al. 2024)."""

import numpy as np


def advantages(rewards, groups):
    """rewards [N] of samples, groups [N]: which prompt each answers -> [N].

    A sample's reward less the mean of its group, over the group's standard deviation (n - 1 below the line) plus 1e-4.
    """
    raise NotImplementedError
''',
    drive=drive_calling("advantages", "rewards", "groups"),
    reference=result(_own_advantages),
    checks=(
        Check(
            name="the advantage of every sample",
            cases=_rollouts,
            hints=(
                "Within a group they add up to 0. Do yours?",
                "Mean and deviation are the group's own, n - 1 below the line, and 1e-4 is added to the deviation.",
                "a[at] = (r[at] - r[at].mean()) / (r[at].std(ddof=1) + 1e-4) for each group",
            ),
            tolerance=1e-5,
        ),
        Check(
            name="a group in which all are equal teaches nothing",
            cases=lambda rng: [{"rewards": np.array([1.0, 1.0, 1.0, 0.0, 1.0]), "groups": np.array([0, 0, 0, 1, 1])}],
            hints=("0 / 0 is nan.", "Add 1e-4 to the deviation.", "std + 1e-4"),
            tolerance=1e-5,
        ),
    ),
    mistakes=(
        Mistake(name="the mean is that of the whole batch", outputs=result(lambda c: _advantages(c, over="batch")),
                hint="Each group has its own mean."),
        Mistake(name="nothing is scaled (that is Dr. GRPO)", outputs=result(lambda c: _advantages(c, scale="none")),
                hint="Divide by the deviation."),
        Mistake(name="it is divided by the variance", outputs=result(lambda c: _advantages(c, scale="variance")), hint="By its root."),
        Mistake(name="the deviation has n below the line", outputs=result(lambda c: _advantages(c, ddof=0)), hint="std(ddof=1)"),
    ),
    sources=("Shao et al. 2024: DeepSeekMath, section 4.1",),
)  # fmt: skip

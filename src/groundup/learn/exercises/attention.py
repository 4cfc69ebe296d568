"""Exercises of row 5.4: attention, as a mixer that the real decoder takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .exercise import TORCH, Case, Check, Exercise, Mistake, Outputs, Speed

_TEMPLATE = '''"""Exercise 5.4: causal self-attention with several heads (Vaswani et al. 2017, section 3.2)."""

import math

import torch
from torch import nn


class MyAttention(nn.Module):
    """Each position looks at itself and at those before it.

    Scores of a head are q . k / sqrt(head_dim); a position's weights are the softmax of its scores over the positions that it
    may see; its output is the weighted sum of the values, the heads side by side, through o_proj. No bias anywhere.

    Letters: B batch, T positions, D hidden_size, H heads, N = D / H head_dim.
    """

    def __init__(self, hidden_size: int, num_attention_heads: int = 4):
        super().__init__()
        self.num_heads = num_attention_heads
        self.head_dim = hidden_size // num_attention_heads
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.k_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, x, state=None):
        """x [B, T, D] -> (y [B, T, D], state). Return the state as it came."""
        raise NotImplementedError
'''

_DRIVE = """
def drive(solution, case):
    weights = {name: torch.tensor(case[name]) for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
    x = torch.tensor(case["x"], requires_grad=True)
    module = solution.MyAttention(x.shape[-1], case["num_heads"]).double()
    with torch.no_grad():
        for name, weight in weights.items():
            getattr(module, name).weight.copy_(weight)
    made = module(x)
    if not (isinstance(made, tuple) and len(made) == 2):
        raise TypeError(f"forward must return (y, state), not {type(made).__name__}")
    y = made[0]
    (y * torch.tensor(case["direction"])).sum().backward()
    return {"y": y, "grad_x": x.grad, "grad_q_proj": module.q_proj.weight.grad}
"""


def _case(rng: np.random.Generator, batch: int, length: int, heads: int, head_dim: int, scale: float = 1.0) -> Case:
    size = heads * head_dim
    weights = {
        n: scale * rng.normal(size=(size, size)) / math.sqrt(size) for n in ("q_proj", "k_proj", "v_proj", "o_proj")
    }
    return {"x": rng.normal(size=(batch, length, size)), "num_heads": heads,
            "direction": rng.normal(size=(batch, length, size)), **weights}  # fmt: skip


def _reference(case: Case) -> Outputs:
    """The library's own mixer, without rotation."""
    import torch

    from ...nn.mixers.attention import Attention, AttentionConfig
    from ...nn.position import NoPositionConfig

    x = torch.tensor(case["x"], requires_grad=True)
    config = AttentionConfig(num_attention_heads=case["num_heads"], position=NoPositionConfig())
    module = Attention(x.shape[-1], config).double()
    with torch.no_grad():
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            getattr(module, name).weight.copy_(torch.tensor(case[name]))
    y, _ = module(x)
    (y * torch.tensor(case["direction"])).sum().backward()
    assert x.grad is not None and module.q_proj.weight.grad is not None
    return {"y": y.detach().numpy(), "grad_x": x.grad.numpy(), "grad_q_proj": module.q_proj.weight.grad.numpy()}


def _with(*, scale: Callable[[int, int], float] = lambda n, d: n**-0.5, mask: str = "causal", axis: int = -1,
          heads: str = "split", out: bool = True) -> Callable[[Case], Outputs]:  # fmt: skip
    """Attention with one thing done otherwise."""

    def outputs(case: Case) -> Outputs:
        import torch

        x = torch.tensor(case["x"], requires_grad=True)
        w = {n: torch.tensor(case[n], requires_grad=True) for n in ("q_proj", "k_proj", "v_proj", "o_proj")}
        b, t, d = x.shape
        count = case["num_heads"]
        n = d // count

        def cut(y: torch.Tensor) -> torch.Tensor:
            if heads == "reshaped":  # the head axis taken out of the wrong place
                return y.reshape(b, count, t, n)
            if heads == "one":
                return y.reshape(b, 1, t, d)
            return y.reshape(b, t, count, n).transpose(1, 2)

        q, k, v = (cut(x @ w[name].T) for name in ("q_proj", "k_proj", "v_proj"))
        scores = q @ k.transpose(-1, -2) * scale(n, d)
        order = torch.arange(t)
        if mask == "causal":
            scores = scores.masked_fill(order[None] > order[:, None], -math.inf)
        elif mask == "strict":
            scores = scores.masked_fill(order[None] >= order[:, None], -math.inf)
        elif mask == "later":
            scores = scores.masked_fill(order[None] < order[:, None], -math.inf)
        weights = scores.softmax(axis)
        if mask == "after":
            weights = weights * (order[None] <= order[:, None])
        y = weights @ v
        y = y.reshape(b, t, d) if heads in ("reshaped", "one") else y.transpose(1, 2).reshape(b, t, d)
        if out:
            y = y @ w["o_proj"].T
        (y * torch.tensor(case["direction"])).sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None and w["q_proj"].grad is not None
        return {"y": y.detach().numpy(), "grad_x": x.grad.numpy(), "grad_q_proj": w["q_proj"].grad.numpy()}

    return outputs


def _sizes(rng: np.random.Generator) -> Sequence[Case]:
    shapes = [(1, 1, 1, 2), (1, 2, 1, 2), (1, 3, 2, 2), (2, 5, 2, 4), (2, 9, 4, 8), (3, 17, 4, 4)]
    return [_case(rng, *shape) for shape in shapes]


def _future_is_unseen(case: Case, got: Outputs) -> str | None:
    """Positions before the one that `direction` looks at alone have all of the gradient; later ones none."""
    last = int(np.flatnonzero(np.abs(case["direction"]).sum((0, 2)))[-1])
    gradient = np.asarray(got["grad_x"])
    late = np.abs(gradient[:, last + 1 :]).max(initial=0.0)
    return None if late == 0 else f"the output at position {last} changes with later inputs (gradient {late:.3g})"


def _is_finite(case: Case, got: Outputs) -> str | None:
    bad = [name for name, value in got.items() if not np.isfinite(np.asarray(value)).all()]
    return f"{bad[0]} is not finite" if bad else None


def _one_position(rng: np.random.Generator) -> Sequence[Case]:
    cases = []
    for length in (2, 4, 8):
        case = dict(_case(rng, 1, length, 2, 4))
        kept = np.zeros_like(case["direction"])
        place = int(rng.integers(length - 1))
        kept[:, place] = case["direction"][:, place]
        cases.append({**case, "direction": kept})
    return cases


ATTENTION = Exercise(
    id="5.4",
    title="Causal self-attention",
    entry="MyAttention",
    template=_TEMPLATE,
    drive=_DRIVE,
    reference=_reference,
    packages=TORCH,
    denied=(
        "torch.nn.functional.scaled_dot_product_attention",
        "torch.nn.functional.multi_head_attention_forward",
        "torch.nn.MultiheadAttention",
        "torch.nn.TransformerEncoderLayer",
    ),
    checks=(
        Check(
            name="a position sees no later one",
            cases=_one_position,
            judge=_future_is_unseen,
            hints=(
                "What may position t look at?",
                "Scores of later positions must be taken out before the softmax, so that their weights are exactly zero.",
                "scores.masked_fill(torch.triu(torch.ones(T, T, dtype=torch.bool), 1), -math.inf), then softmax.",
            ),
        ),
        Check(
            name="outputs and gradients are those of attention",
            cases=_sizes,
            hints=(
                "Compare the scores, the weights and the sum with the formula, on the small case.",
                "Look at the scale, at the axis of the softmax, and at how heads are cut out of D and put side by side again.",
                "q = q_proj(x).view(B, T, H, N).transpose(1, 2); scores = q @ k.transpose(-1, -2) / sqrt(N); softmax over the last axis.",
            ),
            tolerance=1e-6,
        ),
        Check(
            name="large scores do no harm",
            cases=lambda rng: [_case(rng, 1, 6, 2, 4, scale=30.0)],
            judge=_is_finite,
            hints=(
                "What does exp do with a large number?",
                "Take the largest score away before exp, or use torch.softmax, which does.",
                "weights = torch.softmax(scores, dim=-1)",
            ),
        ),
    ),
    mistakes=(
        Mistake(name="the scores are not scaled", outputs=_with(scale=lambda n, d: 1.0),
                hint="Divide the scores by sqrt(head_dim): without it, softmax saturates as heads grow."),
        Mistake(name="the scores are divided by head_dim, not by its root", outputs=_with(scale=lambda n, d: 1.0 / n),
                hint="Divide by sqrt(head_dim)."),
        Mistake(name="the scale is that of hidden_size", outputs=_with(scale=lambda n, d: d**-0.5),
                hint="The dot product runs over head_dim numbers: divide by sqrt(head_dim), not sqrt(hidden_size)."),
        Mistake(name="nothing is masked", outputs=_with(mask="none"),
                hint="Set the scores of later positions to -inf before the softmax."),
        Mistake(name="a position does not see itself", outputs=_with(mask="strict"),
                hint="The mask takes away positions after t; t itself stays (triu with diagonal 1, not 0)."),
        Mistake(name="the mask looks the wrong way", outputs=_with(mask="later"),
                hint="Rows are queries, columns are keys: take away the columns after the row (triu), not before it."),
        Mistake(name="the mask comes after the softmax", outputs=_with(mask="after"),
                hint="Mask the scores, not the weights: weights that are zeroed afterwards no longer sum to one."),
        Mistake(name="softmax runs over the queries", outputs=_with(axis=-2),
                hint="Each query's weights over the keys sum to one: softmax over the last axis."),
        Mistake(name="heads are reshaped, not transposed", outputs=_with(heads="reshaped"),
                hint="view(B, T, H, N) first, then transpose(1, 2): reshape to (B, H, T, N) mixes positions and heads."),
        Mistake(name="all heads are one", outputs=_with(heads="one", scale=lambda n, d: d**-0.5),
                hint="Cut D into num_attention_heads parts and attend in each by itself."),
        Mistake(name="the output projection is left out", outputs=_with(out=False),
                hint="The heads side by side go through o_proj."),
    ),
    # Not growth: at these lengths the scores leave the caches, and any solution looks steeper than it is.
    speed=Speed(
        case=lambda rng: _case(rng, 1, 256, 2, 8),
        ratio=30.0,
        hint="Loops over pairs of positions in Python are slow: use matrix products.",
    ),
    swap="groundup run recipes/tiny_gpt.yaml --swap model.block.mixer={file}:MyAttention",
    sources=("Vaswani et al. 2017: Attention Is All You Need, section 3.2",),
)  # fmt: skip

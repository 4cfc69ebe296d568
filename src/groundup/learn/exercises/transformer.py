"""Exercises of chapter 5 beside attention: RMSNorm, SwiGLU, rotary positions, a sliding mask, a cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .exercise import TORCH, Case, Check, Exercise, Mistake, Outputs, drive_calling, result

# --------------------------------------------------------------------------------------------------------------- 5.1 RMSNorm


def _vectors(rng: np.random.Generator) -> Sequence[Case]:
    cases = [{"x": rng.normal(size=s) * 3 + 1, "weight": rng.normal(size=s[-1])} for s in ((1, 2), (3, 4), (2, 5, 16))]
    return [*cases, {"x": rng.normal(size=(2, 4)) * 1e-3, "weight": rng.normal(size=4)}]  # so small that eps shows


def _rms(
    case: Case, *, eps: float = 1e-6, centre: bool = False, mean: bool = True, root: bool = True, offset: float = 0.0
) -> Any:
    x = case["x"] - (case["x"].mean(-1, keepdims=True) if centre else 0.0)
    square = (x * x).mean(-1, keepdims=True) if mean else (x * x).sum(-1, keepdims=True)
    return x / (np.sqrt(square + eps) if root else square + eps) * (case["weight"] + offset)


def _own_rms(case: Case) -> Any:
    import torch

    from ...nn.norm import RMSNorm, RMSNormConfig

    module = RMSNorm(len(case["weight"]), RMSNormConfig(eps=1e-6)).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(case["weight"]))
        return module(torch.tensor(case["x"])).numpy()


RMS_NORM = Exercise(
    id="5.1",
    title="RMSNorm",
    entry="MyNorm",
    template='''"""Exercise 5.1: the norm of Llama and most models since (Zhang and Sennrich 2019)."""

import torch
from torch import nn


class MyNorm(nn.Module):
    """x [..., D] -> x / sqrt(mean of squares over D + eps) * weight, with weight [D] starting at one."""

    def __init__(self, hidden_size, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, x):
        raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    module = solution.MyNorm(len(case["weight"])).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(case["weight"]))
        return {"result": module(torch.tensor(case["x"]))}
""",
    reference=result(_own_rms),
    packages=TORCH,
    denied=("torch.nn.functional.rms_norm", "torch.nn.RMSNorm", "torch.rms_norm"),
    checks=(
        Check(
            name="outputs",
            cases=_vectors,
            hints=(
                "What is the mean square of the output, without the weight?",
                "Mean, not sum, of squares; no mean taken away; the root of it; times weight.",
                "x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight",
            ),
            tolerance=1e-7,
        ),
    ),
    mistakes=(
        Mistake(name="the mean is taken away (that is layer norm)", outputs=result(lambda c: _rms(c, centre=True)),
                hint="RMSNorm does not centre."),
        Mistake(name="squares are added, not averaged", outputs=result(lambda c: _rms(c, mean=False)), hint="mean(-1), not sum(-1)"),
        Mistake(name="the root is missing", outputs=result(lambda c: _rms(c, root=False)), hint="Divide by the root of the mean square."),
        Mistake(name="the weight has 1 added (that is Gemma's)", outputs=result(lambda c: _rms(c, offset=1.0)),
                hint="Multiply by the weight itself."),
        Mistake(name="eps is left out", outputs=result(lambda c: _rms(c, eps=0.0)), hint="Inside the root, + eps."),
    ),
    swap="groundup run recipes/tiny_gpt.yaml --swap model.block.norm={file}:MyNorm",
    sources=("Zhang and Sennrich 2019",),
)  # fmt: skip

# -------------------------------------------------------------------------------------------------------------- 5.1b SwiGLU


def _blocks(rng: np.random.Generator) -> Sequence[Case]:
    return [{"x": rng.normal(size=(1, t, d)), "gate": rng.normal(size=(f, d)), "up": rng.normal(size=(f, d)), "down": rng.normal(size=(d, f))}
            for t, d, f in ((1, 2, 3), (2, 4, 6), (3, 8, 20))]  # fmt: skip


def _swiglu(
    case: Case, *, swapped: bool = False, activation: str = "silu", gated: bool = True, both: bool = False
) -> Any:
    gate, up = case["x"] @ case["gate"].T, case["x"] @ case["up"].T
    if swapped:
        gate, up = up, gate
    sigmoid = 1 / (1 + np.exp(-gate))
    acted = {"silu": gate * sigmoid, "sigmoid": sigmoid, "relu": np.maximum(gate, 0)}[activation]
    inner = acted * (up / (1 + np.exp(-up)) if both else up) if gated else acted + up
    return inner @ case["down"].T


def _own_swiglu(case: Case) -> Any:
    import torch

    from ...nn.ffn import Gated, GatedConfig

    size, inner = case["down"].shape
    module = Gated(size, GatedConfig(intermediate_size=inner)).double()
    with torch.no_grad():
        for name in ("gate", "up", "down"):
            getattr(module, f"{name}_proj").weight.copy_(torch.tensor(case[name]))
        return module(torch.tensor(case["x"])).numpy()


SWIGLU = Exercise(
    id="5.1b",
    title="SwiGLU",
    entry="MyFeedForward",
    template='''"""Exercise 5.1b: the gated feed-forward block of Llama (Shazeer 2020)."""

import torch
from torch import nn


class MyFeedForward(nn.Module):
    """x [B, T, D] -> down(silu(gate(x)) * up(x)), silu(z) = z * sigmoid(z)."""

    def __init__(self, hidden_size, intermediate_size=0):
        super().__init__()
        inner = intermediate_size or 3 * hidden_size
        self.gate = nn.Linear(hidden_size, inner, bias=False)
        self.up = nn.Linear(hidden_size, inner, bias=False)
        self.down = nn.Linear(inner, hidden_size, bias=False)

    def forward(self, x):
        raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    size, inner = case["down"].shape
    module = solution.MyFeedForward(size, inner).double()
    with torch.no_grad():
        for name in ("gate", "up", "down"):
            getattr(module, name).weight.copy_(torch.tensor(case[name]))
        return {"result": module(torch.tensor(case["x"]))}
""",
    reference=result(_own_swiglu),
    packages=TORCH,
    denied=("torch.nn.functional.silu", "torch.nn.SiLU", "torch.nn.functional.glu"),
    checks=(
        Check(
            name="outputs",
            cases=_blocks,
            hints=(
                "Which of the two inner vectors goes through the activation?",
                "silu(z) = z * sigmoid(z), of gate(x) only; then times up(x).",
                "g = self.gate(x); self.down(g * torch.sigmoid(g) * self.up(x))",
            ),
            tolerance=1e-7,
        ),
    ),
    mistakes=(
        Mistake(name="up goes through the activation, not gate", outputs=result(lambda c: _swiglu(c, swapped=True)),
                hint="silu(gate(x)) * up(x)"),
        Mistake(name="the activation is a sigmoid (that is GLU)", outputs=result(lambda c: _swiglu(c, activation="sigmoid")),
                hint="z * sigmoid(z)"),
        Mistake(name="the activation is ReLU", outputs=result(lambda c: _swiglu(c, activation="relu")), hint="z * sigmoid(z)"),
        Mistake(name="gate and up are added", outputs=result(lambda c: _swiglu(c, gated=False)), hint="A gate multiplies."),
        Mistake(name="both go through the activation", outputs=result(lambda c: _swiglu(c, both=True)), hint="up(x) stays as it is."),
    ),
    swap="groundup run recipes/tiny_gpt.yaml --swap model.block.ffn={file}:MyFeedForward",
    sources=("Shazeer 2020: GLU Variants Improve Transformer",),
)  # fmt: skip

# ----------------------------------------------------------------------------------------------------------------- 5.3 RoPE


def _heads(rng: np.random.Generator) -> Sequence[Case]:
    return [
        {"x": rng.normal(size=(1, h, t, n)), "theta": 10000.0}
        for h, t, n in ((1, 1, 2), (1, 2, 2), (1, 3, 4), (2, 9, 16))
    ]


def _rope(
    case: Case, *, layout: str = "half", sign: float = 1.0, first: int = 0, exponent: float = 2.0, degrees: bool = False
) -> Any:
    x = case["x"]
    t, n = x.shape[2:]
    angles = np.outer(np.arange(t) + first, case["theta"] ** (-exponent * np.arange(n // 2) / n)) * sign
    if degrees:
        angles = angles * np.pi / 180
    cos, sin = np.cos(angles), np.sin(angles)
    y = np.empty_like(x)
    a, b = (x[..., : n // 2], x[..., n // 2 :]) if layout == "half" else (x[..., ::2], x[..., 1::2])
    if layout == "half":
        y[..., : n // 2], y[..., n // 2 :] = a * cos - b * sin, a * sin + b * cos
    else:
        y[..., ::2], y[..., 1::2] = a * cos - b * sin, a * sin + b * cos
    return y


def _own_rope(case: Case) -> Any:
    import torch

    from ...nn.position import Rope, RopeConfig

    x = torch.tensor(case["x"])
    rope = Rope(x.shape[-1], RopeConfig(rope_theta=case["theta"]))
    rope.prepare(x.shape[2])
    return rope(x, x, None)[0].numpy()


def _relative(case: Case, got: Outputs) -> str | None:
    y = np.asarray(got["result"])[0, 0]
    scores = y @ y.T
    for gap in range(1, len(scores)):
        diagonal = np.diagonal(scores, gap)
        if np.abs(diagonal - diagonal[0]).max() > 1e-5 * np.abs(scores).max():
            return f"equal vectors {gap} apart have different dot products at different places: {diagonal[0]:.5f} and {diagonal[-1]:.5f}"
    return None


ROPE = Exercise(
    id="5.3",
    title="Rotary positions",
    entry="rotate",
    template='''"""Exercise 5.3: positions as rotations (Su et al. 2021), in the layout of Hugging Face's Llama."""

import torch


def rotate(x, theta):
    """x [B, H, T, N], N even; positions 0 .. T-1 -> the same shape.

    The number i < N/2 and the number i + N/2 of each vector are a point in a plane; at position p it is turned by p * theta^(-2 i / N)
    radians: (a, b) -> (a cos - b sin, a sin + b cos).
    """
    raise NotImplementedError
''',
    drive="def drive(solution, case):\n    return {'result': solution.rotate(torch.tensor(case['x']), case['theta'])}\n",
    reference=result(_own_rope),
    packages=TORCH,
    checks=(
        Check(
            name="only the distance between positions matters to dot products",
            cases=lambda rng: [{"x": np.repeat(rng.normal(size=(1, 1, 1, n)), 6, axis=2), "theta": 10000.0} for n in (2, 8)],
            judge=_relative,
            hints=(
                "A rotation keeps lengths. Does yours?",
                "Both numbers of a pair turn by the same angle, which is proportional to the position.",
                "(a cos - b sin, a sin + b cos): mind the minus.",
            ),
        ),
        Check(
            name="the vectors are turned as Llama turns them",
            cases=_heads,
            hints=(
                "Position 0 stays as it is; what does position 1 become, for N = 2?",
                "Pairs are i and i + N/2, not 2i and 2i + 1; the exponent is -2i/N with i from 0 to N/2 - 1.",
                "freq = theta ** (-2 * torch.arange(N // 2) / N); angle = p[:, None] * freq; a, b = x.chunk(2, -1)",
            ),
            tolerance=1e-5,
        ),
    ),
    mistakes=(
        Mistake(name="pairs are neighbours (the original layout)", outputs=result(lambda c: _rope(c, layout="pairs")),
                hint="Here the pairs are i and i + N/2: x.chunk(2, -1)."),
        Mistake(name="it turns the other way", outputs=result(lambda c: _rope(c, sign=-1.0)), hint="(a cos - b sin, a sin + b cos)"),
        Mistake(name="positions begin at 1", outputs=result(lambda c: _rope(c, first=1)), hint="Positions are 0 .. T-1."),
        Mistake(name="the exponent is half of what it should be", outputs=result(lambda c: _rope(c, exponent=1.0)), hint="theta^(-2 i / N)"),
        Mistake(name="angles are taken for degrees", outputs=result(lambda c: _rope(c, degrees=True)), hint="Radians."),
    ),
    swap="groundup run recipes/tiny_gpt.yaml --swap model.block.mixer.position={file}:rotate",
    sources=("Su et al. 2021: RoFormer, section 3.2",),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------- 5.4b sliding mask


def _sizes(rng: np.random.Generator) -> Sequence[Case]:
    fixed: list[Case] = [{"num_queries": 1, "num_keys": 1, "window": None}, {"num_queries": 3, "num_keys": 3, "window": None},
             {"num_queries": 1, "num_keys": 4, "window": None}, {"num_queries": 4, "num_keys": 4, "window": 2}]  # fmt: skip
    drawn: list[Case] = []
    for _ in range(10):
        keys = int(rng.integers(2, 12))
        window = int(rng.integers(1, keys + 3)) if rng.random() < 0.7 else None
        drawn.append({"num_queries": int(rng.integers(1, keys + 1)), "num_keys": keys, "window": window})
    return [*fixed, *sorted(drawn, key=lambda c: c["num_keys"])]


def _mask(
    case: Case,
    *,
    aligned: bool = True,
    extra: int = 0,
    causal: bool = True,
    inverted: bool = False,
    symmetric: bool = False,
) -> Any:
    t, s, window = case["num_queries"], case["num_keys"], case["window"]
    queries = np.arange(t) + (s - t if aligned else 0)
    distance = queries[:, None] - np.arange(s)
    seen = distance >= 0 if causal else np.ones((t, s), bool)
    if window is not None:
        seen = seen & ((np.abs(distance) if symmetric else distance) < window + extra)
    return ~seen if inverted else seen


def _own_mask(case: Case) -> Any:
    import torch

    from ...nn.state import SequenceState

    before = case["num_keys"] - case["num_queries"]
    state = SequenceState(
        [None], torch.tensor([before, before + 1])
    )  # lengths that differ: then the mask is always made
    mask = state.mask(case["num_queries"], case["num_keys"] + 1, case["window"])
    assert mask is not None
    return mask[0, 0, :, : case["num_keys"]].numpy()


MASK = Exercise(
    id="5.4b",
    title="Causal and sliding masks",
    entry="mask",
    template='''"""Exercise 5.4b: who may look at whom."""

import numpy as np


def mask(num_queries, num_keys, window):
    """-> bool [num_queries, num_keys]: true where a query may look at a key.

    The queries are the last num_queries of num_keys positions (the others are in the cache). A query sees itself and what is before it;
    with a window (a whole number; None: no window) only itself and the window - 1 positions before it.
    """
    raise NotImplementedError
''',
    drive=drive_calling("mask", "num_queries", "num_keys", "window"),
    reference=result(_own_mask),
    checks=(
        Check(
            name="every entry",
            cases=_sizes,
            hints=(
                "Draw the smallest failing mask on paper: rows are queries.",
                "Query i stands at position num_keys - num_queries + i. Its distance to key j is that minus j.",
                "d = (np.arange(T) + S - T)[:, None] - np.arange(S); seen = (d >= 0) & (d < window)",
            ),
        ),
    ),
    mistakes=(
        Mistake(name="queries are taken for the first positions", outputs=result(lambda c: _mask(c, aligned=False)),
                hint="With a cache, the queries are the last positions: add num_keys - num_queries."),
        Mistake(name="the window is one too wide", outputs=result(lambda c: _mask(c, extra=1)),
                hint="Itself and window - 1 before it: d < window."),
        Mistake(name="the window is one too narrow", outputs=result(lambda c: _mask(c, extra=-1)), hint="Itself counts: d < window."),
        Mistake(name="later positions are seen", outputs=result(lambda c: _mask(c, causal=False)), hint="d >= 0"),
        Mistake(name="true and false are swapped", outputs=result(lambda c: _mask(c, inverted=True)), hint="True is: may look."),
    ),
    sources=("Vaswani et al. 2017; Beltagy et al. 2020",),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------------ 5.4c KV cache


def _steps(rng: np.random.Generator) -> Sequence[Case]:
    cases = []
    for chunks, size in (([1], 2), ([1, 1], 2), ([2, 1], 4), ([3, 1, 1, 2], 4), ([1] * 6, 8)):
        cases.append({"chunks": chunks, **{n: rng.normal(size=(sum(chunks), size)) for n in ("q", "k", "v")}})
    return cases


def _attended(case: Case, *, cached: bool = True, causal: bool = True, twice: bool = False) -> Any:
    q, k, v = case["q"], case["k"], case["v"]
    made, at = [], 0
    for size in case["chunks"]:
        rows = np.arange(at, at + size)
        keys = np.arange(0 if cached else at, at + size)
        if twice:
            keys = np.concatenate((keys, rows))
        scores = q[rows] @ k[keys].T / np.sqrt(q.shape[1])
        if causal:
            scores = np.where(keys[None] <= rows[:, None], scores, -np.inf)
        weights = np.exp(scores - scores.max(1, keepdims=True))
        made.append(weights / weights.sum(1, keepdims=True) @ v[keys])
        at += size
    return np.concatenate(made)


def _own_cached(case: Case) -> Any:
    """The library's cache and its attention, written out."""
    import torch

    from ...nn.mixers.attention import attend_explained
    from ...nn.state import KeyValues, SequenceState

    size = case["q"].shape[1]
    memory = KeyValues(1, 1, size, dtype=torch.float64, device=torch.device("cpu"))
    state = SequenceState([memory], torch.zeros(1, dtype=torch.long))
    made, at = [], 0
    for count in case["chunks"]:
        q, k, v = (torch.tensor(case[n][at : at + count])[None, None] for n in ("q", "k", "v"))
        keys, values = memory.append(k, v, state)
        order = torch.arange(at, at + count)[:, None] >= torch.arange(keys.shape[2])
        made.append(attend_explained(q, keys, values, mask=order, scale=size**-0.5, softcap=None)[0, 0])
        state = state.advanced(count)
        at += count
    return torch.cat(made).numpy()


CACHE = Exercise(
    id="5.4c",
    title="A cache of keys and values",
    entry="Cache",
    template='''"""Exercise 5.4c: attention that does no work twice."""

import math

import torch


class Cache:
    """Keys and values of one head, kept between calls."""

    def __init__(self):
        raise NotImplementedError

    def attend(self, q, k, v):
        """q, k, v [T, N]: the T new positions, which follow those of earlier calls -> [T, N].

        Each new position attends to everything before it, from this call and from earlier ones, and to itself; scores are divided by sqrt(N).
        """
        raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    cache, made, at = solution.Cache(), [], 0
    for size in case["chunks"]:
        made.append(cache.attend(*(torch.tensor(case[n][at : at + size]) for n in ("q", "k", "v"))))
        at += size
    return {"result": torch.cat(made)}
""",
    reference=result(_own_cached),
    packages=TORCH,
    denied=("torch.nn.functional.scaled_dot_product_attention",),
    checks=(
        Check(
            name="in pieces as in one",
            cases=_steps,
            hints=(
                "With one call of one position the output is v. With two calls?",
                "New keys go behind the old ones, once; within a call of several positions the earlier ones must not see the later ones.",
                "keys = cat((self.keys, k)); mask: position len(old) + i sees keys 0 .. len(old) + i.",
            ),
            tolerance=1e-6,
        ),
    ),
    mistakes=(
        Mistake(name="earlier calls are forgotten", outputs=result(lambda c: _attended(c, cached=False)),
                hint="Put new keys behind the kept ones."),
        Mistake(name="positions of one call see each other both ways", outputs=result(lambda c: _attended(c, causal=False)),
                hint="A call of several positions needs a causal mask among the new ones."),
        Mistake(name="new keys are there twice", outputs=result(lambda c: _attended(c, twice=True)),
                hint="Append once, then attend to the kept ones."),
    ),
    sources=("Pope et al. 2022: Efficiently Scaling Transformer Inference",),
)  # fmt: skip

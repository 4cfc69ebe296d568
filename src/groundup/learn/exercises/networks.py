"""Exercises of chapter 1: reverse-mode derivatives, softmax and cross-entropy, layer norm, AdamW, a schedule, He initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .exercise import TORCH, Case, Check, Exercise, Mistake, Outputs, drive_calling, result

# ------------------------------------------------------------------------------------------------------------- 1.1 autograd


def _graphs(rng: np.random.Generator) -> Sequence[Case]:
    shapes = [((), ()), ((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (3,)), ((4, 1), (1, 5)), ((2, 3, 4), (4,))]
    return [{"a": np.round(rng.normal(size=a), 3) + 0.0, "b": np.round(rng.normal(size=b), 3) + 0.0} for a, b in shapes]


def _gradients(case: Case) -> Outputs:
    """(a * b + a) * tanh(a) summed, through the library's own tensors: a is used three times."""
    from ...foundations.autograd import Tensor, tanh

    a, b = Tensor(case["a"], requires_grad=True), Tensor(case["b"], requires_grad=True)
    ((a * b + a) * tanh(a)).sum().backward()
    assert a.grad is not None and b.grad is not None
    return {"grad_a": a.grad, "grad_b": b.grad}


def _wrong_gradients(kind: str) -> Callable[[Case], Outputs]:
    def outputs(case: Case) -> Outputs:
        a, b = np.broadcast_arrays(case["a"], case["b"])
        t = np.tanh(a)
        through_sum, through_tanh = (b + 1) * t, (a * b + a) * (1 - t * t)
        grad_a, grad_b = through_sum + through_tanh, a * t

        def back(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
            if kind == "not summed":
                return grad
            while grad.ndim > len(shape):
                grad = grad.sum(0)
            axes = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] != 1)
            return (
                (grad.mean(axis=axes, keepdims=True) if kind == "mean" else grad.sum(axis=axes, keepdims=True))
                if axes
                else grad
            )

        if kind == "overwritten":
            grad_a = through_tanh
        elif kind == "tanh":
            grad_a = through_sum + (a * b + a) * t
        elif kind == "product":
            u = a * b + a
            grad_a, grad_b = u * (a + 1) + t * (1 - t * t), u * b
        return {"grad_a": back(grad_a, case["a"].shape), "grad_b": back(grad_b, case["b"].shape)}

    return outputs


AUTOGRAD = Exercise(
    id="1.1",
    title="Reverse-mode derivatives",
    entry="Value",
    template='''"""Exercise 1.1: an array that remembers how it was made, and passes gradients back."""

import numpy as np


class Value:
    """data (an array) and grad (an array of the same shape, zeros at first).

    a + b, a * b (with broadcasting), a.tanh() and a.sum() make new Values; backward() on a Value of one number fills the grad of every
    Value that it was made from. A Value that is used several times adds up what comes back from each use; where an operand was
    broadcast, what comes back is summed over the axes along which it was repeated.
    """

    def __init__(self, data):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros_like(self.data)

    def __add__(self, other):
        raise NotImplementedError

    def __mul__(self, other):
        raise NotImplementedError

    def tanh(self):
        raise NotImplementedError

    def sum(self):
        raise NotImplementedError

    def backward(self):
        raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    a, b = solution.Value(case["a"]), solution.Value(case["b"])
    ((a * b + a) * a.tanh()).sum().backward()
    return {"grad_a": a.grad, "grad_b": b.grad}
""",
    reference=_gradients,
    checks=(
        Check(
            name="gradients of an expression that uses a three times",
            cases=_graphs,
            hints=(
                "With single numbers, work the derivative out by hand and compare.",
                "Gradients add up (+=); the node is passed through once, after everything that uses it (topological order).",
                "Order the nodes by depth-first search, go through them backwards; sum the gradient to the operand's shape.",
            ),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="a gradient is overwritten where a value is used again", outputs=_wrong_gradients("overwritten"),
                hint="Add to grad (+=): every use of a value sends something back."),
        Mistake(name="the gradient of a broadcast operand is not summed", outputs=_wrong_gradients("not summed"),
                hint="Sum over the axes that broadcasting repeated, until the shape is the operand's."),
        Mistake(name="the gradient of a broadcast operand is averaged", outputs=_wrong_gradients("mean"), hint="Sum, not mean."),
        Mistake(name="the derivative of tanh is taken to be tanh", outputs=_wrong_gradients("tanh"),
                hint="The derivative of tanh(x) is 1 - tanh(x)^2."),
        Mistake(name="the operands of the product are mixed up", outputs=_wrong_gradients("product"),
                hint="d(a b)/da is b, and d(a b)/db is a."),
    ),
    sources=("Griewank and Walther 2008: Evaluating Derivatives",),
)  # fmt: skip

# ----------------------------------------------------------------------------------------------- 1.2 softmax, cross-entropy


def _logits(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [{"logits": np.array([[0.0, 0.0]]), "targets": np.array([0])}]
    for n, v in ((1, 3), (2, 3), (4, 5), (16, 50)):
        cases.append({"logits": 2 * rng.normal(size=(n, v)), "targets": rng.integers(v, size=n)})
    return cases


def _large(rng: np.random.Generator) -> Sequence[Case]:
    return [{"logits": 1000 * rng.normal(size=(3, 4)) + 5000, "targets": rng.integers(4, size=3)}]


def _cross_entropy(case: Case) -> Outputs:
    from ...foundations.autograd import Tensor, cross_entropy

    logits = Tensor(case["logits"], requires_grad=True)
    loss = cross_entropy(logits, case["targets"])
    loss.backward()
    assert logits.grad is not None
    return {"loss": loss.item(), "grad": logits.grad}


def _ce(
    case: Case, *, log: Callable[[Any], Any] = np.log, mean: bool = True, one_hot: bool = True, axis: int = 1
) -> Outputs:
    x, t = case["logits"], case["targets"]
    p = np.exp(x - x.max(axis=axis, keepdims=True))
    p = p / p.sum(axis=axis, keepdims=True)
    rows = np.arange(len(t))
    grad = p.copy()
    if one_hot:
        grad[rows, t] -= 1
    loss = -log(p[rows, t])
    return {"loss": float(loss.mean() if mean else loss.sum()), "grad": grad / (len(t) if mean else 1)}


CROSS_ENTROPY = Exercise(
    id="1.2",
    title="Cross-entropy and its gradient",
    entry="cross_entropy",
    template='''"""Exercise 1.2: the loss that language models learn from."""

import numpy as np


def cross_entropy(logits, targets):
    """logits [N, V], targets [N] integers -> {"loss": float, "grad": [N, V]}.

    loss is the mean over rows of -ln softmax(logits)[target], grad its derivative by the logits. Logits may be in the thousands.
    """
    raise NotImplementedError
''',
    drive="def drive(solution, case):\n    return solution.cross_entropy(case['logits'], case['targets'])\n",
    reference=_cross_entropy,
    checks=(
        Check(
            name="loss and gradient",
            cases=_logits,
            hints=(
                "Two equal logits: the loss is ln 2. What do you get?",
                "Softmax runs over the classes of a row; the loss is a mean over rows, and so is the gradient.",
                "grad = (softmax(logits) - one_hot(targets)) / N.",
            ),
            tolerance=1e-9,
        ),
        Check(
            name="large logits do no harm",
            cases=_large,
            hints=(
                "exp(1000) is infinite.",
                "Softmax does not change when a row's largest logit is taken away from all of it.",
                "z = logits - logits.max(1, keepdims=True); loss = mean(log(sum(exp(z))) - z[target]).",
            ),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="the loss is a sum, not a mean", outputs=lambda c: _ce(c, mean=False), hint="Divide loss and gradient by N."),
        Mistake(name="the gradient lacks the one-hot target", outputs=lambda c: _ce(c, one_hot=False),
                hint="grad = (softmax - one_hot) / N: take 1 away at the target."),
        Mistake(name="the logarithm has base 2", outputs=lambda c: _ce(c, log=np.log2), hint="Nats: the natural logarithm."),
        Mistake(name="softmax runs over the rows", outputs=lambda c: _ce(c, axis=0), hint="Softmax over the classes: the last axis."),
        Mistake(name="the gradient is not divided by the number of rows", hint="The loss is a mean, so its gradient has 1 / N.",
                outputs=lambda c: {"loss": _ce(c)["loss"], "grad": _ce(c, mean=False)["grad"]}),
    ),
    swap="groundup run recipes/tiny_gpt.yaml --swap base.objective={file}:cross_entropy",
    sources=("Bridle 1990",),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------- 1.3 AdamW

_BETAS, _EPS = (0.9, 0.95), 1e-8


def _steps(rng: np.random.Generator) -> Sequence[Case]:
    cases = []
    for size, steps, decay in ((1, 1, 0.0), (3, 1, 0.1), (4, 2, 0.0), (5, 4, 0.1), (20, 10, 0.05)):
        cases.append({"parameter": rng.normal(size=size), "gradients": rng.normal(size=(steps, size)) * 10.0 ** rng.integers(-2, 2),
                      "lr": 0.01, "weight_decay": decay})  # fmt: skip
    return cases


def _adamw(case: Case) -> Any:
    import torch

    from ...train.optim.adamw import AdamW

    p = torch.nn.Parameter(torch.tensor(case["parameter"]))
    optimizer = AdamW([{"params": [p], "lr": case["lr"], "weight_decay": case["weight_decay"]}], betas=_BETAS, eps=_EPS)
    for gradient in case["gradients"]:
        p.grad = torch.tensor(gradient)
        optimizer.step()
    return p.detach().numpy()


def _adam(
    case: Case, *, correct: bool = True, decoupled: bool = True, root: bool = True, second: bool = True, order: str = ""
) -> Any:
    p, m, v = case["parameter"].copy(), 0.0, 0.0
    for t, g in enumerate(case["gradients"], start=1):
        if not decoupled:
            g = g + case["weight_decay"] * p
        m = _BETAS[0] * m + (1 - _BETAS[0]) * g
        v = _BETAS[1] * v + (1 - _BETAS[1]) * g * g
        mh, vh = (m / (1 - _BETAS[0] ** t), v / (1 - _BETAS[1] ** t)) if correct else (m, v)
        if not second:
            mh = m
        if decoupled:
            p = p * (1 - (1 if order == "no lr" else case["lr"]) * case["weight_decay"])
        p = p - case["lr"] * mh / ((np.sqrt(vh) if root else vh) + _EPS)
    return p


ADAMW = Exercise(
    id="1.3",
    title="AdamW",
    entry="adamw",
    template='''"""Exercise 1.3: the optimizer that most language models are trained with."""

import numpy as np


def adamw(parameter, gradients, lr, weight_decay, betas=(0.9, 0.95), eps=1e-8):
    """parameter [D], gradients [steps, D] -> the parameter [D] after a step for each gradient (Loshchilov and Hutter 2019).

    Moments start at zero and are corrected for it; the weight decay is decoupled (it does not go through the moments) and scaled by lr;
    eps is added to the root of the corrected second moment.
    """
    raise NotImplementedError
''',
    drive=drive_calling("adamw", "parameter", "gradients", "lr", "weight_decay"),
    reference=result(_adamw),
    checks=(
        Check(
            name="the parameter after some steps",
            cases=_steps,
            hints=(
                "After one step without decay, every number moves by almost exactly lr. Does yours?",
                "Bias correction of both moments; decay of the parameter itself, times lr; root of the second moment.",
                "p *= 1 - lr * wd; m, v updated; p -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).",
            ),
            tolerance=1e-6,
        ),
    ),
    mistakes=(
        Mistake(name="the moments are not corrected for their start at zero", outputs=result(lambda c: _adam(c, correct=False)),
                hint="Divide by 1 - beta^t, t counted from 1."),
        Mistake(name="only the second moment is corrected", outputs=result(lambda c: _adam(c, second=False)),
                hint="Both moments start at zero, and both are corrected."),
        Mistake(name="the weight decay goes through the moments (that is Adam with L2)", outputs=result(lambda c: _adam(c, decoupled=False)),
                hint="Decoupled: shrink the parameter itself, outside of the moments."),
        Mistake(name="the root of the second moment is missing", outputs=result(lambda c: _adam(c, root=False)),
                hint="Divide by sqrt(v), a size like the gradient's, not by v."),
        Mistake(name="the decay is not scaled by lr", outputs=result(lambda c: _adam(c, order="no lr")),
                hint="p *= 1 - lr * weight_decay."),
    ),
    swap="groundup run recipes/tiny_gpt.yaml --swap base.optimizer={file}:MyOptimizer   (as a torch.optim.Optimizer)",
    sources=("Kingma and Ba 2015; Loshchilov and Hutter 2019",),
)  # fmt: skip

# -------------------------------------------------------------------------------------------------------------- 1.3b schedule


def _points_of_schedule(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [{"step": s, "num_steps": 10, "warmup_steps": 2, "final": 0.1} for s in (0, 1, 2, 5, 9)]
    for _ in range(12):
        n = int(rng.integers(20, 200))
        cases.append(
            {"step": int(rng.integers(n)), "num_steps": n, "warmup_steps": int(rng.integers(1, n // 2)), "final": 0.05}
        )
    return cases


def _multiplier(case: Case) -> float:
    from ...train.schedule import ScheduleConfig, multiplier

    config = ScheduleConfig(
        shape="cosine", warmup_fraction=case["warmup_steps"] / case["num_steps"], final=case["final"]
    )
    return multiplier(config, case["step"], case["num_steps"])


def _cosine(
    case: Case, *, first: int = 1, last: int = 1, floor: bool = True, half: bool = True, linear: bool = False
) -> float:
    s, n, w, final = case["step"], case["num_steps"], case["warmup_steps"], case["final"]
    if s < w:
        return float((s + first) / w)
    progress = (s - w) / max(1, n - last - w)
    wave = 1 - progress if linear else (0.5 if half else 1.0) * (1 + math.cos(math.pi * progress))
    return float(final + (1 - final) * wave if floor else wave)


SCHEDULE = Exercise(
    id="1.3b",
    title="Warm-up and cosine",
    entry="multiplier",
    template='''"""Exercise 1.3b: how the learning rate goes up and down."""

import math


def multiplier(step, num_steps, warmup_steps, final):
    """What the peak learning rate is multiplied by at `step` of 0 .. num_steps - 1.

    Linear up from 1 / warmup_steps at step 0 to 1 at step warmup_steps - 1; 1 again at step warmup_steps, and from there half a cosine
    down to `final` at the last step, num_steps - 1.
    """
    raise NotImplementedError
''',
    drive=drive_calling("multiplier", "step", "num_steps", "warmup_steps", "final"),
    reference=result(_multiplier),
    checks=(
        Check(
            name="every step of the way",
            cases=_points_of_schedule,
            hints=(
                "Write down steps 0, warmup_steps and num_steps - 1 by hand.",
                "Step 0 is not 0; the last step is num_steps - 1.",
                "progress = (step - w) / (num_steps - 1 - w); final + (1 - final) * 0.5 * (1 + cos(pi * progress)).",
            ),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="the warm-up begins at 0", outputs=result(lambda c: _cosine(c, first=0)),
                hint="(step + 1) / warmup_steps: a step with rate 0 would be wasted."),
        Mistake(name="the cosine ends one step too late", outputs=result(lambda c: _cosine(c, last=0)),
                hint="The last step is num_steps - 1."),
        Mistake(name="it goes down to 0, not to final", outputs=result(lambda c: _cosine(c, floor=False)),
                hint="final + (1 - final) * ..."),
        Mistake(name="the half of the cosine is missing", outputs=result(lambda c: _cosine(c, half=False)),
                hint="1 + cos goes from 2 to 0: halve it."),
        Mistake(name="it goes down in a line", outputs=result(lambda c: _cosine(c, linear=True)), hint="Half a cosine."),
    ),
    swap="groundup run recipes/tiny_gpt.yaml --swap base.schedule={file}:multiplier",
    sources=("Loshchilov and Hutter 2017",),
)  # fmt: skip

# -------------------------------------------------------------------------------------------------------------- 1.5 He init


def _layers(rng: np.random.Generator) -> Sequence[Case]:
    return [
        {"fan_in": i, "fan_out": o, "seed": int(rng.integers(1 << 30))} for i, o in ((64, 256), (256, 64), (400, 400))
    ]


def _spread(case: Case, got: Outputs) -> str | None:
    """Mean 0 and standard deviation sqrt(2 / fan_in), within five standard errors; a normal's kurtosis."""
    w = np.asarray(got["result"], np.float64)
    i, o = case["fan_in"], case["fan_out"]
    if w.shape != (o, i):
        return f"the shape should be [fan_out, fan_in] = [{o}, {i}], and is {list(w.shape)}"
    wanted, n = math.sqrt(2 / i), w.size
    for name, std in (("Xavier's", math.sqrt(2 / (i + o))), ("that of fan_out", math.sqrt(2 / o)), ("without the factor 2", math.sqrt(1 / i)),
                      ("the variance, not its root", 2 / i)):  # fmt: skip
        if abs(w.std() / std - 1) < 5 / math.sqrt(2 * n) < abs(wanted / std - 1):
            return f"the standard deviation is {w.std():.4f}, which is {name}; it should be sqrt(2 / fan_in) = {wanted:.4f}"
    if abs(w.std() / wanted - 1) > 5 / math.sqrt(2 * n):
        return f"the standard deviation should be sqrt(2 / fan_in) = {wanted:.4f}, and is {w.std():.4f}"
    if abs(w.mean()) > 5 * wanted / math.sqrt(n):
        return f"the mean should be 0, and is {w.mean():.4f}"
    kurtosis = float((((w - w.mean()) / w.std()) ** 4).mean())
    if abs(kurtosis - 3) > 0.4:
        return f"the numbers are not drawn from a normal distribution (kurtosis {kurtosis:.2f}, a normal's is 3)"
    return None


def _he(case: Case) -> Any:
    import torch

    from ...nn.init import initialise_weight

    weight = torch.empty(case["fan_out"], case["fan_in"], dtype=torch.float64)
    return initialise_weight(weight, "he_normal", generator=torch.Generator().manual_seed(case["seed"])).numpy()


HE = Exercise(
    id="1.5",
    title="He initialisation",
    entry="he_normal",
    template='''"""Exercise 1.5: weights that keep the size of signals through ReLU layers (He et al. 2015)."""

import numpy as np


def he_normal(fan_in, fan_out, rng):
    """A weight matrix [fan_out, fan_in] drawn from a normal distribution of mean 0 and standard deviation sqrt(2 / fan_in).

    rng: a numpy.random.Generator.
    """
    raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    return {"result": solution.he_normal(case["fan_in"], case["fan_out"], np.random.default_rng(case["seed"]))}
""",
    reference=result(_he),
    checks=(
        Check(
            name="shape, mean, spread and distribution",
            cases=_layers,
            judge=_spread,
            hints=(
                "Which number of inputs does a unit add up, and what must its weights' variance be then?",
                "ReLU takes away half of the signal's power: the factor 2. The variance is 2 / fan_in; you draw with its root.",
                "rng.normal(0.0, math.sqrt(2 / fan_in), size=(fan_out, fan_in))",
            ),
        ),
        Check(
            name="another seed, other weights",
            cases=lambda rng: [{"fan_in": 8, "fan_out": 8, "seed": 1}, {"fan_in": 8, "fan_out": 8, "seed": 2}],
            judge=lambda case, got: (
                None if len(np.unique(np.asarray(got["result"]))) == 64 else "some weights are equal"
            ),
            hints=("Use rng.", "Draw a matrix, not one number.", "rng.normal(size=(fan_out, fan_in))"),
        ),
    ),
    packages=("numpy",),
    sources=("He et al. 2015: Delving Deep into Rectifiers, section 2.2",),
)

# ------------------------------------------------------------------------------------------------------------ 1.4 layer norm


def _rows(rng: np.random.Generator) -> Sequence[Case]:
    """The last ones vary so little that eps shows."""
    return [{"x": rng.normal(size=s) * scale + 1, "weight": rng.normal(size=s[-1]), "bias": rng.normal(size=s[-1]),
             "direction": rng.normal(size=s)}
            for s, scale in (((1, 2), 3.0), ((1, 4), 3.0), ((3, 5), 3.0), ((2, 3, 16), 3.0), ((2, 4), 0.01))]  # fmt: skip


def _layer_norm(
    case: Case, *, axis: int = -1, eps: float = 1e-5, correction: int = 0, centre: bool = True, inside: bool = True
) -> Outputs:
    import torch

    x = torch.tensor(case["x"], requires_grad=True)
    mean = x.mean(axis, keepdim=True) if centre else 0.0
    variance = ((x - x.mean(axis, keepdim=True)) ** 2 if centre else x**2).sum(axis, keepdim=True) / (
        x.shape[axis] - correction
    )
    scale = (variance + eps) ** 0.5 if inside else variance**0.5 + eps
    y = (x - mean) / scale * torch.tensor(case["weight"]) + torch.tensor(case["bias"])
    (y * torch.tensor(case["direction"])).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return {"y": y.detach().numpy(), "grad_x": x.grad.numpy()}


def _own_layer_norm(case: Case) -> Outputs:
    import torch

    from ...nn.norm import LayerNorm, LayerNormConfig

    module = LayerNorm(case["x"].shape[-1], LayerNormConfig(eps=1e-5)).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(case["weight"]))
        assert module.bias is not None
        module.bias.copy_(torch.tensor(case["bias"]))
    x = torch.tensor(case["x"], requires_grad=True)
    y = module(x)
    (y * torch.tensor(case["direction"])).sum().backward()
    assert x.grad is not None
    return {"y": y.detach().numpy(), "grad_x": x.grad.numpy()}


LAYER_NORM = Exercise(
    id="1.4",
    title="Layer norm",
    entry="layer_norm",
    template='''"""Exercise 1.4: layer norm (Ba et al. 2016), from basic operations."""

import torch


def layer_norm(x, weight, bias, eps=1e-5):
    """x [..., D], weight [D], bias [D] -> [..., D]: each vector less its mean, over the root of (variance + eps), times weight, plus bias.

    The variance divides by D.
    """
    raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    x = torch.tensor(case["x"], requires_grad=True)
    y = solution.layer_norm(x, torch.tensor(case["weight"]), torch.tensor(case["bias"]))
    (y * torch.tensor(case["direction"])).sum().backward()
    return {"y": y, "grad_x": x.grad}
""",
    reference=_own_layer_norm,
    packages=TORCH,
    denied=("torch.nn.functional.layer_norm", "torch.nn.LayerNorm", "torch.layer_norm", "torch.native_layer_norm"),
    checks=(
        Check(
            name="outputs and gradients",
            cases=_rows,
            hints=(
                "What are mean and variance of the output, without weight and bias?",
                "Over which axis? Does the variance divide by D? Where does eps stand?",
                "m = x.mean(-1, keepdim=True); v = ((x - m) ** 2).mean(-1, keepdim=True); (x - m) / (v + eps).sqrt() * weight + bias",
            ),
            tolerance=1e-7,
        ),
    ),
    mistakes=(
        Mistake(name="the variance is divided by D - 1", outputs=lambda c: _layer_norm(c, correction=1),
                hint="torch.var divides by D - 1 unless told otherwise: correction=0."),
        Mistake(name="the mean is not taken away (that is RMSNorm)", outputs=lambda c: _layer_norm(c, centre=False),
                hint="Subtract the mean of each vector first."),
        Mistake(name="it runs over the wrong axis", outputs=lambda c: _layer_norm(c, axis=-2), hint="Over the last axis, D."),
        Mistake(name="eps is added to the deviation, not to the variance", outputs=lambda c: _layer_norm(c, inside=False),
                hint="(variance + eps).sqrt()"),
        Mistake(name="eps is left out", outputs=lambda c: _layer_norm(c, eps=0.0), hint="(variance + eps).sqrt()"),
    ),
    swap="groundup run recipes/tiny_gpt.yaml --swap model.block.norm={file}:MyNorm   (as an nn.Module: __init__(self, hidden_size))",
    sources=("Ba, Kiros, Hinton 2016",),
)  # fmt: skip

"""The mathematics of chapter 0 in pictures: stages `linear_algebra`, `calculus` and `probability`.

Each shows what its module is known for, on something made here, beside what NumPy or theory says: what a picture loses when only its
largest singular values are kept, how errors grow with the condition of a matrix, why no step of a difference quotient is right, how
means become normal, how evidence moves a belief. Nothing is read, nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..core.artifact import write_json
from ..core.errors import ConfigError
from ..core.exhibits import Plot, Series, Table, plain
from ..core.recipe import StageContext
from . import calculus
from . import linear_algebra as la
from .sparse import Array
from .statistics import (
    Binomial,
    Distribution,
    Exponential,
    LogNormal,
    Normal,
    Poisson,
    Uniform,
    bayes,
    excess_kurtosis,
    histogram,
    mean,
    skewness,
    variance,
)

_PICTURE = 48
_RANKS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class LinearAlgebraStage:
    """Every operation beside NumPy's; a picture in few singular values; errors and condition."""

    size: int = 30
    """Rows of the random matrices."""
    type: Literal["linear_algebra"] = "linear_algebra"
    kind = "pictured"

    def __post_init__(self) -> None:
        if not 3 <= self.size <= 300:
            raise ConfigError(f"must be 3 to 300, not {self.size}", path="size")

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        draw = np.random.default_rng(context.seed)
        a, b = draw.normal(size=(2, self.size, self.size))
        errors = _errors(a, b)
        picture = _picture()
        kept = {rank: la.low_rank(picture, rank) for rank in _RANKS}
        lost = {rank: la.norm((picture - found).ravel()) / la.norm(picture.ravel()) for rank, found in kept.items()}
        conditions, wrong = _hilbert()
        figures = {"largest_errors": errors, "picture_lost": {str(rank): round(v, 5) for rank, v in lost.items()}}
        write_json(context.directory / "figures.json", figures)
        numbers = _PICTURE * _PICTURE
        exhibits: list[Table | Plot] = [
            Table(
                title=f"Operations on random {self.size} x {self.size} matrices, beside NumPy",
                columns=["operation", "largest difference"],
                rows=[[name, f"{error:.1e}"] for name, error in errors.items()],
                sentence="Differences are relative to the largest number of the result; a float64 has about 16 digits.",
            ),
            _triangle(draw.normal(size=(3, 3))),
            Plot(
                title="A picture in few singular values",
                kind="images",
                matrices=[found.clip(0, 1).tolist() for found in [*kept.values(), picture]],
                captions=[*(f"rank {r}: {r * (2 * _PICTURE + 1) / numbers:.0%}" for r in _RANKS), "as it is"],
                sentence="Captions: how many numbers are kept. No matrix of that rank is nearer (Eckart and Young 1936).",
            ),
            Plot(
                title="What is lost",
                kind="lines",
                x_label="singular values kept",
                y_label="error / size of the picture",
                series=[Series(name="lost", x=list(lost), y=list(lost.values()))],
                log_y=True,
            ),
            Plot(
                title="Errors grow with the condition of the matrix",
                kind="lines",
                x_label="condition number",
                y_label="relative error of the solution",
                log_x=True,
                log_y=True,
                series=[
                    Series(name="solved", x=conditions, y=wrong),
                    Series(name="condition x 1e-16", x=conditions, y=[c * 1e-16 for c in conditions]),
                ],
                sentence="Hilbert's matrices of 2 to 11 rows: each is well defined, and soon no digit of the answer is right.",
            ),
        ]
        return figures | {"exhibits": plain(*exhibits)}


def _errors(a: Array, b: Array) -> dict[str, float]:
    """Largest difference from NumPy over the largest number, of each operation."""
    symmetric = a + a.T
    pairs: dict[str, tuple[Any, Any]] = {
        "sum of vectors": (la.add(a[0], b[0]), a[0] + b[0]),
        "dot product": (la.dot(a[0], b[0]), a[0] @ b[0]),
        "cross product": (la.cross(a[0, :3], b[0, :3]), np.cross(a[0, :3], b[0, :3])),
        "norm": (la.norm(a[0]), np.linalg.norm(a[0])),
        "matrix product": (la.matmul(a, b), a @ b),
        "transpose": (la.transpose(a), a.T),
        "inverse": (la.inverse(a), np.linalg.inv(a)),
        "determinant": (la.determinant(a), np.linalg.det(a)),
        "eigenvalues": (la.eigen_symmetric(symmetric)[0], np.linalg.eigvalsh(symmetric)),
        "singular values": (la.svd(a)[1], np.linalg.svd(a, compute_uv=False)),
        "least squares": (la.lstsq(a[:, :3], b[0])[0], np.linalg.lstsq(a[:, :3], b[0])[0]),
    }
    return {
        name: float(np.max(np.abs(np.asarray(ours) - theirs)) / np.max(np.abs(theirs)))
        for name, (ours, theirs) in pairs.items()
    }


def _triangle(corners: Array) -> Table:
    """What dot and cross products say of a triangle in space. corners [3, 3]"""
    u, v = corners[1] - corners[0], corners[2] - corners[0]
    across = la.cross(u, v)
    angle = math.degrees(math.acos(la.dot(u, v) / (la.norm(u) * la.norm(v))))
    return Table(
        title="A triangle in space",
        columns=["what", "from", "value"],
        rows=[
            ["sides", "norm(u), norm(v)", f"{la.norm(u):.4f}, {la.norm(v):.4f}"],
            ["angle between them", "acos(u · v / (|u| |v|))", f"{angle:.2f}°"],
            ["area", "norm(u × v) / 2", f"{la.norm(across) / 2:.4f}"],
            ["u × v is at right angles to both", "dot products", f"{la.dot(across, u):.1e}, {la.dot(across, v):.1e}"],
        ],
    )


def _picture() -> Array:
    """A disc, a square, a slope and stripes: smooth parts and edges. [48, 48] in [0, 1]"""
    y, x = np.mgrid[0:_PICTURE, 0:_PICTURE] / (_PICTURE - 1)
    picture = 0.25 + 0.35 * y
    picture = np.where((x - 0.33) ** 2 + (y - 0.4) ** 2 < 0.06, 0.95, picture)
    picture = np.where((abs(x - 0.74) < 0.14) & (abs(y - 0.64) < 0.17), 0.05, picture)
    return np.where((y > 0.86) & (np.sin(40 * x + 12 * y) > 0), 0.9, picture)


def _hilbert() -> tuple[list[float], list[float]]:
    conditions, wrong = [], []
    for n in range(2, 12):
        index = np.arange(n)
        hilbert = 1.0 / (index[:, None] + index + 1.0)
        wanted = np.ones(n)
        found = la.solve(hilbert, la.matmul(hilbert, wanted[:, None])[:, 0])
        conditions.append(la.condition_number(hilbert))
        wrong.append(max(la.norm(found - wanted) / la.norm(wanted), 1e-17))
    return conditions, wrong


@dataclass(frozen=True, kw_only=True)
class CalculusStage:
    """Difference quotients and dual numbers: how wrong each is, and why."""

    x: float = 0.7
    """Where exp(sin x) / sqrt(1 + x²) is differentiated."""
    type: Literal["calculus"] = "calculus"
    kind = "pictured"

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        exact = calculus.derivative(_of_dual, self.x)
        by_hand = _of(self.x) * (math.cos(self.x) - self.x / (1 + self.x**2))
        steps = np.logspace(-14, 0, 57).tolist()
        rules: tuple[calculus.Rule, ...] = ("forward", "central", "extrapolated")
        errors = {
            rule: [max(abs(calculus.difference(_of, self.x, rule=rule, step=h) - exact), 1e-17) for h in steps]
            for rule in rules
        }
        rows: list[list[Any]] = []
        for rule in rules:
            best = int(np.argmin(errors[rule]))
            chosen = abs(calculus.difference(_of, self.x, rule=rule) - exact)
            rows.append([rule, calculus.ORDERS[rule], f"{steps[best]:.0e}", f"{errors[rule][best]:.0e}",
                         f"{calculus.BEST_STEPS[rule]:.0e}", f"{chosen:.0e}"])  # fmt: skip
        rows.append(["dual number", None, None, f"{abs(exact - by_hand):.0e}", None, f"{abs(exact - by_hand):.0e}"])
        field = np.linspace(-2, 2, 41)
        point = np.array([1.2, -0.8])
        slope = calculus.gradient(lambda v: _hill(v[0], v[1]), point)
        checked = float(np.max(np.abs(calculus.numeric_gradient(lambda v: float(_hill(v[0], v[1])), point) - slope)))
        figures = {
            "derivative": exact,
            "dual_error": abs(exact - by_hand),
            "smallest_errors": {rule: min(errors[rule]) for rule in rules},
            "gradient_difference": checked,
        }
        write_json(context.directory / "figures.json", figures)
        exhibits: list[Table | Plot] = [
            Plot(
                title="How wrong a difference quotient is",
                kind="lines",
                x_label="step h",
                y_label="error",
                log_x=True,
                log_y=True,
                series=[Series(name=rule, x=steps, y=errors[rule]) for rule in rules],
                sentence="From the right the error falls with h, h² and h⁴; from the left rounding grows as 1 / h. "
                "Dual numbers have no step.",
            ),
            Table(
                title=f"The derivative of exp(sin x) / sqrt(1 + x²) at {self.x:g} is {exact:.12f}",
                columns=["rule", "order", "best step", "error there", "step chosen", "error"],
                rows=rows,
                sentence="The step is chosen beforehand, from the order alone.",
            ),
            Plot(
                title="The gradient points uphill",
                kind="contours",
                x=field.tolist(),
                y=field.tolist(),
                matrix=[[float(_hill(a, b)) for a in field] for b in field],
                series=[Series(name="steps along the gradient", x=p[0], y=p[1]) for p in [_climb(point)]],
                sentence=f"At (1.2, -0.8) it is ({slope[0]:.3f}, {slope[1]:.3f}), at right angles to the line of equal height.",
            ),
        ]
        return figures | {"exhibits": plain(*exhibits)}


def _of(x: float) -> float:
    return math.exp(math.sin(x)) / math.sqrt(1 + x * x)


def _of_dual(x: calculus.Dual) -> calculus.Dual:
    return calculus.exp(calculus.sin(x)) / calculus.sqrt(1 + x**2)


def _hill(x: Any, y: Any) -> Any:
    """For numbers and for dual numbers."""
    return 1 / (1 + x**2 + 2 * y**2 + x * y)


def _climb(start: Array) -> tuple[list[float], list[float]]:
    x, path = start, [start]
    for _ in range(40):
        x = x + 0.6 * calculus.gradient(lambda v: _hill(v[0], v[1]), x)
        path.append(x)
    return [float(p[0]) for p in path], [float(p[1]) for p in path]


@dataclass(frozen=True, kw_only=True)
class ProbabilityStage:
    """Distributions and draws from them; means that become normal; Bayes' rule applied again and again."""

    num_draws: int = 4000
    sick: float = 0.01
    """Share of people that have what the test is for."""
    found: float = 0.9
    """How often the test says so where it is."""
    false_alarm: float = 0.05
    """How often where it is not."""
    type: Literal["probability"] = "probability"
    kind = "pictured"

    def __post_init__(self) -> None:
        for name in ("sick", "found", "false_alarm"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"must be between 0 and 1, not {getattr(self, name)}", path=name)
        if self.num_draws < 100:
            raise ConfigError(f"must be at least 100, not {self.num_draws}", path="num_draws")

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        draw = np.random.default_rng(context.seed)
        shown: dict[str, Distribution] = {
            "normal": Normal(0.0, 1.0), "log-normal": LogNormal(0.0, 0.5), "uniform": Uniform(0.0, 1.0),
            "exponential": Exponential(1.0), "Poisson": Poisson(3.0), "binomial": Binomial(10, 0.3),
        }  # fmt: skip
        rows: list[list[Any]] = []
        plots = []
        for name, distribution in shown.items():
            values = distribution.sample(self.num_draws, draw)
            rows.append([name, distribution.mean, mean(values), distribution.variance, variance(values)])
            plots.append(_draws(name, distribution, values))
        means = {
            n: Exponential(1.0).sample(n * self.num_draws, draw).reshape(-1, n).mean(axis=1) for n in (1, 2, 8, 32)
        }
        belief = [np.array([1 - self.sick, self.sick])]
        for _ in range(4):
            belief.append(bayes(belief[-1], np.array([self.false_alarm, self.found])))
        figures = {
            "mean_errors": {r[0]: round(abs(r[1] - r[2]), 4) for r in rows},
            "skewness_of_means": {str(n): round(skewness(v), 3) for n, v in means.items()},
            "belief": [round(float(b[1]), 5) for b in belief],
        }
        write_json(context.directory / "figures.json", figures)
        exhibits: list[Table | Plot] = [
            Table(
                title=f"{self.num_draws:,} draws of each",
                columns=["distribution", "mean", "of the draws", "variance", "of the draws "],
                rows=rows,
                sentence=f"A mean of N draws is off by about std / sqrt(N): here by {1 / math.sqrt(self.num_draws):.3f} std.",
            ),
            *plots,
            Table(
                title="Means of exponential numbers become normal",
                columns=["numbers in a mean", "std", "1 / sqrt(N)", "skewness", "excess kurtosis"],
                rows=[[n, math.sqrt(variance(v)), n**-0.5, skewness(v), excess_kurtosis(v)] for n, v in means.items()],
                sentence="The central limit theorem: skewness and excess kurtosis fall to 0, those of the normal distribution.",
            ),
            *(_draws(f"means of {n}", Normal(1.0, n**-0.5), v) for n, v in means.items() if n > 1),
            Plot(
                title="A belief after positive tests",
                kind="bars",
                series=[
                    Series(
                        name="P(sick)", x=[f"after {i}" for i in range(len(belief))], y=[float(b[1]) for b in belief]
                    )
                ],
                y_label="P(sick)",
                sentence=f"One in {1 / self.sick:.0f} is sick; the test finds {self.found:.0%} and errs on {self.false_alarm:.0%} "
                f"of the healthy. One positive test: {belief[1][1]:.0%}, by Bayes' rule.",
            ),
        ]
        return figures | {"exhibits": plain(*exhibits)}


def _draws(name: str, distribution: Distribution, values: Array) -> Plot:
    """A histogram of draws beside what the distribution says of each bin."""
    if isinstance(distribution, (Poisson, Binomial)):
        counts = np.bincount(values.astype(np.int64))
        middles = np.arange(len(counts), dtype=np.float64)
        expected = np.exp(distribution.log_density(middles))
    else:
        edges, counts = histogram(values)
        middles = (edges[:-1] + edges[1:]) / 2
        expected = np.diff(distribution.cumulative(edges))
    return Plot(
        title=name,
        kind="steps",
        y_label="draws",
        series=[
            Series(name="draws", x=middles.tolist(), y=counts.tolist()),
            Series(name="expected", x=middles.tolist(), y=(expected * len(values)).tolist()),
        ],
    )

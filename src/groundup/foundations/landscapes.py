"""Functions of two variables that optimizers are looked at on, with their gradients, least values, and a test of convexity.

Each shows one difficulty: curvature that differs by direction, a curved valley, plateaus, a saddle, several minima.
Sources of the formulas: Rosenbrock 1960; Beale 1958; Himmelblau 1972. Left out: more than two dimensions, noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Landscape:
    name: str
    value: Callable[[np.ndarray], np.ndarray]
    """points [..., 2] -> [...]"""
    gradient: Callable[[np.ndarray], np.ndarray]
    """points [..., 2] -> [..., 2]"""
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    """Where it is least, as far as is known in closed form; () when it has no least value."""
    window: tuple[float, float, float, float]
    """x from, x to, y from, y to: what is worth drawing."""
    difficulty: str

    @property
    def least(self) -> float:
        return float(self.value(np.array(self.minima[0]))) if self.minima else float("-inf")

    def grid(self, size: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x [size], y [size] and the values [size (y), size (x)]."""
        x, y = np.linspace(*self.window[:2], size), np.linspace(*self.window[2:], size)
        return x, y, self.value(np.stack(np.meshgrid(x, y), axis=-1))


def looks_convex(
    function: Callable[[np.ndarray], np.ndarray], window: tuple[float, float, float, float], rng: np.random.Generator
) -> bool:
    """Whether f((a + b) / 2) <= (f(a) + f(b)) / 2 held for 4,000 random pairs a, b of the window. A False is proof, a True is not."""
    low, high = np.array(window[0::2]), np.array(window[1::2])
    a, b = rng.uniform(low, high, (2, 4000, 2))
    middle, mean = function((a + b) / 2), (function(a) + function(b)) / 2
    return bool(np.all(middle <= mean + 1e-9 * (1 + np.abs(mean))))


def _quadratic(scale: tuple[float, float]) -> Mapping[str, Callable[[np.ndarray], np.ndarray]]:
    """0.5 (a x^2 + b y^2)"""
    curvature = np.array(scale)
    return {"value": lambda p: 0.5 * (curvature * p * p).sum(-1), "gradient": lambda p: curvature * p}


def _rosenbrock(p: np.ndarray) -> np.ndarray:
    x, y = p[..., 0], p[..., 1]
    return np.asarray((1 - x) ** 2 + 100 * (y - x * x) ** 2)


def _rosenbrock_gradient(p: np.ndarray) -> np.ndarray:
    x, y = p[..., 0], p[..., 1]
    return np.stack([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)], axis=-1)


def _beale_terms(p: np.ndarray) -> list[tuple[np.ndarray, int]]:
    x, y = p[..., 0], p[..., 1]
    return [(c - x + x * y**n, n) for n, c in ((1, 1.5), (2, 2.25), (3, 2.625))]


def _beale(p: np.ndarray) -> np.ndarray:
    return np.asarray(sum(t * t for t, _ in _beale_terms(p)))


def _beale_gradient(p: np.ndarray) -> np.ndarray:
    x, y = p[..., 0], p[..., 1]
    by_x = sum(2 * t * (y**n - 1) for t, n in _beale_terms(p))
    by_y = sum(2 * t * n * x * y ** (n - 1) for t, n in _beale_terms(p))
    return np.stack([by_x, by_y], axis=-1)


def _himmelblau(p: np.ndarray) -> np.ndarray:
    x, y = p[..., 0], p[..., 1]
    return np.asarray((x * x + y - 11) ** 2 + (x + y * y - 7) ** 2)


def _himmelblau_gradient(p: np.ndarray) -> np.ndarray:
    x, y = p[..., 0], p[..., 1]
    a, b = x * x + y - 11, x + y * y - 7
    return np.stack([4 * x * a + 2 * b, 2 * a + 4 * y * b], axis=-1)


LANDSCAPES: dict[str, Landscape] = {
    made.name: made
    for made in (
        Landscape(
            name="quadratic",
            **_quadratic((1.0, 2.0)),
            start=(-3.0, 2.5),
            minima=((0.0, 0.0),),
            window=(-4, 4, -3, 3),
            difficulty="none: a round bowl",
        ),
        Landscape(
            name="ill_conditioned",
            **_quadratic((1.0, 100.0)),
            start=(-3.0, 0.5),
            minima=((0.0, 0.0),),
            window=(-4, 4, -1, 1),
            difficulty="a hundred times steeper one way than the other",
        ),
        Landscape(
            name="rosenbrock",
            value=_rosenbrock,
            gradient=_rosenbrock_gradient,
            start=(-1.2, 1.0),
            minima=((1.0, 1.0),),
            window=(-2, 2, -1, 3),
            difficulty="a curved valley with a nearly flat floor",
        ),
        Landscape(
            name="beale",
            value=_beale,
            gradient=_beale_gradient,
            start=(1.0, 1.5),
            minima=((3.0, 0.5),),
            window=(-1, 4.5, -1.5, 2),
            difficulty="a plateau between steep walls",
        ),
        Landscape(
            name="saddle",
            # The fourth power bounds it below; the gradient at the start is all but zero in the direction that leads down.
            value=lambda p: 0.5 * p[..., 0] ** 2 - 0.5 * p[..., 1] ** 2 + 0.25 * p[..., 1] ** 4,
            gradient=lambda p: np.stack([p[..., 0], p[..., 1] ** 3 - p[..., 1]], axis=-1),
            start=(-2.0, 1e-3),
            minima=((0.0, 1.0), (0.0, -1.0)),
            window=(-2.5, 2.5, -1.8, 1.8),
            difficulty="a saddle between two minima, begun almost on the ridge",
        ),
        Landscape(
            name="himmelblau",
            value=_himmelblau,
            gradient=_himmelblau_gradient,
            start=(-0.5, -0.5),
            minima=((3.0, 2.0), (-2.805118, 3.131312), (-3.779310, -3.283186), (3.584428, -1.848126)),
            window=(-5, 5, -5, 5),
            difficulty="four equal minima",
        ),
    )
}

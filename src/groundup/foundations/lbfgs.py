"""Limited-memory BFGS with a weak Wolfe line search: minimises a smooth function of many numbers from its gradient.

The two-loop recursion of Nocedal (1980) gives the direction from the last few changes of place and gradient; the step is found by
bisection and doubling (Lewis and Overton 2013), which needs no interpolation to be safe. Left out: bounds, other norms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .sparse import Array

_DECREASE, _CURVATURE = 1e-4, 0.9
"""Of the Wolfe conditions; the usual pair for quasi-Newton methods (Nocedal and Wright 2006, section 3.1)."""
_LINE_STEPS = 60


@dataclass(frozen=True)
class Minimum:
    x: Array
    value: float
    gradient: float
    """Largest absolute component of the gradient there."""
    iterations: int
    converged: bool


def minimise(
    function: Callable[[Array], tuple[float, Array]],
    start: Array,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    memory: int = 10,
) -> Minimum:
    """function(x [D]) -> (value, gradient [D]). Ends when no component of the gradient is above `tolerance`, when floating point
    allows no further decrease, or after max_iterations.
    """
    x = np.array(start, np.float64)
    value, gradient = function(x)
    history: list[tuple[Array, Array]] = []
    for iteration in range(max_iterations):
        size = float(np.max(np.abs(gradient), initial=0.0))
        if size <= tolerance:
            return Minimum(x, value, size, iteration, True)
        direction = -_times_inverse_hessian(gradient, history)
        slope = float(direction @ gradient)
        if slope >= 0:  # rounding spoiled the curvature that was remembered
            history, direction, slope = [], -gradient, -float(gradient @ gradient)
        first = 1.0 if history else min(1.0, 1.0 / float(np.linalg.norm(gradient)))
        found = _line_search(function, x, value, slope, direction, first)
        if found is None:
            return Minimum(x, value, size, iteration, False)
        new_x, new_value, new_gradient = found
        step, change = new_x - x, new_gradient - gradient
        if step @ change > 1e-12 * np.linalg.norm(step) * np.linalg.norm(change):
            history = [*history[-memory + 1 :], (step, change)]
        x, value, gradient = new_x, new_value, new_gradient
    size = float(np.max(np.abs(gradient), initial=0.0))
    return Minimum(x, value, size, max_iterations, size <= tolerance)


def _times_inverse_hessian(gradient: Array, history: list[tuple[Array, Array]]) -> Array:
    q = gradient.copy()
    weights = []
    for step, change in reversed(history):
        weight = (step @ q) / (step @ change)
        weights.append(weight)
        q -= weight * change
    if history:
        step, change = history[-1]
        q *= (step @ change) / (change @ change)
    for (step, change), weight in zip(history, reversed(weights), strict=True):
        q += (weight - (change @ q) / (step @ change)) * step
    return q


def _line_search(
    function: Callable[[Array], tuple[float, Array]],
    x: Array,
    value: float,
    slope: float,
    direction: Array,
    first: float,
) -> tuple[Array, float, Array] | None:
    """(place, value, gradient) that meet the weak Wolfe conditions; the best decrease found where rounding forbids them; None
    where there is no decrease at all.
    """
    low, high, step = 0.0, np.inf, first
    best: Any = None
    for _ in range(_LINE_STEPS):
        place = x + step * direction
        new_value, new_gradient = function(place)
        if not new_value <= value + _DECREASE * step * slope:  # also for nan
            high = step
        else:
            if best is None or new_value <= best[1]:
                best = (place, new_value, new_gradient)
            if float(direction @ new_gradient) >= _CURVATURE * slope:
                return place, new_value, new_gradient
            low = step
        step = 2 * low if np.isinf(high) else (low + high) / 2
    return None if best is None or best[1] >= value else best

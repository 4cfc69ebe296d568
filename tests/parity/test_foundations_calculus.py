"""Derivatives by differences and by dual numbers, against PyTorch's autograd and against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from groundup.foundations import calculus as c

pytestmark = pytest.mark.row("0.2")


def tangled(x: Any, f: Any) -> Any:
    """Every operation once; f is the module whose functions are used."""
    a = f.sin(x[0]) * f.exp(-1.0 * x[1] / 3.0) + f.tanh(x[2] - 1.5) / (2.0 + x[0] ** 2)
    return 3.0 - a * f.log(4.0 + x[1] * x[1]) + f.sqrt(1.0 + x[2] ** 2) - 1.0 / (2.5 + f.cos(x[0]))


def test_dual_numbers_equal_reverse_mode(draw: np.random.Generator) -> None:
    x = draw.normal(size=3)
    given = torch.tensor(x, requires_grad=True)
    tangled(given, torch).backward()
    assert given.grad is not None
    np.testing.assert_allclose(c.gradient(lambda v: tangled(v, c), x), given.grad.numpy(), rtol=1e-12, atol=1e-13)


def test_jacobians(draw: np.random.Generator) -> None:
    x = draw.normal(size=3)

    def several(v: Any) -> list[Any]:
        return [tangled(v, c), v[0] * v[2], 7.0]

    def numbers(v: Any) -> np.ndarray:
        return np.array([tangled(v, np), v[0] * v[2], 7.0])

    exact = c.jacobian(several, x)
    wanted = torch.autograd.functional.jacobian(
        lambda v: torch.stack([tangled(v, torch), v[0] * v[2], v[0] * 0 + 7.0]), torch.tensor(x)
    )
    np.testing.assert_allclose(exact, wanted.numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(c.numeric_jacobian(numbers, x), exact, atol=1e-7)
    np.testing.assert_allclose(
        c.numeric_gradient(lambda v: tangled(v, np), x, rule="extrapolated"), exact[0], atol=1e-9
    )


def test_the_chain_rule(draw: np.random.Generator) -> None:
    """d/dx f(g(x)) = f'(g(x)) g'(x), with each side computed by itself."""
    x = float(draw.normal())
    whole = c.derivative(lambda v: c.exp(c.sin(v)), x)
    assert whole == pytest.approx(c.derivative(c.exp, float(np.sin(x))) * c.derivative(c.sin, x), rel=1e-13)
    assert c.derivative(lambda v: 5.0, x) == 0.0
    assert c.derivative(lambda v: v**0, x) == 0.0


@pytest.mark.parametrize("rule", ["forward", "central", "extrapolated"])
def test_errors_fall_with_the_power_that_theory_says(rule: c.Rule) -> None:
    """Halving the step divides the error by 2 to that power, while rounding is far below."""
    exact = c.derivative(lambda v: c.exp(c.sin(v)), 0.7)

    def error(step: float) -> float:
        return abs(c.difference(lambda v: float(np.exp(np.sin(v))), 0.7, rule=rule, step=step) - exact)

    step = 0.0002 if rule == "forward" else 0.02
    assert np.log2(error(2 * step) / error(step)) == pytest.approx(c.ORDERS[rule], abs=0.1)
    assert error(c.BEST_STEPS[rule]) < min(error(step), 5e-8)

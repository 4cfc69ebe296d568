"""Initial weights: Xavier, He, orthogonal, and scaled by depth, drawn from a generator of one's own.

Sources: Glorot and Bengio 2010; He et al. 2015; Saxe et al. 2014; Radford et al. 2019 (GPT-2, section 2.3: what writes to a
residual stream is divided by the root of the number of additions). Left out: sparse, identity and data-dependent ones.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

Scheme: TypeAlias = Literal["xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "orthogonal"]
GAINS = {"relu": math.sqrt(2), "tanh": 5 / 3, "silu": math.sqrt(2), "gelu": math.sqrt(2)}
"""What keeps the variance through an activation; 1 for the others (PyTorch's calculate_gain; silu and gelu as relu)."""


def fans(weight: Tensor) -> tuple[int, int]:
    """Numbers that one output is made of, and outputs that one number goes into: of [out, in] and [out, in, ...kernel]."""
    if weight.dim() < 2:
        raise ValueError(f"a weight of shape {tuple(weight.shape)} has no fans; a matrix or a kernel is needed")
    seen = weight[0, 0].numel()
    return weight.shape[1] * seen, weight.shape[0] * seen


@torch.no_grad()
def initialise_weight(
    weight: Tensor,
    scheme: Scheme,
    *,
    gain: float | None = None,
    num_residuals: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill a weight in place.

    gain: by which the scheme's size is multiplied; None is 1 for xavier and orthogonal and sqrt(2), for relu, for he.
    num_residuals: how many branches are added to the stream this weight writes to; divides by its root (depth-scaled).
    """
    fan_in, fan_out = fans(weight)
    if gain is None:
        gain = math.sqrt(2) if scheme.startswith("he") else 1.0
    if num_residuals:
        gain /= math.sqrt(num_residuals)
    if scheme == "orthogonal":
        return _orthogonal(weight, gain, generator)
    variance = gain**2 * (2 / (fan_in + fan_out) if scheme.startswith("xavier") else 1 / fan_in)
    if scheme.endswith("uniform"):
        bound = math.sqrt(3 * variance)  # a uniform distribution on [-b, b] has variance b^2 / 3
        return weight.uniform_(-bound, bound, generator=generator)
    return weight.normal_(0, math.sqrt(variance), generator=generator)


def _orthogonal(weight: Tensor, gain: float, generator: torch.Generator | None) -> Tensor:
    """Orthonormal rows, or columns where they are fewer; uniform over all such (the signs of R are taken out, Mezzadri 2007)."""
    flat = weight.flatten(1)
    tall = flat.shape[0] >= flat.shape[1]
    start = torch.empty_like(flat if tall else flat.T, memory_format=torch.contiguous_format).normal_(
        generator=generator
    )
    q, r = torch.linalg.qr(start)
    q *= r.diagonal().sign()
    return weight.copy_(gain * (q if tall else q.T).reshape(weight.shape))


def initialise(
    module: nn.Module,
    scheme: Scheme,
    *,
    gain: float | None = None,
    num_residuals: int = 0,
    generator: torch.Generator | None = None,
) -> None:
    """Every weight of two or more dimensions by the scheme; biases zero. Norms are left as they are."""
    for name, parameter in module.named_parameters():
        if parameter.dim() >= 2:
            initialise_weight(parameter.data, scheme, gain=gain, num_residuals=num_residuals, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)

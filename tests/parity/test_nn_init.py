"""Initial weights of torch modules: variances, bounds and orthogonality of the formulas, and of torch.nn.init."""

from __future__ import annotations

import math
import os

import pytest
import torch
from torch import nn

from groundup.nn.init import GAINS, fans, initialise, initialise_weight

pytestmark = pytest.mark.row("1.5")
SCHEMES = {
    "xavier_uniform": lambda w: nn.init.xavier_uniform_(w),
    "xavier_normal": lambda w: nn.init.xavier_normal_(w),
    "he_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
    "he_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
    "orthogonal": lambda w: nn.init.orthogonal_(w),
}


def fresh() -> torch.Generator:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", [(200, 700), (700, 200), (60, 40, 5, 5)])
def test_distribution_is_that_of_torch(scheme: str, shape: tuple[int, ...]) -> None:
    generator = fresh()
    own, peer = torch.empty(shape), torch.empty(shape)
    initialise_weight(own, scheme, generator=generator)  # type: ignore[arg-type]
    SCHEMES[scheme](peer)
    assert fans(own) == nn.init._calculate_fan_in_and_fan_out(own)
    assert own.std().item() == pytest.approx(peer.std().item(), rel=0.02)
    assert abs(own.mean().item()) < 0.02 * own.std().item() + 4 * own.std().item() / math.sqrt(own.numel())
    if scheme.endswith("uniform"):
        assert own.abs().max().item() == pytest.approx(peer.abs().max().item(), rel=0.01)
    if scheme == "orthogonal":
        flat = own.flatten(1)
        gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
        torch.testing.assert_close(gram, torch.eye(len(gram)), atol=2e-5, rtol=0)


def test_gain_depth_and_the_same_seed() -> None:
    generator = fresh()
    weight = torch.empty(400, 400)
    initialise_weight(weight, "he_normal", gain=3.0, num_residuals=9, generator=generator)
    assert weight.std().item() == pytest.approx(3 / 3 / 20, rel=0.02)
    one, two = (
        initialise_weight(torch.empty(5, 4), "orthogonal", generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(one, two)
    for name in ("relu", "tanh"):
        assert GAINS[name] == pytest.approx(nn.init.calculate_gain(name))
    with pytest.raises(ValueError, match=r"\(4,\)"):
        fans(torch.empty(4))


def test_modules_get_weights_and_zero_biases_and_keep_their_norms() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4))
    initialise(model, "he_normal", generator=fresh())
    assert torch.all(model[0].bias == 0) and torch.all(model[3].bias == 0)
    assert torch.all(model[1].weight == 1)
    assert 0.1 < model[0].weight.std().item() / math.sqrt(2 / 27) < 2

"""Token log-probabilities and entropies: values and gradients equal to the plain formula, however they are cut up."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn

from groundup.core.errors import ConfigError
from groundup.nn.protocols import IGNORE
from groundup.objectives.token_logprobs import token_logprobs

pytestmark = pytest.mark.row("10.4")


def plain(hidden: Tensor, head: nn.Module, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logits = head(hidden)
    logs = torch.log_softmax((logits if logits.dtype == torch.float64 else logits.float()) / temperature, dim=-1)
    known = targets != IGNORE
    chosen = logs.gather(-1, targets.clamp(min=0)[..., None]).squeeze(-1)
    return chosen * known, -(logs.exp() * logs).sum(-1) * known


class Capped(nn.Module):
    """A head with more than one parameter, some of them behind a nonlinearity."""

    def __init__(self, size: int, vocab: int) -> None:
        super().__init__()
        self.down = nn.Linear(size, 5)
        self.up = nn.Linear(5, vocab, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return 7 * torch.tanh(self.up(self.down(x)))


def random_case(seed: int, dtype: torch.dtype) -> tuple[Tensor, nn.Module, Tensor, float]:
    print(f"seed {seed}")
    rng = random.Random(seed)
    torch.manual_seed(seed)
    shape = rng.choice([(7,), (3, 5), (2, 40), (1, 1)])
    size, vocab = rng.randint(2, 24), rng.choice([2, 17, 300])
    head = rng.choice([lambda: nn.Linear(size, vocab), lambda: Capped(size, vocab)])().to(dtype)
    hidden = (3 * torch.randn(*shape, size)).to(dtype).requires_grad_()
    targets = torch.randint(0, vocab, shape)
    targets = torch.where(torch.rand(shape) < rng.choice([0.0, 0.3, 1.0]), IGNORE, targets)
    return hidden, head, targets, rng.choice([1.0, 0.3, 2.5])


def gradients(values: tuple[Tensor, Tensor | None], back: tuple[Tensor, Tensor], wanted: list[Tensor]) -> list[Tensor]:
    total = (values[0] * back[0]).sum()
    if values[1] is not None:
        total = total + (values[1] * back[1]).sum()
    return [torch.zeros_like(w) if g is None else g
            for w, g in zip(wanted, torch.autograd.grad(total, wanted, allow_unused=True), strict=True)]  # fmt: skip


@pytest.mark.parametrize("chunk_tokens", [None, 0, 1, 3, 64])
@pytest.mark.parametrize("entropy", [False, True])
def test_values_and_gradients_are_those_of_the_plain_formula(chunk_tokens: int | None, entropy: bool) -> None:
    for _ in range(25):
        hidden, head, targets, temperature = random_case(random.randrange(1 << 30), torch.float64)
        ours = token_logprobs(
            hidden, head, targets, temperature=temperature, entropy=entropy, chunk_tokens=chunk_tokens
        )
        theirs = plain(hidden, head, targets, temperature)
        torch.testing.assert_close(ours[0], theirs[0], rtol=1e-10, atol=1e-11)
        assert (ours[1] is not None) == entropy
        if ours[1] is not None:
            torch.testing.assert_close(ours[1], theirs[1], rtol=1e-9, atol=1e-10)
        back = (torch.randn_like(theirs[0]), torch.randn_like(theirs[0]))
        wanted = [hidden, *head.parameters()]
        if not bool((targets != IGNORE).any()):
            assert all(not g.any() for g in gradients(ours, back, wanted))
            continue
        want = gradients(theirs if entropy else (theirs[0], None), back, wanted)
        for got, expected in zip(gradients(ours, back, wanted), want, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_results_are_float32_and_near_the_float64_ones(dtype: torch.dtype) -> None:
    for _ in range(10):
        hidden, head, targets, temperature = random_case(random.randrange(1 << 30), dtype)
        for chunk_tokens in (0, 2):
            ours = token_logprobs(
                hidden, head, targets, temperature=temperature, entropy=True, chunk_tokens=chunk_tokens
            )
            logits = head(hidden).double().detach()
            theirs = plain(
                logits, nn.Identity(), targets, temperature
            )  # the same logits, rounded as the head rounds them
            assert ours[0].dtype == torch.float32
            for got, expected in zip(ours, theirs, strict=True):
                assert got is not None
                torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-4)


def test_chunks_under_autocast_give_the_gradients_of_whole_logits() -> None:
    torch.manual_seed(3)
    head, hidden = nn.Linear(16, 50), torch.randn(30, 16, requires_grad=True)
    targets = torch.randint(0, 50, (30,))
    found = []
    for chunk_tokens in (0, 7):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logprobs, _ = token_logprobs(hidden, head, targets, chunk_tokens=chunk_tokens)
        found.append(torch.autograd.grad(logprobs.sum(), [hidden, head.weight]))  # outside autocast, as the loop does
    for got, expected in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, rtol=2e-2, atol=2e-2)
    assert torch.equal(found[0][0], found[1][0])


def test_a_ruled_out_token_has_no_part_in_entropy_or_gradient() -> None:
    logits = torch.randn(4, 6, dtype=torch.float64)
    logits[:, 2] = -torch.inf
    logits.requires_grad_()
    targets = torch.tensor([0, 1, 3, 5])
    logprobs, entropies = token_logprobs(logits, nn.Identity(), targets, entropy=True)
    assert entropies is not None
    (gradient,) = torch.autograd.grad(logprobs.sum() + entropies.sum(), logits)
    assert torch.isfinite(gradient).all() and torch.isfinite(entropies).all()
    assert not gradient[:, 2].any()


def test_nothing_of_the_size_of_the_logits_is_kept_in_chunks() -> None:
    kept: list[int] = []
    head, hidden = nn.Linear(8, 1000), torch.randn(64, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.numel()), t)[1], lambda t: t):
        token_logprobs(hidden, head, torch.randint(0, 1000, (64,)), chunk_tokens=16)[0].sum().backward()
    assert max(kept) <= head.weight.numel() < 64 * 1000


def test_without_gradients_the_values_are_the_same() -> None:
    head, hidden = nn.Linear(8, 40), torch.randn(2, 9, 8)
    targets = torch.randint(0, 40, (2, 9))
    with_grad = token_logprobs(hidden, head, targets, chunk_tokens=4)[0]
    with torch.no_grad():
        without = token_logprobs(hidden, head, targets, chunk_tokens=4)[0]
    torch.testing.assert_close(without, with_grad.detach())
    assert not without.requires_grad


def test_temperature_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="temperature"):
        token_logprobs(torch.randn(2, 3), nn.Linear(3, 4), torch.zeros(2, dtype=torch.long), temperature=0.0)

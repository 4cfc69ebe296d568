"""8-bit optimizer states: the paper's map, the nearest value, AdamW's curve, a quarter of the memory, exact resuming."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.models.decoder import Decoder
from groundup.objectives.causal import CausalLM
from groundup.objectives.sources import WindowSource
from groundup.train.optim import build_optimizer
from groundup.train.optim.adamw import AdamW
from groundup.train.optim.build import AdamW8bitConfig, AdamWConfig
from groundup.train.optim.eightbit import AdamW8bit, dequantise, dynamic_map, quantise
from tiny import Windows, tiny_config, tiny_loop, weights_bytes

pytestmark = pytest.mark.row("9.6")

SEED = int(os.environ.get("GROUNDUP_TEST_SEED") or random.SystemRandom().randrange(2**32))


def read_code(code: int, *, signed: bool) -> float:
    """The value of an 8-bit code as the paper's figure 2 reads it: [sign] zeros, a 1, and a linear fraction in the rest."""
    bits = f"{code:08b}"
    # Unsigned, the sign's bit goes to the fraction: 7 bits count zeros either way.
    sign, rest = (1 if bits[0] == "0" else -1, bits[1:]) if signed else (1, bits)
    if not int(rest, 2):
        return 1.0 if sign < 0 else 0.0  # the two codes without an indicator bit: 0 and 1
    zeros = len(rest) - len(rest.lstrip("0"))
    fraction = rest[zeros + 1 :]
    share = (int(fraction, 2) if fraction else 0) + 0.5
    return sign * 10.0**-zeros * (0.1 + 0.9 * share / 2 ** len(fraction))


def test_the_map_is_the_papers() -> None:
    signed = sorted(read_code(c, signed=True) for c in range(256))
    torch.testing.assert_close(dynamic_map(signed=True), torch.tensor(signed), rtol=1e-6, atol=0)
    # Unsigned: eight bits would count zeros up to seven; the code of a single last 1 is given to the value 1.
    unsigned = sorted([*(read_code(c, signed=False) for c in range(2, 256)), 0.0, 1.0])
    torch.testing.assert_close(dynamic_map(signed=False), torch.tensor(unsigned), rtol=1e-6, atol=0)
    for made in (dynamic_map(signed=True), dynamic_map(signed=False)):
        assert len(made.unique()) == 256 and (made[1:] > made[:-1]).all() and made[-1] == 1.0 and (made == 0).sum() == 1


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("n", "block"), [(256, 256), (1000, 256), (5, 2048), (4097, 2048)])
def test_every_number_becomes_the_nearest_value(n: int, block: int, signed: bool) -> None:
    print(f"GROUNDUP_TEST_SEED={SEED}")
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(n, generator=generator) * torch.logspace(-6, 2, n)
    x = x if signed else x.square()
    x[3] = 0.0
    codes, scale = quantise(x, block=block, signed=signed)
    assert codes.dtype is torch.uint8 and codes.shape == (n,) and scale.shape == (-(-n // block),)
    back = dequantise(codes, scale, block=block, signed=signed)
    table = dynamic_map(signed=signed)
    for i in range(0, n, block):
        part = x[i : i + block]
        biggest = part.abs().max()
        assert scale[i // block] == biggest
        shares = part / biggest
        nearest = (shares[:, None] - table).abs().min(1).values
        error = (back[i : i + block] / biggest - shares).abs()
        if signed:
            torch.testing.assert_close(error, nearest, rtol=1e-4, atol=1e-7)
        else:
            small = (shares > 0) & (shares < table[1] / 2)
            torch.testing.assert_close(error[~small], nearest[~small], rtol=1e-4, atol=1e-7)
            assert torch.allclose(back[i : i + block][small], table[1] * biggest)
        # Relative precision where the exponent has bits left: within half a step of the fraction.
        big = shares.abs() > 0.1
        assert (error[big] / shares[big].abs()).max() < (0.071 if signed else 0.036)
    assert back[3] == 0.0
    zeros = quantise(torch.zeros(n), block=block, signed=signed)
    assert not dequantise(*zeros, block=block, signed=signed).any()


def test_a_step_is_adamws_between_two_roundings() -> None:
    print(f"GROUNDUP_TEST_SEED={SEED}")
    torch.manual_seed(SEED % 2**31)
    start = torch.randn(100, 77)
    ours, exact = (torch.nn.Parameter(start.clone()) for _ in "12")
    args: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1}
    eight, plain = AdamW8bit([ours], smallest=0, **args), AdamW([exact], one_pass=False, **args)
    for step in range(6):
        grad = torch.randn(100, 77)
        ours.grad, exact.grad = grad, grad.clone()
        if step:
            state = eight.state[ours]
            for name, signed in (("mean", True), ("variance", False)):
                kept = dequantise(state[name], state[f"{name}_scale"], block=256, signed=signed)
                plain.state[exact][name] = kept.view(100, 77)
            exact.data.copy_(ours.data)
        eight.step()
        plain.step()
        torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-6)
        assert float(eight.state[ours]["step"]) == step + 1
        mean = plain.state[exact]["mean"]
        codes, scale = quantise(mean, block=256, signed=True)
        assert (eight.state[ours]["mean"].int() - codes.int()).abs().max() <= 1  # rounding of the arithmetic
        torch.testing.assert_close(eight.state[ours]["mean_scale"], scale)


def test_pieces_of_a_large_tensor_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    start, grads = torch.randn(33, 150), [torch.randn(33, 150) for _ in range(3)]
    ended = []
    for numbers, dtype, turned in (
        (1 << 20, torch.float32, False),
        (512, torch.float32, False),
        (512, torch.float32, True),
    ):
        monkeypatch.setattr("groundup.train.optim.eightbit._STEP_NUMBERS", numbers)
        data = start.to(dtype)
        p = torch.nn.Parameter(data.t().contiguous().t() if turned else data.clone())
        assert p.is_contiguous() != turned
        optimizer = AdamW8bit([p], smallest=0)
        for grad in grads:
            p.grad = grad.clone()
            optimizer.step()
        ended.append(p.detach().clone())
    assert torch.equal(ended[0], ended[1]) and torch.equal(ended[0], ended[2])


def test_a_tiny_variance_does_not_make_a_giant_step() -> None:
    p = torch.nn.Parameter(torch.zeros(256))
    optimizer = AdamW8bit([p], lr=0.01, smallest=0, weight_decay=0.0)
    for step in range(5):
        p.grad = torch.full((256,), 1e-5 if step < 2 else 0.0)  # the mean outlives the gradient
        p.grad[0] = 1.0  # squares 10 orders apart in one block
        optimizer.step()
    assert p.detach().abs().max() < 5 * 0.01 * 1.5


def test_learns_as_adamw_does(tmp_path: Path) -> None:
    config = tiny_config(hidden_size=64, vocab_size=80)
    source, objective = WindowSource(Windows(3)), CausalLM()
    curves = []
    for made in (
        AdamWConfig(lr=0.005),
        AdamW8bitConfig(lr=0.005),
        AdamW8bitConfig(lr=0.005, block_size=2048, eight_bit_embeddings=False),
    ):
        model = Decoder(config).initialise(0)
        optimizers = build_optimizer(made, model)
        curve = []
        for step in range(80):
            loss = objective.loss(model, objective.collate(source.take(step, 8))).loss
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            curve.append(loss.item())
        curves.append(curve)
        eight = {entry["mean"].dtype for o in optimizers for entry in o.state.values()}
        assert (torch.uint8 in eight) == isinstance(made, AdamW8bitConfig)
        embedding = next(o.state[model.embed_tokens.weight] for o in optimizers if model.embed_tokens.weight in o.state)
        rounded = isinstance(made, AdamW8bitConfig) and made.eight_bit_embeddings
        assert (embedding["mean"].dtype is torch.uint8) == rounded
    ends = [sum(c[-15:]) / 15 for c in curves]
    assert ends[0] < 0.5 * curves[0][0]
    for end in ends[1:]:
        assert abs(end - ends[0]) < 0.05 * ends[0], ends


def test_states_take_a_quarter() -> None:
    p = torch.nn.Parameter(torch.zeros(512, 512))
    p.grad = torch.ones_like(p)
    sizes = []
    for optimizer in (AdamW([p]), AdamW8bit([p], block=2048), AdamW8bit([p])):
        optimizer.step()
        sizes.append(sum(t.nbytes for t in optimizer.state[p].values()))
    assert sizes[0] == 8 * 512 * 512 + 4
    assert sizes[1] / sizes[0] < 0.2505 and sizes[2] / sizes[0] < 0.2545
    small = torch.nn.Parameter(torch.zeros(4095))
    small.grad = torch.ones(4095)
    optimizer = AdamW8bit([small])
    optimizer.step()
    assert optimizer.state[small]["mean"].dtype is torch.float32


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def loop(directory: Path) -> Any:
        run = tiny_loop(directory, num_steps=12, muon=False)
        run.optimizers = [AdamW8bit(run.model.parameters(), smallest=0)]
        run.optimizers[0].param_groups[0]["base_lr"] = 0.01
        return run

    whole = loop(tmp_path / "whole")
    whole.run()
    kept = Path("checkpoints") / "step_00000007"
    shutil.copytree(tmp_path / "whole" / kept, tmp_path / "part" / kept)
    part = loop(tmp_path / "part")
    part.run()
    assert weights_bytes(whole) == weights_bytes(part)
    states = [run.optimizers[0].state for run in (whole, part)]
    for name, p in whole.model.named_parameters():
        one, other = states[0][p], states[1][dict(part.model.named_parameters())[name]]
        assert set(one) == {"step", "mean", "variance", "mean_scale", "variance_scale"}
        assert one["mean"].dtype is torch.uint8 and all(torch.equal(one[entry], other[entry]) for entry in one)

"""4-bit weights: the codebook from the normal distribution, errors within the codebook's gaps, bytes, training and merging."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

from groundup.adapt import LoRAConfig, apply, load_adapter, merge, remove, save_adapter, select, trainable_parameters
from groundup.adapt.attach import adapted_layers
from groundup.adapt.nf4 import BLOCK, CODEBOOK, SCALE_BLOCK, NF4Weight
from groundup.core.errors import ModelError
from groundup.models.decoder import Decoder
from tiny import tiny_config

pytestmark = pytest.mark.row("9.2")


def test_codebook_is_the_papers_formula() -> None:
    """Quantiles of a normal distribution, eight above zero and seven below, over the largest (section 3): the ends leave
    half a step of tail, averaged over the two sides' step widths.
    """
    offset = 1 - (1 / (2 * 15) + 1 / (2 * 16)) / 2
    quantile = torch.special.ndtri
    above = quantile(torch.linspace(offset, 0.5, 9, dtype=torch.float64)[:-1])
    below = -quantile(torch.linspace(offset, 0.5, 8, dtype=torch.float64)[:-1])
    made = torch.cat((above, below, torch.zeros(1, dtype=torch.float64))).sort().values
    torch.testing.assert_close(torch.tensor(CODEBOOK, dtype=torch.float64), made / made.max(), rtol=0, atol=2e-7)


def nearest(weight: torch.Tensor) -> torch.Tensor:
    """Block by block in float64, without bits: the definition."""
    table = torch.tensor(CODEBOOK, dtype=torch.float64)
    out = []
    for block in weight.double().flatten().split(BLOCK):
        scale = block.abs().max()
        out.append(table[(block[:, None] / scale - table).abs().argmin(1)] * scale if scale else block * 0)
    return torch.cat(out).view(weight.shape)


@pytest.mark.parametrize("shape", [(32, 64), (7, 9), (5, 64), (130, 33), (1, 1)])
def test_without_double_quantisation_each_value_is_the_nearest(shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(shape[0]))
    weight[0] = 0.0 if shape[1] == 64 else weight[0]  # a whole block of zeros
    made = NF4Weight(weight, double_quantize=False).dequantize()
    assert made.dtype == weight.dtype and made.shape == weight.shape
    torch.testing.assert_close(made.double(), nearest(weight), rtol=1e-6, atol=1e-7)


def test_errors_are_bounded_by_gaps_and_scales() -> None:
    weight = 0.02 * torch.randn(256, 512, generator=torch.Generator().manual_seed(3))
    widest = max(b - a for a, b in itertools.pairwise(CODEBOOK)) / 2
    blocks = weight.view(-1, BLOCK)
    bound = widest * blocks.abs().amax(1, keepdim=True)
    single = NF4Weight(weight, double_quantize=False)
    assert ((single.dequantize().view(-1, BLOCK) - blocks).abs() <= bound * (1 + 1e-5)).all()
    double = NF4Weight(weight)
    # e4m3 has 3 bits after the point: a scale is off by a 16th of its distance from the mean at most.
    absmax = blocks.abs().amax(1)
    assert ((double.block_scales() - absmax).abs() <= (absmax - absmax.mean()).abs() / 16 + 1e-5).all()
    error = [(m.dequantize() - weight).norm() / weight.norm() for m in (single, double)]
    assert 0.05 < error[0] < 0.1 and error[1] < 1.02 * error[0], error


def test_bytes_are_what_the_paper_says() -> None:
    weight = torch.randn(1024, 1024)
    single, double = NF4Weight(weight, double_quantize=False), NF4Weight(weight)
    assert 8 * single.nbytes / weight.numel() == pytest.approx(4 + 32 / BLOCK, abs=1e-4)
    assert 8 * double.nbytes / weight.numel() == pytest.approx(4 + 8 / BLOCK + 32 / (BLOCK * SCALE_BLOCK), abs=1e-3)


def model_of(dtype: torch.dtype = torch.float32) -> Decoder:
    return Decoder(tiny_config(hidden_size=32)).initialise(0).to(dtype)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_on_four_bits(dora: bool, dtype: torch.dtype) -> None:
    """Outputs and gradients are those of the same adapter on the weights that the 4 bits stand for; merging adds to them."""

    def same(a: torch.Tensor, b: torch.Tensor, what: str) -> None:
        # In bfloat16 the order of a sum depends on where a tensor lies in memory.
        rounding = 0.02 if dtype == torch.bfloat16 else 1e-5
        assert (a.float() - b.float()).norm() <= rounding * b.float().norm(), what

    ids = torch.randint(0, 17, (2, 12), generator=torch.Generator().manual_seed(2))
    model = apply(LoRAConfig(r=2, quantize="nf4", use_dora=dora), model_of(dtype))
    layers = dict(adapted_layers(model))
    assert len(layers) == 14 and all(layer.weight is None and layer.nf4 is not None for layer in layers.values())
    stands_for = model_of(dtype)
    with torch.no_grad():
        for name, layer in layers.items():
            stands_for.get_submodule(name).weight.copy_(layer.nf4.dequantize())
    twin = apply(LoRAConfig(r=2, use_dora=dora), stands_for)
    for made in (model, twin):
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for _, parameter in trainable_parameters(made):
                assert parameter.dtype == torch.float32
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        made(ids).logits.float().square().sum().backward()
    for (name, a), (_, b) in zip(trainable_parameters(model), trainable_parameters(twin), strict=True):
        same(a.grad, b.grad, f"{name}: ")
    expected = model(ids).logits
    same(expected, twin(ids).logits, "")
    weights = sum(t.nbytes for t in model.state_dict().values() if t.dtype == torch.uint8)
    assert weights == sum(layer.in_features * layer.out_features for layer in layers.values()) / 2
    merged = merge(copy.deepcopy(model), "default")
    assert merged.blocks[0].mixer.q_proj.weight.dtype == dtype
    torch.testing.assert_close(merged(ids).logits, expected, rtol=0.05, atol=0.05 if dtype == torch.bfloat16 else 1e-4)
    with pytest.raises(ModelError, match="4-bit"):
        merge(model, "default", keep=True)
    remove(model, "default")
    assert model.blocks[0].ffn.up_proj.weight.dtype == dtype


def test_an_adapter_moves_between_four_bits_and_full(tmp_path) -> None:
    model = apply(LoRAConfig(r=2, quantize="nf4"), model_of())
    with torch.no_grad():
        for _, parameter in trainable_parameters(model):
            parameter.add_(0.2)
    save_adapter(model, tmp_path / "a")
    ids = torch.randint(0, 17, (2, 12), generator=torch.Generator().manual_seed(2))
    again = load_adapter(model_of(), tmp_path / "a", quantize="nf4")
    assert torch.equal(again(ids).logits, model(ids).logits)
    full = load_adapter(model_of(), tmp_path / "a")
    with select(full, None):
        assert torch.equal(full(ids).logits, model_of()(ids).logits)
    assert 0 < (full(ids).logits - model(ids).logits).norm() < 0.3 * full(ids).logits.norm()

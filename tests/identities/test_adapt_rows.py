"""Adapters by identities: rows of a batch are what they are alone, memories change nothing, merging and taking off give back what
was, gradients are those of finite differences and of plain operations.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.adapt import (
    BottleneckConfig,
    IA3Config,
    LoRAConfig,
    PrefixConfig,
    PromptConfig,
    adapter_names,
    apply,
    merge,
    remove,
    select,
    trainable_parameters,
    unmerge,
)
from groundup.adapt.attach import adapted_layers
from groundup.core.errors import ModelError
from groundup.models.decoder import Decoder
from groundup.models.directory import save_model
from groundup.nn.mixers.attention import Attention
from groundup.nn.state import SequenceState
from tiny import tiny_config

pytestmark = pytest.mark.row("9.2")

CONFIGS: dict[str, Any] = {
    "lora": LoRAConfig(r=3),
    "lora_some": LoRAConfig(r=2, target_modules=("q_proj", "v_proj", "down_proj"), use_rslora=True),
    "dora": LoRAConfig(r=3, use_dora=True),
    "ia3": IA3Config(),
    "houlsby": BottleneckConfig(bottleneck_size=5),
    "pfeiffer": BottleneckConfig(bottleneck_size=3, placement="pfeiffer", activation="relu"),
    "prefix": PrefixConfig(num_virtual_tokens=3),
    "prefix_long": PrefixConfig(num_virtual_tokens=5, prefix_projection=True),
    "prompt": PromptConfig(num_virtual_tokens=4),
}
MERGEABLE = ["lora", "lora_some", "dora", "ia3"]
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "grouped_window": {
        "block": {
            "mixer": {"type": "attention", "num_attention_heads": 4, "num_key_value_heads": 2, "qk_norm": "head",
                      "qkv_bias": True, "sliding_window": 6},
            "ffn": {"type": "gated", "intermediate_size": 24, "bias": True},
        },
    },
    "gpt2": {
        "learned_positions": True,
        "block": {
            "mixer": {"type": "attention", "num_attention_heads": 2, "qkv_bias": True, "output_bias": True,
                      "position": {"type": "none"}},
            "ffn": {"type": "mlp", "intermediate_size": 32, "bias": True},
            "norm": {"type": "layernorm"},
        },
    },
    "gemma": {
        "embedding_scale": 4.0, "logit_softcap": 20.0,
        "block": {
            "mixer": {"type": "attention", "num_attention_heads": 2, "logit_softcap": 10.0},
            "ffn": {"type": "gated", "intermediate_size": 24, "activation": "gelu_tanh"},
            "norm": {"type": "rmsnorm", "unit_offset": True}, "norm_placement": "sandwich",
        },
    },
}  # fmt: skip


def base_model(shape: str = "llama", dtype: torch.dtype = torch.float32) -> Decoder:
    made = Decoder(tiny_config(**SHAPES[shape])).initialise(1)
    stir(made.parameters(), 2, 0.2)
    return made.to(dtype).eval()


def stir(parameters: Any, seed: int, size: float = 0.3) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(size * torch.randn(parameter.shape, generator=generator).to(parameter.dtype))


def put(model: Decoder, *kinds: str) -> Decoder:
    """Each of `kinds` on the model, moved away from where it begins."""
    for number, kind in enumerate(kinds):
        apply(CONFIGS[kind], model, name=kind, seed=number)
        stir([p for _, p in trainable_parameters(model)], number)
    return model


def ids_of(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 17, (rows, length), generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


# --------------------------------------------------------------------------------------------------- rows of a batch


@pytest.mark.parametrize("shape", list(SHAPES))
@torch.no_grad()
def test_rows_of_one_batch_are_what_they_are_alone(shape: str) -> None:
    """Every kind of adapter in one batch, beside the base model."""
    plain = base_model(shape)
    ids = ids_of(2 * len(CONFIGS) + 1, 11)
    without = plain(ids).logits
    model = put(copy.deepcopy(plain), *CONFIGS)
    assert adapter_names(model) == list(CONFIGS)
    names = [*CONFIGS, None, *CONFIGS]
    with select(model, names):
        together = model(ids).logits
    for row, name in enumerate(names):
        with select(model, name):
            alone = model(ids[row : row + 1]).logits[0]
        close(together[row], alone)
        assert name is None or (alone - without[row]).norm() > 1e-2 * without[row].norm(), name
    for nobody in (None, [None] * len(ids)):
        with select(model, nobody):
            assert torch.equal(model(ids).logits, without)
    # What was selected before is selected again.
    close(model(ids[-1:]).logits[0], together[-1])


@pytest.mark.parametrize("kind", list(CONFIGS))
@pytest.mark.parametrize("shape", list(SHAPES))
@torch.no_grad()
def test_incremental_equals_full(shape: str, kind: str) -> None:
    model = put(base_model(shape), kind)
    ids = ids_of(3, 20)
    full = model(ids).logits
    state, parts = model.init_state(3), []
    for piece in ids.split([7, 4, *[1] * 9], dim=1):
        out = model(piece, state)
        parts.append(out.logits)
        state = out.state
    close(torch.cat(parts, dim=1), full)


@torch.no_grad()
def test_ragged_rows_with_different_adapters() -> None:
    """What an engine does: rows of different lengths in one pool, each with its own adapter, one token and several."""
    for shape in SHAPES:
        names = ["lora", None, "prefix", "prompt", "prefix_long", "ia3"]
        model = put(base_model(shape), *[n for n in names if n])
        starts = [9, 3, 6, 1, 8, 2]
        texts = [ids_of(1, start + 6, start) for start in starts]
        alone, memories = [], model.init_memories(len(names) + 1)
        for row, (name, text, start) in enumerate(zip(names, texts, starts)):
            with select(model, name):
                alone.append(model(text).logits[0])
                state = SequenceState(memories, torch.zeros(1, dtype=torch.long), rows=slice(row + 1, row + 2))
                close(model(text[:, :start], state).logits[0], alone[row][:start])
        lengths = torch.tensor(starts)
        with select(model, names):
            for step in (1, 3, 1):
                new = torch.cat([text[:, n : n + step] for text, n in zip(texts, lengths.tolist())])
                logits = model(new, SequenceState(memories, lengths, rows=slice(1, len(names) + 1))).logits
                for row, n in enumerate(lengths.tolist()):
                    close(logits[row], alone[row][n : n + step])
                lengths = lengths + step


@pytest.mark.parametrize("shape", list(SHAPES))
@torch.no_grad()
def test_a_prompt_of_words_is_those_words(shape: str) -> None:
    """A prompt that holds the embeddings of tokens, and a prefix that holds their keys and values, are those tokens: positions,
    windows and masks included.
    """
    model = base_model(shape)
    ids = ids_of(2, 15)
    ids[:, :4] = ids[0, :4]
    state = model.init_state(2)
    expected = model(ids, state).logits[:, 4:]
    apply(PromptConfig(num_virtual_tokens=4), model, name="prompt")
    [(_, prompt)] = trainable_parameters(model)
    prompt.copy_(model.embed_tokens.weight[ids[0, :4]] * model.config.embedding_scale)
    close(model(ids[:, 4:]).logits, expected)
    apply(PrefixConfig(num_virtual_tokens=4), model, name="prefix")
    [(_, prefix)] = trainable_parameters(model)
    layers = [torch.stack((m.keys[0, :, :4], m.values[0, :, :4])) for m in state.memories]  # each [2, K, P, N]
    prefix.copy_(torch.stack(layers).permute(3, 0, 1, 2, 4).reshape(prefix.shape))
    close(model(ids[:, 4:]).logits, expected)


@pytest.mark.parametrize("kind", list(CONFIGS))
@torch.no_grad()
def test_packed_documents_are_what_they_are_alone(kind: str) -> None:
    model = put(base_model("grouped_window"), kind)
    lengths = [9, 1, 12]
    ids = ids_of(1, sum(lengths))
    documents = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    packed = model(ids, SequenceState.for_documents(documents, 2)).logits[0]
    begin = 0
    for length in lengths:
        close(packed[begin : begin + length], model(ids[:, begin : begin + length]).logits[0])
        begin += length


def test_gradients_through_rows() -> None:
    """Rows with an adapter give it the gradient that they give alone."""
    model = put(base_model("grouped_window"), "lora", "ia3", "prompt")
    for part in [p for n, p in model.named_parameters() if "adapters" in n]:
        part.requires_grad_(True)
    ids = ids_of(5, 9)
    names = ["ia3", "lora", None, "prompt", "lora"]
    with select(model, names):
        model(ids).logits.square().sum().backward()
    mixed = {n: p.grad.clone() for n, p in trainable_parameters(model)}
    model.zero_grad()
    for row, name in enumerate(names):
        if name is not None:
            with select(model, name):
                model(ids[row : row + 1]).logits.square().sum().backward()
    assert len(mixed) > 20
    for name, parameter in trainable_parameters(model):
        close(mixed[name], parameter.grad, 1e-3)


# ------------------------------------------------------------------------------------------------------------ merging


@pytest.mark.parametrize("kind", MERGEABLE)
@pytest.mark.parametrize("shape", list(SHAPES))
@torch.no_grad()
def test_merge_and_unmerge(shape: str, kind: str, tmp_path: Path) -> None:
    plain = base_model(shape)
    ids = ids_of(2, 11)
    model = put(copy.deepcopy(plain), kind)
    expected = model(ids).logits
    merge(model, kind, keep=True)
    close(model(ids).logits, expected)
    with pytest.raises(ModelError, match="merged"), select(model, None):
        pass
    with pytest.raises(ModelError, match="merged"):
        merge(model, kind)
    unmerge(model, kind)
    close(model(ids).logits, expected)
    with select(model, None):
        close(model(ids).logits, plain(ids).logits)
    merged = merge(model, kind)
    close(merged(ids).logits, expected)
    assert [n for n, _ in merged.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert {type(m) for m in merged.modules()} == {type(m) for m in plain.modules()}
    assert all(p.requires_grad for p in merged.parameters()) and not merged._forward_pre_hooks
    assert merged.lm_head.weight is merged.embed_tokens.weight
    save_model(merged, tmp_path / "model")


@pytest.mark.parametrize("kind", [k for k in CONFIGS if k not in MERGEABLE])
def test_what_cannot_be_merged_says_so(kind: str) -> None:
    model = put(base_model(), kind)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ModelError, match="cannot be merged"):
        merge(model, kind)
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


@torch.no_grad()
def test_taking_adapters_off_gives_back_the_same_model() -> None:
    plain = base_model("gpt2")
    ids = ids_of(2, 11)
    expected = plain(ids).logits
    model = put(copy.deepcopy(plain), *CONFIGS)
    for kind in list(CONFIGS)[::-1]:
        assert isinstance(model.blocks[0].mixer, Attention) and type(model.blocks[0].mixer) is not Attention
        remove(model, kind)
    assert torch.equal(model(ids).logits, expected)
    assert {type(m) for m in model.modules()} == {type(m) for m in plain.modules()}


# -------------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_gradients_by_finite_differences(kind: str) -> None:
    """In float64: the derivative along a random direction. DoRA holds the lengths constant, so its A and B are left out."""
    model = put(base_model("grouped_window", torch.float64), kind)
    ids = ids_of(2, 7)
    parameters = [p for n, p in trainable_parameters(model) if kind != "dora" or "magnitude" in n]
    assert all(p.dtype == torch.float64 for p in parameters)
    directions = [
        torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(i))
        for i, p in enumerate(parameters)
    ]

    def loss() -> Tensor:
        return F.cross_entropy(model(ids).logits.flatten(0, 1), ids.flatten())

    loss().backward()
    slope = sum(float((p.grad * d).sum()) for p, d in zip(parameters, directions))
    values, step = [], 1e-6
    with torch.no_grad():
        for side in (1, -1):
            for p, d in zip(parameters, directions):
                p.add_(side * step * d)
            values.append(float(loss()))
            for p, d in zip(parameters, directions):
                p.sub_(side * step * d)
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("kind", ["lora", "lora_some", "dora"])
def test_written_gradients_equal_plain_operations(kind: str) -> None:
    """The same adapter as a formula over plain tensors: W + s B A, with DoRA's constant lengths."""
    model = put(base_model("grouped_window"), kind)
    ids = ids_of(2, 9)
    model(ids).logits.square().sum().backward()
    written = {n: p.grad.clone() for n, p in trainable_parameters(model)}
    model.zero_grad()
    for _, layer in list(adapted_layers(model)):
        if kind in layer.adapters:
            layer.forward = formula(layer, layer.adapters[kind])  # type: ignore[method-assign]
    for block in model.blocks:
        block.mixer.inputs = lambda x, m=block.mixer: (m.q_proj(x), m.k_proj(x), m.v_proj(x))
        block.ffn.forward = lambda x, f=block.ffn: f.down_proj(f.activation(f.gate_proj(x)) * f.up_proj(x))
    model(ids).logits.square().sum().backward()
    for name, parameter in trainable_parameters(model):
        close(written[name], parameter.grad, 1e-3)


def formula(layer: Any, lora: Any) -> Any:
    def forward(x: Tensor) -> Tensor:
        weight = layer.weight + lora.scaling * lora.lora_B @ lora.lora_A
        if lora.lora_magnitude_vector is None:
            return F.linear(x, weight, layer.bias)
        lengths = weight.norm(dim=1).detach()
        return F.linear(x, weight * (lora.lora_magnitude_vector / lengths)[:, None], layer.bias)

    return forward


def test_bottleneck_is_its_formula() -> None:
    """h + up(gelu(down(h))) after each sublayer, before the norm that follows it and the residual."""
    model = put(base_model("gemma"), "houlsby")
    plain = base_model("gemma")

    class Formula(nn.Module):
        def __init__(self, linear: nn.Module, adapter: Any) -> None:
            super().__init__()
            self.linear, self.adapter = linear, adapter

        def forward(self, x: Tensor) -> Tensor:
            h = self.linear(x)
            a = self.adapter
            return h + F.gelu(h @ a.down.weight.T + a.down.bias) @ a.up.weight.T + a.up.bias

    for ours, theirs in zip(model.blocks, plain.blocks):
        theirs.mixer.o_proj = Formula(theirs.mixer.o_proj, ours.mixer.o_proj.adapters["houlsby"])
        theirs.ffn.down_proj = Formula(theirs.ffn.down_proj, ours.ffn.down_proj.adapters["houlsby"])
    ids = ids_of(2, 9)
    close(model(ids).logits, plain(ids).logits)


# --------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_checkpointed_activations_give_the_same_gradients(kind: str) -> None:
    model = put(base_model("grouped_window"), kind).train()
    ids = ids_of(2, 9)
    found = []
    for checkpoint in (False, True):
        model.zero_grad()
        model.checkpoint_activations = checkpoint
        loss = model(ids).logits.square().sum()
        with torch.no_grad(), select(model, None):  # a reference pass between forward and backward
            model(ids_of(3, 5))
        loss.backward()
        found.append([p.grad.clone() for _, p in trainable_parameters(model)])
    for a, b in zip(*found):
        close(a, b)


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_bfloat16_autocast(kind: str) -> None:
    """Losses and gradients near those of float32, gradients in the parameters' own dtype; frozen weights are cast once."""
    # Weights of a usual size: in the others rounding alone moves a gradient by a third, with plain operations more than with ours.
    model = apply(CONFIGS[kind], Decoder(tiny_config(**SHAPES["grouped_window"])).initialise(1))
    stir([p for _, p in trainable_parameters(model)], 0, 0.1)
    ids = ids_of(4, 12)
    found = []
    for enabled in (False, True):
        for _ in range(2):
            model.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                loss = F.cross_entropy(model(ids).logits.flatten(0, 1).float(), ids.flatten())
            loss.backward()
        found.append((loss.item(), [p.grad.clone() for _, p in trainable_parameters(model)]))
    assert found[0][0] == pytest.approx(found[1][0], rel=0.03)
    a, b = (torch.cat([g.flatten() for g in gradients]) for _, gradients in found)
    assert a.dtype == b.dtype == torch.float32 and (a - b).norm() < 0.1 * a.norm()


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_training_lowers_the_loss_and_touches_nothing_else(kind: str) -> None:
    model = apply(CONFIGS[kind], base_model("llama"), name=kind).train()
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.Adam([p for _, p in trainable_parameters(model)], lr=0.02)
    ids = ids_of(4, 12)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0], losses
    assert all(torch.equal(frozen[n], p) for n, p in model.named_parameters() if n in frozen)


def test_the_first_layer_sends_no_gradient_below() -> None:
    """Above a frozen embedding the first projections make no gradient of their input."""
    model = put(base_model(), "lora")
    seen = []
    model.blocks[0].mixer.q_proj.register_forward_pre_hook(lambda m, args: seen.append(args[0].requires_grad))
    model.blocks[0].pre_mixer_norm.register_forward_hook(lambda m, args, out: seen.append(out.requires_grad))
    model(ids_of(1, 5)).logits.sum().backward()
    assert seen == [False]

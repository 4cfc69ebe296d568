"""Identities of the decoder: with a state it says what it says without one, and packed documents do not see each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.core.config import Use
from groundup.core.errors import ConfigError, ModelError
from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig, swapped_parts
from groundup.models.directory import load_model, save_model
from groundup.models.families import read_config
from groundup.nn.ffn import GatedConfig, MLPConfig
from groundup.nn.mixers.attention import Attention, AttentionConfig, attend, attend_explained, causal_mask
from groundup.nn.norm import RMSNormConfig
from groundup.nn.position import LinearScaling, NoPositionConfig, RopeConfig
from groundup.nn.state import SequenceState

SMALL = {
    "vocab_size": 61, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 96,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 61, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 96},
    "llama": {},
    "mistral": {"sliding_window": 5},
    "qwen2": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    "qwen3": {"head_dim": 10},
    "gemma2": {"head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 9},
    "olmo2": {},
}


def family_config(name: str) -> DecoderConfig:
    return read_config({**({} if name == "gpt2" else SMALL), **FAMILIES[name], "model_type": name})


def plain_config(**attention: Any) -> DecoderConfig:
    mixer = AttentionConfig(**{"num_attention_heads": 4, **attention})
    block = BlockConfig(mixer=mixer, ffn=GatedConfig(intermediate_size=40))
    return DecoderConfig(vocab_size=61, hidden_size=24, num_hidden_layers=2, max_position_embeddings=96, block=block)


CONFIGS = {
    **{name: family_config(name) for name in FAMILIES},
    "no positions": plain_config(position=NoPositionConfig()),
    "part of each head turned": plain_config(position=RopeConfig(partial_rotary_factor=0.5, scaling=LinearScaling(factor=2.0))),
    "one kv head": plain_config(num_key_value_heads=1),
}  # fmt: skip


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def model(request: pytest.FixtureRequest) -> Decoder:
    return lively(request.param)


def lively(config: DecoderConfig) -> Decoder:
    """Weights large enough that attention and positions matter."""
    made = Decoder(config).initialise(5).eval()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.25 * torch.randn(parameter.shape, generator=generator))
    return made


def ids_of(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 61, (rows, length), generator=torch.Generator().manual_seed(seed))


def assert_same(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------------------ incremental = full


@pytest.mark.row("5.1")
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_incremental_equals_full(model: Decoder, dtype: torch.dtype | None) -> None:
    """Prefill in chunks, then token by token; the memory's dtype rounds keys and values and nothing else."""
    ids = ids_of(3, 30)
    full = model(ids).logits
    state, parts = model.init_state(3, dtype=dtype), []
    for piece in ids.split([7, 4, 9, *[1] * 10], dim=1):
        out = model(piece, state)
        parts.append(out.logits)
        state = out.state
    got = torch.cat(parts, dim=1)
    if dtype is torch.bfloat16:
        assert (got - full).norm() < 0.05 * full.norm()
    else:
        assert_same(got, full)
    assert state.lengths.tolist() == [30] * 3 and state.nbytes > 0


@pytest.mark.row("5.1")
@torch.inference_mode()
def test_float64_stays_float64(model: Decoder) -> None:
    """A token alone is read as precisely as the first of many, and decoded as precisely as read."""
    if model.config.block.norm == RMSNormConfig(unit_offset=True):
        pytest.skip("norms of this kind compute in float32")
    model.double()
    ids = ids_of(3, 12)
    full = model(ids).logits
    torch.testing.assert_close(model(ids[:, :1]).logits, full[:, :1], rtol=1e-10, atol=1e-10)
    state, parts = model.init_state(3), []
    for piece in ids.split([5, *[1] * 7], dim=1):
        out = model(piece, state)
        parts.append(out.logits)
        state = out.state
    torch.testing.assert_close(torch.cat(parts, dim=1), full, rtol=1e-10, atol=1e-10)


@pytest.mark.row("5.1")
@torch.inference_mode()
def test_ragged_rows_equal_rows_alone(model: Decoder) -> None:
    """Rows of different lengths in one pool: single tokens, and chunks of several, and rows that move."""
    starts = [13, 2, 8]
    texts = [ids_of(1, length + 12, seed) for seed, length in enumerate(starts)]
    alone = [model(text).logits[0] for text in texts]
    memories = model.init_memories(5)
    for row, (text, length) in enumerate(zip(texts, starts)):
        state = SequenceState(memories, torch.zeros(1, dtype=torch.long), rows=slice(row + 1, row + 2))
        assert_same(model(text[:, :length], state).logits[0], alone[row][:length])
    lengths = torch.tensor(starts)
    for step in (1, 4, 1, 3):
        new = torch.cat([text[:, n : n + step] for text, n in zip(texts, lengths.tolist())])
        logits = model(new, SequenceState(memories, lengths, rows=slice(1, 4))).logits
        for row, n in enumerate(lengths.tolist()):
            assert_same(logits[row], alone[row][n : n + step])
        lengths = lengths + step
    for memory in memories:
        memory.move(3, 0)
    n = int(lengths[2])
    state = SequenceState(memories, lengths[2:], rows=slice(0, 1))
    assert_same(model(texts[2][:, n : n + 1], state).logits[0], alone[2][n : n + 1])


# ---------------------------------------------------------------------------------------------------------- documents


@pytest.mark.row("8.2")
def test_packed_documents_are_apart(model: Decoder) -> None:
    """A row of three documents: each is what it is alone, and changing one changes no bit of the others."""
    lengths = [9, 1, 14]
    ids = ids_of(2, sum(lengths))
    documents = torch.repeat_interleave(torch.tensor([4, 9, 5]), torch.tensor(lengths)).expand(2, -1)

    def packed(ids: torch.Tensor) -> torch.Tensor:
        state = SequenceState.for_documents(documents, model.config.num_hidden_layers)
        return model(ids, state).logits

    together = packed(ids)
    begin = 0
    for length in lengths:
        piece = slice(begin, begin + length)
        assert_same(together[:, piece], model(ids[:, piece]).logits)
        begin += length
    changed = ids.clone()
    changed[:, :9] = (changed[:, :9] + 1) % 61
    after = packed(changed)
    assert torch.equal(after[:, 9:], together[:, 9:])
    assert not torch.equal(after[:, :9], together[:, :9])


@pytest.mark.row("8.2")
def test_no_gradient_crosses_documents(model: Decoder) -> None:
    ids = ids_of(1, 16)
    documents = torch.tensor([[0] * 7 + [1] * 9])
    inputs: list[torch.Tensor] = []

    def keep(_module: Any, _args: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        inputs.append(output)

    model.embed_tokens.register_forward_hook(keep)
    state = SequenceState.for_documents(documents, model.config.num_hidden_layers)
    model(ids, state).logits[0, 7:].square().sum().backward()
    gradient = inputs[0].grad
    assert gradient is not None
    assert gradient[0, :7].abs().max() == 0 and gradient[0, 7:].abs().min() > 0


# ------------------------------------------------------------------------------------------------------ attend, rope


@pytest.mark.row("5.4")
@pytest.mark.parametrize("dtype,tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("heads,kv_heads", [(4, 4), (6, 2), (5, 1)])
@pytest.mark.parametrize("num_queries,num_keys", [(1, 17), (9, 9), (3, 12)])
@pytest.mark.parametrize("kind", ["bool", "bias", "none"])
def test_attend_is_attend_explained(
    dtype: torch.dtype, tolerance: float, heads: int, kv_heads: int, num_queries: int, num_keys: int, kind: str
) -> None:
    if kind == "none" and 1 < num_queries < num_keys:
        return  # without a mask, several queries are as many as the keys
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    q, k, v = draw(2, heads, num_queries, 8), draw(2, kv_heads, num_keys, 8), draw(2, kv_heads, num_keys, 8)
    seen = torch.rand(2, 1, num_queries, num_keys, generator=generator) < 0.6
    seen[..., 0] = True
    mask = None if kind == "none" else seen
    given = mask if kind != "bias" else torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
    if given is not None and given.dtype != torch.bool and num_queries > 1:
        given = given.to(dtype)
    got = attend(q, k, v, mask=given, scale=0.7, softcap=None)
    assert got.dtype == dtype
    explained = attend_explained(q, k, v, mask=mask, scale=0.7, softcap=None)
    torch.testing.assert_close(got, explained, rtol=tolerance, atol=tolerance)
    # By hand, one head at a time.
    for head in range(heads):
        group = head // (heads // kv_heads)
        scores = q[:, head].float() @ k[:, group].float().transpose(-1, -2) * 0.7
        hidden = ~seen[:, 0] if mask is not None else ~causal_mask(num_keys, None, q.device)[-num_queries:]
        wanted = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v[:, group].float()
        torch.testing.assert_close(explained[:, head].float(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.row("5.4")
def test_windows_reach_as_far_as_they_say() -> None:
    mask = causal_mask(6, 3, torch.device("cpu"))
    assert mask.sum(dim=1).tolist() == [1, 2, 3, 3, 3, 3]
    assert not mask.triu(1).any() and not mask.tril(-3).any()


@pytest.mark.row("5.3")
def test_rope_is_relative_and_keeps_length() -> None:
    attention = Attention(24, AttentionConfig(num_attention_heads=2, position=RopeConfig(rope_theta=100.0)))
    rope = attention.position
    rope.prepare(64)
    q, k = torch.randn(1, 2, 1, 12), torch.randn(1, 2, 1, 12)

    def score(at_q: int, at_k: int) -> torch.Tensor:
        a, _ = rope(q, q, torch.tensor([[at_q]]))
        b, _ = rope(k, k, torch.tensor([[at_k]]))
        torch.testing.assert_close(a.norm(dim=-1), q.norm(dim=-1))
        return (a * b).sum(-1)

    torch.testing.assert_close(score(9, 4), score(35, 30))
    assert (score(9, 4) - score(9, 5)).abs().max() > 1e-3
    # Complex numbers say the same: pair (i, i + N/2) is turned by position * theta ** (-2 i / N).
    turned, _ = rope(q, k, torch.tensor([[9]]))
    angle = 9 * 100.0 ** (-torch.arange(0, 12, 2).double() / 12)
    wanted = torch.complex(q[..., :6].double(), q[..., 6:].double()) * torch.polar(torch.ones_like(angle), angle)
    torch.testing.assert_close(turned, torch.cat((wanted.real, wanted.imag), -1).float())


@pytest.mark.row("5.3")
def test_learned_positions_end_where_they_end() -> None:
    model = Decoder(family_config("gpt2"))
    with pytest.raises(ModelError, match=r"97 positions, but this model has learned 96"):
        model(ids_of(1, 97))


# ---------------------------------------------------------------------------------------------------- learner's parts

PARTS = '''
import torch
from torch import nn


class Averages(nn.Module):
    """Each position takes the mean of all up to itself, through a matrix."""

    def __init__(self, hidden_size, gain=1.0):
        super().__init__()
        self.map = nn.Linear(hidden_size, hidden_size, bias=False)
        self.gain = gain

    def forward(self, x, state=None):
        count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]
        return self.gain * self.map(x.cumsum(dim=1) / count), state


class Wide(Averages):
    def __init__(self, hidden_size):
        super().__init__(hidden_size)
        self.map = nn.Linear(hidden_size, hidden_size + 1)


class Forward(Averages):
    def forward(self, x, state=None):
        return self.map(x.flip(1).cumsum(dim=1).flip(1)), state


class Bare(Averages):
    def forward(self, x, state=None):
        return self.map(x)


class Fails(Averages):
    def forward(self, x, state=None):
        raise RuntimeError("matrices do not fit")


class Squares(nn.Module):
    def __init__(self, hidden_size, intermediate_size):
        super().__init__()
        self.up, self.down = nn.Linear(hidden_size, intermediate_size), nn.Linear(intermediate_size, hidden_size)

    def forward(self, x):
        return self.down(self.up(x).square())


class NoHands(nn.Module):
    def __init__(self, hidden_size, banana):
        super().__init__()


class Backwards(nn.Module):
    """A position part: turns queries and keys by nothing at all."""

    def forward(self, q, k, positions):
        return q, k


NotAPart = 3
'''


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    path = tmp_path / "parts.py"
    path.write_text(PARTS)
    return path


def with_mixer(use: Use) -> DecoderConfig:
    ffn = GatedConfig(intermediate_size=40)
    attention = BlockConfig(mixer=AttentionConfig(num_attention_heads=4), ffn=ffn)
    return DecoderConfig(
        vocab_size=61, hidden_size=24, num_hidden_layers=3, max_position_embeddings=96,
        block=BlockConfig(mixer=use, ffn=ffn), alternate=(attention,),
    )  # fmt: skip


@pytest.mark.row("5.1")
@torch.inference_mode()
def test_a_learners_mixer_generates_by_replay(parts: Path) -> None:
    """Written for training only, in a hybrid with attention: incremental and ragged calls equal the full one."""
    model = lively(with_mixer(Use(use=f"{parts}:Averages", args={"gain": 1.5})))
    test_incremental_equals_full.__wrapped__(model, None)
    test_ragged_rows_equal_rows_alone.__wrapped__(model)


@pytest.mark.parametrize(
    "name,error,said",
    [
        ("Wide", ModelError, r"must keep the shape \[B, T, D\] = \[2, 5, 24\], but returned \[2, 5, 25\]"),
        ("Forward", ModelError, "lets a position see later ones"),
        ("Bare", ModelError, r"must return \(y, state\), not Tensor"),
        ("Fails", ModelError, "failed on an input of shape .* RuntimeError: matrices do not fit"),
        ("NoHands", ModelError, "cannot be made: .*banana"),
        ("NotAPart", ModelError, "is not an nn.Module class"),
        ("Averagse", ConfigError, "has no 'Averagse'"),
    ],
)
def test_wrong_parts_are_told_what_is_wrong(parts: Path, name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Decoder(with_mixer(Use(use=f"{parts}:{name}")))


def test_a_part_may_ask_for_what_it_replaces(parts: Path) -> None:
    use = Use(use=f"{parts}:Squares", replaces={"intermediate_size": 7, "bias": False})
    model = Decoder(plain_config_with_ffn(use))
    assert model.blocks[0].ffn.up.out_features == 7


def plain_config_with_ffn(ffn: Any) -> DecoderConfig:
    block = BlockConfig(mixer=AttentionConfig(num_attention_heads=4), ffn=ffn)
    return DecoderConfig(vocab_size=61, hidden_size=24, num_hidden_layers=2, max_position_embeddings=96, block=block)


@pytest.mark.parametrize("place", ["mixer", "ffn", "position"])
def test_a_learners_part_survives_the_directory(parts: Path, tmp_path: Path, place: str) -> None:
    config = {
        "mixer": with_mixer(Use(use=f"{parts}:Averages", args={"gain": 0.5})),
        "ffn": plain_config_with_ffn(Use(use=f"{parts}:Squares", args={"intermediate_size": 9})),
        "position": plain_config(position=Use(use=f"{parts}:Backwards")),
    }[place]
    model = lively(config)
    (part,) = swapped_parts(config)
    save_model(model, tmp_path / "model")
    marker = tmp_path / "was_run"
    parts.write_text(PARTS + f"\nopen({str(marker)!r}, 'w').close()\n")
    with pytest.raises(ModelError, match=r"was made with the part .*parts\.py") as caught:
        load_model(tmp_path / "model", trusted_parts=("elsewhere.py:Averages", f"{parts}:Other"))
    assert "--swap" in caught.value.hint and not marker.exists()
    again = load_model(tmp_path / "model", trusted_parts=(part,))
    assert again.config == config
    ids = ids_of(2, 10)
    assert torch.equal(again(ids).logits, model(ids).logits)


# ------------------------------------------------------------------------------------------------------------ training


@pytest.mark.row("5.1")
def test_recomputed_activations_give_the_same_gradients(model: Decoder) -> None:
    model.train()
    gradients = []
    for checkpointing in (False, True):
        model.checkpoint_activations = checkpointing
        model.zero_grad()
        model(ids_of(2, 10)).logits.square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_plain_training_call_traces_as_one_graph() -> None:
    model = lively(plain_config(num_key_value_heads=2, qk_norm="head")).train()
    model.prepare_positions(12)
    explained = torch._dynamo.explain(lambda ids: model(ids).logits)(ids_of(2, 12))
    assert explained.graph_break_count == 0, explained.break_reasons


def test_initialise_is_a_function_of_the_seed() -> None:
    first, second = (Decoder(plain_config()).initialise(seed) for seed in (3, 3))
    other = Decoder(plain_config()).initialise(4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.embed_tokens.weight, other.embed_tokens.weight)
    assert first.lm_head.weight is first.embed_tokens.weight
    scale = first.blocks[0].mixer.o_proj.weight.std() / first.blocks[0].mixer.q_proj.weight.std()
    assert abs(scale.item() - 0.5) < 0.1  # 1 / sqrt(2 L), L = 2


def test_counts() -> None:
    """Parameters and floating-point operations of a decoder small enough to count by hand."""
    config = DecoderConfig(
        vocab_size=10, hidden_size=4, num_hidden_layers=1, max_position_embeddings=8,
        block=BlockConfig(mixer=AttentionConfig(num_attention_heads=2), ffn=MLPConfig(intermediate_size=6)),
    )  # fmt: skip
    model = Decoder(config)
    matrices = 4 * 16 + 2 * 24
    assert model.num_parameters() == 40 + matrices + 3 * 4
    assert model.num_parameters(embeddings=False) == matrices + 3 * 4
    assert model.flops_per_token(8) == 6 * (matrices + 40) + 6 * 2 * 2 * 8

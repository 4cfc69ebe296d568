"""Heads against transformers: the same files, equal logits, both ways; and what a head does that needs no reference."""

from __future__ import annotations

import copy
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from test_models_families import gemma2, gpt2, llama, mistral, olmo2, qwen2, qwen3

from groundup.core.errors import ModelError
from groundup.models.decoder import Decoder
from groundup.models.directory import load_model, save_model, seal_model
from groundup.models.heads import HeadedDecoder, last_positions, load_headed, save_headed, with_head
from groundup.nn.state import SequenceState
from tiny import VOCAB, tiny_config

pytestmark = pytest.mark.row("9.1")

SEED = int(os.environ.get("GROUNDUP_TEST_SEED") or random.SystemRandom().randrange(2**32))
KINDS = {"sequence": "SequenceClassification", "token": "TokenClassification", "span": "QuestionAnswering"}
FAMILIES = {
    "Llama": llama,
    "Mistral": mistral,
    "Qwen2": qwen2,
    "Qwen3": qwen3,
    "Gemma2": gemma2,
    "Olmo2": olmo2,
    "GPT2": gpt2,
}
CASES = [(f, k) for f in FAMILIES for k in KINDS if hasattr(transformers, f"{f}For{KINDS[k]}")]


@pytest.fixture(params=CASES, ids=lambda c: "-".join(c))
def case(request: pytest.FixtureRequest) -> tuple[str, str, Any]:
    family, kind = request.param
    print(f"GROUNDUP_TEST_SEED={SEED}")
    draw = random.Random(f"{SEED} {family} {kind}")
    torch.manual_seed(draw.randrange(2**31))
    config = FAMILIES[family](draw)
    labels = 2 if kind == "span" else draw.choice([1, 3, 4])
    config.num_labels = labels
    model = getattr(transformers, f"{family}For{KINDS[kind]}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    model.set_attn_implementation("eager")
    return kind, family, model


def padded_ids(vocab: int, pad: int, *, left: bool = False) -> torch.Tensor:
    ids = torch.randint(1, vocab, (3, 15))
    for row, length in enumerate((15, 6, 11)):
        ids[row][: 15 - length] = pad if left else ids[row][: 15 - length]
        if not left:
            ids[row][length:] = pad
    return ids


def their_logits(model: Any, kind: str, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out = model(ids)
    return torch.stack([out.start_logits, out.end_logits], -1) if kind == "span" else out.logits


def test_their_directory_here_and_back(case: tuple[str, str, Any], tmp_path: Path) -> None:
    kind, _, theirs = case
    theirs.save_pretrained(tmp_path / "theirs")
    model = load_headed(tmp_path / "theirs")
    assert model.kind == kind and not model.training
    if kind != "span":
        assert model.labels == tuple(theirs.config.id2label.values())
    ids = padded_ids(theirs.config.vocab_size, 0)
    with torch.no_grad():
        ours = model(ids)
    wanted = their_logits(theirs, kind, ids)
    assert ours.shape == wanted.shape
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)
    save_headed(model, tmp_path / "ours")
    seal_model(tmp_path / "ours")
    again, info = getattr(transformers, f"AutoModelFor{KINDS[kind]}").from_pretrained(
        tmp_path / "ours", attn_implementation="eager", trust_remote_code=False, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    # A Mistral without a window is saved as a Llama, which transformers computes in another order.
    torch.testing.assert_close(their_logits(again, kind, ids), wanted, rtol=1e-4, atol=1e-5)
    assert again.config.id2label == theirs.config.id2label or kind == "span"
    with torch.no_grad():
        assert torch.equal(load_headed(tmp_path / "ours")(ids), ours)
    with pytest.raises(ModelError, match="labels as its output"):
        load_model(tmp_path / "ours")


def test_gradients_equal_theirs(tmp_path: Path) -> None:
    print(f"GROUNDUP_TEST_SEED={SEED}")
    config = llama(random.Random(f"{SEED} gradients"))
    config.num_labels = 3
    torch.manual_seed(SEED % 2**31)
    theirs = transformers.LlamaForSequenceClassification(config).eval()
    theirs.set_attn_implementation("eager")
    theirs.save_pretrained(tmp_path)
    ours = load_headed(tmp_path)
    ids = padded_ids(config.vocab_size, 0)
    weights = torch.randn(3, 3)
    (ours(ids) * weights).sum().backward()
    (theirs(ids).logits * weights).sum().backward()
    pairs = [
        (ours.score.weight, theirs.score.weight),
        (ours.decoder.embed_tokens.weight, theirs.model.embed_tokens.weight),
        (ours.decoder.blocks[0].mixer.q_proj.weight, theirs.model.layers[0].self_attn.q_proj.weight),
    ]
    for mine, other in pairs:
        assert mine.grad is not None and float(mine.grad.abs().max()) > 0
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-5)


def small(kind: Any, labels: tuple[str, ...], **over: Any) -> HeadedDecoder:
    return with_head(Decoder(tiny_config(**over)).initialise(0), kind, labels, 5, pad_token_id=0).eval()


@pytest.mark.parametrize(
    ("kind", "labels"), [("sequence", ("reward",)), ("token", ("value",)), ("span", ("start", "end"))]
)
def test_a_new_head_is_saved_and_loaded(kind: Any, labels: tuple[str, ...], tmp_path: Path) -> None:
    # Full-width key norms fit no family: the directory has our own form.
    attention = {"type": "attention", "num_attention_heads": 2, "qk_norm": "full"}
    block = {"mixer": attention, "ffn": {"type": "gated", "intermediate_size": 32}}
    for number, over in enumerate(({}, {"block": block}, {"tie_word_embeddings": False})):
        model = small(kind, labels, **over)
        model.problem_type = "regression"
        save_headed(model, tmp_path / str(number))
        raw = json.loads((tmp_path / str(number) / "config.json").read_text())
        assert raw["model_type"] == ("groundup" if "block" in over else "llama") and raw["pad_token_id"] == 0
        again = load_headed(tmp_path / str(number))
        ids = torch.randint(1, VOCAB, (2, 9))
        assert torch.equal(again(ids), model(ids))
        assert (again.kind, again.labels, again.problem_type, again.pad_token_id) == (kind, labels, "regression", 0)
        assert not [name for name, _ in again.named_parameters() if "lm_head" in name]


def test_gemma_has_no_span_head_there(tmp_path: Path) -> None:
    theirs = transformers.Gemma2ForCausalLM(gemma2(random.Random(SEED)))
    theirs.save_pretrained(tmp_path / "plain")
    model = with_head(load_model(tmp_path / "plain"), "span", ("start", "end"), 0)
    save_headed(model, tmp_path / "headed")
    assert json.loads((tmp_path / "headed" / "config.json").read_text())["model_type"] == "groundup"
    ids = torch.randint(0, 50, (2, 8))
    with torch.no_grad():
        assert torch.equal(load_headed(tmp_path / "headed")(ids), model(ids))


def test_the_end_of_each_row() -> None:
    ids = torch.tensor([[5, 6, 0, 0], [0, 0, 7, 8], [1, 2, 0, 4], [0, 0, 0, 0]])
    assert last_positions(ids, 0).tolist() == [1, 3, 3, 0]
    assert last_positions(ids, None).tolist() == [3, 3, 3, 3]


def test_packed_rows_give_each_sequence_its_own_logits() -> None:
    model = small("sequence", ("a", "b", "c"))
    first, second = torch.randint(1, VOCAB, (1, 5)), torch.randint(1, VOCAB, (1, 7))
    row = torch.cat([first, second], 1)
    documents = torch.tensor([[0] * 5 + [1] * 7])
    state = SequenceState.for_documents(documents, model.config.num_hidden_layers)
    with pytest.raises(ModelError, match="say with `last`"):
        model(row, state)
    packed = model(row, state, last=torch.tensor([[0, 4], [0, 11]]))
    torch.testing.assert_close(packed, torch.cat([model(first), model(second)]), rtol=1e-4, atol=1e-6)
    rows = torch.zeros(2, 7, dtype=torch.long)
    rows[0, :5], rows[1] = first, second
    torch.testing.assert_close(model(rows), packed, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model(rows, last=torch.tensor([4, 6])), packed, rtol=1e-4, atol=1e-6)


def test_checkpointing_and_autocast_leave_the_gradients() -> None:
    model = small("token", ("value",)).train()
    ids = torch.randint(1, VOCAB, (2, 9))
    model(ids).square().sum().backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.checkpoint_activations = True
    assert model.decoder.checkpoint_activations
    model(ids).square().sum().backward()
    assert set(plain) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, plain[name])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(ids)
    assert rough.dtype is torch.bfloat16
    torch.testing.assert_close(rough.float(), model(ids), rtol=0.05, atol=0.02)


def test_what_a_head_refuses(tmp_path: Path) -> None:
    decoder = Decoder(tiny_config()).initialise(0)
    for kind, labels, message in (
        ("word", ("a",), "not 'word'"),
        ("token", ("a", "a"), "different names"),
        ("span", ("a", "b"), "start"),
    ):
        with pytest.raises(ModelError, match=message):
            with_head(copy.deepcopy(decoder), kind, labels, 0)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no id of a vocabulary"):
        with_head(copy.deepcopy(decoder), "token", ("a",), 0, pad_token_id=VOCAB)
    save_model(decoder, tmp_path)
    with pytest.raises(ModelError, match="no head for labels"):
        load_headed(tmp_path)
    model = with_head(decoder, "token", ("a",), 0)
    with pytest.raises(ModelError, match="head was taken off"):
        _ = decoder(torch.zeros(1, 2, dtype=torch.long)).logits
    with pytest.raises(ModelError, match="sequence form"):
        model(torch.zeros(1, 2, dtype=torch.long), last=torch.tensor([1]))


def test_figures_count_the_head_in_place_of_the_vocabulary() -> None:
    decoder = Decoder(tiny_config()).initialise(0)
    plain, flops = decoder.num_parameters(), decoder.flops_per_token(16)
    model = with_head(decoder, "sequence", ("a", "b"), 0)
    assert model.num_parameters() == plain + 2 * 16 == sum(p.numel() for p in model.parameters())
    assert model.flops_per_token(16) == flops - 6 * VOCAB * 16 + 6 * 2 * 16

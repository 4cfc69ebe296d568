"""Adapters' names, targets and files: what is wrong is named before the model is touched; no code is run, no pickle read."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from groundup.adapt import (
    AdapterNode,
    AdapterTransform,
    BottleneckConfig,
    IA3Config,
    LoRAConfig,
    PrefixConfig,
    PromptConfig,
    adapter_names,
    apply,
    load_adapter,
    remove,
    save_adapter,
    select,
    trainable_parameters,
    unmerge,
)
from groundup.core.config import parse, to_plain
from groundup.core.errors import ArtifactError, ConfigError, GroundupError, ModelError
from groundup.models.decoder import Decoder
from tiny import tiny_config

pytestmark = pytest.mark.row("9.2")


def plain() -> Decoder:
    return Decoder(tiny_config()).initialise(0)


def fingerprint(model: Decoder) -> Any:
    return [(n, t.clone()) for n, t in model.state_dict().items()], [(n, type(m)) for n, m in model.named_modules()]


def assert_untouched(model: Decoder, before: Any) -> None:
    now = fingerprint(model)
    assert now[1] == before[1]
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in zip(before[0], now[0], strict=True))
    assert not model._forward_pre_hooks and all(p.requires_grad for p in model.parameters())


# ------------------------------------------------------------------------------------------------------------- config


@pytest.mark.parametrize(
    "config",
    [LoRAConfig(target_modules=("q_proj",), rank_pattern={"q_proj": 2}), IA3Config(), BottleneckConfig(), PrefixConfig(), PromptConfig()],
)  # fmt: skip
def test_configs_are_nodes(config: Any) -> None:
    from dataclasses import make_dataclass

    holder = make_dataclass("Holder", [("adapter", AdapterNode)], frozen=True, kw_only=True)
    assert parse(holder, {"adapter": to_plain(config)}).adapter == config


@pytest.mark.parametrize(
    ("kind", "fields", "path"),
    [
        (LoRAConfig, {"r": 0}, "r"),
        (LoRAConfig, {"lora_dropout": 1.0}, "lora_dropout"),
        (LoRAConfig, {"target_modules": ()}, "target_modules"),
        (LoRAConfig, {"target_modules": "q_proj"}, "target_modules"),
        (LoRAConfig, {"rank_pattern": {"q_.*": 2}}, "rank_pattern"),
        (LoRAConfig, {"rank_pattern": {"q_proj": 0}}, "rank_pattern.q_proj"),
        (IA3Config, {"target_modules": ()}, "target_modules"),
        (BottleneckConfig, {"bottleneck_size": 0}, "bottleneck_size"),
        (PrefixConfig, {"num_virtual_tokens": 0}, "num_virtual_tokens"),
        (PrefixConfig, {"encoder_hidden_size": 0}, "encoder_hidden_size"),
        (PromptConfig, {"num_virtual_tokens": -1}, "num_virtual_tokens"),
    ],
)
def test_wrong_values_name_their_key(kind: Any, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as error:
        kind(**fields)
    assert error.value.path == path


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (LoRAConfig(target_modules=("q_porj",)), "q_porj"),
        (LoRAConfig(target_modules=("q_proj", "lm_head")), "lm_head"),
        (LoRAConfig(target_modules=("embed_tokens",)), "embed_tokens"),
        (LoRAConfig(target_modules=("q_proj",), alpha_pattern={"v_proj": 2.0}), "v_proj"),
        (IA3Config(feedforward_modules=("fc2",)), "fc2"),
    ],
)
def test_targets_that_are_not_there(config: Any, match: str) -> None:
    model = plain()
    before = fingerprint(model)
    with pytest.raises(ConfigError, match=match):
        apply(config, model)
    assert_untouched(model, before)


def test_targets_by_name_and_place() -> None:
    model = apply(LoRAConfig(r=2, target_modules=("1.mixer.q_proj", "self_attn.v_proj")), plain())
    names = {n.rpartition(".adapters")[0] for n, _ in trainable_parameters(model)}
    assert names == {"blocks.1.mixer.q_proj", "blocks.0.mixer.v_proj", "blocks.1.mixer.v_proj"}


def test_seed_decides() -> None:
    def drawn(seed: int) -> torch.Tensor:
        return apply(LoRAConfig(), plain(), seed=seed).blocks[0].mixer.q_proj.adapters["default"].lora_A

    assert torch.equal(drawn(3), drawn(3)) and not torch.equal(drawn(3), drawn(4))


def test_dropout_acts_in_training_only() -> None:
    model = apply(LoRAConfig(lora_dropout=0.5), plain())
    with torch.no_grad():
        for _, parameter in trainable_parameters(model):
            parameter.add_(0.3)
    ids = torch.arange(10)[None]
    assert torch.equal(model.eval()(ids).logits, model(ids).logits)
    torch.manual_seed(0)
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits)
    model(ids).logits.sum().backward()
    assert all(p.grad is not None for _, p in trainable_parameters(model))


# ------------------------------------------------------------------------------------------------------------- names


def test_names() -> None:
    model = plain()
    before = fingerprint(model)
    for bad in ("", "a.b", "-a", "a b", "../a"):
        with pytest.raises(ModelError, match="name"):
            apply(LoRAConfig(), model, name=bad)
    with pytest.raises(ModelError, match="no adapters"), select(model, "default"):
        pass
    assert_untouched(model, before)
    for name in ("train", "keys", "weight", "0"):  # names of methods and the like
        AdapterTransform(config=IA3Config(), name=name).apply(model)
    state = fingerprint(model)
    with pytest.raises(ModelError, match="already"):
        apply(PrefixConfig(), model, name="keys")
    assert fingerprint(model)[1] == state[1] and adapter_names(model) == ["train", "keys", "weight", "0"]
    for wrong in ("trian", ["train", "trian"]):
        with pytest.raises(ModelError, match="trian") as error, select(model, wrong):
            pass
        assert "train" in error.value.hint
    with pytest.raises(ModelError, match="2 rows"), select(model, ["train", None]):
        model(torch.zeros(3, 4, dtype=torch.long))
    with pytest.raises(ModelError, match="not merged"):
        unmerge(model, "train")
    for name in ("0", "keys", "weight", "train"):
        remove(model, name)
    assert_untouched(model, before)


def test_only_decoders() -> None:
    with pytest.raises(ModelError, match="Linear"):
        AdapterTransform(config=LoRAConfig()).apply(torch.nn.Linear(2, 2))


def test_learned_positions_end() -> None:
    config = tiny_config(
        learned_positions=True, max_position_embeddings=12,
        block={"mixer": {"type": "attention", "num_attention_heads": 2, "position": {"type": "none"}},
               "ffn": {"type": "mlp", "intermediate_size": 32}},
    )  # fmt: skip
    model = apply(PromptConfig(num_virtual_tokens=5), Decoder(config).initialise(0))
    model(torch.zeros(1, 7, dtype=torch.long))
    with pytest.raises(ModelError, match="13 positions"):
        model(torch.zeros(1, 8, dtype=torch.long))


# -------------------------------------------------------------------------------------------------------------- files


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_adapter(apply(LoRAConfig(r=2, target_modules=("q_proj", "up_proj")), plain()), tmp_path / "a")
    return tmp_path / "a"


def rewrite(directory: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> None:
    """An unsealed adapter, as PEFT writes them, with something changed."""
    config = json.loads((directory / "adapter_config.json").read_text())
    tensors = load_file(directory / "adapter_model.safetensors")
    change(config, tensors)
    (directory / "groundup.json").unlink()
    (directory / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, directory / "adapter_model.safetensors")


KEY = "base_model.model.model.layers.0.self_attn.q_proj"


def _swap(tensors: dict[str, torch.Tensor], key: str, tensor: torch.Tensor | None) -> None:
    tensors.pop(key)
    if tensor is not None:
        tensors[key] = tensor


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c, t: c.update(peft_type="LOHA"), "LOHA"),
        (lambda c, t: c.pop("peft_type"), "peft_type"),
        (lambda c, t: c.update(bias="all"), "bias"),
        (lambda c, t: c.update(modules_to_save=["lm_head"]), "modules_to_save"),
        (lambda c, t: c.update(lora_alpha="x"), "lora_alpha"),
        (lambda c, t: c.update(lora_dropout=2.0), "lora_dropout"),
        (lambda c, t: c.update(alpha_pattern={"(a+)+$": 3}), "regular expression"),
        (lambda c, t: _swap(t, f"{KEY}.lora_A.weight", torch.zeros(2, 5)), f"{KEY}.lora_A.weight.*\\[2, 5\\].*\\[2, 16\\]"),
        (lambda c, t: _swap(t, f"{KEY}.lora_B.weight", torch.zeros(16, 3)), f"{KEY}.lora_B.weight"),
        (lambda c, t: _swap(t, f"{KEY}.lora_A.weight", torch.zeros(0, 16)), f"{KEY}.lora_A.weight"),
        (lambda c, t: _swap(t, f"{KEY}.lora_A.weight", torch.full((2, 16), torch.nan)), f"{KEY}.lora_A.weight.*finite"),
        (lambda c, t: _swap(t, f"{KEY}.lora_A.weight", torch.zeros(2, 16, dtype=torch.int32)), "I32"),
        (lambda c, t: _swap(t, f"{KEY}.lora_A.weight", None), "lacks lora_A.weight"),
        (lambda c, t: t.update({"base_model.model.model.embed_tokens.lora_embedding_A": torch.zeros(2, 16)}), "lora_embedding_A"),
        (lambda c, t: t.update({KEY.replace("layers.0", "layers.9") + ".lora_A.weight": torch.zeros(2, 16)}), "layers.9"),
        (lambda c, t: c.update(use_dora=True), "lora_magnitude_vector"),
        (lambda c, t: c.update(peft_type="PREFIX_TUNING"), "prompt_embeddings"),
        (lambda c, t: t.clear(), "no tensors"),
    ],
)  # fmt: skip
def test_adapters_that_do_not_fit(saved: Path, change: Any, match: str) -> None:
    rewrite(saved, change)
    model = plain()
    before = fingerprint(model)
    with pytest.raises(GroundupError, match=match):
        load_adapter(model, saved)
    assert_untouched(model, before)


def test_damaged_files(saved: Path) -> None:
    model = plain()
    before = fingerprint(model)
    weights = saved / "adapter_model.safetensors"
    whole = weights.read_bytes()
    for data in (
        whole[:-4],
        whole[:4],
        b"",
        whole[:-1] + bytes([whole[-1] ^ 1]),
        struct.pack("<Q", 1 << 60) + whole[8:],
    ):
        weights.write_bytes(data)
        with pytest.raises(ArtifactError, match="adapter_model"):
            load_adapter(model, saved)
    weights.unlink()
    with pytest.raises(ArtifactError, match="adapter_model"):
        load_adapter(model, saved)
    (saved / "groundup.json").unlink()
    (saved / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ModelError, match="pickle"):
        load_adapter(model, saved)
    (saved / "adapter_config.json").write_text("{")
    with pytest.raises(ArtifactError, match="JSON"):
        load_adapter(model, saved)
    with pytest.raises(ArtifactError, match="directory"):
        load_adapter(model, saved / "nothing")
    assert_untouched(model, before)


@pytest.mark.parametrize(
    "config",
    [
        PrefixConfig(num_virtual_tokens=3),
        PromptConfig(num_virtual_tokens=3),
        IA3Config(),
        BottleneckConfig(bottleneck_size=4),
    ],
)
def test_adapters_of_another_size(config: Any, tmp_path: Path) -> None:
    other = apply(config, Decoder(tiny_config(hidden_size=24)).initialise(0))
    save_adapter(other, tmp_path / "a")
    model = plain()
    before = fingerprint(model)
    with pytest.raises(ModelError, match="has shape"):
        load_adapter(model, tmp_path / "a")
    assert_untouched(model, before)


@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer"])
def test_bottlenecks_come_back(placement: Any, tmp_path: Path) -> None:
    model = apply(BottleneckConfig(bottleneck_size=4, placement=placement, activation="relu"), plain())
    with torch.no_grad():
        for _, parameter in trainable_parameters(model):
            parameter.add_(0.3)
    save_adapter(model, tmp_path / "a")
    again = load_adapter(plain(), tmp_path / "a", name="b")
    ids = torch.arange(9)[None]
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert not trainable_parameters(again)
    raw = json.loads((tmp_path / "a/adapter_config.json").read_text())
    assert raw["peft_type"] == "BOTTLENECK"
    raw["placement"] = "pfeiffer" if placement == "houlsby" else "houlsby"
    (tmp_path / "a/groundup.json").unlink()
    (tmp_path / "a/adapter_config.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match="disagree"):
        load_adapter(plain(), tmp_path / "a")


def test_loading_beside_a_training_adapter(saved: Path) -> None:
    """A second adapter is loaded for serving: the first goes on training, and stays selected."""
    model = apply(LoRAConfig(r=3), plain(), name="mine")
    trained = [n for n, _ in trainable_parameters(model)]
    load_adapter(model, saved, name="theirs")
    assert [n for n, _ in trainable_parameters(model)] == trained
    assert model.adapters.selection.chosen == "mine"
    remove(model, "theirs")
    assert [n for n, _ in trainable_parameters(model)] == trained


def test_own_form_models_keep_our_names(tmp_path: Path) -> None:
    """A decoder that fits no family: the files use our names, and come back."""
    config = tiny_config(embedding_scale=3.0)
    model = apply(LoRAConfig(r=2, target_modules=("o_proj",)), Decoder(config).initialise(0))
    save_adapter(model, tmp_path / "a")
    assert "base_model.model.blocks.0.mixer.o_proj.lora_A.weight" in load_file(tmp_path / "a/adapter_model.safetensors")
    load_adapter(Decoder(config).initialise(0), tmp_path / "a")

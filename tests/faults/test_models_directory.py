"""Model directories that are damaged, stale, hostile or somebody else's: refused by name, before memory is taken."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.core.errors import ArtifactError, GroundupError, ModelError
from groundup.models import directory as directory_module
from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
from groundup.models.directory import load_model, read_model_facts, save_model, seal_model
from groundup.models.weights import inspect_weights
from groundup.nn.ffn import GatedConfig
from groundup.nn.mixers.attention import AttentionConfig

pytestmark = [pytest.mark.faults, pytest.mark.row("5.1")]

CONFIG = DecoderConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=2, max_position_embeddings=32,
    block=BlockConfig(mixer=AttentionConfig(num_attention_heads=2), ffn=GatedConfig(intermediate_size=24)),
)  # fmt: skip


@pytest.fixture
def model() -> Decoder:
    return Decoder(CONFIG).initialise(0).eval()


@pytest.fixture
def sharded(model: Decoder, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "model", max_shard_bytes=6000)
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def no_memory_before_checks(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Tests of refusals fail if a single weight is read."""
    if "refused" in request.node.name:

        def read(*_: Any) -> Any:
            raise AssertionError("weights were read before they were checked")

        monkeypatch.setattr(directory_module, "read_tensors", read)


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def shards(directory: Path) -> list[Path]:
    found = sorted(directory.glob("model-*.safetensors"))
    assert len(found) > 2
    return found


def test_missing_shard_is_refused(sharded: Path) -> None:
    gone = shards(sharded)[1]
    held = next(n for n, f in json.loads((sharded / "model.safetensors.index.json").read_text())["weight_map"].items()
                if f == gone.name)  # fmt: skip
    gone.unlink()
    with pytest.raises(ArtifactError, match=f"{gone.name} is missing; .* says it holds '{held}'"):
        load_model(sharded)


def test_renamed_shard_is_refused(sharded: Path) -> None:
    first, second = shards(sharded)[:2]
    os.rename(first, sharded / "x")
    os.rename(second, first)
    os.rename(sharded / "x", second)
    with pytest.raises(ArtifactError, match=r"says tensor 'model\..*' is in .*, but it is not"):
        load_model(sharded)


def test_stale_index_is_refused(sharded: Path) -> None:
    first, second = (path.name for path in shards(sharded)[:2])
    index = sharded / "model.safetensors.index.json"

    def move(value: dict[str, Any]) -> None:
        name = next(n for n, f in value["weight_map"].items() if f == first)
        value["weight_map"][name] = second

    edit_json(index, move)
    with pytest.raises(ArtifactError, match=f"is in .*{second}, but it is not; it is in {first}"):
        load_model(sharded)


def test_tensor_outside_of_the_index_is_refused(sharded: Path) -> None:
    edit_json(sharded / "model.safetensors.index.json", lambda v: v["weight_map"].pop("model.norm.weight"))
    with pytest.raises((ArtifactError, ModelError), match=r"model\.norm\.weight"):
        load_model(sharded)


def test_shard_outside_of_the_directory_is_refused(sharded: Path) -> None:
    edit_json(
        sharded / "model.safetensors.index.json",
        lambda v: v["weight_map"].update({"model.norm.weight": "../other.safetensors"}),
    )
    with pytest.raises(ArtifactError, match="outside of the directory"):
        load_model(sharded)


@pytest.mark.parametrize(
    "key,value,said",
    [
        ("intermediate_size", 32, r"'model\.layers\.0\.mlp\.gate_proj\.weight' .* \[24, 16\], config\.json asks for \[32, 16\]"),
        ("num_hidden_layers", 3, r"lacks 9 of 29 tensors .*model\.layers\.2"),
        ("num_hidden_layers", 1, r"9 tensors that config\.json has no place for: model\.layers\.1"),
        ("tie_word_embeddings", False, r"lacks 1 of 21 tensors .*lm_head\.weight"),
    ],
)  # fmt: skip
def test_config_of_another_model_is_refused(sharded: Path, key: str, value: Any, said: str) -> None:
    edit_json(sharded / "config.json", lambda v: v.update({key: value}))
    with pytest.raises(ModelError, match=said):
        load_model(sharded)


def test_damaged_headers_are_refused(model: Decoder, tmp_path: Path) -> None:
    save_model(model, tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])

    def write(change: Callable[[dict[str, Any]], None], tail: bytes = b"") -> None:
        value = json.loads(json.dumps(header))
        change(value)
        text = json.dumps(value).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :] + tail)

    name = "model.norm.weight"
    cases: list[tuple[Callable[[dict[str, Any]], None], bytes, str]] = [
        (lambda v: v[name].update(shape=[17]), b"", f"'{name}' .* has 64 bytes, but F32 .* needs 68"),
        (lambda v: v[name].update(shape=[-4, -4]), b"", f"'{name}' .* no valid"),
        (lambda v: v[name].update(dtype="F8_E4M3"), b"", f"'{name}' .* dtype 'F8_E4M3'"),
        (lambda v: v[name].update(data_offsets=[1 << 60, (1 << 60) + 64]), b"", "starts at byte|needs"),
        (lambda v: v.pop(name), b"", "starts at byte|longer"),
        (lambda v: None, b"more", "longer than its header says"),
    ]
    for change, tail, said in cases:
        write(change, tail)
        with pytest.raises(GroundupError, match=said):
            load_model(tmp_path)
    path.write_bytes(struct.pack("<Q", 1 << 40) + whole[8:])
    with pytest.raises(ArtifactError, match="truncated or not safetensors"):
        load_model(tmp_path)


def test_truncations_and_flips_are_refused(sharded: Path) -> None:
    """A sealed directory: 100 random cuts and 100 random bit flips, in any of its files, are all found."""
    seal_model(sharded)
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    names = [p for p in sharded.iterdir() if p.name != "groundup.json"]
    found = 0
    for trial in range(200):
        path = draw.choice(names)
        whole = path.read_bytes()
        if trial % 2:
            path.write_bytes(whole[: draw.randrange(len(whole))])
        else:
            at = draw.randrange(len(whole))
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1 :])
        with pytest.raises(GroundupError):
            load_model(sharded)
        path.write_bytes(whole)
        found += 1
    print(f"{found} of 200 found")


def test_truncated_weights_without_a_seal_are_refused(sharded: Path) -> None:
    path = shards(sharded)[0]
    whole = path.read_bytes()
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        with pytest.raises(ArtifactError, match=path.name):
            load_model(sharded)


def test_pickles_are_refused(sharded: Path) -> None:
    for path in [*shards(sharded), sharded / "model.safetensors.index.json"]:
        path.unlink()
    (sharded / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin, a pickle"):
        load_model(sharded)
    (sharded / "pytorch_model.bin").unlink()
    with pytest.raises(ArtifactError, match=r"has no model\.safetensors"):
        load_model(sharded)


@pytest.mark.row("5.1")
def test_code_beside_the_weights_never_runs(sharded: Path, tmp_path: Path) -> None:
    """R37: a modeling file, an auto_map and trust_remote_code in a directory change nothing."""
    marker = tmp_path / "ran"
    for name in ("modeling_evil.py", "configuration_evil.py", "__init__.py"):
        (sharded / name).write_text(f"open({str(marker)!r}, 'w').close()\n")
    edit_json(
        sharded / "config.json",
        lambda v: v.update(
            auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"}, trust_remote_code=True, custom_code=True
        ),
    )
    assert load_model(sharded).config.hidden_size == 16
    assert not marker.exists()


def test_changed_after_sealing_is_refused(sharded: Path) -> None:
    seal_model(sharded)
    path = shards(sharded)[0]
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(ArtifactError, match=f"{path.name} does not have the sha256 of its seal"):
        load_model(sharded)


def test_sizes_are_checked_even_without_hashes(sharded: Path) -> None:
    seal_model(sharded)
    path = shards(sharded)[0]
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(bytes(whole))
    load_model(sharded, verify=False)
    (sharded / "README.md").write_text("short")
    with pytest.raises(ArtifactError, match=r"README\.md has 5 bytes"):
        load_model(sharded, verify=False)


def test_killed_save_keeps_the_last_model(model: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before each rename in turn: what is there loads as the old or the new model, or is refused by name."""
    other = Decoder(CONFIG).initialise(1).eval()
    ids = torch.arange(10)[None]
    answers = [m(ids).logits for m in (model, other)]
    real, seen = os.replace, 0
    for stop in range(6):
        directory = tmp_path / str(stop)
        save_model(model, directory)
        left = stop

        def replace(source: Any, target: Any) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
        try:
            save_model(other, directory)
        except KeyboardInterrupt:
            seen += 1
        monkeypatch.setattr(os, "replace", real)
        got = load_model(directory)(ids).logits
        assert any(torch.equal(got, answer) for answer in answers)
        assert not list(directory.glob("*.writing"))
    assert seen >= 4


def test_killed_save_of_shards_never_mixes(model: Decoder, sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of the same names are replaced one by one: until the last, the directory is refused."""
    real = os.replace
    other = Decoder(CONFIG).initialise(1).eval()

    def replace(source: Any, target: Any) -> None:
        if "00002" in str(target):
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        save_model(other, sharded, max_shard_bytes=6000)
    monkeypatch.setattr(os, "replace", real)
    with pytest.raises(ArtifactError, match=r"no model\.safetensors"):
        load_model(sharded)
    save_model(other, sharded, max_shard_bytes=6000)
    ids = torch.arange(10)[None]
    assert torch.equal(load_model(sharded)(ids).logits, other(ids).logits)


def test_shards_of_an_earlier_save_do_not_stay(model: Decoder, sharded: Path) -> None:
    before = inspect_weights(sharded)
    save_model(model, sharded)
    assert not list(sharded.glob("model-*")) and (sharded / "model.safetensors").is_file()
    assert set(inspect_weights(sharded)) == set(before)
    save_model(model, sharded, max_shard_bytes=6000)
    assert not (sharded / "model.safetensors").exists()
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == model.num_parameters() * 4
    assert read_model_facts(sharded).parameters == model.num_parameters()

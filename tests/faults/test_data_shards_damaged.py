"""R8 and R12: a damaged shard is left out and reported; the rest keep their documents, order and counts."""

from __future__ import annotations

import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from groundup.core.errors import DataError
from groundup.data import TokenShards, TokenWindows
from groundup.data.shards import Index, ShardWriter, write_index
from groundup.data.summary import quarantined

pytestmark = [pytest.mark.faults, pytest.mark.row("6.8")]

_DOCUMENTS = [np.arange(10 * i, 10 * i + 3 + i % 5) for i in range(30)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole")
    writer = ShardWriter(directory, "train", dtype="uint16", shard_tokens=30)
    for ids in _DOCUMENTS:
        writer.add(ids, 2 * len(ids))
    shards = writer.finish()
    assert len(shards) >= 4
    write_index(
        directory, Index(format=1, dtype="uint16", vocab_size=400, eos_id=None, tokenizer="", splits={"train": shards})
    )
    return directory


class _Gadget:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("canary"),)  # type: ignore[return-value]


def _object_array(path: Path) -> None:
    offsets = path.with_name(path.name.replace(".tokens", ".starts.npy"))
    with open(offsets, "wb") as file:
        np.save(file, np.array([_Gadget()], dtype=object), allow_pickle=True)


def _flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[random.Random(4).randrange(32, len(data))] ^= 1
    path.write_bytes(data)


_DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero length": (lambda p: p.write_bytes(b""), "has 0 bytes"),
    "short last record": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "was cut"),
    "too long": (lambda p: p.write_bytes(p.read_bytes() + b"\0\0"), "bytes instead of"),
    "wrong magic": (lambda p: p.write_bytes(b"PK\3\4\0\0\0\0" + p.read_bytes()[8:]), "no token shard"),
    "wrong header": (lambda p: p.write_bytes(p.read_bytes()[:8] + b"\2\0\0\0" + p.read_bytes()[12:]), "header"),
    "random bytes": (lambda p: p.write_bytes(random.Random(1).randbytes(p.stat().st_size)), "no token shard"),
    "flipped bit": (_flip_bit, "sha256"),
    "missing": (lambda p: p.unlink(), "No such file"),
    "pickle instead": (lambda p: p.write_bytes(pickle.dumps(_Gadget())), "bytes instead of"),
    "object array": (_object_array, "sha256"),
    "starts missing": (lambda p: p.with_name(p.name.replace(".tokens", ".starts.npy")).unlink(), "No such file"),
}


@pytest.mark.parametrize("damage", _DAMAGES)
@pytest.mark.parametrize("number", [0, 2])
def test_one_damaged_shard(
    whole: Path, tmp_path: Path, damage: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "tokens"
    shutil.copytree(whole, directory)
    before = TokenShards.open(directory, "train")
    rows = before.index.splits["train"]
    hurt, reason = _DAMAGES[damage]
    hurt(directory / f"{rows[number].name}.tokens")

    shards = TokenShards.open(directory, "train")
    assert [name for name, _ in shards.quarantined] == [rows[number].name]
    assert reason in shards.quarantined[0][1]
    first = sum(row.documents for row in rows[:number])
    expected = _DOCUMENTS[:first] + _DOCUMENTS[first + rows[number].documents :]
    assert shards.num_documents == len(expected)
    assert shards.num_tokens == before.num_tokens - rows[number].tokens
    assert shards.text_bytes == 2 * shards.num_tokens
    for i, ids in enumerate(expected):
        assert (shards.document(i) == ids).all()
    assert shards.tokens(0, shards.num_tokens).tolist() == np.concatenate(expected).tolist()
    TokenWindows(shards, 16, seed=0).example(0)
    assert [(row["split"], row["shard"]) for row in quarantined(directory)] == [("train", rows[number].name)]
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("damage", ["object array", "starts missing"])
def test_starts_are_checked_without_their_hash(
    whole: Path, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "tokens"
    shutil.copytree(whole, directory)
    name = TokenShards.open(directory, "train").index.splits["train"][1].name
    _DAMAGES[damage][0](directory / f"{name}.tokens")
    assert [n for n, _ in TokenShards.open(directory, "train", contents=False).quarantined] == [name]
    assert not (tmp_path / "canary").exists(), "a pickle was opened"


def test_all_damaged_is_an_error_that_names_one(whole: Path, tmp_path: Path) -> None:
    directory = tmp_path / "tokens"
    shutil.copytree(whole, directory)
    for path in directory.glob("*.tokens"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no shard of 'train'.*train-00000") as caught:
        TokenShards.open(directory, "train")
    assert "run the recipe again" in caught.value.hint


def test_every_bit_flip_and_cut_is_found(whole: Path, tmp_path: Path) -> None:
    directory = tmp_path / "tokens"
    shutil.copytree(whole, directory)
    draw = random.Random(11)
    files = sorted([*directory.glob("*.tokens"), *directory.glob("*.npy")])
    for trial in range(200):
        path = draw.choice(files)
        data = path.read_bytes()
        place = draw.randrange(len(data))
        changed = (
            data[:place]
            if trial % 2
            else data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
        )
        path.write_bytes(changed)
        assert len(TokenShards.open(directory, "train").quarantined) == 1, f"{path.name} at {place}, trial {trial}"
        path.write_bytes(data)
    assert TokenShards.open(directory, "train").quarantined == ()

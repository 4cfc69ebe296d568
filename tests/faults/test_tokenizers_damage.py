"""Damaged tokenizer files: refused with TokenizerError or read as something whole, never another error."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from groundup.core.errors import TokenizerError
from groundup.tokenizers import BPETokenizer, BPETrainConfig, load_tokenizer, write_tiktoken

pytestmark = [pytest.mark.row("3.5"), pytest.mark.faults]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tokenizer")
    tokenizer = BPETokenizer.train(
        ["some words, some more words; and caf\u00e9 words " * 40],
        BPETrainConfig(vocab_size=300, special_tokens=("<e>",)),
    )
    tokenizer.save(directory)
    write_tiktoken(tokenizer.vocabulary, directory / "ranks.bin")
    return directory


def test_every_truncation_is_refused(saved: Path, tmp_path: Path) -> None:
    data = (saved / "tokenizer.json").read_bytes().rstrip()
    rng = random.Random(7)
    for size in [0, 1, 2, *(rng.randrange(len(data)) for _ in range(150)), len(data) - 1]:
        (tmp_path / "tokenizer.json").write_bytes(data[:size])
        with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
            load_tokenizer(tmp_path)


def test_random_damage_is_refused_or_still_a_whole_tokenizer(saved: Path, tmp_path: Path) -> None:
    data = (saved / "tokenizer.json").read_bytes()
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        kind = rng.randrange(3)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(damaged) - 60)
            if kind == 0:
                damaged[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                del damaged[at : at + rng.randrange(1, 50)]
            else:
                source = rng.randrange(len(damaged) - 60)
                damaged[at:at] = damaged[source : source + rng.randrange(1, 50)]
        (tmp_path / "tokenizer.json").write_bytes(bytes(damaged))
        try:
            tokenizer = load_tokenizer(tmp_path)
            tokenizer.decode(tokenizer.encode("some plain words<e>", allow_special=True))
        except TokenizerError:
            refused += 1
    print(f"refused {refused} of 400")
    assert refused > 100


def test_json_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    for content in (
        "null",
        "[]",
        "3",
        '"x"',
        "{}",
        '{"model": 3}',
        '{"model": {}}',
        "[" * 100_000,
        '{"model": {"type": "BPE"}}',
    ):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(TokenizerError):
            load_tokenizer(tmp_path)


def test_damaged_ranks_are_refused(saved: Path, tmp_path: Path) -> None:
    lines = (saved / "ranks.bin").read_bytes().splitlines(keepends=True)
    path = tmp_path / "r50k_base.tiktoken"
    for damaged in (
        [*lines[:5], b"not base64! 5\n"],
        [*lines[:5], b"QQ==\n"],
        [*lines[:5], b"QQ== x\n"],
        [*lines, lines[3]],
        [*lines, b"QQ== 99999999\n"],
        lines[:40],
        [],
    ):
        path.write_bytes(b"".join(damaged))
        with pytest.raises(TokenizerError, match="r50k_base"):
            load_tokenizer(path)
    whole = gzip.compress(b"".join(lines))
    zipped = tmp_path / "r50k_base.tiktoken.gz"
    for data in (whole[: len(whole) // 2], b"plain", whole[:40] + b"\0\0\0\0" + whole[44:]):
        zipped.write_bytes(data)
        with pytest.raises(TokenizerError, match="r50k_base"):
            load_tokenizer(zipped)


def test_a_damaged_gpt2_pair_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    with pytest.raises(TokenizerError, match="no 'model'"):
        load_tokenizer(tmp_path)
    for merges, message in ((b"a c\n", "not two tokens"), (b"b a\n", "does not have"), (b"\xff\xfe", "not UTF-8")):
        (tmp_path / "merges.txt").write_bytes(b"#version: 0.2\n" + merges)
        with pytest.raises(TokenizerError, match=message):
            load_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_bytes(b"#version: 0.2\na b\n")
    assert load_tokenizer(tmp_path).encode("ab") == [2]

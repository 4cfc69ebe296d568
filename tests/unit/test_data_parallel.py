"""Pairs of texts: how they are read, what is dropped, how they are split, what goes wrong with which words; made sentences; buckets."""

from __future__ import annotations

import gzip
import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.core.config import parse
from groundup.core.errors import ConfigError, DataError
from groundup.core.recipe import StageContext
from groundup.data.docstring_summaries import docstring_summaries
from groundup.data.documents import read_documents
from groundup.data.made.translation import made_translations
from groundup.data.parallel import ParallelStage, aligned_lines, read_pairs
from groundup.objectives.seq2seq import BucketSource, EncodedPair, Seq2SeqObjective

pytestmark = pytest.mark.row("2.4")


def run(tmp_path: Path, **values: Any) -> tuple[Path, Any]:
    stage = parse(ParallelStage, {"type": "parallel", **values})
    directory = tmp_path / "pairs"
    directory.mkdir()
    context: Any = type("Context", (), {"directory": directory, "seed": 7})()
    assert StageContext.__dataclass_fields__.keys() >= {"directory", "seed"}
    return directory, stage.run(context)


def write(path: Path, lines: list[str]) -> str:
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def test_aligned_files_with_splits_of_their_own(tmp_path: Path) -> None:
    source = write(tmp_path / "a.en.gz", ["one", "two ", "", "four", "five", "five"])
    target = write(tmp_path / "a.fr", ["un", "deux", "trois", "quatre" * 9, "cinq", "cinq"])
    held = {"test_source_path": write(tmp_path / "t.en", ["five", "six"]),
            "test_target_path": write(tmp_path / "t.fr", ["cinq", "six" * 20])}  # fmt: skip
    directory, figures = run(
        tmp_path, source_path=source, target_path=target, max_characters=20, split={"validation": 0, "test": 0}, **held
    )
    assert figures["pairs"] == {"train": 2, "validation": 0, "test": 2}
    assert figures["dropped"] == {"the same pair again": 2, "an empty side": 1, "longer than 20 characters": 1}
    assert [(p.id, p.source, p.target) for p in read_pairs(directory, "train")] == [
        ("a.en.gz:1", "one", "un"), ("a.en.gz:2", "two", "deux")
    ]  # fmt: skip
    assert [document.text for document in read_documents(directory, "train")] == ["one\nun", "two\ndeux"]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
def test_rows_with_columns_of_their_own_names(tmp_path: Path, suffix: str) -> None:
    rows = [('say "hi", please' if suffix != "tsv" else 'say "hi"', "dis bonjour"), ("x", "y")]
    match suffix:
        case "jsonl":
            import json

            lines = [json.dumps({"en": a, "fr": b}) for a, b in rows]
        case "csv":
            lines = ["en,fr", *('"' + a.replace('"', '""') + '",' + b for a, b in rows)]
        case _:
            lines = ["en\tfr", *(f"{a}\t{b}" for a, b in rows)]
    path = write(tmp_path / f"rows.{suffix}", lines)
    directory, _ = run(tmp_path, path=path, source_field="en", target_field="fr", split={"validation": 0, "test": 0})
    assert [(p.source, p.target) for p in read_pairs(directory, "train")] == rows


def test_one_source_is_in_one_split_only(tmp_path: Path) -> None:
    lines = [f"s{i % 40}" for i in range(200)]
    path = {
        "source_path": write(tmp_path / "a", lines),
        "target_path": write(tmp_path / "b", list(map(str, range(200)))),
    }
    directory, figures = run(tmp_path, **path, split={"validation": 0.2, "test": 0.2})
    found = [{pair.source for pair in read_pairs(directory, split)} for split in ("train", "validation", "test")]
    assert all(found) and sum(figures["pairs"].values()) == 200
    assert not any(a & b for a, b in itertools.combinations(found, 2))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"source_path": "x"}, "target_path: is missing"),
        ({"path": "x", "source_path": "y", "target_path": "z"}, "not both"),
        ({"num_pairs": 0}, "num_pairs: must be 1"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(ParallelStage, {"type": "parallel", **values})


def test_bad_files_are_named_with_their_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 2 lines and .* 1; they must have as many"):
        list(aligned_lines(write(tmp_path / "a", ["x", "y"]), write(tmp_path / "b", ["x"])))
    with pytest.raises(DataError, match=r"r\.jsonl, row 2: 'target' is missing"):
        run(tmp_path, path=write(tmp_path / "r.jsonl", ['{"source": "a", "target": "b"}', '{"source": "a"}']))
    (tmp_path / "pairs").rmdir()
    with pytest.raises(DataError, match="no pair is left"):
        run(tmp_path, path=write(tmp_path / "e.jsonl", ['{"source": "", "target": "b"}']))


def test_made_sentences_follow_their_grammar() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    pairs = list(made_translations(3000, seed))
    assert len({english for english, _ in pairs}) == 3000
    assert list(made_translations(50, seed)) == pairs[:50]
    for english, french in pairs:
        ours, theirs = english[0].lower() + english[1:], french[0].lower() + french[1:]
        words = theirs.removesuffix(".").split()
        assert ("not" in ours.split()) == ("pas" in words)
        assert ("red" in ours.split()) == ("rouge" in theirs)
        for wrong in (
            "le homme",
            "la église",
            "de le ",
            "à le ",
            "à les ",
            "ne aime",
            "ce homme",
            "ma amie",
            "beau homme",
            "de enfants",
        ):
            assert f" {wrong}" not in f" {theirs}", (english, french)
        assert theirs.endswith(".") and "  " not in theirs
    said = dict(pairs)
    assert any("près du" in french for french in said.values())


def test_summaries_of_the_standard_library() -> None:
    made = list(docstring_summaries(20))
    assert len(made) == 20
    for name, text, summary in made:
        assert "." in name and len(text.split()) > 8 and len(summary.split()) > 2 and "\n" not in text + summary


def test_buckets_hold_every_pair_once_an_epoch_and_little_padding() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    pairs = [EncodedPair(np.full(int(n), i), np.full(int(n) + 2, i)) for i, n in enumerate(rng.integers(4, 40, 700))]
    source = BucketSource(pairs, 400, seed)
    epochs = []
    for epoch in range(2):
        buckets = source.take(epoch, source.num_buckets)
        seen = sorted(int(pair.target[0]) for bucket in buckets for pair in bucket)
        assert seen == list(range(700))
        batches = [Seq2SeqObjective().collate([bucket]) for bucket in buckets]
        positions = [batch.input_ids.numel() for batch in batches]
        assert sum(batch.weight for batch in batches) / sum(positions) > 0.8
        assert max(positions) < 2 * 400
        epochs.append([[int(p.target[0]) for p in bucket] for bucket in buckets])
    assert epochs[0] != epochs[1]
    again = BucketSource(pairs, 400, seed)
    index = int(rng.integers(2 * source.num_buckets))
    assert [int(p.target[0]) for p in again.bucket(index)] == epochs[index // source.num_buckets][
        index % source.num_buckets
    ]
    few = BucketSource(pairs[:2], 1, 0)
    assert all(few.take(0, few.num_buckets))

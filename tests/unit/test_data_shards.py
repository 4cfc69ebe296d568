"""Packing: what goes into token shards comes out of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundup.core.errors import ArtifactError, DataError
from groundup.core.types import Document
from groundup.data import TokenShards, tokenizer_identity
from groundup.data.shards import INDEX, Index, ShardWriter, describe, dtype_for, read_index, write_index
from groundup.data.tokens import pack, share_of
from groundup.tokenizers import CharTokenizer

_ALPHABET = "abc \né€😀"


def packed(directory: Path, texts: Sequence[str], *, shard_tokens: int, eos: bool = True) -> CharTokenizer:
    tokenizer = CharTokenizer(sorted(set(_ALPHABET)), ("<|endoftext|>",))
    writer = ShardWriter(directory, "train", dtype="uint16", shard_tokens=shard_tokens)
    documents = [Document(id=str(i), text=text) for i, text in enumerate(texts)]
    done: list[int] = []
    shards = pack(documents, tokenizer, writer, eos_id=0 if eos else None, on_bytes=done.append)
    assert sum(done) == sum(len(text.encode()) for text in texts)
    write_index(
        directory,
        Index(
            format=1,
            dtype="uint16",
            vocab_size=tokenizer.vocab_size,
            eos_id=0 if eos else None,
            tokenizer=tokenizer_identity(tokenizer),
            splits={"train": shards, "test": ()},
        ),
    )
    return tokenizer


@pytest.mark.row("6.8")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(_ALPHABET, max_size=30), min_size=1, max_size=20),
    shard_tokens=st.integers(1, 60),
    eos=st.booleans(),
)
def test_decoding_the_shards_gives_the_texts(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], shard_tokens: int, eos: bool
) -> None:
    directory = tmp_path_factory.mktemp("tokens")
    tokenizer = packed(directory, texts, shard_tokens=shard_tokens, eos=eos)
    shards = TokenShards.open(directory, "train")
    ends = [0] if eos else []
    assert shards.num_documents == len(texts)
    assert shards.text_bytes == sum(len(text.encode()) for text in texts)
    for number, text in enumerate(texts):
        ids = shards.document(number).tolist()
        assert ids[len(ids) - len(ends) :] == ends
        assert tokenizer.decode(ids[: len(ids) - len(ends)]) == text
    joined = [i for text in texts for i in [*tokenizer.encode(text), *ends]]
    assert shards.tokens(0, shards.num_tokens).tolist() == joined
    assert shards.document_starts[-1] == shards.num_tokens == len(joined)
    for start in range(0, len(joined), 7):
        assert shards.tokens(start, min(start + 11, len(joined))).tolist() == joined[start : start + 11]
    numbers = shards.document_numbers(np.arange(len(joined)))
    assert numbers.tolist() == [n for n, text in enumerate(texts) for _ in range(len(text) + len(ends))]


@pytest.mark.row("6.8")
def test_shards_end_at_documents_and_the_index_agrees(tmp_path: Path) -> None:
    packed(tmp_path, ["abc", "ab", "abcabcabcabc", "a", "b"], shard_tokens=8)
    index = read_index(tmp_path)
    assert [(s.documents, s.tokens) for s in index.splits["train"]] == [(2, 7), (1, 13), (2, 4)]
    row = describe(index)["train"]
    assert (row["documents"], row["tokens"], row["text_bytes"]) == (5, 24, 19)
    assert TokenShards.open(tmp_path, "test").num_tokens == 0


def test_places_outside_are_errors(tmp_path: Path) -> None:
    packed(tmp_path, ["abc"], shard_tokens=8)
    shards = TokenShards.open(tmp_path, "train")
    for start, stop in ((-1, 2), (2, 1), (0, 5)):
        with pytest.raises(IndexError):
            shards.tokens(start, stop)
    with pytest.raises(IndexError):
        shards.document(1)
    with pytest.raises(DataError, match="no split 'valid'"):
        TokenShards.open(tmp_path, "valid")


def test_width_follows_the_vocabulary(tmp_path: Path) -> None:
    assert (dtype_for(65_536), dtype_for(65_537)) == ("uint16", "uint32")
    writer = ShardWriter(tmp_path, "train", dtype="uint32", shard_tokens=10)
    writer.add(np.array([199_999, 0]), 3)
    shards = writer.finish()
    write_index(
        tmp_path,
        Index(format=1, dtype="uint32", vocab_size=200_000, eos_id=None, tokenizer="", splits={"train": shards}),
    )
    assert TokenShards.open(tmp_path, "train").document(0).tolist() == [199_999, 0]


@pytest.mark.row("6.8")
def test_a_writer_goes_on_behind_the_last_whole_shard(tmp_path: Path) -> None:
    """Killed after any document, and run again, it writes the same bytes as one that was not."""
    texts = ["abc" * n for n in range(1, 12)]
    whole = tmp_path / "whole"
    whole.mkdir()
    tokenizer = packed(whole, texts, shard_tokens=40)
    documents = [Document(id=str(i), text=text) for i, text in enumerate(texts)]
    for killed_after in range(len(texts)):
        cut = tmp_path / f"cut{killed_after}"
        cut.mkdir()
        first = ShardWriter(cut, "train", dtype="uint16", shard_tokens=40)
        for document in documents[:killed_after]:
            first.add(np.array([*tokenizer.encode(document.text), 0]), len(document.text))
        second = ShardWriter(cut, "train", dtype="uint16", shard_tokens=40)
        assert second.num_documents <= killed_after
        shards = pack(documents, tokenizer, second, eos_id=0, on_bytes=lambda n: None)
        assert shards == read_index(whole).splits["train"]
        for shard in shards:
            name = f"{shard.name}.tokens"
            assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_an_index_that_was_edited_is_refused(tmp_path: Path) -> None:
    packed(tmp_path, ["abc"], shard_tokens=8)
    text = (tmp_path / INDEX).read_text()
    for old, new in (('"format": 1', '"format": 9'), ('"uint16"', '"int8"'), ('"tokens": 4', '"tokens": "x"')):
        (tmp_path / INDEX).write_text(text.replace(old, new))
        with pytest.raises(ArtifactError, match="index of token shards"):
            TokenShards.open(tmp_path, "train")


def test_identity_tells_vocabularies_apart() -> None:
    one = CharTokenizer("abc", ("<s>",))
    assert tokenizer_identity(one) == tokenizer_identity(CharTokenizer("abc", ("<s>",)))
    others = [CharTokenizer("abd", ("<s>",)), CharTokenizer("acb", ("<s>",)), CharTokenizer("abc", ("<e>",))]
    assert len({tokenizer_identity(t) for t in [one, *others]}) == 4


def test_an_even_share_of_the_documents() -> None:
    documents = [Document(id=str(i), text=f"{i:0100d}") for i in range(100)]
    places = [int(text) for text in share_of(documents, 10_000, 2_500)]
    assert 24 <= len(places) <= 27
    assert max(np.diff(places)) <= 5 and places[-1] > 90
    assert len(list(share_of(documents, 10_000, None))) == 100

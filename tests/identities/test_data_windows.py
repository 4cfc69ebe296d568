"""Windows: each exactly once an epoch, a pure function of (seed, number), documents told apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core.errors import DataError
from groundup.data import TokenShards, TokenWindows
from groundup.data.shards import Index, ShardWriter, write_index
from groundup.data.windows import permuted


def shards_of(directory: Path, sizes: list[int], *, shard_tokens: int = 50) -> TokenShards:
    """Token ids are their own positions, so that a window says where it was cut."""
    writer = ShardWriter(directory, "train", dtype="uint16", shard_tokens=shard_tokens)
    at = 0
    for size in sizes:
        writer.add(np.arange(at, at + size), size)
        at += size
    index = Index(
        format=1, dtype="uint16", vocab_size=65_536, eos_id=None, tokenizer="", splits={"train": writer.finish()}
    )
    write_index(directory, index)
    return TokenShards.open(directory, "train")


@given(st.integers(1, 500), st.integers(0, 2**64 - 1))
def test_permuted_is_one_to_one(size: int, key: int) -> None:
    assert sorted(permuted(i, size, key) for i in range(size)) == list(range(size))


def test_permuted_spreads_evenly() -> None:
    """Place of each index over many keys: chi-square of 16 cells, 15 degrees of freedom; 0.1 % point is 37.7 (mean of 16)."""
    statistics = []
    for index in range(16):
        cells = Counter(permuted(index, 16, key) for key in range(1600))
        statistics.append(sum((cells[c] - 100) ** 2 / 100 for c in range(16)))
    assert np.mean(statistics) < 22 and max(statistics) < 45


def test_neighbours_do_not_stay_neighbours() -> None:
    places = np.array([permuted(i, 10_000, 7) for i in range(10_000)])
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.04
    assert abs(np.corrcoef(np.arange(10_000), places)[0, 1]) < 0.04


@pytest.mark.row("6.8")
@pytest.mark.parametrize(("total", "context"), [(103, 10), (100, 10), (11, 10), (64, 1), (997, 32)])
def test_an_epoch_visits_each_window_once(tmp_path: Path, total: int, context: int) -> None:
    sizes = [total // 3, total - total // 3 - 2, 2]
    shards = shards_of(tmp_path, sizes)
    windows = TokenWindows(shards, context, seed=3)
    count = total // context
    assert windows.num_windows == count
    offsets = set()
    for epoch in range(6):
        starts = []
        for i in range(epoch * count, (epoch + 1) * count):
            ids = windows.example(i)
            assert isinstance(ids, np.ndarray) and ids.dtype == np.int64 and ids.shape == (context + 1,)
            assert (ids == (ids[0] + np.arange(context + 1)) % total).all()
            starts.append(int(ids[0]))
        low = min(s % total for s in starts)
        # Laid end to end around the ring: no two windows share an input position.
        covered = {(s + j) % total for s in starts for j in range(context)}
        assert len(covered) == count * context
        offsets.add(low)
    if context > 1 and count > 3:
        assert len(offsets) > 1, "every epoch cuts the text at the same places"


@pytest.mark.row("6.8")
def test_order_is_a_pure_function_of_seed_and_number(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, [200, 300])
    asked = np.random.default_rng(1).permutation(120)
    forward = [TokenWindows(shards, 16, seed=5).example(i) for i in range(120)]
    scattered = TokenWindows(TokenShards.open(tmp_path, "train"), 16, seed=5)
    for i in asked:
        assert (scattered.example(int(i)) == forward[i]).all()
    other = TokenWindows(shards, 16, seed=6)
    assert any((other.example(i) != forward[i]).any() for i in range(10))
    count = scattered.num_windows
    first, second = ([int(w[0]) for w in forward[e * count : (e + 1) * count]] for e in (0, 1))
    assert first != second and first != sorted(first)


@pytest.mark.row("6.8")
def test_shards_do_not_matter(tmp_path: Path) -> None:
    many, one = tmp_path / "many", tmp_path / "one"
    many.mkdir(), one.mkdir()
    sizes = [30, 41, 12, 77, 5]
    a = TokenWindows(shards_of(many, sizes, shard_tokens=20), 8, seed=1, documents=True)
    b = TokenWindows(shards_of(one, sizes, shard_tokens=10**6), 8, seed=1, documents=True)
    for i in range(100):
        for left, right in zip(a.example(i), b.example(i)):
            assert (left == right).all()


@pytest.mark.row("6.8")
def test_in_order_windows_for_evaluation(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, [60, 40])
    windows = TokenWindows(shards, 10, seed=0, shuffle=False)
    assert windows.num_windows == 9, "the last id of all has no next one, so a tenth window is one short"
    for i in range(25):
        assert (windows.example(i) == np.arange(11) + 10 * (i % 9)).all()


@pytest.mark.row("6.8")
def test_document_numbers_follow_the_documents(tmp_path: Path) -> None:
    sizes = [7, 1, 20, 3]
    shards = shards_of(tmp_path, sizes)
    owner = np.repeat(np.arange(4), sizes)
    windows = TokenWindows(shards, 9, seed=2, documents=True)
    wrapped = 0
    for i in range(60):
        ids, numbers = windows.example(i)
        past = np.arange(int(ids[0]), int(ids[0]) + 10) >= 31
        assert (numbers == owner[ids] + 4 * past).all()
        assert (np.diff(numbers) >= 0).all()
        wrapped += bool(past.any())
    assert wrapped, "no window went over the seam, so nothing was tested there"


def test_one_document_does_not_continue_over_the_seam(tmp_path: Path) -> None:
    windows = TokenWindows(shards_of(tmp_path, [23]), 7, seed=2, documents=True)
    for i in range(60):
        ids, numbers = windows.example(i)
        assert len(set(numbers.tolist())) == (2 if (np.diff(ids) < 0).any() else 1)


def test_too_little_text_names_the_numbers(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, [10])
    with pytest.raises(DataError, match=r"10 tokens.*needs 11"):
        TokenWindows(shards, 10, seed=0)
    TokenWindows(shards, 9, seed=0).example(0)
    with pytest.raises(IndexError):
        TokenWindows(shards, 9, seed=0).example(-1)

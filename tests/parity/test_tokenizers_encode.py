"""Encoding: ids equal to tiktoken, to Hugging Face `tokenizers`, and to the plain-Python reference."""

from __future__ import annotations

import gzip
import json
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from groundup.core.protocols import Tokenizer
from groundup.tokenizers import BPETokenizer, BPETrainConfig, reference
from groundup.tokenizers.patterns import split_text
from tokenizer_peers import tiktoken_encoding, untrained
from tokenizer_texts import HOSTILE, mixed_text, random_text, uncompiled, unicode_text

pytestmark = pytest.mark.row("3.2")
NAMES = ["r50k_base", "cl100k_base", "o200k_base"]
_ANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@lru_cache(maxsize=3)
def pair_of(name: str, data: Path) -> tuple[BPETokenizer, Any]:
    file = data / "tokenizers" / f"{name}.tiktoken.gz"
    return BPETokenizer.load(file), tiktoken_encoding(name, file)


@lru_cache(maxsize=1)
def trained_pair(data: Path) -> tuple[BPETokenizer, Any]:
    from tokenizers import Tokenizer as Peer

    text = mixed_text(data, 300_000, seed=21)
    ours = BPETokenizer.train([text], BPETrainConfig(vocab_size=4000, special_tokens=("<|endoftext|>",)))
    from groundup.tokenizers.bpe_files import to_tokenizer_json

    return ours, Peer.from_str(json.dumps(to_tokenizer_json(ours.vocabulary)))


@lru_cache(maxsize=1)
def gpt2_pair(data: Path) -> tuple[BPETokenizer, Any]:
    from tokenizers import models

    folder = data / "tokenizers"
    vocab = json.loads(gzip.decompress((folder / "gpt2_vocab.json.gz").read_bytes()))
    lines = gzip.decompress((folder / "gpt2_merges.txt.gz").read_bytes()).decode().splitlines()
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#")]
    peer = untrained("gpt2")
    peer.model = models.BPE(vocab=vocab, merges=merges)
    return BPETokenizer.load(folder / "gpt2_vocab.json.gz"), peer


@pytest.mark.parametrize("name", NAMES)
def test_ids_equal_tiktoken_on_real_and_hostile_text(name: str, shared_data: Path) -> None:
    ours, peer = pair_of(name, shared_data)
    for text in [mixed_text(shared_data, 1_000_000, seed=31), *(text[:4000] for text in HOSTILE.values())]:
        ids = ours.encode(text)
        assert ids == peer.encode_ordinary(text)
        assert ours.decode(ids) == text


@pytest.mark.parametrize("name", NAMES)
@_ANY
@given(text=unicode_text())
def test_ids_equal_tiktoken_on_any_unicode(name: str, text: str, shared_data: Path) -> None:
    ours, peer = pair_of(name, shared_data)
    assert ours.encode(text) == peer.encode_ordinary(text)
    assert ours.encode(text, allow_special=True) == peer.encode(text, allowed_special="all")
    assert ours.decode(ours.encode(text)) == text


@_ANY
@given(text=unicode_text())
def test_ids_equal_tokenizers_on_any_unicode(text: str, shared_data: Path) -> None:
    for ours, peer in (gpt2_pair(shared_data), trained_pair(shared_data)):
        plain = text.replace("<|endoftext|>", "")  # tokenizers always splits added tokens out
        assert ours.encode(plain) == peer.encode(plain).ids
        assert ours.decode(ours.encode(text)) == text
    ours, peer = trained_pair(shared_data)
    assert ours.encode(text, allow_special=True) == peer.encode(text).ids
    assert ours.decode(ours.encode(text, allow_special=True), skip_special=True) == peer.decode(peer.encode(text).ids)


def test_ids_equal_tokenizers_on_real_and_hostile_text(shared_data: Path) -> None:
    for ours, peer in (gpt2_pair(shared_data), trained_pair(shared_data)):
        for text in [mixed_text(shared_data, 500_000, seed=32), *(text[:4000] for text in HOSTILE.values())]:
            assert ours.encode(text) == peer.encode(text).ids


def test_a_real_tokenizer_json_gives_the_ids_of_tokenizers(shared_data: Path) -> None:
    from tokenizers import Tokenizer as Peer

    file = shared_data / "tokenizers" / "minimind-tokenizer.json.gz"
    ours = BPETokenizer.load(file)
    peer = Peer.from_str(gzip.decompress(file.read_bytes()).decode())
    text = mixed_text(shared_data, 300_000, seed=33)
    assert ours.encode(text) == peer.encode(text).ids
    chat = "<|im_start|>user\n\u4f60\u597d<|im_end|>\n"
    assert ours.encode(chat, allow_special=True) == peer.encode(chat).ids
    assert ours.vocab_size == peer.get_vocab_size()


@pytest.mark.parametrize("whole_pieces", [False, True])
def test_ids_equal_the_reference(whole_pieces: bool, shared_data: Path) -> None:
    """Also with a vocabulary in which merging cannot reach some tokens, where the two readings of a whole piece differ."""
    from dataclasses import replace

    vocabulary = trained_pair(shared_data)[0].vocabulary
    assert vocabulary.merges is not None
    merges = [pair for i, pair in enumerate(vocabulary.merges) if i % 7]
    vocabulary = replace(vocabulary, merges=merges, whole_pieces=whole_pieces)
    ours = BPETokenizer(vocabulary)
    tokens = list(vocabulary.tokens)
    id_of = {data: i for i, data in enumerate(tokens) if data}
    merge_of = {pair: (rank, id_of[tokens[pair[0]] + tokens[pair[1]]]) for rank, pair in enumerate(merges)}
    byte_id = {byte: id_of[bytes([byte])] for byte in range(256)}
    text = mixed_text(shared_data, 100_000, seed=34)
    expected: list[int] = []
    for piece in split_text(vocabulary.rule, text):
        data = piece.encode()
        whole = id_of.get(data) if whole_pieces else None
        expected += reference.encode_piece(data, byte_id, merge_of) if whole is None else [whole]
    assert ours.encode(text) == expected


def test_heap_and_scan_agree_on_long_pieces(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces around the length at which the algorithm changes, against the reference."""
    ours, _ = pair_of("cl100k_base", shared_data)
    from groundup.tokenizers.encode_kernel import SCAN_LIMIT
    from groundup.tokenizers.merge_tables import split_pairs

    tokens = list(ours.vocabulary.tokens)
    id_of = {data: i for i, data in enumerate(tokens) if data}
    left, right, new = (column.tolist() for column in split_pairs(tokens))
    merge_of = {(a, b): (n, n) for a, b, n in zip(left, right, new)}
    byte_id = {byte: id_of[bytes([byte])] for byte in range(256)}
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(200):
        letters = rng.choice(["ab", "abcdefghijklmnopqrstuvwxyz", "aA\u0301", "\u00e9\u6f22"])
        piece = "".join(rng.choice(letters) for _ in range(rng.randrange(SCAN_LIMIT // 3, 2 * SCAN_LIMIT)))
        expected: list[int] = []
        for part in split_text(ours.vocabulary.rule, piece):
            data = part.encode()
            expected += [id_of[data]] if data in id_of else reference.encode_piece(data, byte_id, merge_of)
        assert ours.encode(piece) == expected


def test_windows_of_very_long_pieces_join_without_a_seam(shared_data: Path) -> None:
    """Pieces of several windows, random and periodic, against libraries that merge them as one."""
    from groundup.tokenizers.encode_kernel import WINDOW

    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rank_pair, merge_pair = pair_of("cl100k_base", shared_data), trained_pair(shared_data)
    for _ in range(60):
        letters = rng.choice(
            ["ab", "abc", "etaoin", "abcdefghijklmnopqrstuvwxyz", "aA\u00e9", "\u6f22\u5b57\u4eee", " "]
        )
        size = rng.randrange(2 * WINDOW + 1, 5 * WINDOW)
        if rng.randrange(2):
            period = "".join(rng.choice(letters) for _ in range(rng.randrange(1, 40)))
            piece = (period * size)[:size]
        else:
            piece = "".join(rng.choice(letters) for _ in range(size))
        ours, tiktoken = rank_pair
        assert ours.encode(piece) == tiktoken.encode_ordinary(piece)
        ours, tokenizers = merge_pair
        assert ours.encode(piece) == tokenizers.encode(piece).ids


@pytest.mark.parametrize(("window", "give_up"), [(4, 10_000), (8, 64), (8, 12), (16, 20)])
def test_joints_of_tiny_windows_and_giving_up_on_them(window: int, give_up: int, shared_data: Path) -> None:
    """The same loops as plain Python with windows of a few bytes, so that every joint and the way out are taken."""
    from groundup.tokenizers import encode_kernel

    ours, _ = pair_of("cl100k_base", shared_data)
    _, tables = ours._ready
    kernel = uncompiled(encode_kernel, WINDOW=window, _GIVE_UP=give_up)
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    shared = tables.byte_id, tables.byte_pair, tables.pair_key, tables.pair_value
    for _ in range(40):
        data = np.frombuffer(
            "".join(rng.choices(rng.choice(["ab", " ", "etaoins"]), k=rng.randrange(20, 90))).encode(), np.uint8
        )
        whole, joined = np.empty(len(data), np.int32), np.empty(len(data), np.int32)
        count, _ = encode_kernel._merge_heap(data, 0, len(data), *shared, whole, 0)
        written, _ = kernel["_merge_windows"](data, 0, len(data), *shared, tables.token_end, joined, 0)
        assert joined[:written].tolist() == whole[:count].tolist()


def test_threads_and_batches_change_nothing(shared_data: Path) -> None:
    ours, _ = pair_of("cl100k_base", shared_data)
    text = mixed_text(shared_data, 3_000_000, seed=35)
    one = ours.encode_array(text, num_threads=1)
    assert one.dtype == np.int32
    assert np.array_equal(one, ours.encode_array(text, num_threads=3))
    texts = [text[i : i + 700] for i in range(0, 300_000, 700)] + ["", "x"]
    singles = [ours.encode(each) for each in texts]
    assert [ids.tolist() for ids in ours.encode_many(texts, num_threads=3)] == singles
    assert ours.encode_batch(texts) == singles
    assert isinstance(ours, Tokenizer)


def test_encoding_again_from_a_full_cache_gives_the_same_ids(shared_data: Path) -> None:
    """The cache of pieces is small and direct-mapped: many distinct pieces push each other out of it."""
    ours, peer = pair_of("r50k_base", shared_data)
    rng = random.Random(5)
    words = ["".join(rng.choice("bcdfgxz") for _ in range(rng.randrange(3, 34))) for _ in range(60_000)]
    text = " ".join(words + words[::3])
    ids = peer.encode_ordinary(text)
    assert ours.encode(text) == ids and ours.encode(text) == ids


@pytest.mark.parametrize("label", [label for label in HOSTILE if label != "empty"])
def test_steps_on_hostile_text_grow_with_its_length(label: str, shared_data: Path) -> None:
    """Linear by count: heap steps per byte do not grow with the piece."""
    ours, _ = pair_of("cl100k_base", shared_data)
    from groundup.tokenizers.splitter import as_bytes

    splitter, tables = ours._ready

    def steps(text: str) -> int:
        data = as_bytes(text)
        out = np.empty(len(data), np.int32)
        total = written = 0
        for at, ends, count in splitter.blocks(data):
            written, taken = tables.encode(data, at, ends, count, out, written)
            total += taken
        assert total <= 12 * len(data)
        return total

    once = steps(HOSTILE[label])
    assert steps(HOSTILE[label] * 2) <= 2.3 * once + 100


def test_random_borders_round_trip(shared_data: Path) -> None:
    ours, peer = pair_of("o200k_base", shared_data)
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(2000):
        text = random_text(rng, 20)
        assert ours.encode(text) == peer.encode_ordinary(text), repr(text)

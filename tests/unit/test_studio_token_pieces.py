"""Pieces as a page shows them, and the merges of a piece: held equal to what tokenizers encode."""

from __future__ import annotations

import os
import random
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from groundup.core.artifact import seal
from groundup.core.errors import TokenizerError
from groundup.studio.token_pieces import (
    BUILT_IN,
    clean,
    cut,
    cut_built_in,
    merges_of,
    piece_of,
    tokenizers_of,
    visible,
)
from groundup.tokenizers import BPETokenizer, BPETrainConfig, BPEVocabulary, CharTokenizer, WordTokenizer
from groundup.tokenizers.patterns import split_text

pytestmark = pytest.mark.row("L.8")
TEXTS = [
    "",
    "hello world",
    "naïve café 🦊 日本語",
    " \t\r\n\n  x",
    "a\u200db\u00a0c",
    "e\u0301",
    "The end.\n" * 3,
    "\x00\x1b[31m",
]
CORPUS = ["the cat sat on the mat and then the hat " * 20, "naïve café été 日本語 日本 🦊🦊 " * 10]


@pytest.fixture(scope="module")
def bpe() -> BPETokenizer:
    return BPETokenizer.train(CORPUS, BPETrainConfig(vocab_size=330, special_tokens=("<|end|>",)))


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_of_every_cut_are_the_text(name: str, text: str) -> None:
    made = cut_built_in(name, text)
    assert b"".join(p.data for p in made.pieces).decode() == text
    assert (made.num_bytes, made.num_characters) == (len(text.encode()), len(text))
    at = 0
    for piece in made.pieces:
        assert piece.start_byte == at and piece.shown
        at += len(piece.data)


def test_counts_are_per_token(bpe: BPETokenizer) -> None:
    text = "the cat sat 日本語"
    made = cut(bpe, text)
    assert [p.token_id for p in made.pieces] == bpe.encode(text)
    assert made.bytes_per_token == len(text.encode()) / len(bpe.encode(text)) > made.characters_per_token > 1
    assert cut(bpe, "").bytes_per_token == 0.0
    assert len(cut_built_in("bytes", "日").pieces) == 3 and len(cut_built_in("characters", "日").pieces) == 1


def test_what_the_eye_would_miss_has_a_mark() -> None:
    assert visible("a b\n\tc\u00a0\u200d\x1b\r") == "a·b⏎\n⇥c⍽⟨200D⟩⟨001B⟩␍"
    assert piece_of(b"\xe6\x97").shown == "⟨E6⟩⟨97⟩" and not piece_of(b"\xe6\x97").whole
    assert piece_of(b" a\xe6\x97b").shown == "·a⟨E6⟩⟨97⟩b"
    assert piece_of("日".encode(), token_id=7, start_byte=4).note == "id 7 · 3 bytes: e6 97 a5 · at byte 4"
    assert piece_of(b"\xa5").note == "1 byte: a5 · at byte 0 · part of a character"
    assert piece_of(b"").shown == "∅"
    assert piece_of(b"x" * 40).note.startswith("40 bytes: 78 78") and "…" in piece_of(b"x" * 40).note
    assert clean("a\ud83eb") == "a\N{REPLACEMENT CHARACTER}b" and clean("🦊") == "🦊"
    # A right-to-left override or a tag character must not reorder or hide what follows.
    assert visible("\u202eabc\U000e0041") == "⟨202E⟩abc⟨E0041⟩"


def vocabularies(bpe: BPETokenizer) -> dict[str, BPETokenizer]:
    made = {"merges": bpe}
    known: dict[str, Any] = {
        "tokens": bpe.vocabulary.tokens,
        "rule": bpe.vocabulary.rule,
        "added": bpe.vocabulary.added,
    }
    made["whole pieces"] = BPETokenizer(BPEVocabulary(**known, merges=bpe.vocabulary.merges[:40], whole_pieces=True))
    made["merges cut short"] = BPETokenizer(BPEVocabulary(**known, merges=bpe.vocabulary.merges[:40]))
    made["ranks"] = BPETokenizer(BPEVocabulary(**known, merges=None))
    made["nfc"] = BPETokenizer(BPEVocabulary(**known, merges=bpe.vocabulary.merges, nfc=True))
    return made


@pytest.mark.parametrize("kind", ["merges", "whole pieces", "merges cut short", "ranks", "nfc"])
def test_the_last_step_is_what_the_tokenizer_encodes(bpe: BPETokenizer, kind: str) -> None:
    tokenizer = vocabularies(bpe)[kind]
    merges = merges_of(tokenizer)
    assert merges is not None
    draw = random.Random(3)
    words = [
        "the",
        "cat",
        "sat",
        "mat",
        "then",
        "naïve",
        "café",
        "été",
        "日本語",
        "🦊",
        "quick",
        "aaaa",
        "e\u0301 ",
        "\n",
    ]
    for _ in range(60):
        text = " ".join(draw.choices(words, k=5))
        normal = unicodedata.normalize("NFC", text) if tokenizer.vocabulary.nfc else text
        pieces = split_text(tokenizer.vocabulary.rule, normal)
        assert merges.pieces(text) == list(dict.fromkeys(pieces))
        assert [i for piece in pieces for i in merges.steps(piece)[-1].ids] == tokenizer.encode(text)


def test_every_step_merges_one_pair_and_ranks_are_the_tables(bpe: BPETokenizer) -> None:
    merges = merges_of(bpe)
    assert merges is not None and bpe.vocabulary.merges is not None
    steps = merges.steps(" then")
    tokens = bpe.vocabulary.tokens
    assert [tokens[i] for i in steps[0].ids] == [b" ", b"t", b"h", b"e", b"n"] and steps[0].rank is None
    for before, after in pairwise(steps):
        assert after.at is not None and after.pair is not None and after.rank is not None
        assert before.ids[after.at : after.at + 2] == after.pair == bpe.vocabulary.merges[after.rank]
        assert after.ids == (*before.ids[: after.at], after.ids[after.at], *before.ids[after.at + 2 :])
        assert tokens[after.ids[after.at]] == tokens[after.pair[0]] + tokens[after.pair[1]]
    assert len(steps) > 2


def test_a_whole_piece_is_said_to_be_one() -> None:
    tokens = [b"a", b"b", b"c", b"ab", b"bc", b"abc"]
    known: dict[str, Any] = {"tokens": tokens, "merges": [(1, 2)], "rule": ("[a-c]+",)}
    merges = merges_of(BPETokenizer(BPEVocabulary(**known, whole_pieces=True)))
    assert merges is not None
    assert [(s.ids, s.pair, s.at) for s in merges.steps("abc")] == [
        ((0, 1, 2), None, None),
        ((0, 4), (1, 2), 1),
        ((5,), None, 0),
    ]
    plain = merges_of(BPETokenizer(BPEVocabulary(**known)))
    assert plain is not None and plain.steps("abc")[-1].ids == (0, 4)


def test_the_piece_at_a_byte_is_found(bpe: BPETokenizer) -> None:
    merges = merges_of(bpe)
    assert merges is not None
    text = "the café 日本"
    assert [merges.piece_at(text, i) for i in (0, 2, 3, 8, 9, 15)] == ["the", "the", " café", " café", " 日本", " 日本"]
    assert merges.piece_at(text, 16) is None


def test_other_tokenizers_have_pieces_but_no_merges() -> None:
    characters = CharTokenizer.train(["abc "])
    assert [p.shown for p in cut(characters, "a b").pieces] == ["a", "·", "b"]
    assert merges_of(characters) is None
    with pytest.raises(TokenizerError, match="U\\+0021"):
        cut(characters, "a!")
    words = WordTokenizer.train(["one two two\n"])
    assert [p.token_id for p in cut(words, "two three\n").pieces] == words.encode("two three\n")
    small = BPETokenizer(BPEVocabulary(tokens=[b"a", b"b"], merges=[], rule=("x",)))
    merges = merges_of(small)
    assert merges is not None and merges.steps("abc") == [] and merges.steps("ab")[-1].ids == (0, 1)


def test_tokenizers_are_found_in_runs_newest_first(bpe: BPETokenizer, tmp_path: Path) -> None:
    assert tokenizers_of(tmp_path / "none") == {}
    for time, (run, stage, kind) in enumerate(
        [
            ("old", "tokenizer", "tokenizer"),
            ("new", "words", "tokenizer"),
            ("new", "base", "model"),
            ("from", "m", "model"),
        ],
        1,
    ):
        folder = tmp_path / run / stage
        folder.mkdir(parents=True)
        (tmp_path / run / "recipe.json").write_text('{"name": "x"}')
        bpe.save(folder)
        seal(folder, kind=kind, facts={})
        os.utime(folder / "groundup.json", (time, time))
    (tmp_path / "from" / "broken").mkdir()
    (tmp_path / "from" / "broken" / "groundup.json").write_text("{")
    assert list(tokenizers_of(tmp_path).values()) == ["from / m", "new / words", "old / tokenizer"]

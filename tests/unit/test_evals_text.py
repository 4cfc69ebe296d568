"""Bits per byte: against sums worked out by hand, under scorers of every kind and any length of context."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import pytest

from groundup.core.errors import BusyError, DataError, ModelError, RequestError
from groundup.core.types import Capabilities, ScoreRequest, TokenLogprobs
from groundup.evals.baselines import ByteUnigram, TokenUnigram, xz_bits_per_byte
from groundup.evals.text import combined, read_text_file, score_texts, text_score

pytestmark = pytest.mark.row("11.1")


class Order1:
    """A real model with memory: p(byte | byte before), add-one, over bytes. Refuses more than `limit` of them, as an
    engine without a sliding window would; knows a first byte only with `begins`.
    """

    def __init__(self, text: str, *, limit: int = 1 << 30, begins: bool = True) -> None:
        self.capabilities = Capabilities(model="order 1", max_context_tokens=limit)
        self._limit, self._begins = limit, begins
        self._counts: dict[int, dict[int, int]] = {}
        data = text.encode()
        for a, b in pairwise(data):
            row = self._counts.setdefault(a, {})
            row[b] = row.get(b, 0) + 1
        self.asked: list[ScoreRequest] = []
        self.refused = 0

    def logprob(self, before: int, byte: int) -> float:
        row = self._counts.get(before, {})
        return math.log((row.get(byte, 0) + 1) / (sum(row.values()) + 256))

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[TokenLogprobs]:
        results = []
        for request in requests:
            before, data = str(request.context).encode(), str(request.continuation).encode()
            if len(before) + len(data) > self._limit:
                self.refused += 1
                raise RequestError("too long", code="context_length_exceeded")
            whole = before + data
            first = len(before)
            values = [self.logprob(whole[i - 1], whole[i]) for i in range(max(first, 1), len(whole))]
            ids = tuple(whole[max(first, 1) :])
            if first == 0 and self._begins:
                values, ids = [-math.log(256), *values], (whole[0], *ids)
            results.append(TokenLogprobs(token_ids=ids, logprobs=tuple(values), unit="byte"))
        self.asked.extend(requests)
        return results


def some_text(rng: random.Random, characters: int) -> str:
    words = ["the", "model", "naïve", "日本", "def f(x):", "🙂", "return", "\n", "\n    ", "  "]
    out = ""
    while len(out) < characters:
        out += rng.choice(words) + rng.choice([" ", "", "\n"])
    return out[:characters]


def test_uniform_is_eight_bits_and_one_fair_choice_of_256() -> None:
    score = text_score(ByteUnigram(), "Grüße, 世界\n" * 50)
    assert score["bits_per_byte"] == pytest.approx(8)
    assert score["perplexity"] == pytest.approx(256)
    assert score["unit"] == "byte"
    assert score["bytes"] == score["tokens"] == len("Grüße, 世界\n".encode()) * 50


def test_unigram_is_the_cross_entropy_of_its_counts() -> None:
    train, held = "aaab", "ab"
    nats = -math.log(4 / 260) - math.log(2 / 260)  # add-one over 256 bytes
    score = text_score(ByteUnigram([train]), held)
    assert score["nats"] == pytest.approx(nats)
    assert score["bits_per_byte"] == pytest.approx(nats / math.log(2) / 2)
    assert score["perplexity"] == pytest.approx(math.exp(nats / 2))


@pytest.mark.parametrize("limit", [5, 7, 64, 300, 5000, 1 << 30])
@pytest.mark.parametrize("begins", [True, False])
def test_cutting_a_text_to_fit_neither_loses_nor_repeats_a_unit(limit: int, begins: bool) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    texts = [some_text(rng, n) for n in (1, 2, 900, 3000, 17)]
    model = Order1(texts[3], limit=limit, begins=begins)
    seen = 0

    def on_progress(characters: int) -> None:
        nonlocal seen
        seen += characters

    scores = score_texts(model, texts, on_progress=on_progress)
    assert seen == sum(map(len, texts))
    for text, score in zip(texts, scores):
        data = text.encode()
        assert score.bytes == score.tokens == len(data)
        # An order-1 model needs one byte of context: wherever the cuts are, the sum is that of the whole text.
        after = sum(model.logprob(a, b) for a, b in pairwise(data))
        first = score.nats + after
        if begins and limit >= 64:
            assert first == pytest.approx(math.log(256))
        if not begins and limit >= 64:
            starts = {-model.logprob(c, data[0]) for c in b"\n "}
            assert any(first == pytest.approx(start) for start in starts)
    assert (model.refused > 0) == (limit < 5000)


def test_context_crosses_pieces_and_never_texts() -> None:
    texts = ["x" * 500, "y" * 500]
    model = Order1("".join(texts), limit=100)
    score_texts(model, texts)
    for request in model.asked:
        assert len(set(str(request.context) + str(request.continuation))) == 1
    after_first = [r for r in model.asked if r.context]
    assert len(after_first) >= 8 and min(len(str(r.context)) for r in after_first) >= 10


def test_pieces_end_after_lines() -> None:
    text = "".join(f"line {i} of some length\n" for i in range(200))
    model = Order1(text, limit=256)
    score_texts(model, [text])
    asked = [str(r.continuation) for r in model.asked if len(str(r.continuation)) > 1]
    assert len(asked) > 10 and all(piece.endswith("\n") for piece in asked)


def test_the_total_is_the_sum_of_its_texts() -> None:
    model = Order1("abcabc")
    a, b = score_texts(model, ["abcab", "ccc"])
    both = combined([a, b])
    assert both.nats == pytest.approx(a.nats + b.nats) and both.bytes == 8
    assert both.bits_per_byte == pytest.approx((5 * a.bits_per_byte + 3 * b.bits_per_byte) / 8)


class Words:
    """Whitespace-separated words from a closed vocabulary; the unit is the word."""

    capabilities = Capabilities(model="words", max_context_tokens=0)

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[TokenLogprobs]:
        known = {"a": math.log(0.75), "b": math.log(0.25)}
        return [
            TokenLogprobs(
                token_ids=tuple(range(len(words))),
                logprobs=tuple(known.get(w, -math.inf) for w in words),
                unit="word",
            )
            for words in (str(r.continuation).split() for r in requests)
        ]


def test_perplexity_states_the_unit_it_is_per() -> None:
    score = text_score(Words(), "a b")
    assert score["unit"] == "word" and score["tokens"] == 2 and score["bytes"] == 3
    assert score["perplexity"] == pytest.approx((0.75 * 0.25) ** -0.5)


def test_the_impossible_is_counted_and_infinite_is_null() -> None:
    score = text_score(Words(), "a z b z")
    assert score["impossible"] == 2
    assert score["bits_per_byte"] is None and score["perplexity"] is None and score["nats"] is None


class Broken:
    capabilities = Capabilities(model="broken", max_context_tokens=0)

    def __init__(self, result: TokenLogprobs | Exception) -> None:
        self.result, self.calls = result, 0

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[TokenLogprobs]:
        self.calls += 1
        if isinstance(self.result, Exception):
            raise self.result
        return [self.result] * len(requests)


@pytest.mark.parametrize(
    "result, message",
    [
        (TokenLogprobs(token_ids=(1,), logprobs=(math.nan,)), "not a number"),
        (TokenLogprobs(token_ids=(1,), logprobs=(0.5,)), "above zero"),
        (TokenLogprobs(token_ids=(1, 2), logprobs=(-1.0,)), "1 log-probabilities for 2"),
    ],
)
def test_a_scorer_that_is_wrong_is_named_and_not_averaged(result: TokenLogprobs, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        text_score(Broken(result), "some text")


def test_refusals_that_are_not_for_length_come_through() -> None:
    with pytest.raises(RequestError, match="no such adapter"):
        text_score(Broken(RequestError("no such adapter")), "some text")
    busy = Broken(BusyError("full", retry_after_seconds=1))
    with pytest.raises(BusyError):
        text_score(busy, "some text")
    assert busy.calls == 1


def test_texts_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        text_score(ByteUnigram(), "")
    with pytest.raises(DataError, match="not valid Unicode"):
        text_score(ByteUnigram(), "a\ud800")
    assert score_texts(ByteUnigram(), []) == []


# Files


def test_files_are_read_as_they_are_plain_or_compressed(tmp_path: Path) -> None:
    text = "Grüße\r\n世界 \u2028 end\n"
    data = text.encode()
    for name, packed in (
        ("a.txt", data),
        ("a.txt.gz", gzip.compress(data)),
        ("a.xz", lzma.compress(data)),
        ("a.bz2", bz2.compress(data)),
    ):
        (tmp_path / name).write_bytes(packed)
        assert read_text_file(tmp_path / name) == text


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8: byte 0xfc at 2") as caught:
        read_text_file(tmp_path / "latin.txt")
    assert "iconv" in caught.value.hint
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"text" * 1000)[:30])
    for name, message in (("empty.txt", "empty"), ("cut.gz", "cannot be read"), ("no.txt", "cannot be read")):
        with pytest.raises(DataError, match=message):
            read_text_file(tmp_path / name)
    with pytest.raises(DataError, match="folder"):
        read_text_file(tmp_path)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"\0" * 5_000_000))
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        read_text_file(tmp_path / "bomb.gz", limit_bytes=1000)


# Baselines for text


def test_xz_primed_with_the_text_itself_has_nearly_nothing_left_to_say() -> None:
    rng = random.Random(3)
    text = "".join(rng.choice("abcdefgh") for _ in range(20_000))
    alone = xz_bits_per_byte([text])
    assert 2.9 < alone < 3.6  # three bits a letter is all there is
    assert xz_bits_per_byte([text], primer=[text]) < 0.1
    assert xz_bits_per_byte([text], primer=["z" * 20_000]) == pytest.approx(alone, rel=0.02)


class Syllables:
    """A tokenizer with multi-byte tokens."""

    vocab_size = 258
    special_ids: Mapping[str, int] = MappingProxyType({})

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        return list(text.encode().replace(b"la", b"\xfe").replace(b"lu", b"\xff"))

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return bytes(ids).replace(b"\xfe", b"la").replace(b"\xff", b"lu").decode()

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]).replace(b"\xfe", b"la").replace(b"\xff", b"lu")


def test_token_unigram_counts_tokens_and_bytes_apart() -> None:
    score = text_score(TokenUnigram(Syllables(), ["lala lu"]), "lalu")
    assert score["tokens"] == 2 and score["bytes"] == 4 and score["unit"] == "token"
    assert score["bits_per_byte"] == pytest.approx(score["nats"] / math.log(2) / 4)
    total = 4 + 258  # la la space lu, and one for each of the vocabulary
    assert score["nats"] == pytest.approx(-math.log(3 / total) - math.log(2 / total))

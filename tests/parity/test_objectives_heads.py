"""Losses and gradients of the heads against transformers' own, on the same weights and examples."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from test_models_families import llama

from groundup.core.errors import DataError, TokenizerError
from groundup.models.heads import load_headed
from groundup.objectives.heads import (
    Classification,
    ClassificationConfig,
    ExtractiveQA,
    HeadExample,
    SpanConfig,
    Tagging,
    TaggingConfig,
    balanced_weights,
    encode_question,
    encode_words,
)
from groundup.tokenizers import BPETokenizer, BPETrainConfig

pytestmark = pytest.mark.row("9.3")

SEED = int(os.environ.get("GROUNDUP_TEST_SEED") or random.SystemRandom().randrange(2**32))


@pytest.fixture
def draw() -> random.Random:
    print(f"GROUNDUP_TEST_SEED={SEED}")
    torch.manual_seed(SEED % 2**31)
    return random.Random(SEED)


def pair(draw: random.Random, form: str, num_labels: int, where: Path) -> tuple[Any, Any]:
    config = llama(draw)
    config.num_labels = num_labels
    theirs = getattr(transformers, f"LlamaFor{form}")(config).eval()
    theirs.save_pretrained(where)
    return load_headed(where), theirs


def examples(draw: random.Random, vocab: int, make: Any, lengths: tuple[int, ...] = (9, 4, 7, 12)) -> list[HeadExample]:
    return [make(np.asarray([draw.randrange(1, vocab) for _ in range(n)]), n) for n in lengths]


def same_gradients(ours: Any, theirs: Any) -> None:
    for mine, other in (
        (ours.head.weight, list(theirs.parameters())[-1] if ours.head.bias is None else list(theirs.parameters())[-2]),
        (ours.decoder.blocks[1].ffn.up_proj.weight, next(m for n, m in theirs.named_modules() if n.endswith("layers.1")).mlp.up_proj.weight),
    ):  # fmt: skip
        assert float(mine.grad.abs().max()) > 0
        torch.testing.assert_close(mine.grad, other.grad, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("multi", [False, True])
def test_classification(draw: random.Random, tmp_path: Path, multi: bool, packing: bool) -> None:
    ours, theirs = pair(draw, "SequenceClassification", 4, tmp_path)

    def make(ids: np.ndarray, n: int) -> HeadExample:
        held = tuple(sorted(draw.sample(range(4), draw.randrange(0, 4)))) if multi else (draw.randrange(4),)
        return HeadExample(ids, held)

    some = examples(draw, ours.config.vocab_size, make)
    config = ClassificationConfig(context_tokens=20, packing=packing, pad_multiple_tokens=8)
    objective = Classification(config, num_labels=4, multi_label=multi, pad_id=0)
    batch = objective.collate(some)
    assert batch.weight == 4 and batch.input_ids.shape[0] == (2 if packing else 4)
    got = objective.loss(ours, batch)
    got.loss.backward()
    theirs.config.problem_type = objective.problem_type
    ids = torch.zeros(4, 12, dtype=torch.long)
    for i, e in enumerate(some):
        ids[i, : e.positions] = torch.from_numpy(e.input_ids)
    labels: Any = torch.tensor([e.labels[0] for e in some]) if not multi else torch.zeros(4, 4)
    if multi:
        for i, e in enumerate(some):
            labels[i, list(e.labels)] = 1
    wanted = theirs(ids, labels=labels)
    wanted.loss.backward()
    torch.testing.assert_close(got.loss, wanted.loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(objective.logits(ours, batch), wanted.logits, rtol=1e-4, atol=1e-5)
    same_gradients(ours, theirs)
    predicted = objective.predict(wanted.logits)
    expected = [tuple(i for i in range(4) if row[i] >= 0) if multi else (int(row.argmax()),) for row in wanted.logits]
    assert predicted == expected


@pytest.mark.parametrize("packing", [False, True])
def test_tagging(draw: random.Random, tmp_path: Path, packing: bool) -> None:
    ours, theirs = pair(draw, "TokenClassification", 3, tmp_path)

    def make(ids: np.ndarray, n: int) -> HeadExample:
        places = tuple(sorted(draw.sample(range(n), draw.randrange(1, n))))
        return HeadExample(ids, tuple(draw.randrange(3) for _ in places), places)

    some = examples(draw, ours.config.vocab_size, make)
    objective = Tagging(TaggingConfig(context_tokens=24, packing=packing), pad_id=0)
    batch = objective.collate(some)
    assert batch.weight == sum(len(e.places) for e in some)
    got = objective.loss(ours, batch)
    got.loss.backward()
    ids, labels = torch.zeros(4, 12, dtype=torch.long), torch.full((4, 12), -100)
    for i, e in enumerate(some):
        ids[i, : e.positions] = torch.from_numpy(e.input_ids)
        labels[i, list(e.places)] = torch.tensor(e.labels)
    wanted = theirs(ids, labels=labels)
    wanted.loss.backward()
    torch.testing.assert_close(got.loss, wanted.loss, rtol=1e-4, atol=1e-5)
    same_gradients(ours, theirs)


def test_answers(draw: random.Random, tmp_path: Path) -> None:
    ours, theirs = pair(draw, "QuestionAnswering", 2, tmp_path)

    def make(ids: np.ndarray, n: int) -> HeadExample:
        start = draw.randrange(2, n - 1)
        return HeadExample(ids, (start, draw.randrange(start, n)), (2, n - 1), spans=np.zeros((n - 3, 2), np.int64))

    objective = ExtractiveQA(SpanConfig(pad_multiple_tokens=1), pad_id=0)
    some = examples(draw, ours.config.vocab_size, make, (11, 11, 11))
    batch = objective.collate(some)
    assert batch.weight == 3
    got = objective.loss(ours, batch).loss
    got.backward()
    spans = batch.extras["spans"]
    wanted = theirs(batch.input_ids, start_positions=spans[:, 0], end_positions=spans[:, 1]).loss
    wanted.backward()
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    same_gradients(ours, theirs)
    # Of unequal lengths: the mean of each alone, whatever the padding.
    some = examples(draw, ours.config.vocab_size, make, (11, 5, 8))
    alone = [objective.loss(ours, objective.collate([e])).loss for e in some]
    wide = ExtractiveQA(SpanConfig(pad_multiple_tokens=16), pad_id=0)
    torch.testing.assert_close(
        wide.loss(ours, wide.collate(some)).loss, torch.stack(alone).mean(), rtol=1e-4, atol=1e-5
    )


def test_class_weights(draw: random.Random, tmp_path: Path) -> None:
    ours, _ = pair(draw, "SequenceClassification", 3, tmp_path)
    some = examples(draw, ours.config.vocab_size, lambda ids, n: HeadExample(ids, (n % 2,)))
    weights = balanced_weights(some, 3, multi_label=False)
    assert weights == [4 / (3 * 2), 4 / (3 * 2), 1.0]
    assert sum(weights[e.labels[0]] for e in some) == pytest.approx(4 * 2 / 3)
    objective = Classification(num_labels=3, pad_id=0, class_weights=[0.5, 2.0, 1.0])
    batch = objective.collate(some)
    logits, labels = objective.logits(ours, batch), batch.extras["labels"]
    each = F.cross_entropy(logits, labels, reduction="none")
    expected = (each * torch.tensor([0.5, 2.0, 1.0])[labels]).sum() / 4
    torch.testing.assert_close(objective.loss(ours, batch).loss, expected)
    # Accumulation over micro-batches is exact.
    halves = [objective.loss(ours, objective.collate(some[i : i + 2])).loss for i in (0, 2)]
    torch.testing.assert_close(torch.stack(halves).mean(), expected, rtol=1e-4, atol=1e-6)
    assert balanced_weights([HeadExample(np.ones(1), (0,)), HeadExample(np.ones(1), ())], 2, multi_label=True) == [
        1.0,
        1.0,
    ]


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    texts = ["the cat sat on the mat in the garden of Zürich " * 3, "naïve café über größe " * 3]
    return BPETokenizer.train(texts, BPETrainConfig(vocab_size=330, special_tokens=("<|endoftext|>",), num_threads=1))


@pytest.mark.parametrize("read_at", ["first", "last"])
@pytest.mark.parametrize("max_tokens", [10_000, 40, 25])
def test_each_word_keeps_its_tag(draw: random.Random, tokenizer: BPETokenizer, read_at: Any, max_tokens: int) -> None:
    alphabet = "abcdeé ü日本😀-.,".replace(" ", "")
    for _ in range(15):
        words = [
            "".join(draw.choice(alphabet) for _ in range(draw.randrange(1, 6))) for _ in range(draw.randrange(1, 30))
        ]
        tags = [draw.choice(["O", "B-X", "I-X"]) for _ in words]
        labels = ("B-X", "I-X", "O")
        made = encode_words({"words": words, "labels": tags}, 5, tokenizer, labels, max_tokens, read_at)
        assert [labels[t] for e in made for t in e.labels] == tags
        assert [e.first for e in made] == list(np.cumsum([0] + [len(e.labels) for e in made])[:-1])
        assert all(e.positions <= max_tokens and e.source == 5 for e in made)
        for e in made:
            pieces = [tokenizer.token_bytes(int(i)) for i in e.input_ids]
            mine = words[e.first : e.first + len(e.labels)]
            assert b"".join(pieces).decode().strip() == " ".join(mine)
            ends = np.cumsum([len(p) for p in pieces])
            lead = len(b"".join(pieces)) - len(" ".join(mine).encode())
            at = lead
            for word, place in zip(mine, e.places, strict=True):
                first, stop = at, at + len(word.encode())
                start, end = int(ends[place]) - len(pieces[place]), int(ends[place])
                if read_at == "first":
                    assert start <= first < end
                else:
                    assert start < stop <= end
                at = stop + 1
    with pytest.raises(DataError, match="more than 3 tokens"):
        encode_words({"words": ["😀😀😀"], "labels": ["O"]}, 0, tokenizer, ("O",), 3, read_at)


def test_answers_are_found_again(draw: random.Random, tokenizer: BPETokenizer) -> None:
    """Logits that point at the labels give the answer's own characters back, from whichever window holds it."""
    found_whole = 0
    for number in range(25):
        words = [
            "".join(draw.choice("abcé日t h") for _ in range(draw.randrange(1, 7))).strip() or "a" for _ in range(40)
        ]
        context = " ".join(words)
        start = draw.randrange(len(context) - 12)
        text = context[start : start + draw.randrange(1, 12)]
        row = {"question": "which one is it", "context": context, "answers": [{"text": text, "start": start}]}
        config = SpanConfig(context_tokens=draw.choice([60, 90, 400]), stride_tokens=30, max_answer_tokens=40)
        objective = ExtractiveQA(config, pad_id=0)
        made = encode_question(row, number, tokenizer, config, end_id=329)
        assert all(e.positions <= config.context_tokens for e in made)
        covered = np.zeros(len(context.encode()), bool)
        scored = []
        for e in made:
            begin, mark = e.places
            assert e.input_ids[mark] == 329 and mark == e.positions - 1 and len(e.spans) == mark - begin  # type: ignore[arg-type]
            logits = torch.full((e.positions, 2), -5.0)
            logits[e.labels[0], 0] = logits[e.labels[1], 1] = 5.0
            score, characters = objective.best_span(logits, e)
            if e.labels != (mark, mark):
                assert score > 0 and characters is not None
                # A token may hold more characters than the answer, never fewer.
                assert characters[0] <= start and characters[1] >= start + len(text)
                assert text in context[slice(*characters)] and characters[1] - characters[0] - len(text) <= 24
                found_whole += 1
            else:
                assert score < 0
            scored.append((0, score, characters))
            for a, b in e.spans:  # type: ignore[union-attr]
                covered[len(context[:a].encode()) : len(context[:b].encode())] = True
        assert covered.all()
        answer = objective.answers(scored, [context])[0]
        assert (text in answer) if any(e.labels != (e.places[1],) * 2 for e in made) else answer == ""
    assert found_whole >= 20


def test_the_best_legal_span_by_trying_all(draw: random.Random) -> None:
    objective = ExtractiveQA(SpanConfig(max_answer_tokens=4))
    for _ in range(30):
        size = draw.randrange(1, 12)
        e = HeadExample(
            np.ones(size + 4, np.int64),
            (0, 0),
            (3, 3 + size),
            spans=np.stack([np.arange(size) * 2, np.arange(size) * 2 + 2], 1),
        )
        logits = torch.randn(size + 8, 2)
        every = {
            (s, t): float(logits[s, 0].double() + logits[t, 1].double())
            for s in range(3, 3 + size)
            for t in range(s, min(s + 4, 3 + size))
        }
        best = max(every, key=lambda k: every[k])
        score, characters = objective.best_span(logits, e)
        assert characters == ((best[0] - 3) * 2, (best[1] - 3) * 2 + 2)
        assert score == pytest.approx(every[best] - float(logits[3 + size].double().sum()))
    assert objective.answers([(0, -1.0, (0, 2)), (0, -0.5, (1, 3))], ["abcd"]) == [""]
    assert objective.answers([(0, -1.0, (0, 2)), (0, -0.5, (1, 3))], ["abcd"], abstain=False) == ["bc"]


def test_no_answer_and_what_does_not_fit(tokenizer: BPETokenizer) -> None:
    config = SpanConfig(context_tokens=200)
    row = {"question": "who", "context": "the cat sat", "answers": []}
    (e,) = encode_question(row, 0, tokenizer, config, 329)
    assert e.labels == (e.places[1],) * 2
    with pytest.raises(DataError, match="stride_tokens"):
        encode_question(row, 0, tokenizer, SpanConfig(context_tokens=20), 329)

    class Lossy:
        def encode(self, text: str) -> list[int]:
            return [1] * 2

        def token_bytes(self, token_id: int) -> bytes:
            return b"x"

    with pytest.raises(TokenizerError, match="do not spell"):
        encode_words({"words": ["abc"], "labels": ["O"]}, 0, Lossy(), ("O",), 10, "last")  # type: ignore[arg-type]

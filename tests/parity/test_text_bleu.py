"""BLEU against sacrebleu, on random text made to be awkward and on real sentences."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from groundup.text.bleu import corpus_bleu, sentence_bleu, tokenize_13a

sacrebleu = pytest.importorskip("sacrebleu")
pytestmark = pytest.mark.row("2.4")

PIECES = ["the", "a", "cat", "sat", "Le", "chat", "l'homme", "1,000.5", "3.", ".5", "U.S.", "well-known", "10-12", "-", "--", "&quot;",
          "&amp;lt;", "<skipped>", "(x)", "[y]", "«été»", "naïve", "don't", "…", "$5",
          "50%", "a/b", "c\\d", "`q'", "{z}|~", ",", "!", "日本", "-\n"]  # fmt: skip


def text(rng: random.Random, longest: int = 12) -> str:
    return rng.choice(["", " "]).join(
        rng.choice(PIECES) + rng.choice([" ", " ", ""]) for _ in range(rng.randrange(longest))
    )


def changed(rng: random.Random, line: str) -> str:
    words = line.split(" ")
    for _ in range(rng.randrange(3)):
        words.insert(rng.randrange(len(words) + 1), rng.choice(PIECES))
        words.pop(rng.randrange(len(words)))
    return " ".join(words)


def test_words_are_cut_as_mteval_does() -> None:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    theirs = Tokenizer13a()
    for _ in range(500):
        line = text(rng)
        assert " ".join(tokenize_13a(line)) == theirs(line), repr(line)


@pytest.mark.parametrize("smoothing", ["exp", "floor", "add-k", "none"])
@pytest.mark.parametrize("tokenize", ["13a", "none"])
def test_corpora_and_sentences_score_as_in_sacrebleu(smoothing: str, tokenize: str) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(30):
        size, num_references = rng.randrange(1, 6), rng.randrange(1, 4)
        hypotheses = [text(rng) for _ in range(size)]
        references = [[changed(rng, line) for _ in range(num_references)] for line in hypotheses]
        lower = rng.random() < 0.5
        metric = sacrebleu.BLEU(smooth_method=smoothing, tokenize=tokenize, lowercase=lower)
        wanted = metric.corpus_score(hypotheses, [list(column) for column in zip(*references)])
        got = corpus_bleu(hypotheses, references, smoothing=smoothing, tokenize=tokenize, lower_case=lower)  # type: ignore[arg-type]
        assert got.score == pytest.approx(wanted.score, abs=1e-9)
        assert got.precisions == pytest.approx(wanted.precisions, abs=1e-9)
        assert got.brevity_penalty == pytest.approx(wanted.bp, abs=1e-12)
        assert (got.hypothesis_length, got.reference_length) == (wanted.sys_len, wanted.ref_len)
        metric = sacrebleu.BLEU(smooth_method=smoothing, tokenize=tokenize, lowercase=lower, effective_order=True)
        for hypothesis, of_it in zip(hypotheses, references, strict=True):
            wanted = metric.sentence_score(hypothesis, of_it)
            got = sentence_bleu(hypothesis, of_it, smoothing=smoothing, tokenize=tokenize, lower_case=lower)  # type: ignore[arg-type]
            assert got.score == pytest.approx(wanted.score, abs=1e-9)


def test_real_sentences(shared_data: Path) -> None:
    lines = gzip.decompress((shared_data / "multi30k" / "val.fr.gz").read_bytes()).decode().split("\n")[:200]
    rng = random.Random(5)
    said = [" ".join(w for w in line.split() if rng.random() < 0.9) for line in lines]
    wanted = sacrebleu.corpus_bleu(said, [lines])
    assert corpus_bleu(said, [[line] for line in lines]).score == pytest.approx(wanted.score, abs=1e-9)


def test_what_can_be_said_without_a_reference_library() -> None:
    assert corpus_bleu(["the cat sat on the mat"], [["the cat sat on the mat"]]).score == pytest.approx(100)
    assert corpus_bleu([""], [["a"]]).score == 0
    assert sentence_bleu("a b", ["a b c d"], smoothing="none").score == pytest.approx(
        100 * 2.718281828459045 ** (1 - 4 / 2)
    )
    with pytest.raises(ValueError, match="1 hypotheses"):
        corpus_bleu(["a"], [])
    with pytest.raises(ValueError, match="no reference"):
        corpus_bleu(["a"], [[]])

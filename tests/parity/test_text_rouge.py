"""ROUGE against rouge-score, on random lines of few words (many ties) and on real summaries."""

from __future__ import annotations

import gzip
import json
import os
import random
from pathlib import Path

import pytest

from groundup.text.rouge import KINDS, lcs_length, mean_rouge, rouge

rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
tokenizers = pytest.importorskip("rouge_score.tokenizers")
porter = pytest.importorskip("nltk.stem.porter")
pytestmark = pytest.mark.row("2.4")

WORDS = [
    "a",
    "b",
    "c",
    "cats",
    "running",
    "ran",
    "happily",
    "Generalizations",
    "skies",
    "dying",
    "news",
    "it's",
    "10%",
    "é",
    "--",
]


def text(rng: random.Random) -> str:
    return "".join(rng.choice(WORDS) + rng.choice([" ", " ", " ", "\n", ", "]) for _ in range(rng.randrange(25)))


def compare(candidate: str, reference: str, stem: bool) -> None:
    words = tokenizers.DefaultTokenizer(stem)
    if stem:  # its own default is NLTK's further rules
        words._stemmer = porter.PorterStemmer(mode=porter.PorterStemmer.MARTIN_EXTENSIONS)
    wanted = rouge_scorer.RougeScorer(list(KINDS), tokenizer=words).score(reference, candidate)
    got = rouge(candidate, reference, stem=stem)
    for kind in KINDS:
        values = (got[kind].precision, got[kind].recall, got[kind].f1)
        assert values == pytest.approx(tuple(wanted[kind]), abs=1e-12), (kind, candidate, reference)


@pytest.mark.parametrize("stem", [False, True])
def test_random_texts(stem: bool) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(150):
        compare(text(rng), text(rng), stem)


@pytest.mark.parametrize("stem", [False, True])
def test_real_summaries(shared_data: Path, stem: bool) -> None:
    raw = gzip.decompress((shared_data / "news_summary" / "cnn_dailymail_200.jsonl.gz").read_bytes()).decode()
    for line in raw.split("\n")[:25]:
        row = json.loads(line)
        compare(row["prompt"][:600], row["completion"], stem)


def test_what_can_be_said_without_a_reference_library() -> None:
    assert rouge("the cat", "the cat")["rougeL"].f1 == 1
    assert rouge("", "the cat")["rouge1"].f1 == 0
    assert lcs_length("abcbdab", "bdcaba") == 4
    assert mean_rouge(["the cat"], ["the dog"])["rouge1"] == pytest.approx(50)
    with pytest.raises(ValueError, match="as many"):
        mean_rouge([], [])

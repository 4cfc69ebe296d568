"""ROUGE-L, n-gram shares, MinHash and unit conversion against slow, plain definitions on fresh random cases."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest

from groundup.text.minhash import MinHash, NearTexts, jaccard, shingles
from groundup.text.overlap import distinct_share, longest_common_subsequence, repeated_share, rouge_l, words

pytestmark = [pytest.mark.row("8.3"), pytest.mark.row("8.4")]


@pytest.fixture
def chance() -> random.Random:
    seed = secrets.randbits(32)
    print("seed", seed)
    return random.Random(seed)


def lcs_table(a: Sequence[str], b: Sequence[str]) -> int:
    """The textbook table (Wagner and Fischer 1974)."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def test_longest_common_subsequence_is_the_table(chance: random.Random) -> None:
    for _ in range(400):
        letters = "abcdefgh"[: chance.randint(1, 8)]
        a, b = (chance.choices(letters, k=chance.randint(0, 90)) for _ in range(2))
        assert longest_common_subsequence(a, b) == lcs_table(a, b)


def test_rouge_l_is_its_formula(chance: random.Random) -> None:
    for _ in range(100):
        a, b = (
            chance.choices(["the", "a", "cat", "dog", "sat", "ran", "home"], k=chance.randint(1, 20)) for _ in range(2)
        )
        lcs = lcs_table(a, b)
        precision, recall = lcs / len(b), lcs / len(a)
        wanted = 2 * precision * recall / (precision + recall) if lcs else 0.0
        assert rouge_l(" ".join(a), " ".join(b)) == pytest.approx(wanted)
    assert rouge_l("", "x") == 0.0 and rouge_l("The cat.", "the CAT") == 1.0


def test_words_of_scripts_without_spaces() -> None:
    assert words("Don't 日本語 abc9, naïve") == ["don't", "日", "本", "語", "abc9", "naïve"]


def test_shares_of_ngrams(chance: random.Random) -> None:
    for _ in range(50):
        texts = [" ".join(chance.choices("abcde", k=chance.randint(0, 12))) for _ in range(4)]
        n = chance.randint(1, 3)
        grams = [tuple(t.split()[i : i + n]) for t in texts for i in range(len(t.split()) - n + 1)]
        assert distinct_share(texts, n) == (len(set(grams)) / len(grams) if grams else 0.0)
    assert repeated_share("a b c a b c a b c", 3) == pytest.approx(1 - 3 / 7)
    assert repeated_share("a b", 3) == 0.0


def changed(chance: random.Random, parts: list[str], share: float) -> list[str]:
    return [chance.choice(VOCABULARY) if chance.random() < share else word for word in parts]


VOCABULARY = [f"word{i}" for i in range(3000)]


def test_minhash_estimates_jaccard(chance: random.Random) -> None:
    """The share of places in which two signatures agree is binomial around the similarity."""
    minhash = MinHash(num_hashes=512, seed=chance.randrange(1 << 30))
    errors = []
    for _ in range(40):
        base = chance.choices(VOCABULARY, k=200)
        a, b = (shingles(" ".join(changed(chance, base, share))) for share in (0.0, chance.random() * 0.4))
        true = jaccard(a, b)
        agree = float(np.mean(minhash.signature(a) == minhash.signature(b)))
        spread = max(1e-3, (true * (1 - true) / 512) ** 0.5)
        assert abs(agree - true) < 5.5 * spread
        errors.append((agree - true) / spread)
    assert abs(sum(errors)) / len(errors) ** 0.5 < 5.0  # no bias


def test_near_texts_finds_what_comparing_every_pair_finds(chance: random.Random) -> None:
    """Every pair it reports is one (no false alarms); of the true pairs nearly all are found."""
    texts: list[str] = []
    for _ in range(60):
        base = chance.choices(VOCABULARY, k=chance.randint(20, 80))
        texts += [
            " ".join(changed(chance, base, share)) for share in (0.0, chance.random() * 0.1, chance.random() * 0.3)
        ]
    chance.shuffle(texts)
    sets = [set(map(tuple, ([w.split()[i : i + 3] for i in range(len(w.split()) - 2)]))) for w in texts]
    near = NearTexts(threshold=0.7)
    found, true = set(), set()
    for i, text in enumerate(texts):
        for j, similarity in near.alike(text):
            assert similarity == pytest.approx(len(sets[i] & sets[j]) / len(sets[i] | sets[j]))
            found.add((i, j))
        assert near.add(text) == i
        true |= {(i, j) for j in range(i) if len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= 0.7}
    assert len(true) > 20 and found <= true
    assert len(found) >= 0.93 * len(true)


def test_rouge_and_an_independent_matcher_agree_on_real_seed_tasks(shared_data: Path) -> None:
    """difflib's matching blocks are a common subsequence, so ours is never shorter."""
    from groundup.data.synthesis.seeds import read_seed_tasks

    tasks = read_seed_tasks(shared_data / "instruct" / "seed_tasks.jsonl")
    assert len(tasks) == 175 and sum(task.is_classification for task in tasks) > 10
    parts = [words(task.instruction) for task in tasks[:40]]
    for i, a in enumerate(parts):
        for b in parts[:i]:
            blocks = sum(block.size for block in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())
            assert longest_common_subsequence(a, b) >= blocks
            assert longest_common_subsequence(a, b) == lcs_table(a, b)

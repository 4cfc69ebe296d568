"""Bags of terms and TF-IDF against scikit-learn's vectorizers, on random texts and all settings that both have."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from groundup.core.errors import ConfigError, DataError
from groundup.foundations.features import TextFeatures, count_terms
from groundup.text.words import STOP_WORDS

vectorizers = pytest.importorskip("sklearn.feature_extraction.text")
pytestmark = pytest.mark.row("0.8")

SEED = int.from_bytes(os.urandom(4))
PIECES = [
    "The",
    "film",
    "film's",
    "is",
    "not",
    "Über",
    "café",
    "don't",
    "a",
    "x",
    "99",
    "good",
    "GOOD",
    "bad-ish",
    "!!",
    "naïve",
    "  ",
    "\n",
    "é",
    "__",
]


def random_texts(rng: random.Random, count: int) -> list[str]:
    return [" ".join(rng.choices(PIECES, k=rng.randint(1, 12))) for _ in range(count)]


@pytest.mark.parametrize("trial", range(12))
def test_equal_to_scikit_learn(trial: int) -> None:
    rng = random.Random(SEED + trial)
    train, test = random_texts(rng, 30), random_texts(rng, 10)
    low = rng.randint(1, 2)
    grams = (low, low + rng.randint(0, 2))
    characters = rng.random() < 0.3
    lower, accents, sublinear, binary = (rng.random() < 0.5 for _ in range(4))
    accents = accents or characters
    stop_words = characters or rng.random() < 0.7
    weights = "tfidf" if rng.random() < 0.6 else "binary" if binary else "counts"
    min_texts, max_share = rng.randint(1, 3), rng.choice([1.0, 0.8])
    features = TextFeatures(
        cut="characters" if characters else "long_words", ngrams=grams, lower=lower, accents=accents, stop_words=stop_words,
        min_texts=min_texts, max_share=max_share, weights=weights, sublinear=sublinear,
    )  # fmt: skip
    settings = {
        "analyzer": "char" if characters else "word", "ngram_range": grams, "lowercase": lower, "min_df": min_texts, "max_df": max_share,
        "strip_accents": None if accents else "unicode",
    }  # fmt: skip
    if not stop_words:
        # scikit-learn compares as written; ours leaves out The with the.
        words = STOP_WORDS | {word.upper() for word in STOP_WORDS} | {word.capitalize() for word in STOP_WORDS}
        settings["stop_words"] = sorted(words)
    if weights == "tfidf":
        peer = vectorizers.TfidfVectorizer(**settings, sublinear_tf=sublinear)
    else:
        peer = vectorizers.CountVectorizer(**settings, binary=weights == "binary")
    counted = count_terms(features, train)
    try:
        theirs = peer.fit_transform(train)
    except ValueError:
        with pytest.raises(DataError, match="none is left"):
            features.fit(counted)
        return
    fitted = features.fit(counted)
    assert list(fitted.terms) == list(peer.get_feature_names_out()), f"seed {SEED}, trial {trial}"
    np.testing.assert_allclose(fitted.choose(counted).to_dense(), theirs.toarray(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(fitted.transform(train).to_dense(), theirs.toarray(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        fitted.transform(test).to_dense(), peer.transform(test).toarray(), rtol=1e-12, atol=1e-15
    )


def test_counted_rows_are_the_same_as_counting_these_rows() -> None:
    rng = random.Random(SEED)
    texts = random_texts(rng, 20)
    which = np.array([rng.random() < 0.6 for _ in texts])
    which[:2] = True
    features = TextFeatures(ngrams=(1, 2), weights="tfidf")
    chosen = [text for text, keep in zip(texts, which, strict=True) if keep]
    part = count_terms(features, texts).rows(which)
    fitted, alone = features.fit(part), features.fit(count_terms(features, chosen))
    assert list(fitted.terms) == list(alone.terms)
    np.testing.assert_array_equal(fitted.choose(part).to_dense(), alone.transform(chosen).to_dense())


def test_forms_and_stop_words() -> None:
    text = "The children were walking, not running."
    assert TextFeatures(forms="lemmas", stop_words=False).terms(text) == ["child", "walk", "not", "run"]
    assert TextFeatures(forms="stems").terms("connected Connections") == ["connect", "connect"]
    assert TextFeatures(cut="words_and_marks").terms("Win £5 now!!") == ["win", "£", "5", "now", "!!"]
    with pytest.raises(ConfigError, match="no stems"):
        TextFeatures(cut="characters", forms="stems")
    with pytest.raises(ConfigError, match="two numbers"):
        TextFeatures(ngrams=(2, 1))

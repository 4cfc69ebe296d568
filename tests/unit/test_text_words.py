"""Words, n-grams and stop words; texts made by grammar."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from groundup.core.errors import ConfigError
from groundup.data.made.grammar import alternatives, expand
from groundup.data.made.messages import MessagesConfig
from groundup.data.made.reviews import ReviewsConfig
from groundup.text.words import CUTS, STOP_WORDS, character_ngrams, cut, ngrams, without_accents

pytestmark = pytest.mark.row("0.8")


def test_ways_to_cut() -> None:
    text = "Don't STOP!! It’s £5.50, café-bar"
    assert cut(text) == ["don't", "stop", "it’s", "5", "50", "café", "bar"]
    assert cut(text, "long_words") == ["don", "stop", "it", "50", "café", "bar"]
    assert cut(text, "words_and_marks", lower=False)[:5] == ["Don't", "STOP", "!!", "It’s", "£"]
    assert cut(text, "spaces", accents=False)[-1] == "cafe-bar"
    assert without_accents("Ångström naïve œ") == "Angstrom naive œ"
    for way in CUTS:
        assert cut("", way) == [] == cut(" \n\t", way)


def test_ngrams() -> None:
    assert ngrams(["a", "b", "c"], 1, 2) == ["a", "b", "c", "a b", "b c"]
    assert ngrams(["a"], 2, 3) == [] and ngrams(["a", "b"], 1, 1) == ["a", "b"]
    assert character_ngrams("ab  c", 2, 3) == ["ab", "b ", " c", "ab ", "b c"]


def test_negations_are_no_stop_words() -> None:
    assert not STOP_WORDS & {"no", "not", "nor", "never", "n't"} and {"the", "of", "is"} <= STOP_WORDS


def test_grammar() -> None:
    grammar = {"s": ["{a} {a}"], "a": ["x", "y{digits2}"]}
    made = {expand(grammar, "s", random.Random(seed)) for seed in range(50)}
    assert all(len(text.split()) == 2 for text in made) and len(made) > 5
    assert alternatives("a | b\n  c  d ") == ["a", "b", "c d"]
    with pytest.raises(KeyError):
        expand({"s": ["{nobody}"]}, "s", random.Random(0))


def test_made_texts_depend_on_the_seed_alone_and_have_every_label() -> None:
    for config in (MessagesConfig(num_examples=400), ReviewsConfig(num_examples=400, neutral=True, about="shop")):
        rows = list(config.make(3))
        assert rows == list(config.make(3)) != list(config.make(4))
        assert all(row["text"].strip() and "{" not in row["text"] for row in rows)
        assert min(Counter(row["label"] for row in rows).values()) > 40
    shares = Counter(row["label"] for row in MessagesConfig(num_examples=2000, spam=0.3).make(1))
    assert 0.25 < shares["spam"] / 2000 < 0.35


@pytest.mark.parametrize(
    "config", [{"num_examples": 3}, {"spam": 0.0}, {"hard": 1.5}, {"ambiguous": -1.0}]
)  # fmt: skip
def test_settings_of_messages(config: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        MessagesConfig(**config)


def test_settings_of_reviews() -> None:
    for config in ({"num_examples": 1}, {"noise": 1.0}):
        with pytest.raises(ConfigError):
            ReviewsConfig(**config)

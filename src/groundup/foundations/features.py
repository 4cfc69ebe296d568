"""Texts as bags of terms: counts, presence or TF-IDF, in sparse rows.

A `TextFeatures` says how a text is cut into terms and how they weigh; `fit` on the counts of the training texts fixes the terms and their
inverse document frequencies, `transform` makes rows of any text. Weights are scikit-learn's: tf · (ln((1 + N) / (1 + df)) + 1), rows of
length 1. Left out: hashing of terms, other smoothings of idf.

Letters: N texts, D terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..core.errors import ConfigError, DataError
from ..text.lemmatise import lemma
from ..text.stem import stem
from ..text.words import STOP_WORDS, character_ngrams, cut, ngrams
from .sparse import CSR, Array

Cut = Literal["words", "long_words", "words_and_marks", "spaces", "characters"]


@dataclass(frozen=True, kw_only=True)
class TextFeatures:
    """How a text becomes numbers."""

    cut: Cut = "words"
    """See groundup.text.words.CUTS; characters: runs of characters, words regardless."""
    ngrams: tuple[int, int] = (1, 1)
    """Shortest and longest run of terms (or characters) that is a term of its own."""
    lower: bool = True
    accents: bool = True
    """False: é counts as e."""
    forms: Literal["as_written", "stems", "lemmas"] = "as_written"
    stop_words: bool = True
    """False: words of English grammar are left out (before n-grams are made)."""
    min_texts: int = 1
    """Terms that fewer training texts have are left out."""
    max_share: float = 1.0
    """Terms that a larger share of the training texts have are left out."""
    weights: Literal["counts", "binary", "tfidf"] = "counts"
    sublinear: bool = False
    """tfidf: 1 + ln(count) in place of the count."""
    type: Literal["text_features"] = "text_features"

    def __post_init__(self) -> None:
        if not 1 <= self.ngrams[0] <= self.ngrams[1]:
            raise ConfigError(
                f"must be two numbers, the first at least 1 and not above the second, not {self.ngrams}", path="ngrams"
            )
        if self.cut == "characters" and (self.forms != "as_written" or not self.stop_words):
            raise ConfigError("runs of characters have no stems, lemmas or stop words", path="forms")

    def terms(self, text: str) -> list[str]:
        """Every term of a text, as often as it is there."""
        low, high = self.ngrams
        if self.cut == "characters":
            return character_ngrams(text.lower() if self.lower else text, low, high)
        words = cut(text, self.cut, lower=self.lower, accents=self.accents)
        if not self.stop_words:
            words = [word for word in words if word.lower() not in STOP_WORDS]
        if self.forms != "as_written":
            words = [(stem if self.forms == "stems" else lemma)(word) for word in words]
        return ngrams(words, low, high)

    def fit(self, counted: CountedTexts) -> FittedFeatures:
        """DataError when no term is left."""
        texts_with = np.bincount(counted.counts.indices, minlength=len(counted.terms))
        number = len(counted.counts)
        kept = (texts_with >= self.min_texts) & (texts_with <= self.max_share * number) & (texts_with > 0)
        if not kept.any():
            raise DataError(
                f"of {len(counted.terms)} different terms in {number} texts none is left",
                hint="lower min_texts, raise max_share, or cut the texts another way",
            )
        idf = np.log((1 + number) / (1 + texts_with[kept])) + 1.0
        return FittedFeatures(self, [term for term, keep in zip(counted.terms, kept, strict=True) if keep], idf, kept)

    @property
    def counting(self) -> tuple[Any, ...]:
        """What decides the counts: features that agree in it can share them."""
        return (self.cut, self.ngrams, self.lower, self.accents, self.forms, self.stop_words)


@dataclass(frozen=True, eq=False)
class CountedTexts:
    """Counts [N, D] of all terms of some texts, the terms sorted."""

    counts: CSR
    terms: Sequence[str]

    def rows(self, which: Array) -> CountedTexts:
        return CountedTexts(self.counts.rows(which), self.terms)


def count_terms(features: TextFeatures, texts: Iterable[str]) -> CountedTexts:
    bags = [Counter(features.terms(text)) for text in texts]
    terms = sorted(set().union(*bags))
    return CountedTexts(CSR.from_rows(_numbered(bags, {term: i for i, term in enumerate(terms)}), len(terms)), terms)


def _numbered(bags: Sequence[Mapping[str, int]], number: Mapping[str, int]) -> list[dict[int, float]]:
    return [{number[term]: float(count) for term, count in bag.items() if term in number} for bag in bags]


@dataclass(frozen=True, eq=False)
class FittedFeatures:
    features: TextFeatures
    terms: Sequence[str]
    """[D]"""
    idf: Array
    """[D]"""
    kept: Array | None = None
    """Which columns of the counts that it was fitted on: bool."""

    @cached_property
    def _number(self) -> dict[str, int]:
        return {term: i for i, term in enumerate(self.terms)}

    def transform(self, texts: Iterable[str]) -> CSR:
        """[N, D]; terms that training did not have are passed over."""
        bags = [Counter(self.features.terms(text)) for text in texts]
        return self.weigh(CSR.from_rows(_numbered(bags, self._number), len(self.terms)))

    def choose(self, counted: CountedTexts) -> CSR:
        """The same of texts that are counted already, over the columns that it was fitted on."""
        assert self.kept is not None, "these features were read from a file"
        return self.weigh(counted.counts.columns(self.kept))

    def weigh(self, counts: CSR) -> CSR:
        """Counts [N, D] as the weights that `features` asks for."""
        if self.features.weights == "counts":
            return counts
        if self.features.weights == "binary":
            return counts.with_data(np.ones_like(counts.data))
        weighed = counts.with_data(1.0 + np.log(counts.data)) if self.features.sublinear else counts
        weighed = weighed.scale_columns(self.idf)
        lengths = np.sqrt(weighed.with_data(weighed.data**2).sum_rows())
        return weighed.scale_rows(1.0 / np.where(lengths > 0, lengths, 1.0))

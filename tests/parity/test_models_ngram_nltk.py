"""n-gram smoothing against nltk.lm on the same counts, and against the formulas written out slowly for what nltk has not."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest
from nltk import FreqDist
from nltk.lm import MLE, KneserNeyInterpolated, Laplace, Lidstone, Vocabulary
from nltk.probability import SimpleGoodTuringProbDist

from groundup.models.ngram.counting import NGramTrie, count_ngrams, count_reference, lay_out, ngrams
from groundup.models.ngram.good_turing import simple_factors, turing_factors
from groundup.models.ngram.model import NGramModel
from groundup.models.ngram.smoothing import (
    AddK,
    GoodTuring,
    Katz,
    KneserNey,
    MaximumLikelihood,
    ModifiedKneserNey,
)
from groundup.models.ngram.smoothing import Laplace as OurLaplace

Gram = tuple[int, ...]


def random_sentences(rng: random.Random, vocab_size: int, count: int) -> list[list[int]]:
    """Zipf-like, the last unit of each its end (0); the last unit of the vocabulary never comes."""
    weights = [1 / (i + 1) for i in range(vocab_size - 2)]
    return [[*rng.choices(range(1, vocab_size - 1), weights, k=rng.randrange(0, 9)), 0] for _ in range(count)]


def random_trie(vocab_size: int, order: int, count: int) -> tuple[np.ndarray, NGramTrie, random.Random]:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    text = lay_out(random_sentences(rng, vocab_size, count), vocab_size, 0)
    return text, count_ngrams(text, order, vocab_size), rng


def grams_of(text: np.ndarray, order: int, vocab_size: int) -> list[list[str]]:
    """Every n-gram as nltk takes them. The beginning is no word of its vocabulary, so nltk counts it as the unknown word."""
    counts = count_reference(text, order, vocab_size)
    return [list(map(str, gram)) for gram, n in counts.items() if gram != (vocab_size,) for _ in range(n)]


@pytest.mark.row("2.1")
def test_counts_are_those_of_dictionaries() -> None:
    for _ in range(5):
        text, trie, rng = random_trie(12, 5, 40)
        whole = count_reference(text, 5, 12)
        found = {gram: n for gram, n in zip(ngrams(trie), trie.count.tolist()) if n}
        assert found == whole
        order = rng.randrange(1, 5)
        short = trie.up_to(order)
        assert {g: n for g, n in zip(ngrams(short), short.count.tolist()) if n} == {
            g: n for g, n in whole.items() if len(g) <= order
        }
        places = {gram: i for i, gram in enumerate(ngrams(trie))}
        assert all(trie.suffix[i] == places[gram[1:]] for gram, i in places.items() if gram)


@pytest.mark.row("2.1")
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_unlike_counts_give_nltks_probabilities(order: int) -> None:
    size = 9
    text, trie, rng = random_trie(size, order, 30)
    # nltk counts its unknown word as one of the vocabulary; ours has one unit that never comes.
    words = Vocabulary([str(i) for i in range(size - 1)], unk_cutoff=1)
    assert len(words) == size
    grams = [grams_of(text, order, size)]
    k = rng.uniform(0.01, 2)
    discount = rng.uniform(0.1, 0.9)
    pairs = [
        (Laplace(order, vocabulary=words), OurLaplace()),
        (Lidstone(k, order, vocabulary=words), AddK(k=k)),
        (MLE(order, vocabulary=words), MaximumLikelihood()),
    ]
    if order > 1:
        peer = KneserNeyInterpolated(order, discount=discount, vocabulary=words)
        pairs.append((peer, KneserNey(discount=discount, discount_units=False)))
    places = {gram: i for i, gram in enumerate(ngrams(trie))}
    for peer, ours in pairs:
        peer.fit(grams)
        found = ours.estimate(trie)
        for _ in range(60):
            context = random_context(rng, text, order, seen=isinstance(peer, MLE), trie_places=places)
            unit = rng.randrange(size - 1)
            expected = peer.score(str(unit), [str(u) for u in context] if context else None)
            assert exact(trie, found, places, unit, context) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def random_context(
    rng: random.Random, text: np.ndarray, order: int, *, seen: bool, trie_places: dict[Gram, int]
) -> Gram:
    """order - 1 units from the text, or by chance; nothing after the beginning of another sentence."""
    while True:
        at = rng.randrange(max(1, len(text) - order))
        context = tuple(text[at : at + order - 1].tolist())
        if not seen and rng.random() < 0.3:
            context = tuple(
                rng.randrange(int(text.max()) - 1) for _ in range(order - 1)
            )  # nltk has no unit that never comes
        begins = [i for i, u in enumerate(context) if u == text.max()]
        if begins in ([], [0]) and (not seen or ((*context,) in trie_places and followed(trie_places, context))):
            return context


def followed(places: dict[Gram, int], context: Gram) -> bool:
    return any(gram[:-1] == context for gram in places if len(gram) == len(context) + 1)


def exact(trie: NGramTrie, found: object, places: dict[Gram, int], unit: int, context: Gram) -> float:
    """p(unit | context) of Estimates, before they are rounded to float32."""
    here = places.get((*context, unit))
    if here is not None:
        return float(found.prob[here])  # type: ignore[attr-defined]
    weight = float(found.backoff[places[context]]) if context in places else 1.0  # type: ignore[attr-defined]
    return weight * exact(trie, found, places, unit, context[1:])


class Formula:
    """Modified Kneser-Ney and Katz from dictionaries, as the papers write them."""

    def __init__(self, text: np.ndarray, order: int, size: int) -> None:
        self.order, self.size = order, size
        self.counts = count_reference(text, order, size)
        self.counts.pop((size,))
        before: dict[Gram, set[int]] = defaultdict(set)
        for gram in self.counts:
            if len(gram) > 1:
                before[gram[1:]].add(gram[0])
        self.adjusted = {
            gram: n if len(gram) == order or gram[0] == size else len(before[gram]) for gram, n in self.counts.items()
        }
        self.factors: dict[tuple[int, int, int], float] = {}
        self.known: dict[tuple[int, Gram, int, int], float] = {}
        self.after: dict[Gram, list[int]] = defaultdict(list)
        for gram in self.counts:
            self.after[gram[:-1]].append(gram[-1])

    def discounts(self, order: int) -> tuple[float, ...]:
        n = Counter(c for gram, c in self.adjusted.items() if len(gram) == order)
        if not (n[1] and n[2] and n[3]):
            return (0.0, 0.5, 1.0, 1.5)
        y = n[1] / (n[1] + 2 * n[2])
        found = (1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3])
        return (0.0, *(found if min(found) >= 0 else (0.5, 1.0, 1.5)))

    def modified_kneser_ney(self, unit: int, context: Gram) -> float:
        table = self.discounts(len(context) + 1)
        lower = self.modified_kneser_ney(unit, context[1:]) if context else 1 / self.size
        after = [self.adjusted[(*context, w)] for w in self.after[context]]
        total = sum(after)
        if not total:
            return lower
        here = self.adjusted.get((*context, unit), 0)
        weight = sum(table[min(c, 3)] for c in after) / total
        return (here - table[min(here, 3)]) / total + weight * lower

    def factor(self, r: int, order: int, cutoff: int) -> float:
        if (r, order, cutoff) not in self.factors:
            self.factors[r, order, cutoff] = self._factor(r, order, cutoff)
        return self.factors[r, order, cutoff]

    def _factor(self, r: int, order: int, cutoff: int) -> float:
        n = Counter(c for gram, c in self.counts.items() if len(gram) == order)
        if not r or r > cutoff:
            return 1.0
        top = (cutoff + 1) * n[cutoff + 1] / n[1]
        return ((r + 1) * n[r + 1] / n[r] / r - top) / (1 - top)

    def katz(self, unit: int, context: Gram, cutoff: int, least: int) -> float:
        asked = (unit, context, cutoff, least)
        if asked not in self.known:
            self.known[asked] = self._katz(*asked)
        return self.known[asked]

    def _katz(self, unit: int, context: Gram, cutoff: int, least: int) -> float:
        order = len(context) + 1
        after = [w for w in self.after[context] if order < 3 or self.counts[(*context, w)] >= least]
        counts = {w: self.counts[(*context, w)] for w in self.after[context]}
        total = sum(counts.values())
        if not after:
            return self.katz(unit, context[1:], cutoff, least)
        kept = {w: self.factor(counts[w], order, cutoff) * counts[w] for w in after}
        if sum(kept.values()) >= total - 1e-9 and len(after) < self.size:
            total += 1
        if unit in kept:
            return kept[unit] / total
        left = 1 - sum(kept.values()) / total
        if not context:
            return left / (self.size - len(after))
        below = 1 - sum(self.katz(w, context[1:], cutoff, least) for w in after)
        return left / below * self.katz(unit, context[1:], cutoff, least)


@pytest.mark.row("2.1")
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_modified_kneser_ney_is_its_formula(order: int) -> None:
    size = 14
    text, trie, rng = random_trie(size, order, 60)
    formula, found = Formula(text, order, size), ModifiedKneserNey().estimate(trie)
    places = {gram: i for i, gram in enumerate(ngrams(trie))}
    for _ in range(60):
        context, unit = random_context(rng, text, order, seen=False, trie_places=places), rng.randrange(size)
        assert exact(trie, found, places, unit, context) == pytest.approx(
            formula.modified_kneser_ney(unit, context), rel=1e-9
        )


@pytest.mark.row("2.1")
@pytest.mark.parametrize("least", [1, 2])
def test_katz_is_its_formula(least: int) -> None:
    """Texts whose counts have the Turing estimate at every order; others are drawn again."""
    size, order, cutoff = 120, 3, 2
    while True:
        text, trie, rng = random_trie(size, order, 120)
        found = Katz(cutoff=cutoff, min_counts=(1, 1, least)).estimate(trie)
        if not any("note" in key for key in found.facts):
            break
    formula = Formula(text, order, size)
    places = {gram: i for i, gram in enumerate(ngrams(trie))}
    for _ in range(40):
        context, unit = random_context(rng, text, order, seen=False, trie_places=places), rng.randrange(size)
        assert exact(trie, found, places, unit, context) == pytest.approx(
            formula.katz(unit, context, cutoff, least), rel=1e-9
        )


@pytest.mark.row("2.1")
def test_simple_good_turing_has_nltks_line() -> None:
    """Above the first gap in the counts both take the fitted line; nltk's is seen through its smoothed n_r."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    ours = None
    while ours is None:  # a fit that is too flat is none
        counts = np.array([max(1, int(rng.paretovariate(1.1))) for _ in range(400)])
        n = np.bincount(counts)
        ours = simple_factors(n)
    peer = SimpleGoodTuringProbDist(FreqDist({str(i): int(c) for i, c in enumerate(counts)}), bins=1000)
    gap = next(r for r in range(1, len(n) + 1) if r == len(n) or not n[r])
    worth = {r: (r + 1) * peer.smoothedNr(r + 1) / peer.smoothedNr(r) / r for r in range(gap, min(len(n), len(ours)))}
    below = [r for r in worth if ours[r] < 1]
    assert all(ours[a] / ours[gap] == pytest.approx(worth[a] / worth[gap], rel=1e-9) for a in below)
    # What is freed of all counts is n_1, unless some are kept at 1 or beyond the table.
    if (ours[1:] < 1).all() and len(n) == len(ours):
        kept = sum(ours[r] * r * n[r] for r in range(1, len(n)))
        assert kept == pytest.approx(counts.sum() - n[1], rel=1e-9)


@pytest.mark.row("2.1")
def test_turing_factors_by_hand() -> None:
    n = np.array([0, 100, 40, 20, 12, 8, 6, 3])
    factors = turing_factors(n, 5)
    assert factors is not None
    top = 6 * 6 / 100
    by_hand = [((r + 1) * n[r + 1] / n[r] / r - top) / (1 - top) for r in range(1, 6)]
    assert factors[1:6] == pytest.approx(by_hand) and factors[6] == 1
    # What the discounts free of all counts is n_1.
    assert sum(n[r] * r * (1 - factors[r]) for r in range(1, 6)) == pytest.approx(100)
    assert turing_factors(np.array([0, 5, 0, 1]), 5) is None


@pytest.mark.row("2.1")
def test_good_turing_shares_what_is_left_evenly() -> None:
    text, trie, rng = random_trie(30, 2, 150)
    found = GoodTuring().estimate(trie)
    model = NGramModel.of(trie, found, 0)
    counts = count_reference(text, 2, 30)
    context = rng.choice([g[0] for g in counts if len(g) == 2])
    after = {g[1]: n for g, n in counts.items() if len(g) == 2 and g[0] == context}
    p = model.distribution(1 + context)
    unseen = [p[u] for u in range(30) if u not in after]
    assert np.ptp(unseen) < 1e-9 and math.isclose(p.sum(), 1, rel_tol=1e-6)
    # Units seen as often have one probability, and none more than its plain share.
    by_count: dict[int, set[float]] = defaultdict(set)
    for unit, n in after.items():
        by_count[n].add(round(float(p[unit]), 9))
        assert p[unit] <= n / sum(after.values()) + 1e-7
    assert all(len(values) == 1 for values in by_count.values())

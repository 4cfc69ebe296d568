"""Smoothing: counts to probabilities. Each class is a config node and turns an `NGramTrie` into `Estimates`.

All of them end in one form, that of ARPA files: a probability for every n-gram that was seen, and a weight for every context,

    p(w | c) = prob[c w]                       where c w was seen,
               backoff[c] * p(w | suffix(c))   where not.

Interpolated methods fit it because their sum is worked out for every seen n-gram; methods without lower orders (maximum
likelihood apart) because their lower orders are uniform. A class of your own needs `estimate(trie) -> Estimates` and is
named by `use: mine.py:MySmoothing`; `largest_error` says whether its probabilities sum to one.

Sources: Chen and Goodman 1998 (TR-10-98: modified Kneser-Ney and the discounts' estimates, Good-Turing and Katz in sections 2.4
and 2.5), Katz 1987, Gale and Sampson 1995, Kneser and Ney 1995.

Letters: V units of the vocabulary, G nodes of the trie, N highest order, r a count, n_r how many n-grams have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from ...core.config import node
from ...core.errors import ConfigError
from .counting import NGramTrie
from .good_turing import good_turing_discounts

_NOTHING_LEFT = 1e-9


@dataclass(frozen=True, eq=False)
class Estimates:
    prob: np.ndarray
    """[G] float64: of each node's unit after its parent; what the root and the beginning have is not looked at."""
    backoff: np.ndarray
    """[G] float64; 1 where a node has no children."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Discounts and the like, for the report."""


class Smoothing(Protocol):
    def estimate(self, trie: NGramTrie) -> Estimates: ...


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihood:
    """Relative frequencies of the highest order; after a context that was never seen, of the longest that was. Most texts are
    impossible under it: it is here to be compared with.
    """

    type: Literal["maximum_likelihood"] = "maximum_likelihood"

    def estimate(self, trie: NGramTrie) -> Estimates:
        totals = trie.over_children(trie.count)
        return Estimates(_share(trie.count, totals[trie.parent]), np.where(totals > 0, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class AddK:
    """(r + k) / (total + k V), of the highest order alone (Lidstone)."""

    k: float = 0.05
    type: Literal["add_k"] = "add_k"

    def __post_init__(self) -> None:
        if not self.k > 0:
            raise ConfigError(
                f"must be more than zero, not {self.k}", path="k", hint="type: maximum_likelihood adds nothing"
            )

    def estimate(self, trie: NGramTrie) -> Estimates:
        totals = trie.over_children(trie.count)
        all_k = self.k * trie.vocab_size
        return _alone(
            trie, (trie.count + self.k) / (totals + all_k)[trie.parent], all_k / (totals + all_k), {"k": self.k}
        )


@dataclass(frozen=True, kw_only=True)
class Laplace:
    """Add one to every count."""

    type: Literal["laplace"] = "laplace"

    def estimate(self, trie: NGramTrie) -> Estimates:
        return AddK(k=1.0).estimate(trie)


@dataclass(frozen=True, kw_only=True)
class GoodTuring:
    """Counts of the highest order discounted by Good-Turing; what that leaves is shared evenly by the units not seen in a
    context. No lower orders: Katz is the same discounts with them.
    """

    method: Literal["turing", "simple"] = "simple"
    """turing: r* = (r + 1) n_(r+1) / n_r, made to meet the plain counts at `cutoff`, above which counts are trusted (Katz).
    simple: n_r smoothed by a line through log r and log n_r (Gale and Sampson), every count discounted."""
    cutoff: int = 5
    type: Literal["good_turing"] = "good_turing"

    def estimate(self, trie: NGramTrie) -> Estimates:
        here = trie.nodes(trie.order)
        seen = trie.count[here]
        discounts, facts = _good_turing(trie, trie.order, self.method, self.cutoff)
        factor = np.ones(len(trie.count))
        factor[here] = discounts[np.minimum(seen, len(discounts) - 1)]
        prob, left = _discounted(trie, factor)
        unseen = trie.vocab_size - trie.num_children
        weight = np.where(unseen > 0, left * trie.vocab_size / np.maximum(unseen, 1), 0.0)
        prob = np.where((unseen == 0)[trie.parent], _share(prob, (1 - left)[trie.parent]), prob)
        return _alone(trie, prob, weight, facts)


@dataclass(frozen=True, kw_only=True)
class Katz:
    """Good-Turing discounts at every order; what they leave goes to the units not seen, by the next lower order (Katz 1987).

    Where the discounts leave nothing although units are unseen, the context's total is made one larger, as SRILM does.
    """

    method: Literal["turing", "simple"] = "turing"
    cutoff: int = 5
    """Counts above it are trusted (Katz 1987: 5)."""
    min_counts: tuple[int, ...] = (1, 1, 2)
    """Of each order, the last for all higher ones: rarer n-grams are taken as unseen. Those of three and more units seen once are
    worth next to nothing by Good-Turing, and less than what their shorter forms say (SRILM's default too)."""
    type: Literal["katz"] = "katz"

    def __post_init__(self) -> None:
        if not self.min_counts or min(self.min_counts) < 1:
            raise ConfigError(f"must be numbers of at least 1, not {list(self.min_counts)}", path="min_counts")

    def estimate(self, trie: NGramTrie) -> Estimates:
        factor = np.ones(len(trie.count))
        facts: dict[str, Any] = {}
        for order in range(1, trie.order + 1):
            here = trie.nodes(order)
            discounts, found = _good_turing(trie, order, self.method, self.cutoff)
            least = self.min_counts[min(order, len(self.min_counts)) - 1]
            factor[here] = discounts[np.minimum(trie.count[here], len(discounts) - 1)] * (trie.count[here] >= least)
            facts |= {
                f"order_{order}": found["discounts"],
                **({f"note_{order}": found["note"]} if "note" in found else {}),
            }
        prob, left = _discounted(trie, factor)
        prob = _spread_unseen(trie, prob, left[0])
        left[0] = 0.0
        weight = np.ones(len(prob))
        for order in range(2, trie.order + 1):
            # Lower orders are whole by now, so that what is unseen here can take its share of theirs.
            here, contexts = trie.nodes(order), trie.nodes(order - 1)
            parent = trie.parent[here] - contexts.start
            lower, seen = prob[trie.suffix[here]], prob[here] > 0
            size = contexts.stop - contexts.start
            below = 1 - np.bincount(parent, weights=lower * seen, minlength=size)
            whole = below <= _NOTHING_LEFT  # every unit was seen: nothing may be left
            kept = np.where(whole & (left[contexts] < 1), _share(np.ones(size), 1 - left[contexts]), 1.0)
            weight[contexts] = np.where(whole, 0.0, left[contexts] / np.where(whole, 1.0, below))
            prob[here] = np.where(seen, prob[here] * kept[parent], weight[contexts][parent] * lower)
        return Estimates(prob, weight, facts)


@dataclass(frozen=True, kw_only=True)
class KneserNey:
    """Interpolated Kneser-Ney: one discount an order, D = n_1 / (n_1 + 2 n_2), and lower orders from the number of different
    units that an n-gram follows.
    """

    discount: float | None = None
    """One for all orders, in (0, 1); null estimates each."""
    discount_units: bool = True
    """Discount order 1 as well and interpolate it with the uniform distribution, so that no unit is impossible."""
    type: Literal["kneser_ney"] = "kneser_ney"

    def __post_init__(self) -> None:
        if self.discount is not None and not 0 < self.discount < 1:
            raise ConfigError(f"must be between 0 and 1, not {self.discount}", path="discount")

    def estimate(self, trie: NGramTrie) -> Estimates:
        adjusted = trie.adjusted()
        discounts: dict[int, tuple[float, ...]] = {}
        notes: dict[str, str] = {}
        for order in range(1, trie.order + 1):
            n = _counts_of_counts(trie, adjusted, order, 2)
            if order == 1 and not self.discount_units:
                discounts[order] = (0.0,)
            elif self.discount is not None:
                discounts[order] = (self.discount,)
            elif n[1] and n[2]:
                discounts[order] = (n[1] / (n[1] + 2 * n[2]),)
            else:
                discounts[order] = (0.5,)
                notes[f"note_{order}"] = f"no estimate of the discount (n_1 {n[1]}, n_2 {n[2]}); 0.5 was taken"
        return interpolated(trie, adjusted, discounts, notes)


@dataclass(frozen=True, kw_only=True)
class ModifiedKneserNey:
    """Interpolated Kneser-Ney with three discounts an order, for counts of 1, 2 and 3 or more (Chen and Goodman 1998, eq. 26)."""

    type: Literal["modified_kneser_ney"] = "modified_kneser_ney"

    def estimate(self, trie: NGramTrie) -> Estimates:
        adjusted = trie.adjusted()
        discounts: dict[int, tuple[float, ...]] = {}
        notes: dict[str, str] = {}
        for order in range(1, trie.order + 1):
            n = _counts_of_counts(trie, adjusted, order, 4)
            found = modified_discounts(n)
            if found is None:
                # KenLM's --discount_fallback.
                found = (0.5, 1.0, 1.5)
                notes[f"note_{order}"] = (
                    f"no estimate of the discounts (n_1 to n_4: {n[1:].tolist()}); 0.5, 1, 1.5 were taken"
                )
            discounts[order] = found
        return interpolated(trie, adjusted, discounts, notes)


SmoothingNode = node(ModifiedKneserNey, KneserNey, Katz, GoodTuring, AddK, Laplace, MaximumLikelihood)


def modified_discounts(n: np.ndarray) -> tuple[float, float, float] | None:
    """n [5]: n_r at index r. D_r = r - (r + 1) Y n_(r+1) / n_r with Y = n_1 / (n_1 + 2 n_2), for r = 1, 2, 3. None where there
    is no estimate between 0 and r: too little text, or a vocabulary too small for rare units.
    """
    if not all(n[1:4]):
        return None
    y = n[1] / (n[1] + 2 * n[2])
    found = tuple(float(r - (r + 1) * y * n[r + 1] / n[r]) for r in (1, 2, 3))
    return found if all(0 <= d <= r for r, d in zip((1, 2, 3), found)) else None  # type: ignore[return-value]


def interpolated(
    trie: NGramTrie, counts: np.ndarray, discounts: Mapping[int, tuple[float, ...]], notes: Mapping[str, str]
) -> Estimates:
    """p(w | c) = (r - D_r) / total(c) + weight(c) p(w | suffix(c)), where the weight is what the discounts took. discounts: by
    order, of counts of 1, 2, ...; the last is that of all larger counts.
    """
    taken = np.zeros(len(counts))
    for order, table in discounts.items():
        here = trie.nodes(order)
        taken[here] = np.array([0.0, *table])[np.minimum(counts[here], len(table))]
    totals = trie.over_children(counts)
    weight = _share(trie.over_children(taken), totals)
    prob = _share(counts - taken, totals[trie.parent])
    prob[trie.nodes(1)] += weight[0] / trie.vocab_size
    for order in range(2, trie.order + 1):
        here = trie.nodes(order)
        prob[here] += weight[trie.parent[here]] * prob[trie.suffix[here]]
    facts = {f"order_{order}": [round(float(d), 6) for d in table] for order, table in discounts.items()}
    return Estimates(prob, np.where(totals > 0, weight, 1.0), {**facts, **notes})


def largest_error(trie: NGramTrie, found: Estimates) -> float:
    """How far from 1 the probabilities after any context sum, over the whole vocabulary; infinite where one is no probability."""
    prob = found.prob.copy()
    prob[[0, trie.beginning]] = 0.0
    if not (np.isfinite(prob).all() and (prob >= 0).all() and (found.backoff >= 0).all()):
        return float("inf")
    below = trie.over_children(prob[trie.suffix])
    sums = trie.over_children(prob) + found.backoff * np.maximum(1 - below, 0)
    sums[0] = prob[trie.nodes(1)].sum()
    contexts = slice(0, int(trie.offsets[trie.order]))
    return float(np.abs(sums[contexts] - 1).max())


def _alone(trie: NGramTrie, prob: np.ndarray, weight: np.ndarray, facts: Mapping[str, Any]) -> Estimates:
    """A method of the highest order: uniform below it, so a context's weight times uniform is what its unseen units get."""
    uniform = np.full(len(prob), 1 / trie.vocab_size)
    backoff = np.ones(len(prob))
    here = trie.nodes(trie.order)
    if trie.order == 1:
        seen = trie.count[here] > 0
        uniform[here] = np.where(seen, prob[here], weight[0] / trie.vocab_size)
        return Estimates(uniform, backoff, facts)
    uniform[here] = prob[here]
    contexts = trie.nodes(trie.order - 1)
    backoff[contexts] = np.where(trie.num_children[contexts] > 0, weight[contexts], 1.0)
    return Estimates(uniform, backoff, facts)


def _discounted(trie: NGramTrie, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[G] factor * r / total of the context, and [G] what that leaves of each context: more than nothing where units are unseen,
    all where none was seen.
    """
    totals = trie.over_children(trie.count)
    kept = factor * trie.count
    left = 1 - _share(trie.over_children(kept), totals)
    stuck = (left <= _NOTHING_LEFT) & (trie.over_children(kept > 0) < trie.vocab_size) & (totals > 0)
    totals = totals + stuck
    return _share(kept, totals[trie.parent]), 1 - _share(trie.over_children(kept), totals)


def _spread_unseen(trie: NGramTrie, prob: np.ndarray, left: float) -> np.ndarray:
    """What order 1 leaves goes to units never seen; where there are none, to all, in proportion."""
    here = slice(1, trie.beginning)
    unseen = trie.count[here] == 0
    prob = prob.copy()
    if unseen.any():
        prob[here] = np.where(unseen, left / unseen.sum(), prob[here])
    else:
        prob[here] /= prob[here].sum()
    return prob


def _good_turing(
    trie: NGramTrie, order: int, method: Literal["turing", "simple"], cutoff: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """The factors of one order's counts, and facts."""
    counts = trie.count[trie.nodes(order)]
    if order == 1:
        counts = counts[:-1]  # without the beginning
        if counts.all():
            return np.ones(2), {"discounts": [], "note": "no unit is unseen, so nothing is discounted"}
    return good_turing_discounts(counts, method, cutoff)


def _counts_of_counts(trie: NGramTrie, counts: np.ndarray, order: int, most: int) -> np.ndarray:
    """[most + 1] n_r."""
    here = counts[trie.nodes(order)]
    return np.bincount(np.minimum(here, most + 1), minlength=most + 2)[: most + 1]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return shares

"""Good-Turing: what a count of r is worth, r* = (r + 1) n_(r+1) / n_r, as the factor r* / r.

Two estimates. *turing* with Katz's cut-off k (1987, section III): counts above k are kept, and the others scaled so that the
probability freed is still that of all n-grams seen once. *simple* (Gale and Sampson 1995): n_r is averaged over the gap to its
neighbours, a line is fitted through log r and log of that, and r* is Turing's for as long as it differs from the line's by more
than 1.65 standard deviations, then the line's.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

MOST_SIMPLE = 10_000
"""Counts above this keep the last factor, which is within 1 / r of 1."""


def good_turing_discounts(
    counts: np.ndarray, method: Literal["turing", "simple"], cutoff: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """counts: of all n-grams of one order, zeros allowed. (factors [R], factor of a count r at min(r, R - 1); facts).

    Where the wanted estimate does not exist (an n_r is zero, or a factor is not in (0, 1]) the other is taken, and then none.
    """
    n = np.bincount(counts[counts > 0])
    ways = {"turing": lambda: turing_factors(n, cutoff), "simple": lambda: simple_factors(n)}
    order = [method, *(name for name in ways if name != method)]
    for name in order:
        found = ways[name]()
        if found is not None:
            facts: dict[str, Any] = {"discounts": [round(float(f), 6) for f in found[1 : min(len(found), cutoff + 1)]]}
            if name != method:
                facts["note"] = f"the counts give no {method} estimate; {name} was taken"
            return found, facts
    return np.ones(2), {"discounts": [], "note": "the counts give no Good-Turing estimate; they are kept as they are"}


def turing_factors(n: np.ndarray, cutoff: int) -> np.ndarray | None:
    """[cutoff + 2]: d_r = (r* / r - q) / (1 - q) with q = (k + 1) n_(k+1) / n_1, and 1 above the cut-off. n: n_r at index r."""
    if len(n) < cutoff + 2 or not n[1 : cutoff + 2].all():
        return None
    r = np.arange(1, cutoff + 1)
    ratio = (r + 1) * n[2 : cutoff + 2] / n[1 : cutoff + 1] / r
    q = (cutoff + 1) * n[cutoff + 1] / n[1]
    if q >= 1:
        return None
    factors = np.concatenate([[1.0], (ratio - q) / (1 - q), [1.0]])
    return factors if ((factors > 0) & (factors <= 1)).all() else None


def simple_factors(n: np.ndarray) -> np.ndarray | None:
    """r* / r of every count up to the largest (or MOST_SIMPLE), rescaled so that what is freed is n_1 / all, as Turing says. Of large
    counts the rescaled factor may come out a little above 1; it is kept at 1, because a context may have no others.
    """
    r = np.flatnonzero(n)
    if len(r) < 3 or n[1:2].sum() == 0:
        return None
    seen = n[r].astype(float)
    before = np.concatenate([[0], r[:-1]])
    after = np.concatenate([r[1:], [2 * r[-1] - r[-2]]])
    z = seen / (0.5 * (after - before))
    slope = float(np.polyfit(np.log(r), np.log(z), 1)[0])
    if slope >= -1:
        return None
    every = np.arange(1, min(int(r[-1]), MOST_SIMPLE) + 1, dtype=float)
    line = every * (1 + 1 / every) ** (slope + 1)
    worth = line.copy()
    for i in range(len(every)):
        here, above = (n[i + 1], n[i + 2]) if i + 2 < len(n) else (n[i + 1], 0)
        if not here or not above:
            break
        turing = (i + 2) * above / here
        spread = np.sqrt((i + 2) ** 2 * above / here**2 * (1 + above / here))
        if abs(turing - line[i]) <= 1.65 * spread:
            break
        worth[i] = turing
    factors = np.concatenate([[1.0], worth / every])
    total = float((r * seen).sum())
    kept = float((factors[np.minimum(r, len(factors) - 1)] * r * seen).sum())
    factors[1:] = np.minimum(factors[1:] * (total - n[1]) / kept, 1.0)
    return factors

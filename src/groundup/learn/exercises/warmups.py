"""Exercises of chapter 0: statistics, a calculator, k-means, the area under a curve, TF-IDF."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.errors import DataError
from .exercise import Case, Check, Exercise, Growth, Mistake, Outputs, drive_calling, result

# --------------------------------------------------------------------------------------------------- 0.3 summary statistics


def _columns(rng: np.random.Generator) -> Sequence[Case]:
    cases = [[3.0], [1.0, 4.0], [5.0, 1.0, 2.0], [2.0, 2.0, 7.0, 1.0]]
    cases += [list(np.round(rng.normal(50, 20, size=n), 1)) for n in (5, 8, 31, 100)]
    return [{"values": np.array(values)} for values in cases]


def _summary(values: np.ndarray) -> dict[str, Any]:
    from ...foundations.statistics import mean, quantile, variance

    return {"mean": mean(values), "median": quantile(values, 0.5), "std": math.sqrt(variance(values)) if len(values) > 1 else math.nan,
            "q25": quantile(values, 0.25), "q75": quantile(values, 0.75)}  # fmt: skip


SUMMARY = Exercise(
    id="0.3",
    title="Summary statistics of a column",
    entry="summary",
    template='''"""Exercise 0.3: what a column of numbers looks like."""

import numpy as np


def summary(values):
    """values [N], N >= 1 -> {"mean", "median", "std", "q25", "q75"}, each a float.

    std is that of a sample: squares over N - 1; nan where N is 1. The quantile of a share p lies at place p * (N - 1) of the sorted
    values (counted from 0), between the two neighbours in proportion. Do not use np.mean, np.std, np.median, np.quantile.
    """
    raise NotImplementedError
''',
    drive="def drive(solution, case):\n    return solution.summary(case['values'])\n",
    reference=lambda case: _summary(case["values"]),
    denied=("numpy.mean", "numpy.std", "numpy.var", "numpy.median", "numpy.quantile", "numpy.percentile", "numpy.nanmean"),
    imports=frozenset(),
    checks=(
        Check(
            name="all five figures of any column",
            cases=_columns,
            hints=(
                "Do the smallest column by hand.",
                "Is the column sorted before quantiles are read? Is the spread over N - 1?",
                "place = p * (N - 1); low = floor(place); value = v[low] + (place - low) * (v[low + 1] - v[low]).",
            ),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="the spread is divided by N", hint="A sample's variance divides by N - 1: its own mean was fitted to it.",
                outputs=lambda c: {**_summary(c["values"]), "std": float(np.std(c["values"]))}),
        Mistake(name="the variance is given, not its root", hint="The standard deviation is the square root of the variance.",
                outputs=lambda c: {**_summary(c["values"]), "std": _summary(c["values"])["std"] ** 2}),
        Mistake(name="the values are not sorted before quantiles are read", hint="Sort the column first.",
                outputs=lambda c: {**_summary(c["values"]), **{n: _unsorted(c["values"], p)
                                   for n, p in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))}}),
        Mistake(name="quantiles take the lower neighbour", hint="Between two neighbours, interpolate in proportion.",
                outputs=lambda c: {**_summary(c["values"]), **{n: float(np.sort(c["values"])[math.floor(p * (len(c["values"]) - 1))])
                                   for n, p in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))}}),
        Mistake(name="the place of a quantile is p * N", hint="Places go from 0 to N - 1: p * (N - 1).",
                outputs=lambda c: {**_summary(c["values"]), **{n: _at(np.sort(c["values"]), p * len(c["values"]))
                                   for n, p in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))}}),
    ),
    sources=("Hyndman and Fan 1996, method 7",),
)  # fmt: skip


def _at(ordered: np.ndarray, place: float) -> float:
    low = min(math.floor(place), len(ordered) - 1)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - math.floor(place)) * (ordered[high] - ordered[low]))


def _unsorted(values: np.ndarray, share: float) -> float:
    return _at(values, share * (len(values) - 1))


# ----------------------------------------------------------------------------------------------------------- 0.5 calculator


def _value(text: str) -> float:
    from ...foundations.calculator import calculate

    return float(calculate(text))


def _expressions(rng: np.random.Generator) -> Sequence[Case]:
    fixed = [
        "7",
        "1+2",
        "2-3-4",
        "2+3*4",
        "(2+3)*4",
        "8/4/2",
        "-3",
        "-(1+2)",
        "2*-3",
        "2^3",
        "2^3^2",
        "-2^2",
        "(-2)^2",
        " 1 +  2 ",
        "1.5*4",
    ]
    cases = [{"expression": text} for text in fixed]
    while len(cases) < 40:
        text = _random_expression(rng, int(rng.integers(1, 5)))
        try:
            _value(text)
        except DataError:  # something divided by (1.5-1.5): no value, and not what this check asks about
            continue
        cases.append({"expression": text})
    return cases


def _random_expression(rng: np.random.Generator, depth: int) -> str:
    if depth == 0:
        return str(rng.integers(1, 10)) if rng.random() < 0.7 else f"{rng.integers(1, 9)}.5"
    kind = rng.integers(6)
    a, b = (_random_expression(rng, depth - 1 - int(rng.integers(2)) if depth > 1 else 0) for _ in range(2))
    if kind == 4:
        return f"({a})"
    if kind == 5:
        return f"-{a}"
    return (
        f"{a}{' ' if rng.random() < 0.2 else ''}{'+-*/'[kind]}({b})" if rng.random() < 0.4 else f"{a}{'+-*/'[kind]}{b}"
    )


def _bad(rng: np.random.Generator) -> Sequence[Case]:
    return [
        {"expression": text} for text in ("", "1+", "*2", "(1", "1)", "1 2", "2**3", "a+1", "1..5", "import os", "()")
    ]


def _refused(case: Case, got: Outputs) -> str | None:
    value = got["result"]
    return (
        None
        if value == "ValueError"
        else f"{case['expression']!r} is no expression, and should raise ValueError; it gave {value!r}"
    )


CALCULATOR = Exercise(
    id="0.5",
    title="A safe calculator",
    entry="calculate",
    template='''"""Exercise 0.5: a calculator that reads text, without eval."""


def calculate(expression):
    """The value of an expression as a float: + - * / and ^ (power), parentheses, a minus before anything, spaces anywhere.

    * and / before + and -, left to right; ^ before them and right to left: 2^3^2 is 2^9. -2^2 is -4. Whatever is no expression
    raises ValueError. Hint: a function for sums that calls one for products, that calls one for powers, that calls one for atoms.
    """
    raise NotImplementedError
''',
    drive="""
def drive(solution, case):
    try:
        return {"result": float(solution.calculate(case["expression"]))}
    except ValueError:
        return {"result": "ValueError"}
""",
    reference=lambda case: {"result": _value(case["expression"])},
    checks=(
        Check(
            name="values of expressions",
            cases=_expressions,
            hints=(
                "Which operator of the failing expression is done first in your code, and which should be?",
                "Chains of - and / go from left to right; ^ goes from right to left and binds tighter than a minus before it.",
                "sum := product (('+'|'-') product)*; product := signed (('*'|'/') signed)*; signed := '-' signed | power; "
                "power := atom ('^' signed)?; atom := number | '(' sum ')'.",
            ),
            tolerance=1e-9,
        ),
        Check(
            name="what is no expression is refused",
            cases=_bad,
            judge=_refused,
            hints=(
                "What is left over when your parser has finished?",
                "After the sum there must be nothing more; a missing operand or parenthesis is an error too.",
                "At the end: if the position is not at the end of the text, raise ValueError.",
            ),
        ),
    ),
    mistakes=(),
    swap="groundup calc '2*(3+4)^2'",
    sources=("Pratt 1973: Top Down Operator Precedence",),
)

# -------------------------------------------------------------------------------------------------------------- 0.6 k-means


def _points(rng: np.random.Generator) -> Sequence[Case]:
    """Without clusters to be found, so that every step still moves something."""
    cases = []
    for n, k, d, steps in ((2, 1, 1, 1), (5, 2, 1, 1), (40, 3, 2, 1), (80, 4, 2, 2), (200, 6, 3, 3)):
        points = rng.normal(size=(n, d))
        cases.append({"points": points, "centres": points[:k].copy(), "steps": steps})
    return cases


def _lloyd(case: Case, *, squares: bool = True, update: str = "mean", steps: int = 0, late: bool = True) -> Outputs:
    points, centres = case["points"], case["centres"].copy()

    def nearest() -> np.ndarray:
        distance = np.abs(points[:, None] - centres[None])
        found: np.ndarray = ((distance**2).sum(-1) if squares else distance.max(-1)).argmin(axis=1)
        return found

    labels = nearest()
    for _ in range(case["steps"] + steps):
        labels = nearest()
        for k in range(len(centres)):
            mine = points[labels == k]
            if len(mine):
                centres[k] = np.median(mine, axis=0) if update == "median" else mine.mean(axis=0)
    return {"centres": centres, "labels": nearest() if late else labels}


def _kmeans_reference(case: Case) -> Outputs:
    from ...foundations.kmeans import KMeans

    found = KMeans(num_clusters=len(case["centres"]), max_iterations=case["steps"], tolerance=0.0)
    clusters = found.fit(case["points"], case["centres"])
    return {"centres": clusters.centres, "labels": clusters.labels}


def _finite_centres(case: Case, got: Outputs) -> str | None:
    return None if np.isfinite(np.asarray(got["centres"])).all() else "a centre became nan: no point was nearest to it"


KMEANS = Exercise(
    id="0.6",
    title="Steps of k-means",
    entry="kmeans",
    template='''"""Exercise 0.6: Lloyd's algorithm."""

import numpy as np


def kmeans(points, centres, steps):
    """points [N, D], centres [K, D], steps >= 1 -> {"centres": [K, D], "labels": [N] integers}.

    A step gives each point the number of its nearest centre (Euclidean; the first of equally near ones), then moves each centre to the
    mean of its points; a centre without points must not become nan. The labels are each point's nearest centre after the last step.
    """
    raise NotImplementedError
''',
    drive="def drive(solution, case):\n    return solution.kmeans(case['points'], case['centres'].copy(), case['steps'])\n",
    reference=_kmeans_reference,
    checks=(
        Check(
            name="centres and labels after some steps",
            cases=_points,
            hints=(
                "Do one step of the smallest case by hand.",
                "Which comes first in a step, labels or centres? Which axis is the sum of squares over, and which the argmin?",
                "d = ((points[:, None] - centres[None]) ** 2).sum(-1); labels = d.argmin(1); centres[k] = points[labels == k].mean(0).",
            ),
            tolerance=1e-9,
        ),
        Check(
            name="a centre without points does not become nan",
            judge=_finite_centres,
            cases=lambda rng: [{"points": rng.normal(size=(5, 2)), "centres": np.array([[0.0, 0.0], [1e6, 1e6]]), "steps": 2}],
            hints=("The mean of nothing is nan.", "Look whether any point has the label before moving.", "if (labels == k).any(): ..."),
        ),
    ),
    mistakes=(
        Mistake(name="centres move to the median", outputs=lambda c: _lloyd(c, update="median"), hint="k-means moves to the mean."),
        Mistake(name="the distance is the largest coordinate's", outputs=lambda c: _lloyd(c, squares=False),
                hint="Add up the squares of all coordinates."),
        Mistake(name="one step too many is taken", outputs=lambda c: _lloyd(c, steps=1), hint="Count the steps: range(steps)."),
        Mistake(name="one step is missing", outputs=lambda c: _lloyd(c, steps=-1), hint="Count the steps: range(steps)."),
        Mistake(name="labels are those from before the last move", outputs=lambda c: _lloyd(c, late=False),
                hint="Look for the nearest centre once more after the last step."),
    ),
    growth=Growth(case=lambda rng, n: {"points": rng.normal(size=(n, 8)), "centres": rng.normal(size=(8, 8)), "steps": 3}, start=4000,
                  exponent=1.0, hint="Compute all distances at once with broadcasting; no loop over points."),
    sources=("Lloyd 1982",),
)  # fmt: skip

# -------------------------------------------------------------------------------------------------------------- 0.7 ROC-AUC


def _scored(rng: np.random.Generator) -> Sequence[Case]:
    cases: list[Case] = [
        {"wanted": np.array([0, 1]), "scores": np.array([0.2, 0.8])},
        {"wanted": np.array([1, 0]), "scores": np.array([0.2, 0.8])},
        {"wanted": np.array([0, 1]), "scores": np.array([0.5, 0.5])},
    ]
    for n in (4, 9, 30, 200):
        wanted = rng.integers(2, size=n)
        wanted[:2] = [0, 1]
        cases.append({"wanted": wanted, "scores": np.round(rng.normal(size=n) + wanted, 1)})
    return cases


def _auc(case: Case) -> float:
    from ...foundations.metrics import roc_auc

    return roc_auc(case["wanted"].astype(bool), case["scores"])


def _pairs(case: Case, ties: float) -> float:
    wanted, scores = case["wanted"].astype(bool), case["scores"]
    difference = scores[wanted][:, None] - scores[~wanted][None]
    return float(((difference > 0) + ties * (difference == 0)).mean())


AUC = Exercise(
    id="0.7",
    title="Area under the ROC curve",
    entry="roc_auc",
    template='''"""Exercise 0.7: how well a score ranks."""

import numpy as np


def roc_auc(wanted, scores):
    """wanted [N] of 0 and 1 (both there), scores [N] -> float: how likely a wanted example has a higher score than another one.

    Equal scores count half. N may be 100,000: comparing every pair is too slow (sort, and use ranks or the curve).
    """
    raise NotImplementedError
''',
    drive=drive_calling("roc_auc", "wanted", "scores"),
    reference=result(_auc),
    checks=(
        Check(
            name="the area, with ties",
            cases=_scored,
            hints=(
                "With two examples the answer is 0, 0.5 or 1: which?",
                "Examples of the same score stand or fall together: they share their mean rank.",
                "AUC = (sum of the ranks of wanted ones - P (P + 1) / 2) / (P N), ranks from 1, ties at their mean.",
            ),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="ties count as won", outputs=result(lambda c: _pairs(c, 1.0)), hint="Equal scores count half."),
        Mistake(name="ties count as lost", outputs=result(lambda c: _pairs(c, 0.0)), hint="Equal scores count half."),
        Mistake(name="the ranking is upside down", outputs=result(lambda c: 1 - _auc(c)), hint="Higher scores should be wanted ones."),
        Mistake(name="it is the accuracy at 0.5", hint="The area looks at every threshold, not at one.",
                outputs=result(lambda c: float(((c["scores"] > 0.5) == c["wanted"].astype(bool)).mean()))),
        Mistake(name="the correlation is given", hint="The area is about pairs: one wanted, one not.",
                outputs=result(lambda c: float(np.corrcoef(c["wanted"], c["scores"])[0, 1]) if c["scores"].std() > 0 else math.nan)),
    ),
    growth=Growth(case=lambda rng, n: {"wanted": rng.integers(2, size=n), "scores": rng.normal(size=n)}, start=4000, exponent=1.0,
                  hint="Every pair is N^2 comparisons: sort once instead."),
    sources=("Fawcett 2006: An introduction to ROC analysis",),
)  # fmt: skip

# --------------------------------------------------------------------------------------------------------------- 0.8 TF-IDF

_WORDS = ["the", "a", "cat", "dog", "sat", "on", "mat", "ran", "fast", "slow", "and", "big", "small"]


def _texts(rng: np.random.Generator) -> Sequence[Case]:
    cases = [{"texts": ["cat"]}, {"texts": ["cat cat dog", "dog"]}]
    for n in (3, 6, 15):
        texts = [" ".join(str(w) for w in rng.choice(_WORDS, size=rng.integers(1, 9))) for _ in range(n)]
        cases.append({"texts": texts})
    return cases


def _tfidf_reference(case: Case) -> Any:
    from ...foundations.features import TextFeatures, count_terms

    features = TextFeatures(cut="spaces", weights="tfidf", lower=False)
    counted = count_terms(features, case["texts"])
    fitted = features.fit(counted)
    dense = fitted.choose(counted).to_dense()
    return [{t: float(v) for t, v in zip(fitted.terms, row) if v} for row in dense]


def _tfidf(case: Case, *, idf: str = "smooth", norm: bool | str = True, tf: str = "count") -> Any:
    bags = [{w: text.split().count(w) for w in text.split()} for text in case["texts"]]
    number = len(bags)
    having = {w: sum(w in bag for bag in bags) for bag in bags for w in bag}
    total = {w: sum(bag.get(w, 0) for bag in bags) for w in having}
    made = []
    for bag in bags:
        row = {}
        for word, count in bag.items():
            df = total[word] if idf == "count" else having[word]
            weight = (
                math.log(number / df)
                if idf == "plain"
                else math.log((1 + number) / (1 + df)) + (0.0 if idf == "no one" else 1.0)
            )
            row[word] = (1.0 if tf == "binary" else count) * weight
        length = math.sqrt(sum(v * v for v in row.values())) if norm else 1.0
        if norm == "sum":
            length = sum(row.values())
        made.append({w: v / length if length else v for w, v in row.items()})
    return made


TFIDF = Exercise(
    id="0.8",
    title="TF-IDF",
    entry="tfidf",
    template='''"""Exercise 0.8: which words tell texts apart."""

import math


def tfidf(texts):
    """texts, each words split by spaces -> for each text a dict of its words and their weights.

    Weight of a word in a text: how often it is there, times ln((1 + N) / (1 + texts that have it)) + 1, N being the number of texts;
    then each text's weights are divided by their Euclidean length.
    """
    raise NotImplementedError
''',
    drive=drive_calling("tfidf", "texts"),
    reference=result(_tfidf_reference),
    checks=(
        Check(
            name="weights of every word of every text",
            cases=_texts,
            hints=(
                "For one text with one word the weight is 1: do you get that?",
                "In how many texts a word is, is not how often it is there. Which length are the weights divided by?",
                "df[w] = number of texts with w; v[w] = count * (ln((1 + N) / (1 + df[w])) + 1); v[w] /= sqrt(sum of squares).",
            ),
            tolerance=1e-9,
        ),
    ),
    mistakes=(
        Mistake(name="a word's occurrences are counted, not the texts that have it", outputs=result(lambda c: _tfidf(c, idf="count")),
                hint="Document frequency: each text counts a word once."),
        Mistake(name="the idf is not smoothed", outputs=result(lambda c: _tfidf(c, idf="plain")),
                hint="ln((1 + N) / (1 + df)) + 1, so that a word of every text keeps a weight."),
        Mistake(name="the 1 after the logarithm is missing", outputs=result(lambda c: _tfidf(c, idf="no one")),
                hint="ln(...) + 1: a word that every text has would weigh nothing."),
        Mistake(name="the weights are not normalised", outputs=result(lambda c: _tfidf(c, norm=False)),
                hint="Divide each text's weights by the root of the sum of their squares."),
        Mistake(name="the weights are made to sum to one", outputs=result(lambda c: _tfidf(c, norm="sum")),
                hint="The Euclidean length is the root of the sum of squares, not the sum."),
        Mistake(name="how often a word is there is left out", outputs=result(lambda c: _tfidf(c, tf="binary")),
                hint="Multiply by the count of the word in the text."),
    ),
    sources=("Spärck Jones 1972",),
)  # fmt: skip

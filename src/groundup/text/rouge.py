"""ROUGE (Lin 2004): how much of a written summary a candidate has, by n-grams (ROUGE-1, ROUGE-2) and by common subsequences (ROUGE-L, and
ROUGE-Lsum over lines), with the words and the counting of the rouge-score package, whose figures papers publish.

Words are runs of a to z and 0 to 9 in lower case; with stemming, those of more than three letters go through Porter's stemmer as his
program has it, where rouge-score takes NLTK's version with further rules ("dying" is "die" there). Left out: ROUGE-W, -S and -SU, the
bootstrap over a corpus (groundup.foundations has intervals).

Letters: R words of the reference, C words of the candidate.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .stem import stem as porter_stem

_NO_WORD = re.compile(r"[^a-z0-9]+")
_SHORT = 3
KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@dataclass(frozen=True, slots=True)
class Rouge:
    precision: float
    """Share of the candidate that the reference has; 0 to 1."""
    recall: float
    """Share of the reference that the candidate has."""
    f1: float


def rouge(candidate: str, reference: str, *, stem: bool = False) -> dict[str, Rouge]:
    """All of KINDS. Lines are the sentences that ROUGE-Lsum compares."""
    ours, theirs = rouge_words(candidate, stem=stem), rouge_words(reference, stem=stem)
    lines = [[rouge_words(line, stem=stem) for line in text.split("\n") if line] for text in (candidate, reference)]
    return {
        "rouge1": _overlap(ours, theirs, 1),
        "rouge2": _overlap(ours, theirs, 2),
        "rougeL": _measure(lcs_length(theirs, ours), len(ours), len(theirs)),
        "rougeLsum": _union(lines[0], lines[1]),
    }


def mean_rouge(candidates: Sequence[str], references: Sequence[str], *, stem: bool = False) -> dict[str, float]:
    """Mean F1 of each kind over a corpus, 0 to 100."""
    if len(candidates) != len(references) or not candidates:
        raise ValueError(
            f"{len(candidates)} candidates for {len(references)} references; there must be as many, and one at least"
        )
    scores = [rouge(c, r, stem=stem) for c, r in zip(candidates, references, strict=True)]
    return {kind: 100.0 * sum(score[kind].f1 for score in scores) / len(scores) for kind in KINDS}


def rouge_words(text: str, *, stem: bool = False) -> list[str]:
    words = _NO_WORD.sub(" ", text.lower()).split()
    if not stem:
        return words
    return [porter_stem(word, revised=True) if len(word) > _SHORT else word for word in words]


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0  # the row above, one to the left
        for j, other in enumerate(b, start=1):
            here = before + 1 if word == other else max(row[j], row[j - 1])
            before, row[j] = row[j], here
    return row[-1]


def _measure(hits: int, of_candidate: int, of_reference: int) -> Rouge:
    precision = hits / max(of_candidate, 1)
    recall = hits / max(of_reference, 1)
    return Rouge(precision, recall, 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0)


def _overlap(candidate: Sequence[str], reference: Sequence[str], n: int) -> Rouge:
    ours, theirs = (
        Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for words in (candidate, reference)
    )
    return _measure((ours & theirs).total(), ours.total(), theirs.total())


def _union(candidate: Sequence[Sequence[str]], reference: Sequence[Sequence[str]]) -> Rouge:
    """Summary level (section 3.2): of each line of the reference, the words that some line of the candidate has in order; a word counts
    as often as both have it at most."""
    ours, theirs = (Counter(word for line in lines for word in line) for lines in (candidate, reference))
    of_candidate, of_reference = ours.total(), theirs.total()
    if not of_candidate or not of_reference:
        return Rouge(0.0, 0.0, 0.0)
    hits = 0
    for line in reference:
        matched = sorted({place for other in candidate for place in _lcs_places(line, other)})
        for word in (line[place] for place in matched):
            if ours[word] > 0 and theirs[word] > 0:
                ours[word] -= 1
                theirs[word] -= 1
                hits += 1
    return _measure(hits, of_candidate, of_reference)


def _lcs_places(reference: Sequence[str], candidate: Sequence[str]) -> list[int]:
    """Places in `reference` of one longest common subsequence; of several, the one that is found from the end, going back in the
    reference where both ways are as long."""
    table = [[0] * (len(candidate) + 1)]
    for i, word in enumerate(reference, start=1):
        row = [0]
        for j, other in enumerate(candidate, start=1):
            row.append(table[i - 1][j - 1] + 1 if word == other else max(table[i - 1][j], row[j - 1]))
        table.append(row)
    places: list[int] = []
    i, j = len(reference), len(candidate)
    while i and j:
        if reference[i - 1] == candidate[j - 1]:
            i, j = i - 1, j - 1
            places.append(i)
        elif table[i][j - 1] > table[i - 1][j]:
            j -= 1
        else:
            i -= 1
    return places

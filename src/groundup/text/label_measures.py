"""How right tags of words and answers in texts are: F1 of chunks, exact match and overlap of answers (foundations/metrics.py: labels).

Entities are counted as the CoNLL-2000 and 2003 shared tasks do (Tjong Kim Sang and De Meulder 2003; their `conlleval`): a chunk is
right if its type and both its ends are. Answers are compared as SQuAD does (Rajpurkar et al. 2016; with the unanswerable
questions of Rajpurkar et al. 2018). No smoothing, no averages over anything but what is named.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

OUTSIDE = "O"
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def f1(true: int, wanted: int, given: int) -> float:
    """Harmonic mean of true / given and true / wanted; 0 where nothing is true."""
    return 2 * true / (wanted + given) if true else 0.0


def chunks(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(type, first word, word after the last) of every chunk of one sentence, tagged B-X, I-X, O (or E-X and S-X too).

    Lenient as `conlleval`: a chunk also begins at an I- that nothing began, and ends where the type changes.
    """
    found = []
    start, before, type_before = 0, OUTSIDE, ""
    for i, tag in enumerate([*tags, OUTSIDE]):
        mark, _, kind = tag.partition("-")
        changed = kind != type_before
        ended = before in ("E", "S") or (before in ("B", "I") and mark in ("B", "S", OUTSIDE))
        begun = mark in ("B", "S") or (mark in ("E", "I") and before in ("E", "S", OUTSIDE))
        if before != OUTSIDE and (ended or changed):
            found.append((type_before, start, i))
        if mark != OUTSIDE and (begun or changed):
            start = i
        before, type_before = mark, kind
    return found


def chunk_scores(wanted: Sequence[Sequence[str]], given: Sequence[Sequence[str]]) -> dict[str, float]:
    """Precision, recall and f1 over the chunks of all sentences together, and f1 of each type as `f1_<type>`."""
    true: Counter[str] = Counter()
    of_wanted: Counter[str] = Counter()
    of_given: Counter[str] = Counter()
    for w, g in zip(wanted, given, strict=True):
        assert len(w) == len(g), (len(w), len(g))
        ours, theirs = set(chunks(w)), set(chunks(g))
        of_wanted.update(kind for kind, _, _ in ours)
        of_given.update(kind for kind, _, _ in theirs)
        true.update(kind for kind, _, _ in ours & theirs)
    right, asked, made = true.total(), of_wanted.total(), of_given.total()
    scores = {
        "precision": right / made if made else 0.0,
        "recall": right / asked if asked else 0.0,
        "f1": f1(right, asked, made),
    }
    return scores | {f"f1_{x}": f1(true[x], of_wanted[x], of_given[x]) for x in sorted(of_wanted | of_given)}


def plain_answer(text: str) -> str:
    """Lower case, without punctuation, articles and extra spaces: what SQuAD compares."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def answer_scores(answers: Sequence[str], given: str) -> tuple[float, float]:
    """(exact match, F1 of the words), each with the best of the accepted answers. No answers: the right one is "" ."""
    mine = plain_answer(given)
    exact = best = 0.0
    for answer in answers or ("",):
        theirs = plain_answer(answer)
        exact = max(exact, float(theirs == mine))
        if mine and theirs:
            common = (Counter(mine.split()) & Counter(theirs.split())).total()
            best = max(best, f1(common, len(theirs.split()), len(mine.split())))
        else:
            best = max(best, float(mine == theirs))
    return exact, best

"""Measures of labels, against scikit-learn where it has them and against independent counts where it has not."""

from __future__ import annotations

import itertools
import os
import random

import pytest

from groundup.foundations.metrics import accuracy, macro_f1, multi_label_f1
from groundup.text.label_measures import answer_scores, chunk_scores, chunks, plain_answer

pytestmark = pytest.mark.row("9.3")

SEED = int(os.environ.get("GROUNDUP_TEST_SEED") or random.SystemRandom().randrange(2**32))


def conlleval(wanted: list[str], given: list[str]) -> tuple[int, int, int]:
    """(right, wanted, given) chunks, counted as the shared tasks' script walks two columns line by line."""

    def parts(tag: str) -> tuple[str, str]:
        return ("O", "") if tag == "O" else (tag[0], tag[2:])

    def ends(before: tuple[str, str], now: tuple[str, str]) -> bool:
        (mark, kind), (mark_now, kind_now) = before, now
        pairs = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")}
        return (mark, mark_now) in pairs or (mark != "O" and kind != kind_now)

    def starts(before: tuple[str, str], now: tuple[str, str]) -> bool:
        (mark, kind), (mark_now, kind_now) = before, now
        pairs = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")}
        return (mark, mark_now) in pairs or (mark_now != "O" and kind != kind_now)

    right = num_wanted = num_given = 0
    in_right = False
    last_w = last_g = ("O", "")
    for w, g in zip([*map(parts, wanted), ("O", "")], [*map(parts, given), ("O", "")], strict=True):
        if in_right:
            if ends(last_w, w) and ends(last_g, g) and last_w[1] == last_g[1]:
                right += 1
                in_right = False
            elif ends(last_w, w) != ends(last_g, g) or w[1] != g[1]:
                in_right = False
        if starts(last_w, w) and starts(last_g, g) and w[1] == g[1]:
            in_right = True
        num_wanted += starts(last_w, w)
        num_given += starts(last_g, g)
        last_w, last_g = w, g
    return right, num_wanted, num_given


def test_chunks_as_conlleval_counts_them() -> None:
    print(f"GROUNDUP_TEST_SEED={SEED}")
    draw = random.Random(SEED)
    tags = ["O", "B-A", "I-A", "B-B", "I-B"]
    cases = [(list(w), list(g)) for w in itertools.product(tags, repeat=2) for g in itertools.product(tags, repeat=2)]
    cases += [([draw.choice(tags) for _ in range(n)], [draw.choice(tags) for _ in range(n)]) for n in range(1, 400)]
    for wanted, given in cases:
        right, asked, made = conlleval(wanted, given)
        assert (len(chunks(wanted)), len(chunks(given))) == (asked, made)
        assert len(set(chunks(wanted)) & set(chunks(given))) == right, (wanted, given)
    totals = [sum(n) for n in zip(*(conlleval(w, g) for w, g in cases), strict=True)]
    scores = chunk_scores([w for w, _ in cases], [g for _, g in cases])
    assert scores["precision"] == totals[0] / totals[2] and scores["recall"] == totals[0] / totals[1]
    assert scores["f1"] == pytest.approx(2 * totals[0] / (totals[1] + totals[2]))


def test_chunks_of_known_sentences() -> None:
    assert chunks(["B-PER", "I-PER", "O", "B-LOC"]) == [("PER", 0, 2), ("LOC", 3, 4)]
    assert chunks(["I-PER", "I-LOC", "B-LOC"]) == [("PER", 0, 1), ("LOC", 1, 2), ("LOC", 2, 3)]
    assert chunks(["S-A", "B-A", "E-A", "E-A", "I-A"]) == [("A", 0, 1), ("A", 1, 3), ("A", 3, 4), ("A", 4, 5)]
    assert chunks(["B-to-do", "I-to-do"]) == [("to-do", 0, 2)]
    assert chunks([]) == [] == chunks(["O", "O"])


def f1_of(label: str, wanted: list[list[str]], given: list[list[str]]) -> float:
    """From the four cells of the label's own table."""
    both = sum(label in w and label in g for w, g in zip(wanted, given, strict=True))
    missed = sum(label in w and label not in g for w, g in zip(wanted, given, strict=True))
    wrong = sum(label not in w and label in g for w, g in zip(wanted, given, strict=True))
    return 2 * both / (2 * both + missed + wrong) if both + missed + wrong else 0.0


def test_label_scores_are_their_definitions() -> None:
    print(f"GROUNDUP_TEST_SEED={SEED}")
    draw = random.Random(SEED)
    for _ in range(50):
        n = draw.randrange(1, 30)
        wanted, given = ([draw.choice("abcd") for _ in range(n)] for _ in "12")
        assert accuracy(wanted, given) == pytest.approx(sum(map(str.__eq__, wanted, given)) / n)
        used = sorted({*wanted, *given})
        ones = ([[w] for w in wanted], [[g] for g in given])
        assert macro_f1(wanted, given) == pytest.approx(sum(f1_of(x, *ones) for x in used) / len(used))
        sets = [[[x for x in "abc" if draw.random() < 0.4] for _ in range(n)] for _ in "12"]
        used = sorted({x for part in sets for row in part for x in row})
        micro, macro = multi_label_f1(*sets)
        pooled = [[[f"{i}{x}"] for i, row in enumerate(part) for x in row] for part in sets]
        pairs = [{x for row in part for x in row} for part in pooled]
        both, either = len(pairs[0] & pairs[1]), len(pairs[0]) + len(pairs[1])
        assert micro == pytest.approx(2 * both / either if either else 0.0)
        assert macro == pytest.approx(sum(f1_of(x, *sets) for x in used) / len(used) if used else 0.0)
    assert accuracy([], []) == macro_f1([], []) == 0.0


def test_answers_as_squad_compares_them() -> None:
    assert plain_answer("  The Eiffel-Tower,  a\tlandmark ") == "eiffeltower landmark"
    assert answer_scores(["Denver Broncos", "Broncos"], "the Denver Broncos!") == (1.0, 1.0)
    exact, overlap = answer_scores(["in the year 1912"], "1912 or 1913")
    assert exact == 0.0 and overlap == pytest.approx(2 * (1 / 3) * (1 / 3) / (2 / 3))
    assert answer_scores(["a b b"], "b b b")[1] == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert answer_scores([], "") == (1.0, 1.0) and answer_scores([], "word") == (0.0, 0.0)
    assert answer_scores(["word"], "") == (0.0, 0.0)

"""BLEU (Papineni et al. 2002) as sacrebleu defines it (Post 2018): so that a figure here is the figure that others publish.

    BLEU = BP * exp(mean over n = 1 .. 4 of log p_n),   BP = min(1, exp(1 - references' length / hypotheses' length))

with p_n the share of the hypotheses' n-grams that a reference has, each counted as often as it has it at most. Of several references the
one nearest in length counts (the shorter of two). `13a` cuts words as mteval-v13a does; case counts unless told otherwise. Left out: the
tokenizers of other languages (zh, ja-mecab, flores200), TER, chrF.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tokenize = Literal["13a", "none"]
Smoothing = Literal["exp", "floor", "add-k", "none"]

MAX_ORDER = 4
_DEFAULTS = {"exp": 0.0, "floor": 0.1, "add-k": 1.0, "none": 0.0}
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_MARKS = re.compile("([" + re.escape('!"#$%&()*+/:;<=>?@[\\]^_`{|}~') + "])")
"""ASCII marks but the apostrophe, and but comma, full stop and hyphen, which depend on what stands beside them."""
_AFTER_NO_DIGIT = re.compile(r"([^0-9])([.,])")
_BEFORE_NO_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")


@dataclass(frozen=True, slots=True)
class Bleu:
    score: float
    """0 to 100."""
    precisions: tuple[float, ...]
    """Of 1-grams to 4-grams, in percent, smoothed."""
    brevity_penalty: float
    hypothesis_length: int
    reference_length: int
    counts: tuple[int, ...]
    totals: tuple[int, ...]


def tokenize_13a(text: str) -> list[str]:
    """Words as mteval-v13a cuts them."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        for entity, written in _ENTITIES:
            text = text.replace(entity, written)
    text = _MARKS.sub(r" \1 ", f" {text} ")
    text = _AFTER_NO_DIGIT.sub(r"\1 \2 ", text)
    text = _BEFORE_NO_DIGIT.sub(r" \1 \2", text)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text).split()


def corpus_bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokenize: Tokenize = "13a",
    lower_case: bool = False,
    smoothing: Smoothing = "exp",
    smoothing_value: float | None = None,
    effective_order: bool = False,
) -> Bleu:
    """references: of each hypothesis, at least one. smoothing of orders without a match: exp halves a 1 / total for each further
    one (NIST), floor puts `smoothing_value` in its place, add-k adds it to count and total of orders above 1.

    effective_order: leave out orders of which there is no n-gram, or no match (for single sentences).
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses and references for {len(references)}; there must be as many")
    cut = tokenize_13a if tokenize == "13a" else str.split
    counts, totals = [0] * MAX_ORDER, [0] * MAX_ORDER
    hypothesis_length = reference_length = 0
    for hypothesis, of_it in zip(hypotheses, references, strict=True):
        if not of_it:
            raise ValueError("a hypothesis has no reference")
        words = _words(hypothesis, cut, lower_case)
        others = [_words(reference, cut, lower_case) for reference in of_it]
        hypothesis_length += len(words)
        reference_length += min((abs(len(other) - len(words)), len(other)) for other in others)[1]
        best: Counter[tuple[str, ...]] = Counter()
        for other in others:
            best |= _ngrams(other)  # the largest count of each
        for ngram, count in _ngrams(words).items():
            counts[len(ngram) - 1] += min(count, best[ngram])
            totals[len(ngram) - 1] += count
    value = _DEFAULTS[smoothing] if smoothing_value is None else smoothing_value
    return _score(counts, totals, hypothesis_length, reference_length, smoothing, value, effective_order)


def sentence_bleu(
    hypothesis: str,
    references: Sequence[str],
    *,
    tokenize: Tokenize = "13a",
    lower_case: bool = False,
    smoothing: Smoothing = "exp",
    smoothing_value: float | None = None,
) -> Bleu:
    """Of one sentence, with effective order; a rough measure: corpora are what BLEU was made for."""
    return corpus_bleu(
        [hypothesis],
        [references],
        tokenize=tokenize,
        lower_case=lower_case,
        smoothing=smoothing,
        smoothing_value=smoothing_value,
        effective_order=True,
    )


def _words(text: str, cut: object, lower_case: bool) -> list[str]:
    text = text.rstrip()
    words: list[str] = cut(text.lower() if lower_case else text)  # type: ignore[operator]
    return words


def _ngrams(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    """Of orders 1 to 4."""
    return Counter(tuple(words[i : i + n]) for n in range(1, MAX_ORDER + 1) for i in range(len(words) - n + 1))


def _score(
    counts: list[int],
    totals: list[int],
    hypothesis_length: int,
    reference_length: int,
    smoothing: Smoothing,
    value: float,
    effective_order: bool,
) -> Bleu:
    penalty = 1.0
    if hypothesis_length < reference_length:
        penalty = math.exp(1 - reference_length / hypothesis_length) if hypothesis_length else 0.0
    precisions = [0.0] * MAX_ORDER
    order, halved = MAX_ORDER, 1.0
    for n in range(MAX_ORDER) if any(counts) else ():
        count, total = float(counts[n]), float(totals[n])
        if smoothing == "add-k" and n > 0:
            count, total = count + value, total + value
        if total == 0:
            break
        if effective_order:
            order = n + 1
        if count == 0:
            if smoothing == "exp":
                halved *= 2
                precisions[n] = 100.0 / (halved * total)
            elif smoothing == "floor":
                precisions[n] = 100.0 * value / total
        else:
            precisions[n] = 100.0 * count / total
    score = 0.0
    if any(counts) and all(p > 0 for p in precisions[:order]):
        score = penalty * math.exp(sum(math.log(p) for p in precisions[:order]) / order)
    return Bleu(score, tuple(precisions), penalty, hypothesis_length, reference_length, tuple(counts), tuple(totals))

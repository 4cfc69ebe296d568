"""BLEU, right."""

import math
from collections import Counter


def counts(text, n):
    words = text.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu(hypotheses, references):
    logs = 0.0
    for n in range(1, 5):
        hits = sum((counts(h, n) & counts(r, n)).total() for h, r in zip(hypotheses, references))
        total = sum(counts(h, n).total() for h in hypotheses)
        if hits == 0:
            return 0.0
        logs += math.log(hits / total) / 4
    h, r = (sum(len(text.split()) for text in texts) for texts in (hypotheses, references))
    return 100 * math.exp(min(0.0, 1 - r / h)) * math.exp(logs)

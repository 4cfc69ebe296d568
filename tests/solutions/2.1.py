"""Kneser-Ney, right."""

from collections import Counter
from itertools import pairwise


def kneser_ney(ids, vocab_size, context, discount):
    pairs = Counter(pairwise(ids))
    after = {w: n for (c, w), n in pairs.items() if c == context}
    total = sum(after.values())
    base = Counter(w for _, w in pairs)
    whole = sum(base.values())
    floor = discount * len(base) / whole / vocab_size
    left = discount * len(after) / total
    made = []
    for w in range(vocab_size):
        first = max(base[w] - discount, 0) / whole + floor
        made.append(max(after.get(w, 0) - discount, 0) / total + left * first)
    return made

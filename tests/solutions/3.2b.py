"""Encoding with merges, right."""

from itertools import pairwise


def encode(word, merges):
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = list(word)
    while True:
        found = [(rank[pair], i) for i, pair in enumerate(pairwise(parts)) if pair in rank]
        if not found:
            return parts
        i = min(found)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]

"""Learning merges, right."""

from collections import Counter
from itertools import pairwise


def merged(parts, pair):
    made, i = [], 0
    while i < len(parts):
        if tuple(parts[i : i + 2]) == pair:
            made.append(parts[i] + parts[i + 1])
            i += 2
        else:
            made.append(parts[i])
            i += 1
    return made


def train_bpe(words, num_merges):
    symbols = {word: list(word) for word in words}
    age = {c: i for i, c in enumerate(sorted({c for word in words for c in word}))}
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for word, parts in symbols.items():
            for pair in pairwise(parts):
                counts[pair] += words[word]
        if not counts:
            break
        best = min(counts, key=lambda p: (-counts[p], age[p[0]], age[p[1]]))
        merges.append(best)
        age.setdefault("".join(best), len(age))
        symbols = {word: merged(parts, best) for word, parts in symbols.items()}
    return merges

"""TF-IDF, right."""

import math
from collections import Counter


def tfidf(texts):
    bags = [Counter(text.split()) for text in texts]
    having = Counter(word for bag in bags for word in bag)
    made = []
    for bag in bags:
        row = {w: n * (math.log((1 + len(bags)) / (1 + having[w])) + 1) for w, n in bag.items()}
        length = math.sqrt(sum(v * v for v in row.values()))
        made.append({w: v / length for w, v in row.items()})
    return made

"""Summary statistics, right."""

import math


def quantile(ordered, share):
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def summary(values):
    ordered = sorted(float(v) for v in values)
    n = len(ordered)
    mean = sum(ordered) / n
    std = math.sqrt(sum((v - mean) ** 2 for v in ordered) / (n - 1)) if n > 1 else math.nan
    return {
        "mean": mean,
        "std": std,
        "median": quantile(ordered, 0.5),
        "q25": quantile(ordered, 0.25),
        "q75": quantile(ordered, 0.75),
    }

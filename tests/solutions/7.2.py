"""Gradient accumulation, right."""

import numpy as np


def gradient(w, xs, ys):
    total, made = 0, np.zeros_like(w)
    for x, y in zip(xs, ys):
        made += 2 * x.T @ (x @ w - y)
        total += len(y)
    return made / total

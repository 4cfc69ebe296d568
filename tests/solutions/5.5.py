"""Nucleus sampling, right."""

import numpy as np


def top_p(logits, share):
    p = np.exp(logits - logits.max())
    p = p / p.sum()
    order = np.argsort(-p)
    count = np.searchsorted(np.cumsum(p[order]), share - 1e-12) + 1
    made = np.zeros_like(p)
    made[order[:count]] = p[order[:count]]
    return made / made.sum()

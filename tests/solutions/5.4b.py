"""Masks, right."""

import numpy as np


def mask(num_queries, num_keys, window):
    place = np.arange(num_queries) + num_keys - num_queries
    distance = place[:, None] - np.arange(num_keys)
    seen = distance >= 0
    return seen if window is None else seen & (distance < window)

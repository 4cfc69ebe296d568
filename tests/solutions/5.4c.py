"""A cache, right."""

import math

import torch


class Cache:
    def __init__(self):
        self.keys = self.values = None

    def attend(self, q, k, v):
        self.keys = k if self.keys is None else torch.cat((self.keys, k))
        self.values = v if self.values is None else torch.cat((self.values, v))
        new, total = len(q), len(self.keys)
        scores = q @ self.keys.T / math.sqrt(q.shape[1])
        late = torch.arange(total)[None] > torch.arange(total - new, total)[:, None]
        return scores.masked_fill(late, -math.inf).softmax(-1) @ self.values

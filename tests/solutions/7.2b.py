"""Clipping, right."""

import math


def clip(gradients, limit):
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    return [g * min(1.0, limit / norm) for g in gradients]

"""Warm-up and cosine, right."""

import math


def multiplier(step, num_steps, warmup_steps, final):
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - 1 - warmup_steps)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

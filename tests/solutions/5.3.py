"""Rotary positions, right."""

import torch


def rotate(x, theta):
    t, n = x.shape[-2:]
    frequency = theta ** (-2 * torch.arange(n // 2, dtype=torch.float64) / n)
    angle = torch.arange(t)[:, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)

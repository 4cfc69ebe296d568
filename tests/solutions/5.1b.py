"""SwiGLU, right."""

import torch
from torch import nn


class MyFeedForward(nn.Module):
    def __init__(self, hidden_size, intermediate_size=0):
        super().__init__()
        inner = intermediate_size or 3 * hidden_size
        self.gate = nn.Linear(hidden_size, inner, bias=False)
        self.up = nn.Linear(hidden_size, inner, bias=False)
        self.down = nn.Linear(inner, hidden_size, bias=False)

    def forward(self, x):
        gate, up = self.gate(x), self.up(x)
        return self.down(gate * torch.sigmoid(gate) * up)

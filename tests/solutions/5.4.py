"""Attention, right."""

import math

import torch
from torch import nn


class MyAttention(nn.Module):
    def __init__(self, hidden_size, num_attention_heads=4):
        super().__init__()
        self.num_heads = num_attention_heads
        self.head_dim = hidden_size // num_attention_heads
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            self.add_module(name, nn.Linear(hidden_size, hidden_size, bias=False))

    def forward(self, x, state=None):
        b, t, d = x.shape

        def heads(y):
            return y.view(b, t, self.num_heads, self.head_dim).transpose(1, 2)

        q, k, v = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.head_dim)
        late = torch.triu(torch.ones(t, t, dtype=torch.bool), diagonal=1)
        weights = torch.softmax(scores.masked_fill(late, -math.inf), dim=-1)
        y = (weights @ v).transpose(1, 2).reshape(b, t, d)
        return self.o_proj(y), state

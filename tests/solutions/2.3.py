"""One step of an LSTM, right."""

import torch


def lstm_step(x, h, c, w, u, bias):
    i, f, g, o = (x @ w.T + h @ u.T + bias).chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c

"""The peer of the training benchmarks: a plain PyTorch GPT-2-shaped decoder and a plain float32 AdamW loop, with nanoGPT's published
CPU settings for tinyshakespeare by characters (learning rate 1e-3 to 1e-4 by cosine over 2,000 steps, 100 of warm-up, betas 0.9 and 0.99,
weight decay 0.1 on matrices, clipping at 1, no dropout). Written for this comparison; nothing of groundup is used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class PlainGPT(nn.Module):
    def __init__(self, vocab: int, width: int, layers: int, heads: int, context: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(PlainBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        self.head = nn.Linear(width, vocab, bias=False)
        self.head.weight = self.tokens.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = math.sqrt(2 * layers) if name.endswith(("out.weight", "down.weight")) else 1.0
                nn.init.normal_(parameter, std=0.02 / scale)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


def plain_optimizer(model: nn.Module) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)


def plain_lr(step: int, steps: int = 2000, warmup: int = 100, peak: float = 1e-3, floor: float = 1e-4) -> float:
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return floor + 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) * (peak - floor)


def plain_step(model: PlainGPT, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, lr: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = lr
    loss = model(x, y)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def random_batch(ids: Tensor, batch: int, context: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    starts = torch.randint(len(ids) - context - 1, (batch,), generator=generator)
    rows = torch.stack([ids[s : s + context + 1] for s in starts])
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def best_threads(step: Callable[[], object], counts: list[int], steps: int = 15) -> tuple[int, dict[int, float]]:
    """The thread count with the quickest step, and the seconds of each."""
    seconds = {}
    for count in counts:
        torch.set_num_threads(count)
        step()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        seconds[count] = (time.perf_counter() - start) / steps
    return min(seconds, key=lambda c: seconds[c]), seconds

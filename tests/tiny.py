"""A tiny training run that many tests share: a decoder that learns a made-up language within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from groundup.core.config import parse
from groundup.core.tracking import JsonlTracker
from groundup.models.decoder import Decoder, DecoderConfig
from groundup.objectives.causal import CausalLM
from groundup.objectives.sources import WindowSource
from groundup.train.checkpoint import Checkpoints
from groundup.train.loop import Loop, LoopConfig
from groundup.train.optim import build_optimizer
from groundup.train.optim.build import AdamWConfig, MuonConfig
from groundup.train.schedule import ScheduleConfig, build_schedule
from groundup.train.settings import Settings

VOCAB = 17
CONTEXT = 16


def tiny_config(**over: Any) -> DecoderConfig:
    return parse(
        DecoderConfig,
        {
            "vocab_size": VOCAB,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "max_position_embeddings": 64,
            "block": {
                "mixer": {"type": "attention", "num_attention_heads": 2},
                "ffn": {"type": "gated", "intermediate_size": 32},
            },
            **over,
        },
    )


class Windows:
    """Window i is a function of i: counting with a random step, and some noise."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def example(self, index: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, index])
        start, step = rng.integers(0, VOCAB), rng.integers(1, 4)
        ids = (start + step * np.arange(CONTEXT + 1)) % VOCAB
        noise = rng.random(CONTEXT + 1) < 0.05
        return np.where(noise, rng.integers(0, VOCAB, CONTEXT + 1), ids)


def tiny_loop(directory: Path, *, num_steps: int = 40, source: Any = None, objective: Any = None, **over: Any) -> Loop:
    """A loop over `directory`: metrics.jsonl, events.log and checkpoints/ in it."""
    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    model = Decoder(tiny_config()).initialise(0)
    muon = over.pop("muon", True)
    optimizer = (MuonConfig if muon else AdamWConfig)(lr=0.01)
    keep = over.pop("keep", 2)
    evaluate = over.pop("evaluate", None)
    config = LoopConfig(
        num_steps=num_steps, batch_size=8, micro_batch_size=over.pop("micro_batch_size", 4), log_every_steps=1,
        checkpoint_every_steps=over.pop("checkpoint_every_steps", 7), **over,
    )  # fmt: skip
    return Loop(
        model,
        objective or CausalLM(),
        source or WindowSource(Windows()),
        build_optimizer(optimizer, model),
        build_schedule(ScheduleConfig()),
        config,
        Settings(),
        Checkpoints(directory / "checkpoints", JsonlTracker(directory, stage="train"), keep=keep),
        evaluate=evaluate,
    )


def weights_bytes(loop: Loop) -> bytes:
    return b"".join(p.detach().numpy().tobytes() for _, p in sorted(loop.model.named_parameters()))

"""Estimated memory against what the process really takes, and what must make it smaller."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.models.decoder import Decoder
from groundup.models.heads import with_head
from groundup.train.memory import PeakMemory, estimate, estimate_config, optimizer_bytes, resident_bytes
from groundup.train.optim import build_optimizer
from groundup.train.optim.build import AdamW8bitConfig, AdamWConfig, MuonConfig
from tiny import tiny_config

pytestmark = pytest.mark.row("9.6")

SCRIPT = """
import gc, json, sys
import torch
torch.set_num_threads(1)
from tiny import tiny_config
from groundup.models.decoder import Decoder
from groundup.nn.protocols import Batch
from groundup.objectives.causal import CausalLM
from groundup.train.memory import PeakMemory, estimate
from groundup.train.optim import build_optimizer
from groundup.train.optim.build import AdamWConfig, AdamW8bitConfig

for vocab, make, checkpointed, rows, positions, dtype in (
    (500, AdamWConfig, False, 4, 256, "float32"),
    (500, AdamWConfig, True, 4, 256, "float32"),
    (9000, AdamW8bitConfig, False, 2, 300, "bfloat16"),
    (9000, AdamWConfig, False, 1, 120, "float32"),
):
    attention = {"type": "attention", "num_attention_heads": 4}
    block = {"mixer": attention, "ffn": {"type": "gated", "intermediate_size": 500}}
    config = tiny_config(hidden_size=192, num_hidden_layers=3, max_position_embeddings=512, vocab_size=vocab, block=block)
    model = Decoder(config).initialise(0).train()
    model.checkpoint_activations = checkpointed
    made = estimate(model, rows, positions, optimizer=make(), dtype=dtype)
    objective, optimizers = CausalLM(), build_optimizer(make(), model)

    def step(rows, positions):
        ids = torch.randint(0, vocab, (rows, positions))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = objective.loss(model, Batch(ids, ids)).loss
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        for parameter in model.parameters():
            parameter.grad = None

    step(rows, positions)  # libraries load what they need, compiled loops among them
    for optimizer in optimizers:
        optimizer.state.clear()
    gc.collect()
    with PeakMemory() as peak:
        step(rows, positions)
        step(rows, positions)
    print(json.dumps([made.total - made.weights, peak.grown_bytes, peak.exact]))
    del model, optimizers, peak
    gc.collect()
"""


def test_the_estimate_is_what_is_measured() -> None:
    # Blocks that are given back leave the process at once, so that what one case took does not serve the next: else the
    # allocator's own holes are measured (with checkpointing they can be as large as all the rest).
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1",
           "PYTHONPATH": str(Path(__file__).parents[1])}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    if not figures[0][2] or not figures[0][1]:
        pytest.skip("this system does not tell a process its peak")
    print(figures)
    for estimated, measured, _ in figures:
        assert 0.75 < estimated / measured < 1.25, figures
    # Checkpointing lowers both.
    assert figures[1][0] < 0.7 * figures[0][0] and figures[1][1] < 0.7 * figures[0][1]


def decoder(**over: Any) -> Decoder:
    return Decoder(tiny_config(hidden_size=64, num_hidden_layers=3, vocab_size=100, **over)).initialise(0)


def test_the_model_is_left_as_it_was() -> None:
    model = decoder().eval()
    before = {name: p.clone() for name, p in model.named_parameters()}
    made = estimate(model, 2, 48, optimizer=AdamWConfig())
    assert not model.training and all(p.grad is None for p in model.parameters())
    assert all(type(p) is torch.nn.Parameter and torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(type(b) is torch.Tensor for b in model.buffers())
    assert model(torch.ones(1, 60, dtype=torch.long)).logits.isfinite().all()
    assert made.as_dict()["total"] == made.total and "weights" in str(made) and "KiB" in str(made)
    assert estimate_config(model.config, 2, 48, optimizer=AdamWConfig()) == made
    assert made.weights == sum(p.nbytes for p in model.parameters()) + sum(b.nbytes for b in model.buffers())


def test_what_makes_it_smaller() -> None:
    whole = estimate(decoder(), 4, 64, optimizer=AdamWConfig())
    double = estimate(decoder(), 8, 64, optimizer=AdamWConfig())
    assert 1.9 < (double.activations + double.logits) / (whole.activations + whole.logits) < 2.1
    recomputed = decoder()
    recomputed.checkpoint_activations = True
    assert estimate(recomputed, 4, 64, optimizer=AdamWConfig()).total < whole.total
    assert estimate(decoder(), 4, 64, optimizer=AdamWConfig(), accumulate=True).total > whole.total
    half = estimate(decoder(), 4, 64, optimizer=AdamWConfig(), dtype="bfloat16")
    assert half.activations != whole.activations and half.weights == whole.weights
    assert estimate(decoder(), 4, 64, optimizer=AdamWConfig(), target_share=0.25).total < whole.total
    # Only the last block is trained: nothing is kept for the others, and only its weights have gradients and states.
    frozen = decoder()
    for name, parameter in frozen.named_parameters():
        parameter.requires_grad_(name.startswith("blocks.2."))
    few = estimate(frozen, 4, 64, optimizer=AdamWConfig())
    trained = sum(p.nbytes for p in frozen.parameters() if p.requires_grad)
    assert few.optimizer == 2 * trained and few.activations < 0.6 * whole.activations and few.weights == whole.weights
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    assert estimate(frozen, 4, 64, optimizer=AdamWConfig()).activations == 0
    headed = with_head(decoder(), "sequence", ("a", "b"), 0, pad_token_id=0)
    assert estimate(headed, 4, 64, optimizer=AdamWConfig()).logits == 0


@pytest.mark.parametrize(
    "config",
    [AdamWConfig(), MuonConfig(), AdamW8bitConfig(), AdamW8bitConfig(block_size=2048, eight_bit_embeddings=False)],
)
def test_optimizer_states_are_what_they_become(config: Any) -> None:
    model = decoder()
    optimizers = build_optimizer(config, model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    held = [t for o in optimizers for state in o.state.values() for name, t in state.items() if name != "step"]
    assert optimizer_bytes(config, model) == sum(t.nbytes for t in held)


@pytest.mark.parametrize("exact", [True, False])
def test_the_peak_is_seen_after_it_has_gone(exact: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not exact:
        monkeypatch.setattr("groundup.train.memory._CLEAR", tmp_path / "no" / "such" / "file")
    with PeakMemory() as peak:
        held = mmap.mmap(-1, 32 << 20)  # the allocator could serve a tensor from what earlier tests gave back
        held.write(bytes([1]) * (32 << 20))
        if not exact:
            while peak.peak_bytes - peak.start_bytes < 30 << 20:
                held[0] = 1
        held.close()
    assert peak.exact == exact or not exact or pytest.skip("peaks cannot be reset here")
    assert 30 << 20 < peak.grown_bytes < 200 << 20
    assert resident_bytes() > 0

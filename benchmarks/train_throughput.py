"""Training tokens per second at 6 layers, 384 wide, context 256: our loop with its measured settings against a plain float32 loop.

    python benchmarks/train_throughput.py [--rounds 5] [--batch 16] [--optimizer muon] [--json]

Both run whole steps (forward, backward, clipping, optimizer) on the same random ids, in turn. Before timing, the two networks' losses
at the start are checked to be those of an untrained model (ln of the vocabulary); the parity tests prove the mathematics. MFU is against the
GEMM peak measured in the same run, for the dtype that was chosen.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np
import torch
from measure import emit, gemm_peak_flops, interleave, machine_line, table
from plain_gpt import PlainGPT, best_threads, plain_optimizer, plain_step

from groundup.core.config import parse
from groundup.models.decoder import Decoder, DecoderConfig
from groundup.objectives.causal import CausalLM
from groundup.train.optim import build_optimizer
from groundup.train.optim.build import AdamWConfig, MuonConfig
from groundup.train.settings import PrecisionConfig, choose_settings, compile_model

VOCAB, WIDTH, LAYERS, HEADS, CONTEXT = 65, 384, 6, 6, 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--optimizer", choices=["muon", "adamw"], default="adamw")
    parser.add_argument("--compile", choices=["auto", "on", "off"], default="off")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    windows = list(rng.integers(0, VOCAB, (given.batch, CONTEXT + 1)))

    plain = PlainGPT(VOCAB, WIDTH, LAYERS, HEADS, CONTEXT)
    plain_opt = plain_optimizer(plain)
    objective = CausalLM()
    batch = objective.collate(windows)
    x, y = batch.input_ids, batch.targets
    block = {
        "mixer": {"type": "attention", "num_attention_heads": HEADS},
        "ffn": {"type": "mlp", "intermediate_size": 4 * WIDTH},
    }
    config = {
        "vocab_size": VOCAB,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "max_position_embeddings": CONTEXT,
        "block": block,
    }
    model = Decoder(parse(DecoderConfig, config)).initialise(0)
    model.prepare_positions(CONTEXT)
    for loss in (float(plain(x, y).detach()), float(objective.loss(model, batch).loss.detach())):
        assert abs(loss - math.log(VOCAB)) < 0.3, loss

    threads, _ = best_threads(lambda: plain_step(plain, plain_opt, x, y, 1e-4), [1, 2], steps=1)
    start = time.perf_counter()
    settings = choose_settings(
        PrecisionConfig(compile=given.compile), model, objective, [batch], num_steps=5000, seconds=None
    )
    choosing = time.perf_counter() - start
    call: Any = compile_model(model) if settings.compile else model
    optimizers = build_optimizer((MuonConfig if given.optimizer == "muon" else AdamWConfig)(lr=1e-4), model)

    def ours() -> None:
        torch.set_num_threads(settings.threads)
        with settings.autocast():
            loss = objective.loss(call, batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)

    def peer() -> None:
        torch.set_num_threads(threads)
        plain_step(plain, plain_opt, x, y, 1e-4)

    ours()
    peer()
    timed = interleave({"groundup": ours, "plain": peer}, given.rounds)
    tokens = given.batch * CONTEXT
    speeds = {name: tokens / timing.median for name, timing in timed.timings.items()}
    flops = model.flops_per_token(CONTEXT)
    peak = gemm_peak_flops(settings.dtype, threads=settings.threads)
    mfu = speeds["groundup"] * flops / peak
    result = {
        "machine": machine_line("torch"),
        "settings": {"dtype": settings.dtype, "threads": settings.threads, "compile": settings.compile},
        "measured": settings.measured,
        "seconds_to_choose": choosing,
        "tokens_per_second": speeds,
        "ratio": timed.ratio("groundup", "plain"),
        "gemm_peak_gflops": peak / 1e9,
        "mfu": mfu,
        "timings": timed.as_json(),
    }
    rows = [[name, speeds[name], timed.timings[name].median, timed.timings[name].spread] for name in speeds]
    text = f"{result['machine']}\n{table(['who', 'tokens/s', 'median s', 'spread'], rows)}\n"
    text += f"ratio {result['ratio']:.2f}; {settings.dtype}, {settings.threads} threads, compiled {settings.compile} "
    text += f"({choosing:.0f} s to choose, compile included); MFU {100 * mfu:.0f} % of {peak / 1e9:,.0f} GFLOP/s"
    emit(result, text, as_json=given.json)


if __name__ == "__main__":
    main()

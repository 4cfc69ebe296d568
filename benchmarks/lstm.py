"""A training step of stacked LSTM layers: our fused path against torch.nn.LSTM, same weights and inputs, on the CPU.

    python benchmarks/lstm.py [--rounds 15] [--threads 1] [--cpu-time] [--shape small|medium|wide] [--json]

Shapes are those of Penn Treebank models: small and medium of Zaremba et al. 2014 (two layers of 200 and 650, 20 rows of 35 steps), wide
one layer of 600 on 300 inputs, 32 rows (recipes/ptb_lstm.yaml). A step is forward and backward with the gradients of inputs and
weights. Outputs and gradients are compared first, in float32; bfloat16 is autocast for both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import emit, interleave, machine_line, table
from torch import Tensor, nn

from groundup.nn.mixers.rnn import Recurrent

SHAPES = {"small": (200, 200, 2, 20, 35), "medium": (650, 650, 2, 20, 35), "wide": (300, 600, 1, 32, 35)}
"""Inputs, hidden size, layers, rows, steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shape", choices=list(SHAPES), nargs="+", default=list(SHAPES))
    parser.add_argument("--cpu-time", action="store_true", help="of one thread, on a machine that others use")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    results: dict[str, Any] = {}
    rows = []
    for shape in given.shape:
        for dtype in ("float32", "bfloat16"):
            found = compared(shape, dtype, given.rounds, time.process_time if given.cpu_time else time.perf_counter)
            results[f"{shape} {dtype}"] = found
            rows.append(
                [
                    shape,
                    dtype,
                    found["ours_ms"],
                    found["torch_ms"],
                    found["gflops"],
                    found["ratio"],
                    found["ratio_of_best"],
                ]
            )
    result = {"machine": machine_line("torch"), "threads": given.threads, "results": results}
    text = f"{result['machine']}; {given.threads} threads; outputs and gradients equal in float32\n"
    text += table(
        ["shape", "dtype", "groundup ms", "torch.nn.LSTM ms", "groundup GFLOP/s", "ratio", "ratio of fastest"], rows
    )
    emit(result, text, as_json=given.json)


def compared(shape: str, dtype: str, rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    inputs, hidden, layers, batch, steps = SHAPES[shape]
    torch.manual_seed(0)
    ours, theirs = Recurrent(inputs, hidden, layers), nn.LSTM(inputs, hidden, layers, batch_first=True)
    with torch.no_grad():
        for number, layer in enumerate(ours.layers):
            layer.weight_ih.copy_(getattr(theirs, f"weight_ih_l{number}"))  # type: ignore[operator]
            layer.weight_hh.copy_(getattr(theirs, f"weight_hh_l{number}"))  # type: ignore[operator]
            layer.bias.copy_(getattr(theirs, f"bias_ih_l{number}") + getattr(theirs, f"bias_hh_l{number}"))  # type: ignore[operator]
    x, above = torch.randn(batch, steps, inputs), torch.randn(batch, steps, hidden)
    check_equal(ours, theirs, x, above)
    timed = interleave(
        {name: step(module, x, above, dtype) for name, module in (("ours", ours), ("torch", theirs))},
        rounds,
        warm_up=2,
        clock=clock,
    )
    weights = sum(p.numel() for p in ours.parameters() if p.dim() == 2)
    ms = {name: 1e3 * timing.median for name, timing in timed.timings.items()}
    return {
        "ours_ms": ms["ours"],
        "torch_ms": ms["torch"],
        "gflops": 6 * weights * batch * steps / timed.timings["ours"].median / 1e9,
        "ratio": timed.ratio("ours", "torch"),
        "ratio_of_best": timed.timings["torch"].best / timed.timings["ours"].best,
    }


def step(module: nn.Module, x: Tensor, above: Tensor, dtype: str) -> Callable[[], None]:
    given = x.clone().requires_grad_()

    def run() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
            y, _ = module(given)
        y.backward(above.to(y.dtype))
        module.zero_grad()
        given.grad = None

    return run


def check_equal(ours: Recurrent, theirs: nn.LSTM, x: Tensor, above: Tensor) -> None:
    made = []
    for module in (ours, theirs):
        given = x.clone().requires_grad_()
        y, _ = module(given)
        y.backward(above)
        made.append((y.detach(), given.grad, dict(module.named_parameters())))
    (y, dx, mine), (y2, dx2, other) = made
    pairs = [(y, y2), (dx, dx2)]
    for number in range(len(ours.layers)):
        for own, name in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias", "bias_ih")):
            pairs.append((mine[f"layers.{number}.{own}"].grad, other[f"{name}_l{number}"].grad))
    for a, b in pairs:
        assert a is not None and b is not None
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5 * float(b.abs().max()))
    ours.zero_grad()
    theirs.zero_grad()


if __name__ == "__main__":
    main()

"""Time to validation loss 1.88 on tinyshakespeare by characters: `recipes/shakespeare_char.yaml` against a plain float32 loop.

    python benchmarks/train_char.py [--data input.txt] [--rounds 2] [--target 1.88] [--json]

Same shape (4 layers, 4 heads, 128 wide, context 64, batch 12) and the same validation text (the last tenth, scored whole). Ours is the
recipe's whole training stage by the wall clock: measuring settings, compiling if it chose to, checkpoints and samples included.
The peer's clock counts its steps only; it stops at the first of its evaluations (every 100 steps, not counted) that reaches the target.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measure import emit, machine_line, table
from mixed_text import data_folder
from plain_gpt import PlainGPT, best_threads, plain_lr, plain_optimizer, plain_step, random_batch

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "shakespeare_char.yaml"
CONTEXT, BATCH = 64, 12


def validation_loss(model: PlainGPT, ids: torch.Tensor) -> float:
    count = (len(ids) - 1) // CONTEXT
    x = ids[: count * CONTEXT].view(count, CONTEXT)
    y = ids[1 : count * CONTEXT + 1].view(count, CONTEXT)
    with torch.no_grad():
        parts = [float(model(a, b)) * len(a) for a, b in zip(x.split(256), y.split(256))]
    return sum(parts) / count


def run_plain(text: str, target: float, seed: int) -> dict[str, Any]:
    characters = sorted(set(text))
    ids = torch.tensor([characters.index(c) for c in text])
    cut = int(len(ids) * 0.9)
    train, held_out = ids[:cut], ids[cut:]
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    trial = PlainGPT(len(characters), 128, 4, 4, CONTEXT)
    trial_optimizer = plain_optimizer(trial)
    x, y = random_batch(train, BATCH, CONTEXT, generator)
    threads, seconds_of = best_threads(lambda: plain_step(trial, trial_optimizer, x, y, 1e-3), [1, 2])
    torch.set_num_threads(threads)
    model = PlainGPT(len(characters), 128, 4, 4, CONTEXT)
    optimizer = plain_optimizer(model)
    seconds, reached, loss = 0.0, None, float("nan")
    for step in range(2000):
        start = time.perf_counter()
        x, y = random_batch(train, BATCH, CONTEXT, generator)
        plain_step(model, optimizer, x, y, plain_lr(step))
        seconds += time.perf_counter() - start
        if (step + 1) % 100 == 0 and (step >= 1400 or step == 1999):
            loss = validation_loss(model, held_out)
            if loss <= target and reached is None:
                reached = (step + 1, seconds)
    return {
        "threads": threads,
        "ms_per_step": {str(k): 1000 * v for k, v in seconds_of.items()},
        "seconds_2000_steps": seconds,
        "final_loss": loss,
        "reached_at_step": reached[0] if reached else None,
        "seconds": reached[1] if reached else seconds,
    }


def run_ours(path: Path, seed: int) -> dict[str, Any]:
    from groundup.cli.wiring import STAGES, open_model
    from groundup.core.recipe import load_recipe, run_recipe

    recipe = load_recipe(RECIPE, STAGES, overrides=[f"data.source.path={path}", f"seed={seed}"])
    with tempfile.TemporaryDirectory() as out:
        stage = run_recipe(recipe, Path(out), open_model=open_model)["stages"]["base"]
    figures = stage["figures"]
    return {
        "seconds": stage["seconds"],
        "steps": figures["steps"],
        "final_loss": figures["val_loss"],
        "settings": figures["settings"],
        "seconds_to_compile": figures["measured_step_seconds"].get("seconds to compile", 0.0),
        "mfu": figures.get("mfu"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--target", type=float, default=1.88)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    path = given.data or data_folder() / "tinyshakespeare" / "input.txt"
    text = path.read_text()
    ours, plain = [], []
    for seed in range(given.rounds):
        ours.append(run_ours(path, seed))
        plain.append(run_plain(text, given.target, seed))
    for row in ours:
        assert row["final_loss"] <= given.target, f"the recipe ended at {row['final_loss']:.4f}, above {given.target}"
    a, b = statistics.median(r["seconds"] for r in ours), statistics.median(r["seconds"] for r in plain)
    whole = statistics.median(r["seconds_2000_steps"] for r in plain)
    result = {
        "machine": machine_line("torch"),
        "ours": ours,
        "plain": plain,
        "share_of_plain": a / b,
        "share_of_2000_steps": a / whole,
    }
    rows = [["groundup", r["seconds"], r["steps"], r["final_loss"], str(r["settings"])] for r in ours]
    rows += [
        ["plain", r["seconds"], r["reached_at_step"] or 2000, r["final_loss"], f"float32, {r['threads']} threads"]
        for r in plain
    ]
    text = f"{result['machine']}\n{table(['who', 'seconds', 'steps', 'final loss', 'settings'], rows)}\n"
    text += f"median {a:.1f} s against {b:.1f} s to {given.target}: {a / b:.2f} of the plain loop's time ({a / whole:.2f} of its 2,000 steps)"
    emit(result, text, as_json=given.json)


if __name__ == "__main__":
    main()

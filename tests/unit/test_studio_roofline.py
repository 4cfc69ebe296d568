"""Rooflines by hand: bounds, bytes of a step, and what is read from a run's record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groundup.core.run_figures import RunCurves, read_curves
from groundup.studio.roofline import (
    DecodeShape,
    Limits,
    StepBytes,
    TrainingStep,
    optimizer_state_bytes,
    step_bytes,
    training_stages,
    training_step,
    verdict,
)

pytestmark = pytest.mark.row("L.8")


def test_the_roof_and_its_ridge() -> None:
    limits = Limits(flops_per_second=100e9, bytes_per_second=10e9)
    assert limits.ridge == 10
    assert (limits.at(2), limits.at(10), limits.at(50)) == (20e9, 100e9, 100e9)


def test_published_bounds_come_out() -> None:
    """Figures of one H100 (989 TFLOP/s in bf16, 3.35 TB/s), from the formulas."""
    h100 = Limits(flops_per_second=989e12, bytes_per_second=3.35e12)
    step = _step(parameters=124e6, flops_per_token=6 * 124e6, dtype="bfloat16")
    assert step.ridge_batch(h100) == pytest.approx(295, abs=0.5)
    assert step.most_tokens_per_second(h100) == pytest.approx(1.33e6, rel=0.005)
    assert DecodeShape(weight_bytes=248e6, kv_bytes=0).most_tokens_per_second(h100, 1) == pytest.approx(
        13_500, rel=0.01
    )
    # Keys and values of every sequence are read beside the weights: 16 sequences are less than 16 times as fast.
    shape = DecodeShape(weight_bytes=100.0, kv_bytes=25.0)
    assert shape.most_tokens_per_second(Limits(flops_per_second=1, bytes_per_second=1000.0), 4) == 20.0


def _step(**given: Any) -> TrainingStep:
    moved = StepBytes(weights=4e9, gradients=1e9, optimizer=3e9, activations=2e9)
    values: dict[str, Any] = {
        "stage": "base", "dtype": "float32", "parameters": 1e9, "tokens": 100.0, "flops_per_token": 1e9, "moved": moved,
        "step_seconds": 2.0, "bare_seconds": None, "recorded_peak": None, "decode": None,
    }  # fmt: skip
    return TrainingStep(**values | given)


def test_a_step_is_bound_by_the_slower_of_the_two() -> None:
    step = _step()
    assert (step.flops, step.intensity, step.achieved) == (100e9, 10.0, 50e9)
    assert step.least_seconds(Limits(flops_per_second=100e9, bytes_per_second=100e9)) == 1.0
    assert step.least_seconds(Limits(flops_per_second=100e9, bytes_per_second=5e9)) == 2.0
    assert step.mfu(Limits(flops_per_second=100e9, bytes_per_second=100e9)) == 0.5


def test_verdicts_name_what_limits() -> None:
    wide = Limits(flops_per_second=80e9, bytes_per_second=100e9)
    assert "processor's peak limits this run: it reaches 62%" in verdict(_step(), wide).sentence
    narrow = Limits(flops_per_second=800e9, bytes_per_second=6e9)
    told = verdict(_step(), narrow)
    assert told.sentence.startswith("Memory bandwidth limits this run") and told.share == pytest.approx(50 / 60)
    far = Limits(flops_per_second=1e12, bytes_per_second=1e12)
    assert "too small to fill the machine" in verdict(_step(), far).sentence
    assert "of the time of a step, 75% is not" in verdict(_step(bare_seconds=0.5), far).sentence
    assert verdict(_step(bare_seconds=0.5), far).least_seconds == 0.1


def test_bytes_of_a_step_by_hand() -> None:
    node = {"batch_size": 8, "micro_batch_size": 4, "optimizer": {"type": "adamw"}}
    # N = n = 1000, float32, two micro-batches; the estimate: gradients 4000, Adam 8000, and 3000 for what is kept.
    moved = step_bytes(node, parameters=1000, trained=1000, size=4, memory=15_000, config={})
    assert moved.weights == 2 * 4 * 1000 * 2
    assert moved.gradients == 4 * 1000 * 3
    assert moved.optimizer == 1000 * (12 + 2 * 8)
    assert moved.activations == 2 * 3000 * 2
    # bfloat16 products read half of it, and round the float32 weights first; gradients of one batch are not kept beside it.
    half = step_bytes(
        {"batch_size": 8, "optimizer": {"type": "sgd"}}, parameters=1000, trained=10, size=2, memory=0, config={}
    )
    assert (half.weights, half.gradients, half.optimizer) == (2 * 2 * 1000 + 6 * 1000, 40, 120)
    assert half.activations == 0


def test_optimizer_states_agree_with_the_training_package() -> None:
    """What the memory estimate of training counts for the same optimizers (train/memory.py), on a real decoder."""
    torch = pytest.importorskip("torch")
    from groundup.models.decoder import Decoder
    from groundup.train.memory import optimizer_bytes
    from groundup.train.optim import build
    from tiny import tiny_config

    torch.manual_seed(0)
    config = tiny_config()
    model = Decoder(config)
    trained = sum(p.numel() for p in model.parameters())
    hf = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "tie_word_embeddings": config.tie_word_embeddings,
    }
    for made, tolerance in (
        (build.SGDConfig(), 0.0),
        (build.SGDConfig(momentum=0.9), 0.0),
        (build.RMSpropConfig(centred=True), 0.0),
        (build.LionConfig(), 0.0),
        (build.AdamWConfig(), 0.0),
        (build.MuonConfig(), 0.02),  # vectors have two states as well; they are a few in a thousand
    ):
        plain = {name: getattr(made, name) for name in ("type", "momentum", "centred") if hasattr(made, name)}
        assert optimizer_state_bytes(plain, trained, hf) == pytest.approx(optimizer_bytes(made, model), rel=tolerance)


def _run(path: Path) -> Path:
    node = {"type": "train", "model": "model", "batch_size": 2, "micro_batch_size": 0, "optimizer": {"type": "adamw"}}
    (path / "resolved.json").write_text(json.dumps({"name": "x", "model": {"type": "decoder"}, "base": node}))
    (path / "model").mkdir()
    config = {
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_size": 32,
        "max_position_embeddings": 64,
    }
    (path / "model" / "config.json").write_text(json.dumps(config))
    (path / "report.json").write_text(
        json.dumps({"stages": {"model": {"type": "decoder", "figures": {"parameters": 1000}}}})
    )
    rows = [
        {
            "stage": "base",
            "step": 10,
            "loss": 2.0,
            "tokens": 1280,
            "tokens_per_second": 256.0,
            "mfu": 0.25,
            "step_seconds": 0.5,
        }
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_run_that_still_trains_is_read_from_plan_and_metrics(tmp_path: Path) -> None:
    run = _run(tmp_path)
    settings = {"dtype": "bfloat16", "threads": 1, "compile": False, "step_seconds": 0.4}
    plan = {
        "kind": "plan",
        "stage": "base",
        "num_steps": 40,
        "peak_flops": 1e6,
        "memory_bytes": 9000,
        "settings": settings,
    }
    assert training_stages(run) == ["base"]
    step = training_step(run, "base", read_curves(run), [plan])
    assert step is not None
    # mfu = tokens/s * operations per token / peak: 0.25 * 1e6 / 256.
    assert step.flops_per_token == pytest.approx(976.5625)
    assert (step.tokens, step.step_seconds, step.bare_seconds, step.dtype) == (128.0, 0.5, 0.4, "bfloat16")
    assert step.achieved == pytest.approx(0.25e6)
    assert step.moved.activations == 2 * (9000 - 8000)
    # 2 L n_kv d_head T s, and two bytes a weight.
    assert step.decode == DecodeShape(weight_bytes=2000, kv_bytes=2 * 2 * 2 * 8 * 64 * 2)


def test_what_was_not_recorded_gives_no_dot(tmp_path: Path) -> None:
    run = _run(tmp_path)
    assert training_step(run, "base", read_curves(run), []) is None  # no peak
    assert training_step(run, "base", RunCurves(), [{"kind": "plan", "stage": "base", "peak_flops": 1e6}]) is None
    assert training_step(run, "model", read_curves(run), []) is None

"""Curves, tails and comparisons of runs, from files as a run leaves them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from groundup.core.run_figures import (
    Curve,
    RunCurves,
    Tail,
    built_in_run,
    compare_runs,
    glance_curves,
    read_curves,
    recipe_differences,
    swapped_parts,
)
from groundup.core.tracking import JsonlTracker

pytestmark = pytest.mark.row("L.8")


def test_a_tail_reads_each_row_once(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "metrics.jsonl")
    assert tail.look() == ([], False)
    tracker = JsonlTracker(tmp_path, stage="base")
    tracker.log(1, {"loss": 3.0})
    assert tail.look() == ([{"stage": "base", "step": 1, "loss": 3.0}], False)
    assert tail.look() == ([], False)
    with open(tail.path, "a") as file:
        file.write('{"stage": "base", "st')
    assert tail.look() == ([], False)  # half a line is not there yet
    with open(tail.path, "a") as file:
        file.write('ep": 2, "loss": 2.0}\nno json\n[1]\n')
    assert tail.look() == ([{"stage": "base", "step": 2, "loss": 2.0}], False)


def test_a_tail_starts_again_when_the_record_is_rewound(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path, stage="base")
    for step in range(1, 6):
        tracker.log(step, {"loss": 5.0 - step})
    tail = Tail(tmp_path / "metrics.jsonl")
    assert len(tail.look()[0]) == 5
    tracker.rewind(2)
    tracker.log(3, {"loss": 9.0})
    rows, anew = tail.look()
    assert anew and [(r["step"], r["loss"]) for r in rows] == [(1, 4.0), (2, 3.0), (3, 9.0)]
    # Rewound, and by now longer than what was read.
    tracker.rewind(1)
    for step in range(2, 12):
        tracker.log(step, {"loss": 0.5})
    rows, anew = tail.look()
    assert anew and [r["step"] for r in rows] == list(range(1, 12))
    # Cut in place, by hand: the same file, shorter.
    os.truncate(tail.path, 0)
    tracker.log(7, {"loss": 1.0})
    rows, anew = tail.look()
    assert anew and [r["step"] for r in rows] == [7]


def test_curves_over_steps_tokens_and_seconds() -> None:
    curves = RunCurves(
        [
            {"stage": "base", "step": 4, "val_loss": 7.0},
            {"stage": "base", "step": 10, "loss": 6.0, "tokens": 1000, "step_seconds": 0.5},
            {"stage": "base", "step": 15, "val_loss": 6.5},
            {"stage": "base", "step": 20, "loss": float("nan"), "tokens": 3000, "step_seconds": 1.5},
            {"stage": "base", "step": 24, "val_loss": 5.0},
            {"stage": "sft", "step": 1, "loss": True, "note": "no number"},
            {"stage": "sft", "step": "x", "loss": 1.0},
        ]
    )
    assert curves.stages == ("base", "sft") and curves.figures("sft") == ()
    assert curves.curve("base", "loss") == Curve(x=(10.0,), values=(6.0,), gaps=1)
    assert curves.curve("base", "val_loss").x == (4.0, 15.0, 24.0)
    # By hand: 100 tokens a step up to step 10, then 200, and 24 is beyond the last log.
    assert curves.curve("base", "val_loss", over="tokens").x == (400.0, 2000.0, 3800.0)
    # 0.5 s a step up to step 10 (5 s), then 1.5 s.
    assert curves.curve("base", "val_loss", over="seconds").x == (2.0, 12.5, 26.0)
    assert curves.seconds("base") == 20.0 and curves.seconds("sft") == 0.0
    assert curves.curve("sft", "loss", over="tokens") == Curve(x=(), values=())
    assert curves.last("base") == {"val_loss": 5.0, "loss": 6.0, "tokens": 3000.0, "step_seconds": 1.5, "step": 24.0}


def test_thinning_keeps_the_mean_and_smoothing_the_start() -> None:
    values = [float(i % 7) for i in range(1000)]
    thin = Curve(x=list(map(float, range(1000))), values=values).thinned(100)
    assert len(thin.x) == 100 and sum(thin.values) / 100 == pytest.approx(sum(values) / 1000)
    level = Curve(x=(1.0, 2.0, 3.0), values=(5.0, 5.0, 5.0)).smoothed(0.9)
    assert level.values == pytest.approx((5.0, 5.0, 5.0))  # an uncorrected average would begin at 0.5
    # By hand at weight 0.5: 1, then (0.5 * 0.5 * 1 + 0.5 * 4) / 0.75.
    assert Curve(x=(1.0, 2.0), values=(1.0, 4.0)).smoothed(0.5).values == pytest.approx((1.0, 3.0))
    with pytest.raises(ValueError, match="below 1"):
        level.smoothed(1.0)


def test_differences_name_the_place_and_both_values() -> None:
    left = {"name": "a", "model": {"norm": {"type": "rmsnorm", "eps": 1e-6}, "size": 4, "on": True}, "x": [1, 2]}
    right = {"name": "b", "model": {"norm": {"type": "layernorm"}, "size": 8, "on": 1}, "x": [1, 3], "y": 0}
    found = {d.path: (d.left, d.right) for d in recipe_differences(left, right)}
    assert found == {
        "model.norm": ({"type": "rmsnorm", "eps": 1e-6}, {"type": "layernorm"}),
        "model.size": (4, 8),
        "model.on": (True, 1),
        "x.1": (2, 3),
        "y": (None, 0),
    }
    assert recipe_differences(left, {**left, "name": "c"}) == []


def _run(folder: Path, recipe: dict[str, Any], losses: list[float], **figures: Any) -> Path:
    folder.mkdir()
    (folder / "resolved.json").write_text(json.dumps(recipe))
    tracker = JsonlTracker(folder, stage="base")
    for step, loss in enumerate(losses, start=1):
        tracker.log(step, {"loss": loss, "tokens": 10 * step, "step_seconds": 0.1})
    report = {"stages": {"base": {"type": "train", "seconds": 2.0, "figures": figures}}}
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def test_a_swapped_run_finds_its_built_in_one(tmp_path: Path) -> None:
    def recipe(mixer: dict[str, Any], budget: float = 60.0, **more: Any) -> dict[str, Any]:
        return {"seed": 1, "model": {"block": {"mixer": mixer}}, "base": {"lr": 0.1, "budget_seconds": budget}, **more}

    built = {"type": "attention", "num_attention_heads": 3}
    mine = {"use": "mine.py:Mine", "args": {}, "replaces": {"num_attention_heads": 3}}
    swapped = _run(
        tmp_path / "mine", recipe(mine), [3.0, 2.0], tokens_per_second=90.0, memory={"measured_bytes": 7}, loss=2.0
    )
    other_rate = recipe(built)
    other_rate["base"]["lr"] = 0.2
    _run(tmp_path / "other-rate", other_rate, [3.0])
    same = _run(tmp_path / "same", recipe(built, budget=30.0), [3.0, 1.0, 0.5], tokens_per_second=100.0, loss=0.5)
    _run(tmp_path / "also-mine", recipe(mine), [3.0])
    runs = sorted(tmp_path.iterdir())
    assert swapped_parts(swapped) == {"model.block.mixer": "mine.py:Mine"} and swapped_parts(same) == {}
    assert built_in_run(swapped, runs) == same
    assert built_in_run(same, runs) is None
    (compared,) = compare_runs(swapped, same)
    assert compared.stage == "base"
    assert (compared.left.tokens_per_second, compared.right.tokens_per_second) == (90.0, 100.0)
    assert (compared.left.peak_memory_bytes, compared.right.peak_memory_bytes) == (7.0, None)
    assert compared.left.steps == 2.0 and compared.right.steps == 3.0  # of the record, where the report has none
    left, right = compared.curves["loss"]
    assert left.values == (3.0, 2.0) and right.values == (3.0, 1.0, 0.5)
    assert "val_loss" not in compared.curves


def test_broken_runs_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"stages": [')
    (tmp_path / "resolved.json").write_text("[1]")
    (tmp_path / "metrics.jsonl").write_bytes(b'\xff\xfe\n{"stage": "base", "step": 1, "loss": 2.5}\n{"stage"')
    assert swapped_parts(tmp_path) == {} and built_in_run(tmp_path, [tmp_path]) is None
    assert read_curves(tmp_path).curve("base", "loss").values == (2.5,)
    assert compare_runs(tmp_path, tmp_path)[0].left.loss == 2.5
    assert read_curves(tmp_path / "nothing").stages == ()


def test_a_glance_keeps_the_shape_and_the_end(tmp_path: Path) -> None:
    tracker_rows = [{"stage": "base", "step": step, "loss": 1000.0 - step, "note": "x" * 50} for step in range(1, 1001)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tracker_rows))
    whole = read_curves(tmp_path).curve("base", "loss")
    assert glance_curves(tmp_path).curve("base", "loss") == whole  # short enough to be read whole
    few = glance_curves(tmp_path, blocks=8, block_bytes=1000).curve("base", "loss")
    assert 8 < len(few.x) < 120 and few.x[0] == 1.0 and few.x[-1] == 1000.0
    assert list(few.x) == sorted(set(few.x)) and all(y == 1000.0 - x for x, y in zip(few.x, few.values))
    assert max(b - a for a, b in zip(few.x, few.x[1:])) < 1000 / 6  # evenly over the record
    assert glance_curves(tmp_path / "none").stages == ()

"""What the pages of runs show, without a browser: summaries, progress, comparisons, and options of plots."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from groundup.core.errors import ArtifactError
from groundup.core.exhibits import Plot, Series, plain
from groundup.core.run_figures import Curve, RunCurves, StageFigures, read_curves
from groundup.core.runs import read_run
from groundup.core.tracking import JsonlTracker
from groundup.studio import plots
from groundup.studio.pages.compare import against, part_text, read_compared, shared_stages, value_text
from groundup.studio.pages.runs import Summaries
from groundup.studio.roofline import Limits
from groundup.studio.run_record import Record
from groundup.studio.run_summary import (
    ago,
    headline,
    one_of,
    progress,
    samples,
    sparkline,
    stage_states,
    state_of,
    trouble,
)

pytestmark = pytest.mark.row("L.8")


def _run(runs: Path, name: str, *, steps: int = 4, **report: Any) -> Path:
    path = runs / name
    path.mkdir(parents=True)
    stages = {"data": {"type": "documents", "seconds": 1.0, "figures": {"documents_kept": 3}}, **report}
    (path / "recipe.json").write_text(json.dumps({"name": "made"}))
    (path / "resolved.json").write_text(
        json.dumps({"name": "made", "seed": 1, "data": {"type": "documents"}, "base": {"type": "train"}})
    )
    (path / "report.json").write_text(json.dumps({"name": "made", "stages": stages}))
    tracker = JsonlTracker(path, stage="base")
    for step in range(1, steps + 1):
        tracker.log(step, {"loss": 5.0 - step, "tokens": 100 * step, "step_seconds": 0.5})
    return path


def test_a_run_is_found_by_name_only(tmp_path: Path) -> None:
    path = _run(tmp_path / "runs", "one")
    _run(tmp_path, "outside")
    assert one_of(tmp_path / "runs", "one") == path
    for name in ("", ".", "..", "../outside", "two", "one/data", "one\0"):
        with pytest.raises(ArtifactError, match="no run"):
            one_of(tmp_path / "runs", name)


def test_states_and_progress_of_a_run_that_goes_on(tmp_path: Path) -> None:
    path = _run(tmp_path, "one")
    assert state_of(read_run(path)) == "stopped"  # base is planned and not there
    (path / "base.partial").mkdir()
    tracker = JsonlTracker(path, stage="base")
    tracker.event("plan", "10 steps", num_steps=10)
    record = Record(path)
    assert record.look() == {"curves", "events", "stages"}
    assert state_of(record.run) == "running"
    assert [(s.name, s.state) for s in stage_states(record.run)] == [("data", "done"), ("base", "running")]
    now = progress(record.run, record.curves, record.events)
    assert now is not None
    assert (now.stage, now.step, now.num_steps, now.seconds_left, now.share) == ("base", 4, 10, 3.0, 0.4)
    assert record.look() == set()
    tracker.log(5, {"loss": 0.5, "tokens": 500, "step_seconds": 0.5})
    assert record.look() == {"curves"} and record.curves.last("base")["loss"] == 0.5
    tracker.rewind(2)
    assert "curves" in record.look() and record.curves.last("base")["step"] == 2
    (path / "base.partial").rename(path / "base")
    report = json.loads((path / "report.json").read_text())
    report["stages"]["base"] = {"type": "train", "seconds": 2.0, "figures": {}}
    (path / "report.json").write_text(json.dumps(report))
    assert record.look() == {"stages"} and state_of(record.run) == "done"
    assert progress(record.run, record.curves, record.events) is None


def test_a_run_without_pace_has_no_time_left(tmp_path: Path) -> None:
    path = _run(tmp_path, "one", steps=0)
    (path / "base.partial").mkdir()
    events = [{"kind": "plan", "stage": "base", "num_steps": 10}]
    now = progress(read_run(path), read_curves(path), events)
    assert now is not None and now.seconds_left is None and now.step == 0
    assert progress(read_run(path), read_curves(path), [{"kind": "plan", "stage": "base", "num_steps": "many"}]) is None


def test_the_list_reads_a_run_again_only_when_it_changed(tmp_path: Path) -> None:
    one, _ = _run(tmp_path, "one"), _run(tmp_path, "two")
    (tmp_path / "no-run").mkdir()
    summaries = Summaries(tmp_path)
    first = {row.run.path.name: row for row in summaries.read()}
    assert set(first) == {"one", "two"}
    assert first["one"].figures == [("Loss, base", "1")] and first["one"].curve_of == "loss of base"
    JsonlTracker(one, stage="base").log(5, {"loss": 0.25})
    second = {row.run.path.name: row for row in summaries.read()}
    assert second["two"] is first["two"]
    assert second["one"].figures == [("Loss, base", "0.25")]
    assert Summaries(tmp_path / "nothing").read() == []


def test_headlines_prefer_evaluations() -> None:
    evaluation = {
        "measure": "bits_per_byte",
        "rows": [{"name": "base", "value": 2.5}, {"name": "xz", "value": 3.0, "baseline": True}],
    }
    report = {"stages": {"evaluation": {"figures": {"evaluations": [evaluation]}}}}
    curves = RunCurves([{"stage": "base", "step": 1, "loss": 3.0, "val_loss": 2.0}])
    assert headline(report, curves) == [("Bits per byte", "2.5"), ("Validation loss, base", "2")]
    assert headline({"stages": {"fit": {"figures": {"accuracy": 0.9, "loss": float("nan")}}}}, RunCurves()) == [
        ("Accuracy, fit", "0.9")
    ]
    assert headline({"stages": "broken"}, RunCurves()) == []


def test_a_sparkline_stays_in_its_box() -> None:
    points = [
        tuple(map(float, p.split(",")))
        for p in sparkline(Curve(x=list(range(1000)), values=[-float(i) for i in range(1000)])).split()
    ]
    assert len(points) <= 60 and all(0 <= x <= 120 and 0 <= y <= 28 for x, y in points)
    assert points[0][1] < points[-1][1]  # falls: down is larger
    assert sparkline(Curve(x=(1.0,), values=(2.0,))) == ""
    assert sparkline(Curve(x=(1.0, 2.0), values=(2.0, 2.0)))  # level: no division by zero


def test_samples_and_trouble_are_newest_first() -> None:
    events = [
        {"kind": "sample", "stage": "base", "step": 1, "prompt": "a", "message": "b"},
        {"kind": "bad_step", "stage": "base", "message": "skip: spike"},
        {"kind": "sample", "stage": "base", "step": "x", "message": None},
        {"kind": "resumed", "stage": "base", "message": "from step 2"},
    ]
    assert [(s.step, s.prompt, s.text) for s in samples(events)] == [(0, "", "None"), (1, "a", "b")]
    assert trouble(events) == ["base: from step 2", "base: skip: spike"]


def test_comparisons_say_which_is_better(tmp_path: Path) -> None:
    assert against("val_loss", 1.8, 2.0) == ("-10.0%", "better")
    assert against("tokens_per_second", 1.8, 2.0) == ("-10.0%", "worse")
    assert against("parameters", 3.0, 2.0) == ("+50.0%", "")
    assert against("loss", 2.0, None) == ("", "") and against("loss", 2.0, 2.0) == ("", "")
    assert against("loss", 2.00001, 2.0) == ("same", "")
    assert value_text("seconds", 75.0) == "1 min 15 s" and value_text("peak_memory_bytes", 3e6) == "3.0 MB"
    assert value_text("mfu", 0.5) == "50.0 %" and value_text("steps", 20.0) == "20" and value_text("loss", None) == "–"
    one, two = read_compared([_run(tmp_path, "one"), _run(tmp_path, "two")])
    assert shared_stages([one, two]) == ["base"]
    assert one.figures("base") == StageFigures(stage="base", steps=4, tokens=400, loss=1.0, seconds=2.0)


def test_parts_of_recipes_in_a_line() -> None:
    assert part_text({"type": "rmsnorm", "eps": 1e-6, "none": None}) == "rmsnorm (eps 1e-06)"
    assert part_text({"use": "/home/me/mine.py:Mine", "args": {}, "replaces": {"eps": 1}}) == "mine.py:Mine"
    assert part_text(None) == "–" and part_text(True) == "yes" and len(part_text("x" * 500)) == 160


# ------------------------------------------------------------------------------------------------------------ plots


def _json(options: dict[str, Any]) -> str:
    return json.dumps(options, allow_nan=False)  # a browser cannot read NaN


def test_lines_leave_out_what_a_log_axis_cannot_show() -> None:
    curve = Curve(x=(1.0, 2.0, 3.0), values=(1.0, 0.0, -1.0))
    shown = plots.lines({"a": curve}, x_label="step", log_y=True)
    assert shown["series"][0]["data"] == [[1.0, 1.0]] and shown["yAxis"]["type"] == "log"
    assert len(plots.lines({"a": curve}, x_label="step")["series"][0]["data"]) == 3
    long = Curve(x=list(map(float, range(5000))), values=[0.5] * 5000)
    assert len(plots.lines({"a": long}, x_label="step")["series"][0]["data"]) <= 400


def test_every_exhibit_can_be_sent() -> None:
    nan = float("nan")
    series = (
        Series(name="a", x=(1.0, 2.0), y=(1.0, nan), low=(0.5, 1.0), high=(1.5, 2.0)),
        Series(name="b", x=(1.0, 2.0), y=(2.0, 3.0)),
    )
    given = [
        Plot(title="t", kind="lines", series=series), Plot(title="t", kind="points", series=series, log_x=True),
        Plot(title="t", kind="steps", series=series), Plot(title="t", kind="bars", series=(Series(name="a", x=("p", "q"), y=(1.0, 2.0)),)),
        Plot(title="t", kind="bars", series=(Series(name="a", x=("p",), y=(1.0,)), Series(name="b", x=("p",), y=(2.0,)))),
        Plot(title="t", kind="heatmap", matrix=((1.0, 2.0), (3.0, nan)), rows=("r", "s"), columns=("c", "d")),
    ]  # fmt: skip
    for one in plain(*given):
        made = plots.exhibit(one)
        assert made is not None and made["series"] and _json(made), one
    band = plots.exhibit(plain(given[0])[0])
    assert band is not None and len(band["series"]) == 4  # two lines, and a band of two around the first
    assert plots.exhibit({"kind": "lines", "series": [{"x": [1], "y": "no"}]}) is None
    assert plots.exhibit({"kind": "heatmap", "matrix": []}) is None
    assert plots.exhibit({"kind": "images"}) is None


def test_a_roofline_holds_all_dots() -> None:
    limits = Limits(flops_per_second=2e11, bytes_per_second=1e10)
    made = plots.roofline(limits, [("run", 0.01, 3e7), ("other", 500.0, 1e11)], recorded_peak=1e12)
    assert made["xAxis"]["min"] <= 0.01 / 2 and made["xAxis"]["max"] >= 500
    assert made["yAxis"]["min"] <= 3e7 and made["yAxis"]["max"] >= 1e12
    roof = made["series"][0]["data"]
    assert roof[1] == [20.0, 2e11] and roof[2][1] == 2e11 and roof[0][1] == pytest.approx(roof[0][0] * 1e10)
    assert _json(made) and _json(plots.roofline(None, [("run", 1.0, 1e9)], recorded_peak=None))


def test_moments_are_told_as_a_person_would() -> None:
    now = time.time()
    assert [ago(now), ago(now - 61), ago(now - 7300), ago(now - 90000)] == [
        "just now",
        "1 minute ago",
        "2 hours ago",
        "1 day ago",
    ]

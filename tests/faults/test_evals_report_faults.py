"""A report is made of whatever is left of a run, and nothing a model wrote becomes part of the page."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from groundup.core.artifact import seal
from groundup.core.errors import ArtifactError
from groundup.evals.report import report_card, write_report_html
from groundup.evals.report.page import page
from groundup.evals.report.reading import read_run
from page_checks import read_page

pytestmark = [pytest.mark.row("11.6"), pytest.mark.faults]

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></main><img src=x onerror=alert(1)>",
    "\"><svg onload='alert(1)'>",
    "&lt;b&gt; &amp; & < > \" '",
    "$x^{2$ $$ \\frac{ %s {0}",
    "]]><!--",
    "a\0b\x1b[31mred\x07\x7f",
    "‮evil \u2028 \ufffe 🙂 \ud800",
    "x" * 3000,
    "javascript:alert(1)",
    "",
]


def write_run(directory: Path, report: Any, *, metrics: str | None = None, events: str | None = None) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.json").write_text(json.dumps(report))
    if metrics is not None:
        (directory / "metrics.jsonl").write_text(metrics)
    if events is not None:
        (directory / "events.log").write_text(events)
    return directory


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_strings_are_text_wherever_they_stand(tmp_path: Path, hostile: str) -> None:
    stage = {
        "type": hostile,
        "seconds": 1.0,
        "key": hostile,
        "identity": hostile,
        "extra": hostile,
        "figures": {
            hostile: hostile,
            "documents_in": 3,
            "dropped": {hostile: 3},
            "documents": {hostile: 2},
            "skipped": {hostile: hostile},
            "evaluations": [
                {
                    "measure": hostile,
                    "about": hostile,
                    "notes": [hostile],
                    "rows": [
                        {"name": hostile, "value": 0.5, "low": 0.1, "high": 0.9, "count": 3, "note": hostile},
                        {"name": hostile, "value": 0.1, "baseline": True, "count": hostile},
                    ],
                }
            ],
            "samples": [
                {"model": hostile, "task": hostile, "kind": hostile, "prompt": hostile, "text": hostile}
                | {"answer": hostile, "verdict": hostile}
            ],
        },
    }
    report = {
        "name": hostile,
        "description": hostile,
        "seed": hostile,
        "environment": {hostile: hostile},
        "swaps": {hostile: hostile},
        "stages": {hostile: stage},
    }
    metrics = json.dumps({"stage": hostile, "step": 1, "loss": 2.0, hostile: 1.0}) + "\n"
    events = json.dumps({"stage": hostile, "kind": hostile, "message": hostile, "time": hostile}) + "\n"
    run = write_run(tmp_path / "run", report, metrics=metrics, events=events)
    parsed = read_page(write_report_html(run))
    plain = _plain("".join(parsed.text))
    # Of a page with no such string in it, the elements are the same: the string added text and nothing else.
    harmless = json.loads(json.dumps(report).replace(json.dumps(hostile), '"harmless"')) if hostile else report
    told = metrics.replace(json.dumps(hostile), '"harmless"'), events.replace(json.dumps(hostile), '"harmless"')
    other = read_page(write_report_html(write_run(tmp_path / "other", harmless, metrics=told[0], events=told[1])))
    if hostile:
        assert _page_tags(parsed.tags) == _page_tags(other.tags)
        assert _plain(hostile) in plain

    from rich.console import Console

    console = Console(width=100, record=True, file=open("/dev/null", "w", encoding="utf-8", errors="replace"))
    with console.file:
        console.print(report_card(report, run))


def _page_tags(tags: Any) -> dict[str, int]:
    """Elements of the page; those inside pictures depend on lengths of labels and ticks."""
    drawn = {"g", "path", "use", "defs", "text", "tspan", "style", "clippath", "rect"}
    return {name: count for name, count in tags.items() if name not in drawn}


def _plain(text: str) -> str:
    """What a page can hold of a string: no controls, no lone surrogates."""
    kept = "".join("?" if "\ud800" <= c <= "\udfff" else c for c in text)
    return "".join(c for c in kept if c.isprintable() and c != "\ufffd")


def small_report() -> dict[str, Any]:
    return {
        "name": "small",
        "stages": {"train": {"type": "train", "seconds": 2.0, "key": "k", "identity": "i", "figures": {"loss": 1.5}}},
    }


def test_no_metrics_and_no_events(tmp_path: Path) -> None:
    text = "".join(read_page(write_report_html(write_run(tmp_path, small_report()))).text)
    assert "small" in text and "1.5" in text and "How it learned" not in text


def test_values_that_are_not_finite_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [{"stage": "train", "step": s, "loss": 3.0 - s if s < 2 else math.nan, "lr": math.inf} for s in range(5)]
    rows.append({"stage": "train", "step": math.nan, "loss": 1.0})
    metrics = "".join(json.dumps(row) + "\n" for row in rows)
    report = small_report()
    report["stages"]["train"]["figures"] = {"loss": math.nan, "perplexity": math.inf}
    report["stages"]["train"]["seconds"] = math.nan
    report["stages"]["evaluate"] = {
        "type": "evaluate",
        "seconds": None,
        "figures": {
            "evaluations": [
                {"measure": "bits_per_byte", "rows": [{"name": "m", "value": math.nan, "low": math.nan, "high": 1.0}]},
                {"measure": "perplexity", "rows": [{"name": "m", "value": None}]},
                {"measure": "exact_match", "rows": [{"name": "m", "value": 0, "low": 0, "high": 0.1}]},
            ]
        },
    }
    run = write_run(tmp_path, report, metrics=metrics)
    path = write_report_html(run)
    text = "".join(read_page(path).text)
    assert "3 of loss" in text and "5 of lr" in text and "not a number" in text and "infinite" in text
    drawn = path.read_text()[path.read_text().index("</style>") :]
    assert "nan" not in drawn.lower().replace("not a number", "").split("svg", 1)[1].lower()


def test_200_prefixes_of_a_run_s_files_all_give_a_page(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    row = {"stage": "train", "loss": 2.5, "val_loss": 2.6, "lr": 1e-3, "tokens_per_second": 1e4, "mfu": 0.4}
    metrics = "".join(json.dumps({**row, "step": s}) + "\n" for s in range(30))
    events = '{"stage": "train", "kind": "skip", "message": "loss was nan"}\n' * 3
    run = write_run(tmp_path, small_report())
    made = 0
    for _ in range(200):
        cut = rng.randrange(len(metrics) + 1)
        (run / "metrics.jsonl").write_text(metrics[:cut])
        (run / "events.log").write_text(events[: rng.randrange(len(events) + 1)])
        found = read_run(run)
        whole = metrics[:cut].count("\n")
        losses = found.curves.get("train", {}).get("loss")
        assert len(losses.x if losses else ()) in (whole, whole + 1)  # the last line may lack only its end
        if made < 5:  # drawing takes a second; reading is where a cut can hurt
            page(found)
            made += 1


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"stages": {}},
        {"stages": {"a": None, "b": [], "c": {"figures": "none"}, "d": {"figures": {"evaluations": {"rows": 1}}}}},
        {"stages": {"a": {"figures": {"evaluations": [None, {"rows": [None, {}]}], "samples": [1, {}]}}}},
        {
            "name": None,
            "environment": None,
            "swaps": [],
            "stages": {"a": {"seconds": "long", "figures": {"dropped": 3}}},
        },
    ],
)
def test_reports_of_another_shape_still_make_a_page(tmp_path: Path, report: Any) -> None:
    read_page(write_report_html(write_run(tmp_path, report)))
    report_card(report, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stages": []}'])
def test_what_is_no_report_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"report\.json"):
        write_report_html(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_directory_without_a_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"report\.json does not exist"):
        write_report_html(tmp_path)


def test_commands_name_the_last_model_and_quote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = {
        "name": "r",
        "stages": {name: {"type": "train", "figures": {}} for name in ("pretrain", "sft", "evaluate")},
    }
    run = write_run(tmp_path / "my run; rm -rf", report)
    for name, kind in (("pretrain", "model"), ("sft", "model"), ("evaluate", "evaluation")):
        (run / name).mkdir()
        (run / name / "file").write_text(name)
        seal(run / name, kind=kind)
    monkeypatch.chdir(tmp_path)
    text = "".join(read_page(write_report_html(run)).text)
    assert "groundup chat 'my run; rm -rf/sft'" in text and "groundup serve" in text
    assert str(tmp_path) not in text


def test_long_curves_are_thinned_and_keep_their_mean(tmp_path: Path) -> None:
    metrics = "".join(json.dumps({"stage": "t", "step": s, "loss": float(s)}) + "\n" for s in range(12_000))
    curve = read_run(write_run(tmp_path, small_report(), metrics=metrics)).curves["t"]["loss"]
    assert 300 < len(curve.x) <= 600
    assert sum(curve.values) / len(curve.values) == pytest.approx(5999.5)


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    metrics = "".join(json.dumps({"stage": "t", "step": s, "loss": float(s)}) + "\n" for s in range(5))
    run = write_run(tmp_path, small_report(), metrics=metrics)
    assert write_report_html(run).read_bytes() == write_report_html(run).read_bytes()

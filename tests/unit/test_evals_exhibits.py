"""Tables and plots that stages ask for: every kind is drawn, their text is escaped, and what is cut is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from rich.console import Console

from groundup.core.exhibits import MAX_POINTS, Plot, Series, Table, plain
from groundup.evals.report import report_card, write_report_html


def report_of(tmp_path: Path, exhibits: object) -> str:
    stage = {"type": "any", "seconds": 1.0, "figures": {"accuracy": 0.5, "exhibits": exhibits}}
    (tmp_path / "report.json").write_text(json.dumps({"name": "r", "seed": 1, "stages": {"first": stage}}))
    return write_report_html(tmp_path).read_text()


KINDS = plain(
    Table(title="Who <b>wins</b>", columns=("who", "value"), rows=[("<i>ours</i>", 0.25), ("theirs", None)], notes=("n<1",)),
    Plot(title="L", kind="lines", series=[Series(name="a", x=[0, 1], y=[1.0, 2.0], low=[0, 1], high=[2, 3])], log_y=True),
    Plot(title="P", kind="points", series=[Series(name="a", x=[0.5], y=[1.0]), Series(name="b", x=[2.0], y=[3.0])]),
    Plot(title="B1", kind="bars", series=[Series(name="a", x=["one", "two"], y=[1.0, 2.0])]),
    Plot(title="B2", kind="bars", series=[Series(name=n, x=["one", "two"], y=[1.0, 2.0]) for n in "ab"]),
    Plot(title="S", kind="steps", series=[Series(name="a", x=[0, 1, 2], y=[1, 5, 2])]),
    Plot(title="H", kind="heatmap", matrix=np.eye(3), rows=["a", "b", "c"], columns=["x", "y", "z"]),
    Plot(title="C", kind="contours", x=[0, 1, 2], y=[0, 1], matrix=[[0, 1, 2], [1, 2, 3]],
         series=[Series(name="path", x=[0, 1], y=[0, 1])]),
    Plot(title="I", kind="images", matrices=[np.zeros((4, 4)), np.ones((4, 4))], captions=["0", "1"]),
)  # fmt: skip


def test_every_kind_is_drawn_and_escaped(tmp_path: Path) -> None:
    page = report_of(tmp_path, KINDS)
    assert page.count("<svg") == 8
    assert "Who &lt;b&gt;wins" in page and "&lt;i&gt;ours" in page and "<i>ours" not in page
    assert "exhibits." not in page, "the numbers behind pictures are not listed as figures"


def test_broken_exhibits_are_left_out(tmp_path: Path) -> None:
    broken = [
        1,
        {},
        {"exhibit": "plot", "kind": "lines", "series": [{"y": [1]}]},
        {"exhibit": "plot", "kind": "heatmap"},
    ]
    assert "<svg" not in report_of(tmp_path, broken)
    assert "<svg" not in report_of(tmp_path, "no list")


def test_tables_are_on_the_terminal_too() -> None:
    console = Console(record=True, width=100)
    console.print(report_card({"name": "r", "stages": {"s": {"type": "t", "figures": {"exhibits": KINDS}}}}))
    assert "<i>ours</i>" in (text := console.export_text()) and "0.25" in text


def test_long_series_are_thinned_and_numbers_plain() -> None:
    [made] = plain(Plot(title="x", kind="lines", series=[Series(name="a", x=np.arange(5000), y=np.arange(5000) / 3)]))
    assert len(made["series"][0]["x"]) <= MAX_POINTS and len(made["series"][0]["y"]) == len(made["series"][0]["x"])
    assert (
        json.loads(json.dumps(made)) == made and made["series"][0]["low"] == [] if "low" in made["series"][0] else True
    )

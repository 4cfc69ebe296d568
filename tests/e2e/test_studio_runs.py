"""The runs of the studio in a real browser: the list, a run that goes on, its roofline, runs side by side."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from browsing import opened
from groundup.core.exhibits import Plot, Series, Table, plain
from groundup.core.tracking import JsonlTracker
from small_studio import StudioProcess, studio_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.row("L.8")
ATTACK = (
    '<img src="http://evil.example/a.png" onerror="alert(1)"><script>alert(2)</script>![x](http://evil.example/b.png)'
)

TRAINING_POINTS = """() => {
  const boxes = [...document.querySelectorAll(".nicegui-echart")];
  const box = boxes.find((e) => e.getAttribute("aria-label") === "Training and validation loss");
  return getElement(+box.id.slice(1)).chart.getOption().series.find((s) => s.name === "training").data;
}"""


def _edited(path: Path, change: Any) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def _live(runs: Path) -> None:
    """A run in the middle of its stage `base`: what the runner and the loop have written by then."""
    run = runs / "live"
    shutil.copytree(runs / "small", run)
    for stage in ("sft", "evaluation"):
        shutil.rmtree(run / stage)
    (run / "base").rename(run / "base.partial")

    def unfinished(report: dict[str, Any]) -> None:
        for stage in ("base", "sft", "evaluation"):
            del report["stages"][stage]

    _edited(run / "report.json", unfinished)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (run / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows if row["stage"] == "base" and row["step"] <= 10)
    )
    events = [json.loads(line) for line in (run / "events.log").read_text().splitlines()]
    (run / "events.log").write_text("".join(json.dumps(row) + "\n" for row in events if row["stage"] == "base"))


def _changed(runs: Path) -> None:
    """Another finished run: half the learning rate, a part of the user's own, exhibits, and hostile text wherever a run has text."""
    run = runs / "changed"
    shutil.copytree(runs / "small", run)
    own = {"use": "/somewhere/mine.py:MyNorm", "args": {}, "replaces": {}}
    _edited(run / "resolved.json", lambda r: r["model"]["block"].update(norm=own))
    exhibits = plain(
        Table(title=f"Table {ATTACK}", columns=("what", "value"), rows=((ATTACK, 0.25),)),
        Plot(title="Lines", kind="lines", series=(Series(name=ATTACK, x=(1.0, 2.0), y=(1.0, 2.0)), Series(name="b", x=(1.0,), y=(3.0,)))),
        Plot(title="Digits", kind="images", matrices=(((0.0, 1.0), (1.0, 0.0)),), captions=(ATTACK,)),
    )  # fmt: skip

    def hostile(report: dict[str, Any]) -> None:
        report["description"] = ATTACK
        report["swaps"] = {"model.block.norm": own["use"]}
        report["stages"]["evaluation"]["figures"]["exhibits"] = exhibits
        report["stages"]["evaluation"]["figures"]["samples"].insert(
            0, {"prompt": ATTACK, "text": ATTACK, "verdict": ATTACK, "model": ATTACK}
        )
        report["stages"]["base"]["figures"]["note"] = ATTACK
        report["stages"]["base"]["figures"]["tokens_per_second"] *= 2

    _edited(run / "report.json", hostile)
    JsonlTracker(run, stage="base").event("sample", ATTACK, prompt=ATTACK, step=99)


@pytest.fixture(scope="module")
def runs_studio(small_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    runs = tmp_path_factory.mktemp("several") / "runs"
    shutil.copytree(small_runs / "small", runs / "small")
    _live(runs)
    _changed(runs)
    (runs / "broken").mkdir()
    (runs / "broken" / "recipe.json").write_text('{"name": "broken"}')
    (runs / "broken" / "report.json").write_text('{"stages": [')
    (runs / "half").mkdir()
    (runs / "half" / "recipe.json").write_text('{"name": "half"}')
    with studio_process(runs, tmp_path_factory.mktemp("studio-home")) as running:
        yield running


def no_sideways_scrolling(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_list_leads_to_a_comparison(browser: Browser, runs_studio: StudioProcess) -> None:
    with opened(browser, f"{runs_studio.url}/runs") as page:
        page.get_by_role("link", name="small").wait_for()
        names = page.locator(".st-run-name").all_inner_texts()
        assert sorted(n.strip() for n in names) == [
            "changed",
            "half",
            "live",
            "small",
        ]  # what cannot be read is left out
        live = page.locator(".st-run", has=page.get_by_role("link", name="live"))
        assert "base" in live.locator(".st-pill-open").inner_text()
        changed = page.locator(".st-run", has=page.get_by_role("link", name="changed"))
        assert "1 swapped part" in changed.inner_text() and "Bits per byte" in changed.inner_text()
        assert changed.locator("polyline").get_attribute("points").count(",") >= 2  # type: ignore[union-attr]
        compare = page.get_by_role("button", name="Compare")
        assert compare.is_disabled()
        # By keyboard alone.
        for name in ("small", "changed"):
            page.get_by_role("checkbox", name=f"Compare {name}").focus()
            page.keyboard.press("Space")
        page.get_by_text("2 runs picked.").wait_for()
        compare.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/runs/compare?**")
        page.get_by_role("heading", name="Figures").wait_for()
        speed = page.locator("tr", has=page.get_by_role("rowheader", name="Tokens a second"))
        assert "%" in speed.inner_text()
        assert (
            page.get_by_text("rmsnorm", exact=False).is_visible()
            and page.get_by_text("mine.py:MyNorm", exact=True).is_visible()
        )
        assert page.get_by_text("changed has mine.py:MyNorm at model.block.norm.").is_visible()
        page.get_by_role("button", name="Seconds").click()
        page.get_by_role("button", name="Training", exact=True).click()


def test_a_run_is_followed_as_it_learns(browser: Browser, runs_studio: StudioProcess) -> None:
    run = runs_studio.runs / "live"
    tracker = JsonlTracker(run, stage="base")
    (run / "metrics.jsonl").touch()
    with opened(browser, f"{runs_studio.url}/runs/live") as page:
        page.get_by_text("step 10 of 20").wait_for()
        page.get_by_text("going on").wait_for()
        assert page.get_by_role("progressbar").get_attribute("aria-label") == "base: step 10 of 20"
        assert page.locator(".st-stage-waiting .st-strong").all_inner_texts() == ["sft", "evaluation"]
        speed = {"tokens": 3840, "step_seconds": 0.5, "tokens_per_second": 500.0, "mfu": 0.1}
        tracker.log(15, {"loss": 1.5, "lr": 0.001, "grad_norm": 1.0, **speed})
        tracker.event("sample", "a fresh sample", prompt="def read_", step=15)
        page.get_by_text("step 15 of 20").wait_for()
        page.get_by_text("a fresh sample").wait_for()
        points = page.evaluate(TRAINING_POINTS)
        assert points[-1] == [15, 1.5]
        tracker.rewind(10)  # a roll-back: what was recorded is taken back on the page too
        page.get_by_text("step 10 of 20").wait_for()


def test_the_roofline_is_measured_on_a_click(browser: Browser, runs_studio: StudioProcess) -> None:
    with opened(browser, f"{runs_studio.url}/runs/small") as page:
        button = page.get_by_role("button", name="Measure this machine")
        button.wait_for()
        assert page.get_by_text("Measure the machine to see").is_visible()
        button.focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Measure again").wait_for()
        told = page.locator(".st-verdict").first.inner_text()
        assert re.search(r"limits this run", told), told
        words = page.locator(".st-card", has=page.get_by_role("heading", name="What limits it")).inner_text()
        assert re.search(r"ridge\s+[\d,]+ FLOP/byte", words) and re.search(r"MFU\s+[\d.]+%", words)
        # Kept for the process: another page has it at once.
        page.goto(f"{runs_studio.url}/runs/changed")
        page.get_by_role("button", name="Measure again").wait_for()


def test_text_of_a_run_is_only_text(browser: Browser, runs_studio: StudioProcess) -> None:
    with opened(browser, f"{runs_studio.url}/runs/changed") as page:
        page.get_by_text("Your own parts").wait_for()
        page.get_by_alt_text("Digits").wait_for()
        page.get_by_role("button", name="base", exact=False).last.click()
        page.get_by_text("note", exact=True).wait_for()
        # Description, a sample on the way (prompt and text), one of the evaluation (model, verdict, prompt, text), a cell, a figure.
        assert page.get_by_text(ATTACK, exact=True).count() == 9
        results = page.locator(".st-card", has=page.get_by_role("heading", name="Bits per byte: held-out text"))
        names = results.locator(".st-reason-name").all_inner_texts()
        assert names[:2] == ["base", "sft"] and "uniform" in names
        assert page.locator("img[src*=evil], script:text('alert(2)')").count() == 0
        assert page.get_by_role("link", name="Beside the built-in parts: small").is_visible()


def test_errors_are_told_in_place(browser: Browser, runs_studio: StudioProcess) -> None:
    for path, told in (
        ("/runs/none", "there is no run 'none'"),
        ("/runs/broken", "is not valid JSON"),
        ("/runs/compare?runs=small,none", "there is no run 'none'"),
        ("/runs/compare", "Pick two or more runs."),
    ):
        with opened(browser, runs_studio.url + path) as page:
            page.get_by_text(told).first.wait_for()
    with opened(browser, f"{runs_studio.url}/runs/half") as page:
        page.get_by_text("No loss has been recorded yet.").wait_for()


def test_narrow_and_dark(browser: Browser, runs_studio: StudioProcess, tmp_path: Path) -> None:
    options: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
    for path, seen in (
        ("/runs", "small"),
        ("/runs/small", "Roofline"),
        ("/runs/compare?runs=small,changed", "Figures"),
    ):
        with opened(browser, runs_studio.url + path, **options) as page:
            page.get_by_text(seen, exact=True).first.wait_for()
            no_sideways_scrolling(page)
            page.screenshot(path=tmp_path / "narrow.png", full_page=True)

"""The studio's first view in a real browser: where one stands, a plan made from the page, the map by keyboard, projects ticked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import opened
from groundup.learn.progress import Progress
from groundup.learn.projects import steps_done
from small_studio import StudioProcess, studio_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.row("L.8")
PHONE = {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark", "has_touch": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    """A studio of its own, over no runs: what a new learner has."""
    folder = tmp_path_factory.mktemp("roadmap")
    with studio_process(folder / "runs", folder) as running:
        yield running


def record(place: StudioProcess) -> Progress:
    return Progress(place.home / "progress.db")


def tab_to(page: Page, what: str, most: int = 60) -> None:
    """Press Tab until the focus is on what a CSS selector names."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", what):
            return
    raise AssertionError(f"Tab does not reach {what}")


def test_a_new_learner_makes_a_plan_and_follows_it(browser: Browser, place: StudioProcess, tmp_path: Path) -> None:
    with opened(browser, place.url) as page:
        assert page.title() == "Roadmap · groundup"
        assert page.locator(".rm-big").inner_text() == "0 of 166 rows"
        assert page.locator("a.rm-chapter").count() == 23
        assert page.evaluate(CLIPPED) == []
        page.get_by_text("Which path fits me?").click()
        group = page.get_by_role("group", name="Python, 1 to 5")
        group.get_by_role("button", name="2").click()
        page.get_by_role("button", name="Recommend").click()
        page.locator(".rm-found").get_by_text("Complete beginner").wait_for()
        page.get_by_label("Hours a week").fill("8")
        page.get_by_role("button", name="Plan it").click()
        page.get_by_text("Complete beginner, 8 hours a week").wait_for()
        plan = record(place).last("plan")
        assert plan is not None and plan.name == "complete-beginner" and plan.detail["hours"] == 8
        assert page.locator(".rm-chapter.rm-next b").inner_text() == "0"
        page.screenshot(path=tmp_path / "roadmap.png", full_page=True)
        page.locator(".rm-go").click()
        page.wait_for_url(re.compile(r"/chapter/0\?row=0\.1$"))
        page.get_by_role("heading", name="0.1 Linear algebra built by hand").wait_for()


def test_what_is_done_is_on_the_map(browser: Browser, place: StudioProcess) -> None:
    progress = record(place)
    for row in ("2.1", "2.2", "2.3", "2.4", "2.5", "5.4"):
        progress.add("row", row)
    with opened(browser, place.url) as page:
        assert page.locator(".rm-big").inner_text() == "6 of 166 rows"
        assert page.get_by_role("progressbar", name="Rows done").get_attribute("aria-valuenow") == "6"
        assert page.locator(".c2.rm-done").count() == 1 and page.locator(".c5 i.done").count() == 1
        assert page.locator(".c5 .rm-top").inner_text().split() == ["5", "1", "of", "6"]
        # The lines of a chapter come forward with the keyboard's focus as with the mouse.
        tab_to(page, ".c7")
        lit = "[...document.querySelectorAll('.rm-links .t7')].map(p => getComputedStyle(p).opacity)"
        assert page.evaluate(lit) == ["1", "1"]
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="7 Pre-training").wait_for()


def test_a_project_is_ticked_and_done(browser: Browser, place: StudioProcess, tmp_path: Path) -> None:
    record(place).add("row", "0.3")
    with opened(browser, f"{place.url}/projects?project=P.1") as page:
        page.get_by_role("heading", name="P.1 Statistics of a table").wait_for()
        done, open_ = page.locator(".ln-list .ln-met"), page.locator(".ln-list li:not(.ln-met)")
        assert done.inner_text().endswith("0.3 Probability, statistics of a table")
        assert "recipes/table_statistics.yaml" in open_.inner_text()
        box = page.get_by_role("checkbox", name="Run it on a table of your own")
        box.focus()
        page.keyboard.press("Space")
        page.wait_for_timeout(100)
        page.get_by_role("checkbox", name="Done").click()
        page.wait_for_function("document.querySelector('.ln-done-box[aria-checked=true]')")
        page.goto(f"{place.url}/projects?project=P.1")
        assert page.get_by_role("checkbox", name="Run it on a table of your own").is_checked()
        assert page.get_by_role("checkbox", name="Done").is_checked()
        assert page.locator(".ln-side a[aria-current] i.done").count() == 1
        page.screenshot(path=tmp_path / "project.png", full_page=True)
        page.goto(f"{place.url}/projects?project=P.99")
        assert "there is no project 'P.99'" in page.get_by_role("alert").inner_text()
    assert steps_done(record(place))["P.1"] == (True, frozenset({"Run it on a table of your own"}))


@pytest.mark.parametrize("path", ["/", "/projects", "/chapter/5"])
def test_it_fits_a_phone_in_the_dark(browser: Browser, place: StudioProcess, tmp_path: Path, path: str) -> None:
    with opened(browser, f"{place.url}{path}", **PHONE) as page:
        page.locator("#content h1").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("document.body.classList.contains('body--dark')")
        if path == "/":
            assert not page.locator(".rm-links").is_visible()
            assert page.evaluate(CLIPPED) == []
            assert page.locator(".c5 .rm-after").inner_text() == "after 1, 3"
        page.screenshot(path=tmp_path / "phone.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browser: Browser, place: StudioProcess, scheme: str) -> None:
    """WCAG AA: 4.5 to 1 for every text of the map and of the cards above it."""
    with opened(browser, place.url, color_scheme=scheme) as page:
        page.locator(".rm-chapter").first.wait_for()
        low = page.evaluate(CONTRAST, "#content :is(h1, h2, p, b, dt, dd, span, a, li, label, div)")
    assert low == []


CLIPPED = """[...document.querySelectorAll('.rm-title')]
  .filter(e => e.scrollHeight > e.clientHeight + 1 || e.getBoundingClientRect().bottom > e.nextSibling.getBoundingClientRect().top + 1)
  .map(e => e.textContent)"""
"""Titles of chapters that do not fit into their boxes."""
CONTRAST = """(selector) => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const behind = e => {
    for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0.99) return c; }
    return [255, 255, 255, 1];
  };
  const low = [];
  for (const e of document.querySelectorAll(selector)) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || getComputedStyle(e).opacity < 1) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${e.className || e.tagName}: ${e.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return low;
}"""

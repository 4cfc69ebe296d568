"""The sampling view in a real browser: tokens picked, settings moved, branches gone back to, with a real small model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import opened
from contrast import hard_to_read
from small_studio import StudioProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.row("L.8")
ATTACK = "<img src=x onerror='window.__owned=1'> {{ constructor.constructor('window.__owned=2')() }} </script>"


def rows(page: Page) -> Locator:
    found = page.locator(".st-choice-row")
    found.first.wait_for()
    return found


def names(page: Page) -> list[str]:
    return [row.get_attribute("aria-label") or "" for row in rows(page).all()]


def changed(page: Page, before: list[str]) -> None:
    page.wait_for_function(
        "before => document.querySelector('.st-choice-row')?.getAttribute('aria-label') !== before", arg=before[0]
    )


def test_tokens_are_picked_and_gone_back_from(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    with opened(browser, studio.url + "/sampling") as page:
        first = names(page)
        assert len(first) == 20 and "by the model" in first[0]
        rows(page).nth(1).click()
        page.get_by_role("listbox", name="Tokens taken").get_by_role("option").first.wait_for()
        changed(page, first)
        second = names(page)
        # By keyboard: down to the second bar, and Enter.
        rows(page).first.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        changed(page, second)
        taken = page.get_by_role("listbox", name="Tokens taken").get_by_role("option")
        assert taken.count() == 2
        # Back to the first token: the bars are as they were, and what was taken after it is a branch.
        taken.first.click()
        page.get_by_text("Other branches").wait_for()
        page.wait_for_function(
            "label => document.querySelector('.st-choice-row').getAttribute('aria-label') === label", arg=second[0]
        )
        rows(page).nth(4).click()
        page.wait_for_function("document.querySelectorAll('[aria-label=\"Tokens taken\"] [role=option]').length === 2")
        assert page.locator(".st-branches button").count() == 1
        page.locator(".st-branches button").first.click()
        page.wait_for_function("document.querySelectorAll('[aria-label=\"Tokens taken\"] [role=option]').length === 2")
        page.get_by_role("button", name="Back to the text").click()
        page.wait_for_function(
            "label => document.querySelector('.st-choice-row').getAttribute('aria-label') === label", arg=first[0]
        )
        page.get_by_role("button", name="Five at most").click()
        page.wait_for_function("document.querySelectorAll('.st-choice-row.st-cut').length === 15")
        assert hard_to_read(page) == []
        page.screenshot(path=tmp_path / "sampling.png", full_page=True)


def test_settings_cut_and_seeds_repeat(browser: Browser, studio: StudioProcess) -> None:
    with opened(browser, studio.url + "/sampling") as page:
        rows(page)
        page.get_by_role("button", name="Greedy").click()
        page.wait_for_function("document.querySelectorAll('.st-choice-row.st-cut').length === 19")
        page.get_by_role("button", name="Five at most").click()
        page.wait_for_function("document.querySelectorAll('.st-choice-row.st-cut').length === 15")
        assert page.locator(".st-choice-how").last.inner_text() == "top-k"
        page.get_by_role("slider", name="Top-k").press("ArrowLeft")
        page.wait_for_function("document.querySelectorAll('.st-choice-row.st-cut').length === 16")
        assert page.get_by_text("--top-k 4").is_visible()
        page.get_by_role("button", name="Sample 5").click()
        page.locator(".st-way").nth(4).wait_for()
        ways = page.locator(".st-way .st-strip").all_inner_texts()
        assert len(ways) == 5 and len(set(ways)) > 1
        page.get_by_label("First seed").fill("2")
        page.get_by_label("First seed").press("Tab")
        page.get_by_role("button", name="Sample 5").click()
        page.get_by_text("seed 6").wait_for()
        assert page.locator(".st-way .st-strip").all_inner_texts()[:4] == ways[1:]
        # A way is followed up to a token.
        page.locator(".st-way").first.get_by_role("option").nth(2).click()
        page.wait_for_function("document.querySelectorAll('[aria-label=\"Tokens taken\"] [role=option]').length === 3")


def test_text_is_inert_and_errors_are_told(browser: Browser, studio: StudioProcess) -> None:
    with opened(browser, studio.url + "/sampling") as page:
        first = names(page)
        page.get_by_label("Text to go on from").fill(ATTACK)
        changed(page, first)
        assert page.evaluate("window.__owned") is None
        page.get_by_label("Text to go on from").fill("x = [1, 2] ; " * 60)
        page.get_by_role("alert").get_by_text("context").wait_for()
        page.get_by_label("Text to go on from").fill("def f(x):")
        page.get_by_role("alert").wait_for(state="detached")


def test_it_fits_a_phone_in_the_dark(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark", "has_touch": True}
    with opened(browser, studio.url + "/sampling", **phone) as page:
        box = rows(page).first.bounding_box()
        assert box is not None and box["height"] >= 24
        page.get_by_role("button", name="Sample 5").click()
        page.locator(".st-way").nth(4).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert hard_to_read(page) == []
        page.screenshot(path=tmp_path / "phone.png", full_page=True)

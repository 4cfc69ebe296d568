"""The studio as a whole, in a real browser: its views are reached, by keyboard too, and nothing leaves the machine."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import opened
from small_studio import StudioProcess, studio_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.row("L.8")
VIEWS = {"/": "Roadmap", "/runs": "Runs", "/tokens": "Tokens", "/attention": "Attention", "/sampling": "Sampling", "/data": "Data",
         "/chat": "Chat"}  # fmt: skip
PHONE = {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark", "has_touch": True}


@pytest.mark.parametrize("path", VIEWS)
def test_every_view_opens_and_fits_a_phone(browser: Browser, studio: StudioProcess, path: str, tmp_path: Path) -> None:
    with opened(browser, studio.url + path, **PHONE) as page:
        page.locator(".st-heading h1").wait_for()
        current = page.get_by_role("navigation").get_by_role("link", name=VIEWS[path], exact=True)
        assert current.get_attribute("aria-current") == "page"
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.wait_for_function(
            "() => { const box = document.querySelector('.st-view[aria-current]').getBoundingClientRect();"
            " return box.left >= 0 && box.right <= 360; }"
        )
        assert page.evaluate("document.body.classList.contains('body--dark')")
        assert page.get_by_role("alert").count() == 0
        page.screenshot(path=tmp_path / "phone.png", full_page=True)


def test_the_views_are_reached_with_the_keyboard(browser: Browser, studio: StudioProcess) -> None:
    with opened(browser, studio.url) as page:
        page.locator(".st-heading h1").wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "st-skip"
        seen = []
        for _ in range(12):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.getAttribute('href') || ''"))
        assert [path for path in seen if path in VIEWS and path != "/"] == [path for path in VIEWS if path != "/"]
        page.locator(".st-view", has_text="Tokens").press("Enter")
        page.wait_for_url("**/tokens")


def test_colours_are_kept_from_page_to_page(browser: Browser, studio: StudioProcess) -> None:
    with opened(browser, studio.url, color_scheme="light") as page:
        page.locator(".st-heading h1").wait_for()
        page.get_by_role("button", name="Colours: system").click()
        page.wait_for_function("document.body.classList.contains('body--dark')")
        page.wait_for_function("document.cookie.includes('groundup_colours=dark')")
        page.goto(studio.url + "/tokens")
        page.get_by_role("button", name="Colours: dark").wait_for()
        assert page.evaluate("document.body.classList.contains('body--dark')")


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_other_sites_are_refused(studio: StudioProcess, headers: dict[str, str]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(studio.url, headers=headers))
    assert refused.value.code == 403
    assert "error" in json.loads(refused.value.read())


def test_a_folder_without_runs_says_how_to_make_one(browser: Browser, tmp_path: Path) -> None:
    with studio_process(tmp_path / "none", tmp_path / "home") as empty:
        for path in VIEWS:
            with opened(browser, empty.url + path) as page:
                page.locator(".st-heading h1").wait_for()
                page.wait_for_load_state("networkidle")
                if path not in ("/", "/tokens"):
                    page.get_by_text("groundup run recipes/quickstart.yaml").first.wait_for()


def test_the_chat_talks_to_a_run(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    with opened(browser, studio.url + "/chat") as page:
        page.get_by_role("textbox", name="Write a message").fill("hello")
        page.keyboard.press("Enter")
        page.get_by_text("tokens/s").wait_for()
        assert page.locator(".gu-user").inner_text() == "hello"
        page.screenshot(path=tmp_path / "chat.png")

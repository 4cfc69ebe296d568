"""The chat page in a real browser: what a person does, and what model output must not do."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from browsing import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.row("17.6")
TESTS = Path(__file__).resolve().parents[1]
KEY = "a-key-for-the-page"


class Served:
    """A server process; `let` allows a held generator more tokens."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def let(self, tokens: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{tokens}\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def served(mode: str, key: str | None = None) -> Iterator[Served]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GROUNDUP_API"))}
    process = subprocess.Popen(
        [sys.executable, str(TESTS / "serve_small.py"), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | ({"GROUNDUP_API_KEY": key} if key else {}),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield Served(process, json.loads(line)["url"])
        process.terminate()
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def markov() -> Iterator[Served]:
    """One process for the tests that need nothing of their own."""
    with served("hostile") as server:
        yield server


def ask(page: Page, text: str) -> None:
    page.locator("textarea").fill(text)
    page.locator("textarea").press("Enter")


def answers(page: Page) -> Any:
    return page.locator("article.gu-answer .gu-prose")


def text_length(page: Page, more_than: int, which: int = -1) -> None:
    page.wait_for_function(
        "([n, i]) => [...document.querySelectorAll('article.gu-answer')].at(i)"
        "?.querySelector('.gu-prose')?.textContent.length > n",
        arg=[more_than, which],
    )


def test_a_person_talks_to_the_model(browser: Browser, tmp_path: Path) -> None:
    with served("held") as server, opened(browser, server.url) as page:
        assert page.get_by_text("markov", exact=True).is_visible()
        assert page.title().startswith("markov")
        page.screenshot(path=tmp_path / "empty.png")
        ask(page, "the fox\n")
        page.locator(".gu-user").wait_for()
        assert page.locator(".gu-user").inner_text().strip() == "the fox"
        server.let(10)
        text_length(page, 9)
        early = answers(page).inner_text()
        assert len(early) == 10  # it streams: these tokens are all that the model has been let make
        server.let(100)
        text_length(page, 100)
        assert answers(page).inner_text().startswith(early)
        stop = page.get_by_role("button", name="Stop")
        assert stop.is_visible() and not page.get_by_role("button", name="Send").is_visible()
        stop.click()
        page.get_by_text("stopped").wait_for()
        assert page.get_by_text("tokens/s").is_visible() and page.get_by_role("button", name="Send").is_visible()
        # The next turn: Shift+Enter makes a line, Enter sends, Escape stops.
        page.locator("textarea").fill("one")
        page.locator("textarea").press("Shift+Enter")
        page.keyboard.type("two")
        assert page.locator(".gu-user").count() == 1
        page.keyboard.press("Enter")
        page.locator(".gu-user").nth(1).wait_for()
        assert page.locator(".gu-user").nth(1).inner_text() == "one\ntwo"
        server.let(20)
        text_length(page, 10)
        page.keyboard.press("Escape")
        page.wait_for_function("document.querySelectorAll('.gu-note .q-btn').length == 2")
        page.screenshot(path=tmp_path / "talk.png")
        page.get_by_role("button", name="New chat").click()
        page.locator(".gu-empty").wait_for()
        assert page.locator(".gu-user").count() == 0
        # A new chat in the middle of an answer, and a tab that closes in the middle of one.
        for _ in range(2):
            page.get_by_role("button", name="New chat").click()
            page.locator(".gu-empty").wait_for()
            page.get_by_role("button", name="Send").wait_for()
            ask(page, "the ")
            page.locator(".gu-user").wait_for()
            server.let(20)
            text_length(page, 5)
        server.let(20)


def test_settings_are_used_and_the_usage_is_shown(browser: Browser, markov: Served) -> None:
    with opened(browser, markov.url) as page:
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Longest answer").fill("7")
        page.get_by_label("Longest answer").press("Tab")
        page.locator(".gu-settings .q-slider__track-container").press("PageDown")
        page.locator(".gu-settings .q-slider__track-container").press("PageDown")
        page.get_by_text("0 (most likely)").wait_for()
        page.keyboard.press("Escape")
        ask(page, "the ")
        page.get_by_text("4 + 7 tokens").wait_for()
        first = answers(page).inner_text()
        page.get_by_role("button", name="New chat").click()
        ask(page, "the ")
        page.get_by_text("4 + 7 tokens").wait_for()
        assert answers(page).inner_text() == first and len(first) == 7
        assert page.get_by_text("reached the longest answer allowed").is_visible()


def test_model_output_is_inert(browser: Browser, markov: Served, tmp_path: Path) -> None:
    with opened(browser, markov.url) as page:
        ask(page, "attack <img src=x onerror='window.__owned = 9'>")
        page.get_by_text("tokens/s").wait_for()
        assert page.evaluate("window.__owned") is None
        shown = page.locator(".gu-talk").inner_text()
        for text in (
            "<script>window.__owned = 1</script>",
            "<img src='http://evil.example/beacon.png'>",
            "{{ constructor",
        ):
            assert text in shown
        assert page.locator(".gu-talk").locator("script, img, iframe, svg, a").count() == 0
        assert page.locator(".gu-code").inner_text() == "<script>window.__owned = 7</script>"
        assert "The end. 日本語 🦊" in shown
        page.screenshot(path=tmp_path / "hostile.png")


def test_it_fits_a_phone_in_the_dark(browser: Browser, markov: Served, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark", "has_touch": True}
    with opened(browser, markov.url, **phone) as page:
        ask(page, "the little bird " * 4)
        page.get_by_text("tokens/s").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("document.body.classList.contains('body--dark')")
        for name in ("Send", "New chat", "Settings"):
            box = page.get_by_role("button", name=name).bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= 360 and min(box["width"], box["height"]) >= 24
        end = page.evaluate("innerHeight + scrollY - document.documentElement.scrollHeight")
        assert abs(end) <= 2  # the page followed the answer to its end
        page.screenshot(path=tmp_path / "phone.png")
        page.get_by_role("button", name="Colours").click()
        page.get_by_role("button", name="Colours: dark").click()
        page.wait_for_function("!document.body.classList.contains('body--dark')")


def test_errors_are_shown_and_the_chat_goes_on(browser: Browser, markov: Served) -> None:
    with opened(browser, markov.url) as page:
        ask(page, "x" * 5000)
        page.get_by_role("alert").get_by_text("the limit is 4,096").wait_for()
        ask(page, "the ")
        page.get_by_text("4 + 512 tokens").wait_for()  # what failed is not sent again


def test_a_model_without_chat_continues_text(browser: Browser, tmp_path: Path) -> None:
    with served("plain") as server, opened(browser, server.url) as page:
        page.get_by_text("markov continues your text").wait_for()
        ask(page, "the fox ")
        page.get_by_text("8 + 512 tokens").wait_for()
        assert page.locator(".gu-begun").inner_text().strip() == "the fox"
        assert len(answers(page).inner_text()) > 400
        page.screenshot(path=tmp_path / "plain.png")


def test_a_server_with_a_key_asks_for_it(browser: Browser, tmp_path: Path) -> None:
    with served("markov", KEY) as server, opened(browser, server.url) as page:
        page.screenshot(path=tmp_path / "sign-in.png")
        page.get_by_label("API key").fill("not-the-key")
        page.get_by_role("button", name="Open the chat").click()
        page.get_by_role("alert").wait_for()
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Open the chat").click()
        ask(page, "the ")
        page.get_by_text("tokens/s").wait_for()

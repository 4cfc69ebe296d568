"""The chat view in a real browser: a model of a run, two beside each other, and what their text must not do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import opened
from contrast import hard_to_read
from small_studio import StudioProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.row("L.8")
ATTACK = "<img src=x onerror='window.__owned=1'> {{ constructor.constructor('window.__owned=2')() }} </script>"


def ask(page: Page, text: str) -> None:
    box = page.locator(".gu-box textarea")
    box.fill(text)
    box.press("Enter")


def short(page: Page, tokens: int) -> None:
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Longest answer").fill(str(tokens))
    page.get_by_label("Longest answer").press("Tab")
    page.keyboard.press("Escape")
    page.locator(".gu-settings").wait_for(state="hidden")


def test_one_model_answers_and_another_is_chosen(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    with opened(browser, studio.url + "/chat") as page:
        page.locator(".gu-box textarea").wait_for()
        assert page.get_by_text("6 steps").is_visible() and page.get_by_text("answers messages").is_visible()
        short(page, 9)
        ask(page, ATTACK)
        page.get_by_text("tokens/s").wait_for()
        assert page.locator(".gu-user").inner_text() == ATTACK
        assert page.evaluate("window.__owned") is None
        assert hard_to_read(page) == []
        page.screenshot(path=tmp_path / "chat.png")
        page.get_by_role("button", name="New chat").click()
        page.get_by_text("Talk to sft").wait_for()
        page.get_by_label("Model").click()
        page.get_by_role("option", name="small / base").click()
        page.wait_for_url(re.compile("/chat.model=.*base"))
        page.get_by_text("goes on from a text").wait_for()
        assert page.get_by_text("groundup chat").is_visible()


def test_two_models_get_the_same_message(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    models = [studio.runs / "small" / name for name in ("sft", "base")]
    with opened(browser, f"{studio.url}/chat?model={models[0]}&beside={models[1]}") as page:
        page.locator(".gu-box textarea").wait_for()
        assert page.locator(".gu-box").count() == 1
        short(page, 12)
        sft, base = (page.get_by_role("region", name=f"small / {name}") for name in ("sft", "base"))
        ask(page, "def f(x):")
        sft.get_by_text("tokens/s").wait_for()
        base.get_by_text("tokens/s").wait_for()
        assert sft.locator(".gu-user").inner_text() == base.locator(".gu-begun").inner_text() == "def f(x):"
        for side in (sft, base):  # one's settings are both's
            assert "+ 12 tokens" in side.locator(".gu-note").inner_text()
        page.get_by_role("button", name="Send").wait_for()
        ask(page, "again")
        base.get_by_text("tokens/s").nth(1).wait_for()
        page.get_by_role("button", name="New chat").click()
        base.locator(".gu-empty").wait_for()
        assert page.locator(".gu-user, .gu-begun").count() == 0
        page.screenshot(path=tmp_path / "beside.png")


def test_a_conversation_goes_on_after_other_tabs_opened_other_models(browser: Browser, studio: StudioProcess) -> None:
    def address(name: str) -> str:
        return f"{studio.url}/chat?model={studio.runs / 'small' / name}"

    with opened(browser, address("sft")) as first:
        first.locator(".gu-box textarea").wait_for()
        short(first, 3)
        ask(first, "x = 1")
        first.get_by_text("tokens/s").wait_for()
        for name in ("model", "base"):  # only two are kept open
            with opened(browser, address(name)) as page:
                page.locator(".gu-box textarea").wait_for()
                short(page, 3)
                ask(page, "x = 1")
                page.get_by_text("tokens/s").wait_for()
        ask(first, "y = 2")
        first.get_by_text("tokens/s").nth(1).wait_for()
        assert first.get_by_role("alert").count() == 0


def test_what_is_no_model_is_said_and_a_phone_has_room(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    with opened(browser, f"{studio.url}/chat?model={studio.runs / 'small' / 'tokenizer'}") as page:
        page.get_by_role("alert").wait_for()
        assert page.locator(".gu-box").count() == 0
    phone = {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark", "has_touch": True}
    with opened(browser, studio.url + "/chat", **phone) as page:
        page.locator(".gu-box textarea").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        box = page.get_by_role("button", name="Send").bounding_box()
        assert box is not None and box["x"] + box["width"] <= 360
        assert hard_to_read(page) == []
        page.screenshot(path=tmp_path / "phone.png")

"""The tokens view in a real browser: pieces beside each other, merges step by step, by keyboard too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import opened
from contrast import hard_to_read
from groundup.tokenizers import BPETokenizer
from small_studio import StudioProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.row("L.8")
ATTACK = "<img src=x onerror='window.__owned=1'>{{ constructor.constructor('window.__owned=2')() }}</script>"


def pieces(page: Page, name: str) -> list[str]:
    return page.get_by_role("listbox", name=f"Pieces by {name}").get_by_role("option").all_inner_texts()


def wait_for_pieces(page: Page, name: str, count: int) -> None:
    page.wait_for_function(
        "([name, n]) => document.querySelectorAll(`[aria-label='Pieces by ${name}'] [role=option]`).length === n",
        arg=[name, count],
    )


def test_a_text_is_cut_by_each_tokenizer(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    tokenizer = BPETokenizer.load(studio.runs / "small" / "tokenizer")
    with opened(browser, studio.url + "/tokens") as page:
        page.get_by_role("listbox", name="Pieces by characters").wait_for()
        page.get_by_role("listbox", name="Pieces by small / tokenizer").get_by_role("option").first.wait_for()
        text = "def naïve(x): 日 "
        page.get_by_label("Text to cut").fill(text)
        wait_for_pieces(page, "characters", len(text))
        ids = tokenizer.encode(text)
        wait_for_pieces(page, "small / tokenizer", len(ids))
        assert pieces(page, "characters")[:5] == ["d", "e", "f", "·", "n"]
        assert "⟨E6⟩" in "".join(pieces(page, "small / tokenizer"))
        # What is known of a piece is told on hover and on focus, moved with the arrows.
        strip = page.get_by_role("listbox", name="Pieces by small / tokenizer")
        strip.get_by_role("option").nth(1).hover()
        page.get_by_text(f"id {ids[1]:,}").first.wait_for()
        page.mouse.move(0, 0)
        strip.get_by_role("option").first.focus()
        page.keyboard.press("End")
        page.get_by_text(f"id {ids[-1]:,} ").first.wait_for()
        page.keyboard.press("Home")
        page.get_by_text(f"id {ids[0]:,} ").first.wait_for()
        counts = page.get_by_role("region", name="Counts").inner_text()
        assert f"{len(ids)}" in counts and f"{len(text.encode()) / len(ids):.2f}" in counts
        assert page.get_by_text("groundup tokenizer").last.is_visible()
        assert hard_to_read(page) == []
        page.screenshot(path=tmp_path / "tokens.png", full_page=True)


def test_merges_are_stepped_through(browser: Browser, studio: StudioProcess) -> None:
    tokenizer = BPETokenizer.load(studio.runs / "small" / "tokenizer")
    word = "return"
    with opened(browser, studio.url + "/tokens") as page:
        page.get_by_label("Or any word").fill(word)
        page.get_by_text(f"{len(word)} symbols. The bytes, each a token.").wait_for()
        symbols = page.get_by_role("region", name="Symbols of the piece")
        assert symbols.locator(".st-symbol > :first-child").all_inner_texts() == list(word)
        page.get_by_role("button", name="Step forward").click()
        page.get_by_text("Step 1 of").wait_for()
        assert symbols.locator(".st-new").count() == 1
        slider = page.get_by_role("slider", name="Step")
        slider.press("End")
        page.get_by_text("Nothing is left to merge").wait_for()
        shown = symbols.locator(".st-symbol > :last-child").all_inner_texts()
        assert [int(t) for t in shown] == tokenizer.encode(word)
        slider.press("ArrowLeft")
        page.get_by_text("Dashed: what merges next").wait_for()


def test_a_token_is_picked_to_see_its_merges(browser: Browser, studio: StudioProcess) -> None:
    with opened(browser, studio.url + "/tokens") as page:
        page.get_by_text("Pick one to see its merges below").wait_for()
        page.get_by_label("Text to cut").fill("import collections")
        strip = page.get_by_role("listbox", name="Pieces by small / tokenizer")
        strip.get_by_text("·", exact=False).first.wait_for()
        page.wait_for_function(
            "document.querySelector(`[aria-label='Pieces by small / tokenizer']`).textContent.endsWith('s')"
        )
        strip.get_by_role("option").first.click()
        page.get_by_text("6 symbols. The bytes").wait_for()
        strip.get_by_role("option").last.press("Enter")
        page.get_by_text("12 symbols. The bytes").wait_for()


def test_another_tokenizer_by_its_path_and_what_is_none(
    browser: Browser, studio: StudioProcess, tmp_path: Path
) -> None:
    BPETokenizer.load(studio.runs / "small" / "tokenizer").save(tmp_path / "mine")
    with opened(browser, studio.url + "/tokens") as page:
        page.get_by_role("listbox", name="Pieces by small / tokenizer").wait_for()
        path = page.get_by_label("Folder or file of another tokenizer")
        path.fill(str(tmp_path / "nothing"))
        path.press("Enter")
        page.get_by_role("alert").get_by_text("nothing").wait_for()
        path.fill(str(tmp_path / "mine"))
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_role("listbox", name="Pieces by mine").wait_for()
        assert page.get_by_role("alert").count() == 0


def test_text_is_inert_and_it_fits_a_phone(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark", "has_touch": True}
    with opened(browser, studio.url + "/tokens", **phone) as page:
        page.get_by_role("listbox", name="Pieces by small / tokenizer").wait_for()
        page.get_by_label("Text to cut").fill(ATTACK)
        wait_for_pieces(page, "characters", len(ATTACK))
        assert "".join(pieces(page, "cl100k pieces")).replace("·", " ") == ATTACK
        page.get_by_role("button", name="Languages").click()
        page.wait_for_function(
            "document.querySelector('[aria-label=\"Pieces by characters\"]').textContent.includes('\\u00df')"
        )
        assert page.evaluate("window.__owned") is None
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert hard_to_read(page) == []
        page.screenshot(path=tmp_path / "phone.png", full_page=True)

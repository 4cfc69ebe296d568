"""The attention view in a real browser: maps of a real small model, heads silenced, everything by keyboard too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import opened
from contrast import hard_to_read
from groundup.models.directory import save_model, seal_model
from groundup.models.rnn import RecurrentConfig, RecurrentLM
from groundup.tokenizers import BPETokenizer
from small_studio import StudioProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.row("L.8")
ATTACK = "<img src=x onerror='window.__owned=1'> {{ constructor.constructor('window.__owned=2')() }} **b** </script>"


def maps(page: Page) -> None:
    page.locator(".st-map").first.wait_for()


def mean(page: Page, card: str) -> str:
    box = page.locator(".st-card", has=page.get_by_role("heading", name=card))
    return box.locator("dt", has_text="Mean").locator("+ dd").inner_text()


def test_heads_are_shown_silenced_and_ranked(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    with opened(browser, studio.url + "/attention") as page:
        maps(page)
        heads = page.locator(".st-map").count()
        assert heads > 2 and page.get_by_text("small / sft").is_visible()
        assert page.locator(".st-map img").first.evaluate("image => image.naturalWidth") > 5
        # Another head by a click; the map and the text show the same token.
        page.get_by_role("button", name=re.compile(r"^Head 2\.1")).click()
        page.get_by_role("heading", name="Head 2.1").wait_for()
        assert page.get_by_role("button", name=re.compile(r"^Head 2\.1")).get_attribute("aria-current") == "true"
        looked = page.get_by_role("listbox", name="Tokens, shaded")
        looked.get_by_role("option").nth(6).hover()
        assert "rgb" in (looked.get_by_role("option").nth(3).get_attribute("style") or "")
        page.get_by_text("looks at the shaded tokens").wait_for()
        # By keyboard: the map is walked with arrows.
        canvas = page.locator(".st-map-canvas")
        canvas.focus()
        canvas.press("ArrowUp")
        canvas.press("ArrowLeft")
        page.get_by_text("% from").wait_for()
        # A head silenced changes what tokens cost; on again, and it is as before.
        before = mean(page, "What each token costs")
        page.get_by_role("button", name="Silence head 1.1").press("Enter")
        page.get_by_text("All heads on again").wait_for()
        assert page.get_by_role("button", name="Silence head 1.1").get_attribute("aria-pressed") == "true"
        told = page.locator(".st-card", has=page.get_by_role("heading", name="With heads silenced")).inner_text()
        assert "Difference" in told and mean(page, "With heads silenced") != before
        page.get_by_role("button", name="All heads on again").click()
        page.get_by_text("Silence heads with the eye").wait_for()
        assert mean(page, "What each token costs") == before
        page.get_by_role("button", name="Rank all heads").click()
        table = page.get_by_role("region", name="Heads in figures")
        table.locator(".st-up, .st-down").first.wait_for()
        costs = [float(t) for t in table.locator("td:nth-child(2)").all_inner_texts()]
        assert len(costs) == heads and costs == sorted(costs, reverse=True) and any(costs)
        last = table.get_by_role("button").last
        name = last.inner_text()
        last.press("Enter")
        page.get_by_role("heading", name=f"Head {name}").wait_for()
        page.get_by_role("button", name="Silence head 1.1").click()
        page.get_by_text("All heads on again").wait_for()
        assert hard_to_read(page) == []
        page.screenshot(path=tmp_path / "attention.png", full_page=True)


def test_another_text_and_what_it_cannot_do(browser: Browser, studio: StudioProcess) -> None:
    with opened(browser, studio.url + "/attention") as page:
        maps(page)
        page.get_by_label("Text to read").fill(ATTACK)
        page.get_by_role("listbox", name="Tokens by their loss").get_by_text("onerror").or_(
            page.get_by_role("listbox", name="Tokens by their loss").get_by_text("{{")
        ).first.wait_for()
        shown = page.get_by_role("listbox", name="Tokens by their loss").locator("span").all_inner_texts()
        assert "".join(shown).replace("·", " ").endswith(ATTACK)
        assert page.evaluate("window.__owned") is None
        page.get_by_label("Text to read").fill("")
        page.get_by_text("0 tokens of this model").or_(page.get_by_text("Two tokens or more")).wait_for()
        page.get_by_label("Text to read").fill("x = 1 ; " * 75)
        page.get_by_role("alert").get_by_text("from 1 to 128 can be looked into").wait_for()
        page.get_by_role("button", name="Names").click()
        page.get_by_role("alert").wait_for(state="detached")


def test_it_fits_a_phone_in_the_dark(browser: Browser, studio: StudioProcess, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark", "has_touch": True}
    with opened(browser, studio.url + "/attention", **phone) as page:
        maps(page)
        page.locator(".st-map-canvas").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for switch in page.get_by_role("button", name="Silence head").all()[:2]:
            box = switch.bounding_box()
            assert box is not None and min(box["width"], box["height"]) >= 24
        page.get_by_role("button", name="Silence head 1.1").click()
        page.get_by_text("All heads on again").wait_for()
        assert hard_to_read(page) == []
        page.screenshot(path=tmp_path / "phone.png", full_page=True)


def test_a_folder_that_is_no_model_is_said_to_be_none(browser: Browser, studio: StudioProcess) -> None:
    with opened(browser, f"{studio.url}/attention?model={studio.runs / 'small' / 'tokenizer'}") as page:
        page.get_by_role("alert").get_by_text("holds no").or_(page.get_by_role("alert").get_by_text("no model")).or_(
            page.get_by_role("alert").get_by_text("is neither")
        ).first.wait_for()


def test_layers_without_attention_are_said_to_have_none(
    browser: Browser, studio: StudioProcess, tmp_path: Path
) -> None:
    tokenizer = BPETokenizer.load(studio.runs / "small" / "tokenizer")
    config = RecurrentConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, num_hidden_layers=2, max_position_embeddings=128
    )
    save_model(RecurrentLM(config).initialise(0), tmp_path / "lstm", tokenizer=tokenizer)
    seal_model(tmp_path / "lstm")
    with opened(browser, f"{studio.url}/attention?model={tmp_path / 'lstm'}") as page:
        page.get_by_text("No layer of this model has attention").wait_for()
        assert mean(page, "What each token costs").endswith("nats a token")
        assert not page.locator(".st-map-canvas").is_visible()

"""Views over models by keyboard alone: every stop of the Tab key has a name, and is seen to have the focus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from browsing import opened
from small_studio import StudioProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.row("L.8")
READY = {
    "/tokens": "[aria-label='Pieces by small / tokenizer'] [role=option]",
    "/attention": ".st-map",
    "/sampling": ".st-choice-row",
    "/chat": ".gu-box textarea",
}
_STOP = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const style = getComputedStyle(at);
  const field = at.closest('.q-field--focused, .gu-box:focus-within');
  return {
    what: `${at.tagName} ${at.className}`.slice(0, 60),
    name: at.getAttribute('aria-label') || at.innerText || at.labels?.[0]?.innerText || '',
    seen: Boolean(field) || style.boxShadow !== 'none' || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0),
  };
}"""


@pytest.mark.parametrize("path", READY)
def test_every_stop_has_a_name_and_is_seen(browser: Browser, studio: StudioProcess, path: str) -> None:
    with opened(browser, studio.url + path) as page:
        page.locator(READY[path]).first.wait_for()
        page.wait_for_load_state("networkidle")
        page.locator(".st-heading h1").click()
        stops = []
        for _ in range(80):
            page.keyboard.press("Tab")
            stop = page.evaluate(_STOP)
            if stop is None:
                break
            stops.append(stop)
        assert len(stops) >= 5
        assert [stop["what"] for stop in stops if not stop["name"].strip()] == []
        assert [stop["name"] for stop in stops if not stop["seen"]] == []

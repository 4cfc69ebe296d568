"""A real browser for tests: Chromium, a tab in which nothing may reach another host, and processes that serve pages."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WAIT_MS = 30_000


def chromium() -> str | None:
    named = os.environ.get("GROUNDUP_CHROMIUM") or "/usr/bin/chromium"
    return named if Path(named).is_file() else shutil.which("chromium") or shutil.which("google-chrome")


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """A browser of its own; the test is skipped (or fails, GROUNDUP_REQUIRE_BROWSER=1) where there is none."""
    path = chromium()
    if path is None:
        reason = "no Chromium was found (apt install chromium, or set GROUNDUP_CHROMIUM to its path)"
        if os.environ.get("GROUNDUP_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        # Chromium's own sandbox needs privileges that containers lack.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A tab at `url`; nothing in it may reach another host or complain on the console."""
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 750}, **options})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.goto(url)
    yield page
    home = urlsplit(url).netloc
    foreign = [u for u in asked if urlsplit(u).scheme not in ("data", "blob") and urlsplit(u).netloc != home]
    assert foreign == []
    # The browser itself reports the sign-in form's status 401.
    assert [c for c in complaints if "401" not in c] == []
    context.close()

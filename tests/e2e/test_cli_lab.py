"""`groundup lab`: the notebook in marimo's editor begins with its question, and nothing is left when the command ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import WAIT_MS, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.row("L.4")


@pytest.mark.slow
@pytest.mark.skipif(
    chromium() is None and os.environ.get("GROUNDUP_REQUIRE_BROWSER") != "1", reason="no Chromium was found"
)
def test_the_editor_opens_with_the_first_question(browser: Browser, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "groundup", "lab", "3.2"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, text=True, env=environment | {"GROUNDUP_HOME": str(tmp_path), "BROWSER": "true"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = None
        for line in process.stdout:
            address = re.search(r"http://(?:localhost|127\.0\.0\.1):\d+\S*", line)
            if address is not None:
                break
        assert address is not None, "the page was not started"
        page = browser.new_page()
        page.set_default_timeout(2 * WAIT_MS)
        page.goto(address[0].replace("localhost", "127.0.0.1"))
        page.get_by_role("button", name="Commit").first.click()
        page.get_by_text("bytes per token:").first.wait_for()
        page.close()
        process.terminate()
        process.wait(timeout=30)
    finally:
        process.kill()
        process.communicate()

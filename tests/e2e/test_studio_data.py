"""The data of the studio in a real browser: kept and dropped documents, rows, tokens; hostile text stays text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from browsing import opened
from small_studio import StudioProcess, studio_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.row("L.8")
ATTACK = (
    '<img src="http://evil.example/a.png" onerror="alert(1)"><script>alert(2)</script>![x](http://evil.example/b.png)'
)
LONG = "".join(f"{i:07d} " for i in range(5001))
"""40,008 characters: three stretches of the reader."""


@pytest.fixture(scope="module")
def data_studio(small_runs: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    """`small`; `hostile`, whose documents, reasons and cards hold attacks; `other`, whose tokens no tokenizer of its own can read."""
    runs = tmp_path_factory.mktemp("data") / "runs"
    for name in ("small", "hostile", "other"):
        shutil.copytree(small_runs / "small", runs / name)
    data = runs / "hostile" / "data"
    rows = [{"id": f"{number}.txt", "text": f"plain {number}", "source": "made"} for number in range(45)]
    rows[0] = {"id": ATTACK, "text": ATTACK, "source": ATTACK, "meta": {ATTACK: ATTACK}}
    rows[1] = {"id": "long.txt", "text": LONG}
    lines = [json.dumps(row) for row in rows]
    (data / "train.jsonl").write_text("\n".join([*lines, "{broken"]) + "\n")
    dropped = {"id": "bad.html", "reason": ATTACK, "detail": "why", "source": "made", "characters": 5, "head": ATTACK}
    (data / "dropped.jsonl").write_text("".join(json.dumps(dropped | {"id": f"bad{i}.html"}) + "\n" for i in range(3)))
    card = json.loads((data / "card.json").read_text())
    (data / "card.json").write_text(
        json.dumps(card | {"title": ATTACK, "dropped": {ATTACK: 3, "too short": 2}, "formats": {ATTACK: 1}})
    )
    for stage in ("tokenizer", "model", "base", "sft"):
        shutil.rmtree(runs / "other" / stage)
    with studio_process(runs, tmp_path_factory.mktemp("studio-home")) as running:
        yield running


def test_documents_are_browsed_searched_and_read(browser: Browser, data_studio: StudioProcess) -> None:
    kept = json.loads((data_studio.runs / "small/data/card.json").read_text())["splits"]["train"]["documents"]
    with opened(browser, f"{data_studio.url}/data?run=small") as page:
        page.get_by_text(f"{kept} rows", exact=True).wait_for()
        rows = page.locator(".st-row-button")
        assert rows.count() == 20
        page.get_by_role("button", name="Next page").click()
        page.get_by_text("2 / 2", exact=True).wait_for()
        assert rows.count() == kept - 20
        page.get_by_label("Search in these rows").fill("RAW_DECODE")
        page.get_by_text("found in", exact=False).wait_for()
        found = rows.locator(".st-row-title").all_inner_texts()
        expected = [
            row["id"]
            for row in map(json.loads, (data_studio.runs / "small/data/train.jsonl").read_text().splitlines())
            if "raw_decode" in row["text"].casefold()
        ]
        assert found == expected and found
        # By keyboard: the row keeps the focus, its text is beside it.
        rows.first.focus()
        page.keyboard.press("Enter")
        page.locator(".st-reader h2", has_text=found[0]).wait_for()
        assert "raw_decode" in page.locator(".st-turn-text").inner_text().casefold()
        assert page.evaluate("document.activeElement.classList.contains('st-row-button')")
        page.get_by_label("Search in these rows").fill("no such words anywhere")
        page.get_by_text(f"0 rows found in {kept}").wait_for()
        page.get_by_role("link", name="pairs").click()
        page.locator(".st-turn-user").first.wait_for()
        assert page.locator(".st-turn-assistant .st-role").first.inner_text() == "assistant"


def test_tokens_are_shown_as_they_lie_in_the_shards(browser: Browser, data_studio: StudioProcess) -> None:
    from groundup.data.shards import TokenShards

    shards = TokenShards.open(data_studio.runs / "small/tokens", "train")
    second = int(shards.document_starts[1])
    with opened(browser, f"{data_studio.url}/data?run=small&stage=tokens") as page:
        page.get_by_text(f"Tokens 0 to 127 of {shards.num_tokens:,}").wait_for()
        assert page.locator(".st-piece").count() == 128
        page.get_by_label("Document", exact=True).fill("1")
        page.get_by_text(f"Tokens {second:,} to {second + 127:,}").wait_for()
        page.get_by_role("button", name="Earlier tokens").click()
        start = max(0, second - 128)
        page.get_by_text(f"Tokens {start:,} to {start + 127:,}").wait_for()
        ids = [int(note.split("id ")[1].split(" ")[0].replace(",", "")) for note in
               page.locator(".st-piece").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")]  # fmt: skip
        assert ids == shards.tokens(start, start + 128).tolist()
        page.get_by_role("button", name="Test", exact=True).click()
        page.get_by_text("Tokens 0 to 127").wait_for()


def test_hostile_text_is_only_text(browser: Browser, data_studio: StudioProcess) -> None:
    with opened(browser, f"{data_studio.url}/data?run=hostile&stage=data") as page:
        page.get_by_text("46 rows", exact=True).wait_for()
        assert page.locator(".st-reader h2").inner_text() == ATTACK
        assert page.locator(".st-turn-text").inner_text() == ATTACK
        page.get_by_role("button", name="long.txt").click()
        page.get_by_text(f"1 to 20,000 of {len(LONG):,} characters").wait_for()
        assert page.locator(".st-turn-text").inner_text() == LONG[:20_000]
        for _ in range(2):
            page.get_by_role("button", name="Further").click()
        page.get_by_text("40,001 to 40,008 of").wait_for()
        assert page.get_by_role("button", name="Further").is_disabled()
        for _ in range(2):
            page.get_by_role("button", name="Next page").click()
        page.get_by_text("3 / 3", exact=True).wait_for()
        page.get_by_text("row 46: not valid JSON", exact=False).wait_for()
        # A reason leads to the documents that were dropped for it.
        page.locator(".st-reason-row").first.click()
        page.get_by_text("3 rows found in 3").wait_for()
        page.locator(".st-reader h2", has_text="bad0.html").wait_for()
        assert page.locator(".st-reason").first.inner_text() == ATTACK
        assert page.locator("img[src*=evil], script:text('alert(2)')").count() == 0


def test_errors_are_told_in_place(browser: Browser, data_studio: StudioProcess) -> None:
    for query, told in (
        ("run=none", "there is no run 'none'"),
        ("run=other&stage=tokens", "is the one that made these tokens"),
    ):
        with opened(browser, f"{data_studio.url}/data?{query}") as page:
            page.get_by_text(told, exact=False).first.wait_for()
            assert "Try:" in page.get_by_role("alert").inner_text()


def test_narrow_and_dark(browser: Browser, data_studio: StudioProcess) -> None:
    options: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
    for stage, seen in (("data", ".st-reader h2"), ("tokens", ".st-piece"), ("pairs", ".st-turn-user")):
        with opened(browser, f"{data_studio.url}/data?run=hostile&stage={stage}", **options) as page:
            page.locator(seen).first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), stage
            if stage == "data":
                page.locator(".st-row-button").nth(3).click()
                page.locator(".st-reader h2", has_text="3.txt").wait_for()
                page.wait_for_function(
                    "() => { const at = document.querySelector('.st-read').getBoundingClientRect(); return at.top < innerHeight; }"
                )

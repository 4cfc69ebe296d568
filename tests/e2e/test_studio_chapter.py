"""A chapter in a real browser: an exercise from its first line to its mark, a lab opened and ended, a lesson that cannot run anything."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import opened
from groundup.core.errors import GroundupError
from groundup.learn.content import all_labs, lesson_path
from groundup.learn.progress import Progress
from groundup.learn.roadmap import load_roadmap
from groundup.studio.lab_pages import LabPages
from groundup.studio.lesson import lesson_pieces
from small_studio import StudioProcess, studio_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.row("L.8")
SOLUTIONS = Path(__file__).resolve().parents[1] / "solutions"
RIGHT = (SOLUTIONS / "0.7.py").read_text(encoding="utf-8")
EVIL = "<img src=x onerror='window.__owned = 1'><script>window.__owned = 2</script>"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    folder = tmp_path_factory.mktemp("chapter")
    with studio_process(folder / "runs", folder) as running:
        yield running


def write(page: Page, text: str) -> None:
    page.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def test_an_exercise_from_the_first_line_to_its_mark(browser: Browser, place: StudioProcess, tmp_path: Path) -> None:
    file = place.files / "exercise_0_7.py"
    progress = Progress(place.home / "progress.db")
    for lab in all_labs():
        if lab.startswith("0.7"):
            progress.add("lab", lab)
    with opened(browser, f"{place.url}/chapter/0?row=0.7") as page:
        assert page.title() == "0 Getting ready · groundup"
        page.get_by_text("the area, with ties").wait_for()
        page.get_by_role("button", name="Start").click()
        page.locator(".cm-content").wait_for()
        page.wait_for_function("document.activeElement.classList.contains('cm-content')")
        assert "raise NotImplementedError" in file.read_text()
        # Wrong: what failed, the case, and hints one after another; what it prints is text.
        write(page, f"def roc_auc(wanted, scores):\n    print({EVIL!r})\n    return {EVIL!r}\n")
        page.keyboard.press("Control+Enter")
        page.locator(".ln-unmet").get_by_text("the area, with ties").wait_for()
        assert "wanted = [" in page.locator(".ln-message").inner_text()
        for n in range(3):
            assert page.locator(".ln-hints li").count() == n
            page.locator(".ln-verdict > .q-btn").click()
            page.locator(".ln-hints li").nth(n).wait_for()
        assert not page.locator(".ln-verdict > .q-btn").is_visible()
        page.get_by_text("What it printed").click()
        page.locator(".ln-verdict .gu-code", has_text="onerror").last.wait_for()
        assert page.evaluate("window.__owned") is None and page.locator("#content :is(img, script)").count() == 0
        page.screenshot(path=tmp_path / "wrong.png", full_page=True)
        # Escape lets Tab leave the editor.
        page.locator(".cm-content").click()
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent").endswith("Check")
        # Right, by the button: written down, and the row with it, since its labs are finished.
        write(page, RIGHT)
        page.get_by_role("button", name="Check").click()
        page.get_by_text("Right: Area under the ROC curve.").wait_for()
        page.locator(".ln-side a[aria-current] i.done").wait_for()
        assert file.read_text() == RIGHT and progress.names("exercise") == {"0.7"}
        done = page.get_by_role("checkbox", name="Done")
        assert done.is_checked() and done.is_disabled()
        assert progress.names("row") == set(), "earned, not marked by hand"
        page.screenshot(path=tmp_path / "right.png", full_page=True)
        # The file is changed elsewhere: nothing of either is lost unasked.
        file.write_text("theirs = 1\n")
        write(page, "mine = 1\n")
        page.keyboard.press("Control+Enter")
        page.get_by_text("was changed by another program").wait_for()
        assert file.read_text() == "theirs = 1\n"
        page.get_by_role("button", name="Load the file").click()
        page.wait_for_function("document.querySelector('.cm-content').textContent === 'theirs = 1'")


def test_a_solution_for_the_real_system_gets_its_command(browser: Browser, place: StudioProcess) -> None:
    shutil.copy(SOLUTIONS / "5.1.py", place.files / "exercise_5_1.py")
    with opened(browser, f"{place.url}/chapter/5?row=5.1&exercise=5.1") as page:
        box = page.locator("#exercise-5-1")
        box.get_by_role("button", name="Check").click()
        box.get_by_text("Now in the real system:").wait_for()
        assert "--swap" in box.locator(".ln-verdict .st-command").inner_text()


def test_a_row_is_marked_by_hand_and_taken_back(browser: Browser, place: StudioProcess) -> None:
    progress = Progress(place.home / "progress.db")
    with opened(browser, f"{place.url}/chapter/6?row=6.2") as page:
        box = page.get_by_role("checkbox", name="Done")
        box.focus()
        page.keyboard.press("Space")
        page.locator(".ln-side a[aria-current] i.done").wait_for()
        assert "6.2" in progress.names("row")
        page.keyboard.press("Space")
        page.locator(".ln-side a[aria-current] i.done").wait_for(state="detached")
        assert "6.2" not in progress.names("row")


def test_what_is_done_elsewhere_shows_when_the_tab_is_seen_again(browser: Browser, place: StudioProcess) -> None:
    lab = next(name for name in all_labs() if name.count(".") == 1 and not name[-1].isalpha() and name[0] in "345")
    with opened(browser, f"{place.url}/chapter/{lab.partition('.')[0]}?row={lab}") as page:
        page.get_by_role("heading", name=f"Lab {lab}:").wait_for()
        assert not page.get_by_text("finished", exact=True).first.is_visible()
        Progress(place.home / "progress.db").add("lab", lab)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.get_by_text("finished", exact=True).first.wait_for()


def test_a_lesson_is_drawn_by_the_browser_alone(browser: Browser, place: StudioProcess) -> None:
    """Formulas have a size, wide ones scroll in their own box, and nothing is asked of the network (`opened` sees to that)."""
    rows = (row for chapter in load_roadmap().chapters for row in chapter.rows)
    written = ((row.id, path) for row in rows if (path := lesson_path(int(row.id.partition(".")[0]))))
    found = next((i for i, path in written if any("<math" in p.text for p in lesson_pieces(path, i))), None)
    if found is None:
        pytest.skip("no lesson with a formula is written yet")
    address = f"{place.url}/chapter/{found.partition('.')[0]}?row={found}"
    with opened(browser, address, viewport={"width": 360, "height": 640}) as page:
        math = page.locator(".ln-lesson math").first
        math.wait_for()
        box = math.bounding_box()
        assert box and box["height"] > 5 and box["width"] > 5
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/chapter/99", "there is no chapter 99"),
        ("/chapter/five", "'five' is no chapter"),
        ("/chapter/5?row=6.1", "row 6.1 is not in chapter 5"),
        ("/chapter/5?row=%3Cimg%20src=x%20onerror=alert(1)%3E", "there is no row '<img src=x onerror=alert(1)>'"),
    ],
)
def test_a_wrong_address_says_what_is_right(browser: Browser, place: StudioProcess, path: str, says: str) -> None:
    with opened(browser, f"{place.url}{path}") as page:
        assert says in page.get_by_role("alert").inner_text()


def test_an_unreadable_file_is_an_error_in_its_place(browser: Browser, place: StudioProcess) -> None:
    (place.files / "exercise_1_4.py").write_bytes(b"\xff\xfe\xfa")
    with opened(browser, f"{place.url}/chapter/1?row=1.4") as page:
        page.get_by_role("alert").get_by_text("cannot be read").wait_for()
        assert page.get_by_role("heading", name="In the library").is_visible()


def test_it_fits_a_phone(browser: Browser, place: StudioProcess) -> None:
    shutil.copy(SOLUTIONS / "0.6.py", place.files / "exercise_0_6.py")
    with opened(browser, f"{place.url}/chapter/0?row=0.6", viewport={"width": 360, "height": 640}) as page:
        page.locator(".cm-content").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


LAB = '''"""Lab 0.1: small."""

import marimo

app = marimo.App()


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("0.1", title="Small", seconds=1)
    lab.header()
    return (lab,)
'''


def test_a_lab_opens_and_ends(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a token, from this machine alone, without another host; closed with the studio."""
    pytest.importorskip("marimo")
    path = tmp_path / "lab_0_1_small.py"
    path.write_text(LAB)
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path / "home"))
    labs = LabPages()
    try:
        url = labs.open(path)
        assert labs.open(path) == url
        home, _, token = url.partition("?access_token=")
        assert home.startswith("http://127.0.0.1:") and len(token) >= 32
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(home) as answer:
            assert b"Lab 0.1" not in answer.read() and "login" in answer.url
        (process,) = (lab.process for lab in labs._open.values())
        assert token not in " ".join(map(str, process.args)), "an argument could be read by everybody"
        with opened(browser, url) as page:
            page.get_by_role("heading", name="Lab 0.1: Small").wait_for()
    finally:
        labs.close()
    assert process.poll() is not None
    with pytest.raises(OSError):
        urllib.request.urlopen(home, timeout=2)


def test_a_lab_that_does_not_start_says_why(tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    labs = LabPages()
    try:
        with pytest.raises(GroundupError, match=r"(?s)lab_0_1_gone\.py did not start: .*lab_0_1_gone") as failure:
            labs.open(tmp_path / "lab_0_1_gone.py")
        assert "marimo check" in failure.value.hint and labs._open == {}
    finally:
        labs.close()


@pytest.mark.faults
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are POSIX's")
def test_a_lab_ends_when_what_opened_it_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    (tmp_path / "lab_0_1_small.py").write_text(LAB)
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom groundup.studio.lab_pages import LabPages\n"
        "labs = LabPages()\nlabs.open(Path(sys.argv[1]))\n"
        "print(next(iter(labs._open.values())).process.pid, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "lab_0_1_small.py")], stdout=subprocess.PIPE, text=True
    ) as opener:
        assert opener.stdout is not None
        lab = int(opener.stdout.readline())
        os.kill(lab, 0)
        opener.send_signal(signal.SIGKILL)
        opener.wait()
    until = time.monotonic() + 30
    while Path(f"/proc/{lab}").exists() and _state(lab) != "Z":
        assert time.monotonic() < until, "the lab outlives the studio"
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return "Z"

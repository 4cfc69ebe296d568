"""Progress is kept: across kills, with several windows at once, out to a file and back in; a portfolio escapes what it shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.core.errors import ArtifactError, DataError
from groundup.learn.portfolio import write_portfolio
from groundup.learn.progress import Progress
from groundup.learn.standing import next_step, plan_of, rows_done

pytestmark = pytest.mark.row("L.7")
WRITER = """
import sys
from pathlib import Path
from groundup.learn.progress import Progress
progress = Progress(Path(sys.argv[1]))
for n in range(int(sys.argv[3])):
    progress.add("row", f"{sys.argv[2]}.{n}")
    print(n, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_facts_in_and_out(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "deep" / "p.db")
    assert progress.facts() == [] and not progress.path.exists(), "looking makes no file"
    progress.add("exercise", "5.4", {"seconds": 2.5})
    progress.add("row", "0.1")
    progress.add("row", "0.1", {"undone": True})
    assert progress.names("exercise") == {"5.4"} and progress.names("row") == set()
    assert progress.export(tmp_path / "out.json") == 3
    other = Progress(tmp_path / "other.db")
    assert other.read_in(tmp_path / "out.json") == 3 and other.read_in(tmp_path / "out.json") == 0
    assert other.facts() == progress.facts()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "JSON"),
        ("[]", "format 1"),
        ('{"format": 9, "facts": []}', "format 1"),
        ('{"format": 1, "facts": [{"id": "a", "time": "t", "kind": "row", "name": "1", "detail": {}}, 3]}', "fact 2"),
        ('{"format": 1, "facts": [{"id": "a", "time": "t", "kind": "rwo", "name": "1", "detail": {}}]}', "'rwo'"),
    ],
)
def test_a_bad_file_adds_nothing(tmp_path: Path, content: str, match: str) -> None:
    (tmp_path / "in.json").write_text(content)
    progress = Progress(tmp_path / "p.db")
    with pytest.raises(DataError, match=match):
        progress.read_in(tmp_path / "in.json")
    assert progress.facts() == []


@pytest.mark.faults
def test_two_windows_and_a_kill(tmp_path: Path) -> None:
    """Everything that was acknowledged is there once, whoever wrote beside it and whoever was killed."""
    path = tmp_path / "p.db"
    writers = [writer(path, name, 10**6 if name == "killed" else 60) for name in ("a", "b", "killed")]
    assert writers[2].stdout is not None
    acknowledged = [writers[2].stdout.readline() for _ in range(40)]
    writers[2].kill()
    outputs = [one.communicate()[0] for one in writers]
    acknowledged += outputs[2].splitlines()
    names = [fact.name for fact in Progress(path).facts("row")]
    assert len(names) == len(set(names))
    assert {f"{w}.{n}" for w in "ab" for n in range(60)} <= set(names)
    assert {f"killed.{line.strip()}" for line in acknowledged if line.strip()} <= set(names)


@pytest.mark.faults
def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(ArtifactError, match=r"p\.db"):
        Progress(tmp_path / "p.db").facts()


def test_plan_and_next_step(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "p.db")
    assert plan_of(progress) is None and "groundup assess" in next_step(progress)["told"]
    progress.add("plan", "quick-start", {"hours": 6, "start": "2027-01-04", "done": []})
    assert next_step(progress)["row"] == "1.1"
    progress.add("row", "1.1")
    assert next_step(progress)["row"] == "1.2" and rows_done(progress) == {"1.1"}


def test_the_portfolio_escapes_and_names_runs_that_are_none(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "p.db")
    progress.add("row", "3.2")
    progress.add("exercise", "5.4", {"note": "<script>alert(1)</script>", "ratio": 0.123456})
    run = tmp_path / "run"
    run.mkdir()
    table = {"measure": "bits_per_byte", "about": "<b>text</b>", "rows": [{"name": "base", "value": 1.25}]}
    (run / "report.json").write_text(json.dumps({"name": "r", "stages": {"s": {"figures": {"evaluations": [table]}}}}))
    write_portfolio(tmp_path / "me.html", progress, runs=[run], name="A & B")
    page = (tmp_path / "me.html").read_text()
    assert (
        "A &amp; B" in page
        and "<script>" not in page
        and "&lt;b&gt;text" in page
        and "1.25" in page
        and "0.1235" in page
    )
    assert (
        "groundup check 5.4" in page and "3.2 Byte-level BPE" in page and "http:" not in page and "https:" not in page
    )
    with pytest.raises(ArtifactError, match="no run"):
        write_portfolio(tmp_path / "me.html", progress, runs=[tmp_path])

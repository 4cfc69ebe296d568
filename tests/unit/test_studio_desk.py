"""An exercise's file: begun as on the command line, saved whole, never over somebody else's work; graded, and a pass recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.core.errors import ConfigError, DataError
from groundup.learn.exercises.grader import load_exercise
from groundup.learn.exercises.work import hints_for
from groundup.learn.progress import Progress
from groundup.studio.desk import LONGEST, Changed, Desk

pytestmark = pytest.mark.row("L.8")
SOLUTIONS = Path(__file__).resolve().parents[1] / "solutions"
RIGHT = (SOLUTIONS / "0.7.py").read_text(encoding="utf-8")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk("0.7", tmp_path / "mine")


def test_it_begins_as_the_command_line_does(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not desk.begun
    text = desk.start()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path / "home"))
    assert CliRunner().invoke(cli, ["exercise", "start", "0.7"]).exit_code == 0
    assert (tmp_path / "there" / desk.path.name).read_text() == text == desk.path.read_text()
    with pytest.raises(ConfigError, match="is there already"):
        desk.start()


def test_a_save_is_whole_and_keeps_what_others_wrote(desk: Desk) -> None:
    desk.start()
    desk.save("a = 1\n")
    assert desk.path.read_text() == "a = 1\n" and [p.name for p in desk.path.parent.iterdir()] == [desk.path.name]
    desk.path.write_text("theirs\n")
    with pytest.raises(Changed, match="changed by another program"):
        desk.save("mine\n")
    assert desk.path.read_text() == "theirs\n"
    assert desk.read() == "theirs\n"
    desk.save("mine\n")
    desk.path.write_text("theirs again\n")
    desk.save("mine at last\n", over=True)
    assert desk.path.read_text() == "mine at last\n"
    desk.path.unlink()
    desk.save("mine at last\n")
    assert desk.path.read_text() == "mine at last\n", "a file that was deleted is written again"
    with pytest.raises(DataError, match="200,001"):
        desk.save("x" * (LONGEST + 1))


def test_a_file_that_is_no_text_is_an_error(desk: Desk) -> None:
    desk.start()
    desk.path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match="cannot be read"):
        desk.read()


def test_wrong_then_right(desk: Desk, tmp_path: Path) -> None:
    progress = Progress(tmp_path / "p.db")
    desk.start()
    wrong = desk.check("import numpy as np\n\n\ndef roc_auc(wanted, scores):\n    return 0.3\n", progress)
    hints = desk.hints(wrong)
    assert not wrong.passed and wrong.failed and progress.names("exercise") == set()
    assert len(hints) == len(set(hints)) == 3 and hints[0] == wrong.hint
    right = desk.check(RIGHT, progress)
    assert right.passed and desk.path.read_text() == RIGHT and desk.hints(right) == ()
    assert progress.names("exercise") == {"0.7"}
    assert progress.last("exercise").detail["title"] == desk.exercise.title  # type: ignore[union-attr]


def test_a_mistake_that_is_known_has_one_hint() -> None:
    from dataclasses import replace

    exercise = load_exercise("5.4")
    from groundup.learn.exercises.exercise import Verdict

    check = exercise.checks[0]
    failed = Verdict(exercise="5.4", passed=False, failed=check.name, hint=check.hints[0])
    assert hints_for(exercise, failed) == check.hints
    assert hints_for(exercise, replace(failed, mistake="no sqrt", hint="divide")) == ("divide",)
    assert hints_for(exercise, replace(failed, failed="the file keeps to the rules", hint="write it")) == ("write it",)
    stopped = replace(failed, hint=f"{check.hints[1]} It stopped with an error.", level=2)
    assert hints_for(exercise, stopped) == tuple(f"{h} It stopped with an error." for h in check.hints)

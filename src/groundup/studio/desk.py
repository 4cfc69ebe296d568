"""An exercise on the learner's desk: its file in the folder of their own files, saved whole, never over what another editor wrote."""

from __future__ import annotations

from pathlib import Path

from groundup.core.artifact import write_text
from groundup.core.errors import DataError
from groundup.learn.exercises.exercise import Exercise, Verdict
from groundup.learn.exercises.grader import load_exercise
from groundup.learn.exercises.work import check_file, file_name, hints_for, start_file, swap_line
from groundup.learn.progress import Progress

LONGEST = 200_000
"""Characters of a solution that the page takes; the longest right one has 4,000."""


class Changed(DataError):
    """The file was changed by something else since it was read here."""


class Desk:
    """One exercise, one file."""

    def __init__(self, exercise_id: str, files: Path) -> None:
        self.exercise: Exercise = load_exercise(exercise_id)
        self.path = files / file_name(exercise_id)
        self.known: str | None = None
        """What the file held when it was last read or written here."""

    @property
    def begun(self) -> bool:
        return self.path.is_file()

    def start(self) -> str:
        """Write the file that one begins with. ConfigError where there is one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        start_file(self.exercise.id, self.path)
        return self.read()

    def read(self) -> str:
        """What the file holds now."""
        try:
            self.known = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{self.path} cannot be read: {error}", hint=f"groundup exercise start {self.exercise.id}"
            ) from None
        return self.known

    def save(self, text: str, *, over: bool = False) -> None:
        """Write the file, to the side and renamed. Changed where it holds what was not read here, unless `over`."""
        if len(text) > LONGEST:
            raise DataError(f"{len(text):,} characters; a file of at most {LONGEST:,} can be written here")
        if not over and self.path.is_file() and self.known is not None:
            now = self.path.read_text(encoding="utf-8", errors="replace")
            if now != self.known and now != text:
                raise Changed(f"{self.path} was changed by another program since it was opened here")
        if text != self.known or not self.path.is_file():
            write_text(self.path, text)
        self.known = text

    def check(self, text: str, progress: Progress) -> Verdict:
        """Save, then grade the file as `groundup check` does; a pass is written to the progress."""
        self.save(text)
        return check_file(self.exercise.id, self.path, record=progress)

    def hints(self, verdict: Verdict) -> tuple[str, ...]:
        return hints_for(self.exercise, verdict)

    @property
    def check_line(self) -> str:
        return f"groundup check {self.exercise.id} {self.path}"

    @property
    def swap_line(self) -> str:
        return swap_line(self.exercise, self.path)

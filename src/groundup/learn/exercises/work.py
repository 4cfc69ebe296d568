"""A learner's file for an exercise: begun from the template, graded, and what was passed written to the progress.

What `groundup exercise start`, `groundup check` and the studio's chapter page share.
"""

from __future__ import annotations

from pathlib import Path

from ...core.artifact import write_text
from ...core.errors import ConfigError
from ..progress import Progress
from .exercise import Exercise, Verdict
from .grader import grade_file, load_exercise


def file_name(exercise_id: str) -> str:
    """What the file is called where nothing else is said: exercise_5_4.py."""
    return f"exercise_{exercise_id.replace('.', '_')}.py"


def start_file(exercise_id: str, path: Path) -> Exercise:
    """Write the template to `path`. ConfigError where a file is there already: it may hold the learner's work."""
    exercise = load_exercise(exercise_id)
    if path.exists():
        raise ConfigError(
            f"{path} is there already, and may hold your work",
            hint=f"--out another.py, or: groundup check {exercise_id} {path}",
        )
    write_text(path, exercise.template)
    return exercise


def check_file(
    exercise_id: str, path: Path, *, seed: int | None = None, level: int = 1, record: Progress | None = None
) -> Verdict:
    """Grade the file; a pass is written to `record`, with its figures."""
    exercise = load_exercise(exercise_id)
    verdict = grade_file(exercise_id, path, seed=seed, level=level)
    if verdict.passed and record is not None:
        kept = {k: v for k, v in verdict.figures.items() if k != "seed"}
        record.add("exercise", exercise_id, {"title": exercise.title, **kept})
    return verdict


def hints_for(exercise: Exercise, verdict: Verdict) -> tuple[str, ...]:
    """What can be said to a failed file, ever more telling. One hint only where the mistake is known by name, or where no check
    of the exercise failed (a rule of the source, growth, speed, memory, a program that never ends)."""
    if verdict.passed:
        return ()
    check = next((check for check in exercise.checks if check.name == verdict.failed), None)
    if check is None or verdict.mistake or not verdict.hint.startswith(check.hints[verdict.level - 1]):
        return (verdict.hint,)
    said = verdict.hint.removeprefix(check.hints[verdict.level - 1])
    return tuple(f"{hint}{said}" for hint in check.hints)


def swap_line(exercise: Exercise, path: Path) -> str:
    """The command that puts the file into the real system; empty where there is none."""
    return exercise.swap.format(file=path) if exercise.swap else ""

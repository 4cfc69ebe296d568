"""The projects (projects.yaml): what each is taught by, what runs it, and the steps that a learner ticks on the way.

A project's state is its newest fact in the progress: done, or not yet with the steps that are. So exports, imports and the portfolio
know projects as they know everything else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..core.config import did_you_mean
from ..core.errors import ConfigError
from ..core.runs import list_runs
from .progress import Fact, Progress
from .roadmap import load_roadmap, made, read_data

FILE = Path(__file__).with_name("projects.yaml")


@dataclass(frozen=True, kw_only=True)
class Project:
    id: str
    """P.7."""
    title: str
    rows: tuple[str, ...]
    """That teach what it takes."""
    recipes: tuple[str, ...] = ()
    """That run it; none: not yet."""
    own: str = ""
    """Overrides that point the recipe at data of one's own."""
    steps: tuple[str, ...] = ()
    """What makes a run into a project."""

    def command_line(self, *, own: bool = False) -> str:
        """The command that runs it, on its own data or (own) on the learner's; empty where nothing does yet."""
        if not self.recipes:
            return ""
        return f"groundup run recipes/{self.recipes[0]}.yaml{f' {self.own}' if own and self.own else ''}"


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One line of a project's checklist that the record answers by itself."""

    told: str
    met: bool
    row: str = ""


@cache
def load_projects(file: Path = FILE) -> tuple[Project, ...]:
    """ConfigError names what is wrong in the file."""
    found = tuple(made(Project, raw, f"projects.{n}") for n, raw in enumerate(read_data(file)["projects"]))
    if [project.id for project in found] != [f"P.{n}" for n in range(1, len(found) + 1)]:
        raise ConfigError("projects must be numbered P.1, P.2, ... without gaps", path="projects")
    known = {row.id for row in load_roadmap().rows()}
    for project in found:
        for row in project.rows:
            if row not in known:
                raise ConfigError(f"there is no row {row!r}", path=project.id)
    return found


def project(project_id: str) -> Project:
    for found in load_projects():
        if found.id == project_id:
            return found
    names = [p.id for p in load_projects()]
    raise ConfigError(
        f"there is no project {project_id!r}; they are {names[0]} to {names[-1]}", hint=did_you_mean(project_id, names)
    )


def steps_done(progress: Progress) -> dict[str, tuple[bool, frozenset[str]]]:
    """Id -> (done, steps that are ticked), of every project that was ever touched."""
    return steps_in(progress.facts("capstone"))


def steps_in(facts: Sequence[Fact]) -> dict[str, tuple[bool, frozenset[str]]]:
    """The same from facts that were read already; oldest first. A project marked done by its id alone keeps its ticks."""
    found: dict[str, tuple[bool, frozenset[str]]] = {}
    for fact in facts:
        if fact.kind != "capstone":
            continue
        ticked = fact.detail.get("steps")
        before = found.get(fact.name, (False, frozenset()))[1]
        now = frozenset(str(t) for t in ticked) if isinstance(ticked, list) else before
        found[fact.name] = (not fact.detail.get("undone", False), now)
    return found


def mark(progress: Progress, project_id: str, *, done: bool, steps: Collection[str] = ()) -> None:
    """Write down how far a project is. ConfigError for a project or a step that there is not."""
    chosen = project(project_id)
    for step in steps:
        if step not in chosen.steps:
            raise ConfigError(f"{step!r} is no step of {project_id}", hint=did_you_mean(step, list(chosen.steps)))
    detail: dict[str, object] = {"title": chosen.title, "steps": [step for step in chosen.steps if step in steps]}
    progress.add("capstone", project_id, detail if done else {**detail, "undone": True})


def requirements(project: Project, *, rows: Collection[str], recipes: Mapping[str, Path]) -> list[Requirement]:
    """What the record says: rows that are done, and whether a recipe of it was run (`recipes`: recipe name -> run)."""
    roadmap = load_roadmap()
    found = [Requirement(told=f"{row} {roadmap.row(row).title}", met=row in rows, row=row) for row in project.rows]
    if not project.recipes:
        return [*found, Requirement(told="A recipe that runs it: planned", met=False)]
    run = next((recipes[name] for name in project.recipes if name in recipes), None)
    names = " or ".join(f"{name}.yaml" for name in project.recipes)
    told = f"Run recipes/{names}" if run is None else f"Ran: {run}"
    return [*found, Requirement(told=told, met=run is not None)]


def runs_by_recipe(runs: Path) -> dict[str, Path]:
    """Recipe -> the newest run of it with a finished stage, under a folder of runs; what cannot be read is no run."""
    found = list_runs(runs) if runs.is_dir() else []
    return {run.name: run.path for run in sorted(found, key=lambda run: run.changed) if run.stages}

"""Where the learner stands, read once for a page: what is done, what comes next, how much there is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from groundup.learn.content import all_labs
from groundup.learn.exercises import EXERCISES
from groundup.learn.plan import Plan, against
from groundup.learn.progress import Progress, names_in
from groundup.learn.projects import load_projects, steps_in
from groundup.learn.roadmap import Chapter, Roadmap, load_roadmap
from groundup.learn.standing import next_step, plan_of, rows_by

_MARK_STATUS = {"works": "works", "partly": "works in part", "planned": "is planned"}


@dataclass(frozen=True, kw_only=True)
class Standing:
    roadmap: Roadmap
    rows: frozenset[str]
    """Done: marked, or by their exercises and labs."""
    marked: frozenset[str]
    """Done because the learner said so."""
    exercises: frozenset[str]
    labs: frozenset[str]
    projects: frozenset[str]
    plan: Plan | None
    days_ahead: float
    """Of the plan; negative: behind."""
    step: dict[str, Any]
    """What comes next (learn.standing.next_step)."""
    total_labs: int

    @property
    def next_row(self) -> str:
        return str(self.step.get("row") or "")

    @property
    def hours(self) -> tuple[float, int]:
        """Of the rows that are done, each its share of its chapter's, and of all."""
        done = sum(c.hours / len(c.rows) * self.done_in(c) for c in self.roadmap.chapters)
        return done, sum(c.hours for c in self.roadmap.chapters)

    def done_in(self, chapter: Chapter) -> int:
        return sum(row.id in self.rows for row in chapter.rows)

    def counts(self) -> list[tuple[str, int, int]]:
        """Name, done, of how many."""
        return [
            ("rows", len(self.rows), sum(1 for _ in self.roadmap.rows())),
            ("exercises", len(self.exercises), len(EXERCISES)),
            ("labs", len(self.labs), self.total_labs),
            ("projects", len(self.projects), len(load_projects())),
        ]

    def statuses(self) -> dict[str, int]:
        """How many rows of the roadmap the library works for."""
        found = dict.fromkeys(_MARK_STATUS, 0)
        for row in self.roadmap.rows():
            found[row.status] += 1
        return found

    def told(self, chapter: Chapter) -> str:
        """A chapter in one sentence, for who cannot see the map."""
        works = [sum(row.status == s for row in chapter.rows) for s in _MARK_STATUS]
        after = _listed([str(n) for n in chapter.requires])
        return (
            f"Chapter {chapter.number}: {chapter.title}. {self.done_in(chapter)} of {len(chapter.rows)} rows done; "
            f"{works[0]} work, {works[1]} in part, {works[2]} planned. {chapter.difficulty}, {chapter.hours} hours"
            f"{f', after {after}' if after else ''}."
        )


def read_standing(progress: Progress, today: date | None = None) -> Standing:
    """Everything from one look at the record (and the plan's own)."""
    facts = progress.facts()
    roadmap = load_roadmap()
    known = {row.id for row in roadmap.rows()}
    marked, passed = names_in(facts, "row") & known, names_in(facts, "exercise")
    labs = all_labs()
    finished = names_in(facts, "lab")
    rows = rows_by(marked, passed, finished) & known
    plan = plan_of(progress)
    return Standing(
        roadmap=roadmap, rows=frozenset(rows), marked=frozenset(marked), exercises=frozenset(passed & set(EXERCISES)),
        labs=frozenset(finished & set(labs)), projects=frozenset(n for n, (done, _) in steps_in(facts).items() if done),
        plan=plan, days_ahead=against(plan, rows, today or date.today()) if plan else 0.0,
        step=next_step(progress, today), total_labs=len(labs),
    )  # fmt: skip


def status_told(status: str) -> str:
    return _MARK_STATUS[status]


def pace_told(days: float) -> str:
    """Days ahead of the plan, in words."""
    if abs(days) < 1:
        return "on the day"
    whole = round(abs(days))
    return f"{whole} day{'' if whole == 1 else 's'} {'ahead' if days > 0 else 'behind'}"


def minutes_told(seconds: float) -> str:
    """How long a lab computes."""
    if seconds <= 0:
        return "a minute or so"
    return f"about {round(seconds):d} seconds" if seconds < 90 else f"about {round(seconds / 60):d} minutes"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

"""Where a learner stands on the roadmap: what of a row there is to do, which rows are done, what comes next."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

from .plan import Plan, against, make_plan
from .progress import Progress
from .roadmap import Row, load_roadmap


def plan_of(progress: Progress) -> Plan | None:
    """The newest plan, as it was made; None without one."""
    fact = progress.last("plan")
    if fact is None:
        return None
    detail = fact.detail
    return make_plan(fact.name, hours_per_week=float(detail["hours"]), start=date.fromisoformat(detail["start"]),
                     done=detail.get("done", ()))  # fmt: skip


def rows_done(progress: Progress) -> set[str]:
    """Rows marked as done, and those whose exercises are all passed and labs all finished."""
    return rows_by(progress.names("row"), progress.names("exercise"), progress.names("lab"))


def rows_by(marked: Collection[str], exercises: Collection[str], labs: Collection[str]) -> set[str]:
    """`rows_done` for what was read already."""
    from .content import all_labs, row_of
    from .exercises import EXERCISES

    done, passed, finished = set(marked), set(exercises), set(labs)
    if passed or finished:
        asked: dict[str, list[bool]] = {}
        for names, had in ((EXERCISES, passed), (all_labs(), finished)):
            for name in names:
                asked.setdefault(row_of(name), []).append(name in had)
        done |= {row for row, answers in asked.items() if all(answers)}
    return done


def row_facts(row: Row, done: Collection[str]) -> dict[str, Any]:
    """Everything that a row has, for a table or JSON."""
    from .content import exercises_of, labs_of, lesson_of

    lesson = lesson_of(row.id)
    return {
        "id": row.id,
        "title": row.title,
        "status": row.status,
        "done": row.id in done,
        "lesson": str(lesson) if lesson else "",
        "labs": [f"groundup lab {lab}" for lab in labs_of(row.id)],
        "exercises": [f"groundup exercise start {exercise}" for exercise in exercises_of(row.id)],
        "recipes": [f"groundup run recipes/{recipe}.yaml" for recipe in row.recipes],
        "api": list(row.api),
        "tests": [f"tests/{test}" for test in row.tests],
        "sources": list(row.sources),
    }


def next_step(progress: Progress, today: date | None = None) -> dict[str, Any]:
    """The first thing of the plan that is not done: {row, title, first, last, days_ahead, told}."""
    plan = plan_of(progress)
    done = rows_done(progress)
    if plan is None:
        return {
            "row": None,
            "told": "There is no plan yet. groundup assess recommends a path; groundup plan --path PATH dates it.",
        }
    ahead = against(plan, done, today or date.today())
    left = [item for item in plan.items if not item.is_milestone and item.row not in done]
    if not left:
        return {
            "row": None,
            "days_ahead": ahead,
            "told": f"The plan is done: {plan.title}. groundup progress --portfolio FILE",
        }
    item = left[0]
    pace = f"{abs(ahead):.0f} days {'ahead of' if ahead >= 0 else 'behind'} the plan"
    facts = row_facts(load_roadmap().row(item.row), done)
    ways = [*facts["labs"], *facts["exercises"], *facts["recipes"]][:3]
    told = f"Next: {item.title} ({item.first} to {item.last}, {item.hours:.1f} hours; you are {pace})."
    return {"row": item.row, "title": item.title, "first": str(item.first), "last": str(item.last), "days_ahead": round(ahead, 1),
            "ways": ways, "told": "\n  ".join([told, *ways])}  # fmt: skip

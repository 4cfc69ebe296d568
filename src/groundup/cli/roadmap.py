"""`groundup roadmap`: parts, chapters and rows, how far they work, how far you are, and what comes next."""

from __future__ import annotations

from typing import Any

import click

from .output import json_option, print_json, print_table

_MARKS = {"works": "●", "partly": "◐", "planned": "○"}


@click.command()
@click.argument("place", required=False)
@click.option("--status", type=click.Choice(["works", "partly", "planned"]), help="Only rows of this status.")
@click.option("--next", "only_next", is_flag=True, help="Only what comes next on your plan.")
@json_option
def command(place: str | None, status: str | None, only_next: bool, as_json: bool) -> None:
    """Show the whole roadmap, a chapter (5), a row (5.4), the projects (P) or one (P.7). A row says where it is in the library, and
    how to learn it; a project what it takes.

    \b
    Examples:
      groundup roadmap
      groundup roadmap 5
      groundup roadmap 5.4 --json
      groundup roadmap P.7
      groundup roadmap --status works
      groundup roadmap --next
    """
    from ..learn.progress import Progress
    from ..learn.roadmap import load_roadmap
    from ..learn.standing import next_step, row_facts, rows_done

    roadmap = load_roadmap()
    done = rows_done(Progress())
    if only_next:
        step = next_step(Progress())
        if as_json:
            print_json(step)
        else:
            click.echo(step["told"])
        return
    if place is not None and place.partition(".")[0] == "P":
        _projects(place, done, as_json)
        return
    if place is not None and "." in place:
        facts = row_facts(roadmap.row(place), done)
        if as_json:
            print_json(facts)
            return
        lines = [(k, "yes" if v is True else v if isinstance(v, str) else "\n".join(v)) for k, v in facts.items() if v]
        print_table(f"{facts['id']} {facts['title']}", ["", ""], lines)
        return
    if place == "L":
        if as_json:
            print_json({"journey": [row_facts(row, done) for row in roadmap.journey]})
        else:
            listed = [(row.id, row.title, _MARKS[row.status], row.status) for row in roadmap.journey]
            print_table("The journey", ["", "row", "", "status"], listed)
        return
    chapters = roadmap.chapters if place is None else (roadmap.chapter(_number(place)),)
    shown = [(chapter, [row for row in chapter.rows if status is None or row.status == status]) for chapter in chapters]
    if as_json:
        print_json({
            "parts": [{"number": p.number, "title": p.title, "weeks": list(p.weeks), "difficulty": p.difficulty,
                       "outcome": p.outcome} for p in roadmap.parts],
            "chapters": [{"number": c.number, "title": c.title, "part": c.part, "difficulty": c.difficulty, "hours": c.hours,
                          "requires": list(c.requires), "needs": list(c.needs), "resources": list(c.resources),
                          "rows": [row_facts(row, done) for row in rows]} for c, rows in shown if rows or status is None],
            **({"journey": [row_facts(row, done) for row in roadmap.journey]} if place is None else {}),
        })  # fmt: skip
        return
    table: list[tuple[Any, ...]] = []
    for chapter, rows in shown:
        if not rows:
            continue
        if place is None and status is None:
            counts = {s: sum(row.status == s for row in rows) for s in _MARKS}
            strip = "".join("✔" if row.id in done else _MARKS[row.status] for row in rows)
            table.append((chapter.number, chapter.title, strip, f"{counts['works']} of {len(rows)}", chapter.difficulty,
                          f"{chapter.hours} h", ", ".join(map(str, chapter.requires)) or "–"))  # fmt: skip
        else:
            table += [(row.id, row.title, "✔" if row.id in done else _MARKS[row.status], row.status,
                       ", ".join(row.recipes)) for row in rows]  # fmt: skip
    if place is None and status is None:
        print_table("The roadmap", ["", "chapter", "rows", "work", "difficulty", "time", "after"], table)
        click.echo(
            "● works  ◐ partly  ○ planned  ✔ you have done it      groundup roadmap 5   groundup roadmap L   groundup roadmap --next"
        )
        return
    title = f"{chapters[0].number} {chapters[0].title}" if place is not None else f"Rows: {status}"
    print_table(title, ["", "row", "", "status", "recipes"], table)
    if place is not None:
        chapter = chapters[0]
        click.echo(f"{chapter.difficulty}; {chapter.hours} hours; after chapters "
                   f"{', '.join(map(str, chapter.requires)) or 'none'}; read: {'; '.join(chapter.resources)}")  # fmt: skip


def _projects(place: str, rows: set[str], as_json: bool) -> None:
    """All projects, or the checklist of one."""
    from pathlib import Path

    from ..learn.progress import Progress
    from ..learn.projects import load_projects, project, requirements, runs_by_recipe, steps_done

    state = steps_done(Progress())
    chosen = load_projects() if place == "P" else (project(place),)
    runs = runs_by_recipe(Path("runs"))
    found = [
        {"id": p.id, "title": p.title, "done": state.get(p.id, (False, ()))[0], "rows": list(p.rows),
         "run": p.command_line(), "own": p.command_line(own=True),
         "needs": [{"what": r.told, "met": r.met} for r in requirements(p, rows=rows, recipes=runs)],
         "steps": [{"what": s, "met": s in state.get(p.id, (False, ()))[1]} for s in p.steps]}
        for p in chosen
    ]  # fmt: skip
    if as_json:
        print_json(found if place == "P" else found[0])
        return
    if place == "P":
        print_table("Projects", ["", "", "project", "run it"],
                    [(p["id"], "✔" if p["done"] else "", p["title"], p["run"] or "planned") for p in found])  # fmt: skip
        return
    (one,) = found
    needs, steps = ([("✔" if line["met"] else "", line["what"]) for line in one[key]] for key in ("needs", "steps"))  # type: ignore[attr-defined]
    print_table(f"{one['id']} {one['title']}", ["", ""], [*needs, *steps])
    for line in (one["run"], one["own"], f"groundup progress --done {one['id']}"):
        if line:
            click.echo(f"  {line}")


def _number(place: str) -> int:
    try:
        return int(place)
    except ValueError:
        raise click.UsageError(f"{place!r} is neither a chapter (5, L, P) nor a row or project (5.4, P.7)") from None

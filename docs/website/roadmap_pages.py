"""The roadmap as pages: one of all chapters, and one a chapter with its rows, their state, and the chapter's lesson where there is one."""

from __future__ import annotations

from collections.abc import Mapping

from groundup.learn.content import exercises_of, lab_facts, labs_of, lesson_path
from groundup.learn.exercises.grader import load_exercise
from groundup.learn.projects import load_projects
from groundup.learn.roadmap import Chapter, Roadmap, Row, load_roadmap
from groundup.studio.lesson import sections

from .links import Links, in_cell, plain
from .mathematics import draw_mathematics
from .reference import summaries

PROJECTS = "roadmap/projects.md"
STATUS = {"works": "works", "partly": "works in part", "planned": "planned"}


def chapter_page(number: int) -> str:
    return f"roadmap/chapter-{number:02d}.md"


def row_page(row_id: str) -> str:
    """Page and place of a row: roadmap/chapter-05.md#row-5-4."""
    return f"{chapter_page(int(row_id.partition('.')[0]))}#{_anchor(row_id)}"


def _anchor(row_id: str) -> str:
    return f"row-{row_id.replace('.', '-')}"


def roadmap_pages(links: Links) -> dict[str, str]:
    roadmap = load_roadmap()
    said = summaries(links.modules)
    pages = {"roadmap/index.md": _front(roadmap), PROJECTS: _projects(links)}
    for chapter in roadmap.chapters:
        pages[chapter_page(chapter.number)] = _chapter(chapter, roadmap, links, said)
    return pages


def roadmap_nav() -> list[object]:
    roadmap = load_roadmap()
    nav: list[object] = ["roadmap/index.md", {"Projects": PROJECTS}]
    for part in roadmap.parts:
        chapters = [c for c in roadmap.chapters if c.part == part.number]
        nav.append(
            {
                f"Part {part.number}: {part.title}": [
                    {f"{c.number}. {c.title}": chapter_page(c.number)} for c in chapters
                ]
            }
        )
    return nav


def _front(roadmap: Roadmap) -> str:
    rows = list(roadmap.rows())
    count = {status: sum(row.status == status for row in rows) for status in STATUS}
    parts = [
        "# Roadmap",
        f"{len(roadmap.chapters)} chapters, {len(rows)} rows: {count['works']} work, {count['partly']} work in part, {count['planned']} are "
        "planned. A row that works has code, a recipe that shows it and a test that proves it. `groundup roadmap` has the same in the "
        "terminal, with what you have done; [Labs and exercises](../guides/labs-and-exercises.md) says how to learn a row, "
        "and [projects](projects.md) are what one can show.",
    ]
    for part in roadmap.parts:
        weeks = f"{part.weeks[0]} to {part.weeks[1]} weeks"
        table = [
            f"| [{c.number}. {c.title}]({chapter_page(c.number).removeprefix('roadmap/')}) | {_bar(c)} | {c.difficulty} | {c.hours} h | "
            f"{', '.join(map(str, c.requires)) or '—'} |"
            for c in roadmap.chapters
            if c.part == part.number
        ]
        parts += [
            f"## Part {part.number}: {part.title}",
            f"{part.focus[0].upper()}{part.focus[1:]}. {weeks}, {part.difficulty}. {part.outcome}",
            "| chapter | rows that work | difficulty | time | after |\n|---|---|---|---|---|\n" + "\n".join(table),
        ]
    journey = [f"| {row.id} | {row.title} | {row.status} |" for row in roadmap.journey]
    parts += [
        "## The journey",
        "What carries a learner through the chapters.",
        "| row | what | status |\n|---|---|---|\n" + "\n".join(journey),
    ]
    return "\n\n".join(parts) + "\n"


def _projects(links: Links) -> str:
    """Every project: what teaches it, what runs it, and the steps that make a run into a project."""
    parts = [
        "# Projects",
        "What a learner can show: each is a recipe on data of one's own, with steps to do on the way. `groundup roadmap P.7` shows what of "
        "one is done, the studio has its steps to tick, and `groundup progress --portfolio me.html` puts the finished ones on a page.",
    ]
    for project in load_projects():
        rows = ", ".join(f"[{row}]({row_page(row).removeprefix('roadmap/')})" for row in project.rows)
        parts += [f"## {project.id} {project.title} {{#{project.id.replace('.', '-').lower()}}}", f"Taught by {rows}."]
        if project.recipes:
            named = ", ".join(f"[`{r}`]({links.relative(PROJECTS, 'recipes.md')}#{r})" for r in project.recipes)
            parts += [f"Recipes: {named}. On your own data:", f"```bash\n{project.command_line(own=True)}\n```"]
        else:
            parts.append("*Planned: no recipe runs it yet.*")
        parts.append("\n".join(f"- {plain(step)}" for step in project.steps))
    return "\n\n".join(parts) + "\n"


def _bar(chapter: Chapter) -> str:
    done = sum(row.status == "works" for row in chapter.rows)
    return f"{done} of {len(chapter.rows)}"


def _chapter(chapter: Chapter, roadmap: Roadmap, links: Links, said: Mapping[str, str]) -> str:
    page = chapter_page(chapter.number)
    lesson = _lesson(chapter.number, page, links)
    before = ", ".join(
        f"[{n}. {roadmap.chapter(n).title}]({chapter_page(n).removeprefix('roadmap/')})" for n in chapter.requires
    )
    facts = [f"{chapter.difficulty.capitalize()}; about {chapter.hours} hours with labs and exercises."]
    if before:
        facts.append(f"After {before}.")
    if chapter.needs:
        facts.append(f"It needs {', '.join(chapter.needs)}.")
    table = [
        f"| [{row.id}](#{_anchor(row.id)}) | {in_cell(plain(row.title))} | {STATUS[row.status]} | "
        f"{' '.join(labs_of(row.id)) or ''} | {' '.join(exercises_of(row.id)) or ''} |"
        for row in chapter.rows
    ]
    parts = [
        f"# {chapter.number}. {chapter.title}",
        " ".join(facts),
        lesson.pop("", ""),
        "| row | | state | labs | exercises |\n|---|---|---|---|---|\n" + "\n".join(table),
    ]
    for row in chapter.rows:
        parts += _row(row, lesson.pop(row.id, ""), page, links, said)
    if lesson:
        raise ValueError(f"the lesson of chapter {chapter.number} is about {', '.join(lesson)}, which is no row of it")
    parts += ["## Reading", "\n".join(f"- {plain(book)}" for book in chapter.resources)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(row: Row, lesson: str, page: str, links: Links, said: Mapping[str, str]) -> list[str]:
    parts = [f"## {row.id} {row.title} {{#{_anchor(row.id)}}}"]
    if row.status == "planned":
        return [*parts, lesson or "*Planned: nothing of it is in the library yet.*"]
    if row.status == "partly":
        parts.append("*Works in part.*")
    if lesson:
        parts.append(lesson)
    facts = []
    for address in row.api:
        module, _, name = address.partition(":")
        home = links.address(address)
        target = f"[`{address}`]({_to(links, page, home)})" if home else f"`{address}`"
        told = said.get(address) or said.get(module, "")
        facts.append(f"- code: {target}{': ' + in_cell(plain(told)) if told else ''}")
    for recipe in row.recipes:
        facts.append(f"- recipe: [`recipes/{recipe}.yaml`]({links.relative(page, 'recipes.md')}#{recipe})")
    for name in labs_of(row.id):
        facts.append(f"- lab: `groundup lab {name}`, {plain(lab_facts(name).title)}")
    for name in exercises_of(row.id):
        facts.append(f"- exercise: `groundup exercise start {name}`, {plain(load_exercise(name).title)}")
    if row.tests:
        facts.append("- proved by " + ", ".join(f"`tests/{test}`" for test in row.tests))
    if row.sources:
        facts.append("- sources: " + plain("; ".join(row.sources)))
    return [*parts, "\n".join(facts)]


def _to(links: Links, page: str, home: str) -> str:
    target, mark, anchor = home.partition("#")
    return links.relative(page, target) + mark + anchor


def _lesson(number: int, page: str, links: Links) -> dict[str, str]:
    """Row -> its part of the chapter's lesson, "" -> the opening; links and formulas ready."""
    path = lesson_path(number)
    if path is None:
        return {}
    found = {}
    for row, text in sections(path.read_text(encoding="utf-8")).items():
        try:
            found[row] = draw_mathematics(links.code(links.rewrite(text, page, path), page))
        except ValueError as error:
            raise ValueError(f"{path.parent.name}/{path.name}, {row or 'opening'}: {error}") from error
    return found

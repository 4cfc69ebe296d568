"""The roadmap as pages: one of all chapters, and one a chapter with its rows, their state, and the chapter's lesson where there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from groundup.learn.content import all_labs, exercises_of, labs_of
from groundup.learn.exercises.grader import load_exercise
from groundup.learn.roadmap import Chapter, Roadmap, Row, load_roadmap

from .links import Links, in_cell, plain
from .mathematics import draw_mathematics
from .reference import summaries
from .sources import ROOT

STATUS = {"works": "works", "partly": "works in part", "planned": "planned"}


def chapter_page(number: int) -> str:
    return f"roadmap/chapter-{number:02d}.md"


def lesson_file(number: int) -> Path | None:
    """The chapter's lesson in the checkout."""
    return next(iter(sorted((ROOT / "labs").glob(f"ch{number:02d}_*/lesson.md"))), None)


def roadmap_pages(links: Links) -> dict[str, str]:
    roadmap = load_roadmap()
    said = summaries(links.modules)
    pages = {"roadmap/index.md": _front(roadmap)}
    for chapter in roadmap.chapters:
        pages[chapter_page(chapter.number)] = _chapter(chapter, roadmap, links, said)
    return pages


def roadmap_nav() -> list[object]:
    roadmap = load_roadmap()
    nav: list[object] = ["roadmap/index.md"]
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
        "terminal, with what you have done; [Labs and exercises](../guides/labs-and-exercises.md) says how to learn a row.",
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
    return "\n\n".join(parts) + "\n"


def _bar(chapter: Chapter) -> str:
    done = sum(row.status == "works" for row in chapter.rows)
    return f"{done} of {len(chapter.rows)}"


def _chapter(chapter: Chapter, roadmap: Roadmap, links: Links, said: Mapping[str, str]) -> str:
    page = chapter_page(chapter.number)
    opening, sections = _lesson(chapter.number, page, links)
    before = ", ".join(
        f"[{n}. {roadmap.chapter(n).title}]({chapter_page(n).removeprefix('roadmap/')})" for n in chapter.requires
    )
    facts = [f"{chapter.difficulty.capitalize()}; about {chapter.hours} hours with labs and exercises."]
    if before:
        facts.append(f"After {before}.")
    if chapter.needs:
        facts.append(f"It needs {', '.join(chapter.needs)}.")
    table = [
        f"| [{row.id}](#row-{row.id.replace('.', '-')}) | {in_cell(plain(row.title))} | {STATUS[row.status]} | "
        f"{' '.join(labs_of(row.id)) or ''} | {' '.join(exercises_of(row.id)) or ''} |"
        for row in chapter.rows
    ]
    parts = [
        f"# {chapter.number}. {chapter.title}",
        " ".join(facts),
        opening,
        "| row | | state | labs | exercises |\n|---|---|---|---|---|\n" + "\n".join(table),
    ]
    for row in chapter.rows:
        parts += _row(row, sections.pop(row.id, ""), page, links, said)
    parts += [text for text in sections.values() if text]  # of a heading that is no row's: kept, at the end
    parts += ["## Reading", "\n".join(f"- {plain(book)}" for book in chapter.resources)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(row: Row, lesson: str, page: str, links: Links, said: Mapping[str, str]) -> list[str]:
    parts = [f"## {row.id} {row.title} {{#row-{row.id.replace('.', '-')}}}"]
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
    labs = all_labs()
    for name in labs_of(row.id):
        facts.append(f"- lab: `groundup lab {name}`, {plain(lab_title(labs[name]))}")
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


def lab_title(path: Path) -> str:
    match = re.search(r'Lab\("[^"]+", title="([^"]+)"', path.read_text(encoding="utf-8"))
    return match[1] if match else path.stem


def _lesson(number: int, page: str, links: Links) -> tuple[str, dict[str, str]]:
    """The chapter's opening, and the text of each row's section, headings one level down, links and formulas ready."""
    path = lesson_file(number)
    if path is None:
        return "", {}
    text = path.read_text(encoding="utf-8")
    try:
        text = draw_mathematics(links.code(links.rewrite(text, page, path), page))
    except ValueError as error:
        raise ValueError(f"{path.parent.name}/{path.name}: {error}") from error
    heads = list(_headings(text))
    starts = [(m.start(), m) for m in heads if len(m[1]) == 2]
    opening = text[: starts[0][0] if starts else len(text)]
    opening = re.sub(r"\A\s*# [^\n]*\n", "", opening).strip()
    sections: dict[str, str] = {}
    for n, (start, match) in enumerate(starts):
        end = starts[n + 1][0] if n + 1 < len(starts) else len(text)
        row = re.match(r"(\d+\.\d+)\b", match[2])
        body = text[match.end() : end].strip() if row else text[start:end].strip()
        key = row[1] if row else match[2]
        sections[key] = (sections[key] + "\n\n" + body) if key in sections else body
    return opening, sections


def _headings(text: str) -> list[re.Match[str]]:
    """Headings of Markdown that are not lines of a fence."""
    fences = [(m.start(), m.end()) for m in re.finditer(r"^```.*?^```[ \t]*$", text, re.S | re.M)]
    found = re.finditer(r"^(#+) (.+)$", text, re.M)
    return [m for m in found if not any(a <= m.start() < b for a, b in fences)]

"""The roadmap as a map: a lane for each part, a box for each chapter, a line from each chapter to those that build on it.

One piece of HTML, made from our own data and escaped all the same. Where the page is narrow the lanes become lists, and each chapter says
in words what it comes after. A line that other lines imply (0 to 2 where 0 leads to 1 and 1 to 2) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from groundup.learn.roadmap import Chapter, Part, Roadmap

from .learner import Standing

COLUMNS = 6
_HEAD, _BOX, _GAP = 2.9, 7.4, 1.9
"""Heights in rem, as in learn.css: a lane's heading, its boxes, the room below them."""
_PITCH = _HEAD + _BOX + _GAP
_UNIT = 16
"""Units of the drawing per rem, and a column is 100 wide; the width stretches to the page's."""


def places(roadmap: Roadmap) -> dict[int, tuple[int, int]]:
    """Chapter -> (lane, column). Part 0, one chapter, begins the lane of part 1; shorter lanes keep to the right, below those that
    they build on."""
    lanes: dict[int, list[int]] = {}
    for chapter in roadmap.chapters:
        lanes.setdefault(max(chapter.part, 1) - 1, []).append(chapter.number)
    return {
        number: (lane, column)
        for lane, numbers in lanes.items()
        for column, number in enumerate(numbers, start=COLUMNS - len(numbers))
    }


def links(roadmap: Roadmap) -> list[tuple[int, int]]:
    """(before, after), without those that follow from others."""
    found = []
    for chapter in roadmap.chapters:
        implied = {n for before in chapter.requires for n in roadmap.needed_for(before)}
        found += [(before, chapter.number) for before in chapter.requires if before not in implied]
    return found


def map_html(standing: Standing) -> str:
    """The whole map."""
    roadmap = standing.roadmap
    where = places(roadmap)
    lanes = max(lane for lane, _ in where.values()) + 1
    height = lanes * _PITCH
    body = "".join(_lane(standing, lane, where) for lane in range(lanes))
    return (
        f"<style>{_lit(roadmap)}</style>"
        f'<div class="rm-map" style="--lanes: {lanes}">'
        f'<svg class="rm-links" aria-hidden="true" viewBox="0 0 {COLUMNS * 100} {height * _UNIT:.0f}" '
        f'preserveAspectRatio="none" style="height: {height:.2f}rem">{"".join(_lines(roadmap, where))}</svg>{body}</div>'
    )


def _lane(standing: Standing, lane: int, where: dict[int, tuple[int, int]]) -> str:
    inside = []
    for part in standing.roadmap.parts:
        chapters = [c for c in standing.roadmap.chapters if c.part == part.number and where[c.number][0] == lane]
        if chapters:
            first = where[chapters[0].number][1]
            boxes = "".join(_box(standing, chapter, where[chapter.number][1]) for chapter in chapters)
            inside.append(
                f'<section class="rm-section" aria-labelledby="part-{part.number}">'
                f"{_heading(standing, part, chapters, first)}{boxes}</section>"
            )
    return f'<div class="rm-lane">{"".join(inside)}</div>'


def _heading(standing: Standing, part: Part, chapters: list[Chapter], first: int) -> str:
    done, total = sum(standing.done_in(c) for c in chapters), sum(len(c.rows) for c in chapters)
    span = f"grid-column: {first + 1} / span {len(chapters)}"
    told = f"{part.weeks[0]} to {part.weeks[1]} weeks" + (f" · {done} of {total} done" if done else "")
    told = told if len(chapters) > 1 else ""  # there is no room over a single box
    name = f"Part {part.number}" if len(chapters) > 1 else ""
    return (
        f'<header class="rm-part" style="{span}" title="{escape(part.outcome)}"><h2 id="part-{part.number}">'
        f"{f'<span>{name}</span> ' if name else ''}{escape(part.title)}</h2><p>{escape(told)}</p></header>"
    )


def _box(standing: Standing, chapter: Chapter, column: int) -> str:
    done = standing.done_in(chapter)
    is_next = standing.next_row.partition(".")[0] == str(chapter.number)
    state = "rm-next" if is_next else "rm-done" if done == len(chapter.rows) else ""
    corner = (
        "next"
        if is_next
        else "✓"
        if done == len(chapter.rows)
        else f"{done} of {len(chapter.rows)}"
        if done
        else f"{chapter.hours} h"
    )
    dots = "".join(f'<i class="{"done" if row.id in standing.rows else row.status}"></i>' for row in chapter.rows)
    after = f'<span class="rm-after">after {", ".join(map(str, chapter.requires))}</span>' if chapter.requires else ""
    return (
        f'<a class="rm-chapter c{chapter.number} {state}" href="/chapter/{chapter.number}" style="grid-column: {column + 1}" '
        f'aria-label="{escape(standing.told(chapter))}"><span class="rm-top"><b>{chapter.number}</b><span>{corner}</span></span>'
        f'<span class="rm-title">{escape(chapter.title)}</span><span class="rm-dots">{dots}{after}</span></a>'
    )


def _lines(roadmap: Roadmap, where: dict[int, tuple[int, int]]) -> Iterator[str]:
    for before, after in links(roadmap):
        (lane, column), (to_lane, to_column) = where[before], where[after]
        x, to_x = 100 * column + 50, 100 * to_column + 50
        if lane == to_lane and to_column == column + 1:  # behind the boxes, seen between them
            y = (lane * _PITCH + _HEAD + _BOX / 2) * _UNIT
            path = f"M{x} {y:.0f}H{to_x}"
        elif lane == to_lane:  # over a box or more: a bow below them
            y = (lane * _PITCH + _HEAD + _BOX) * _UNIT
            low = y + min(_GAP * 1.2, 0.8 + 0.4 * abs(to_column - column)) * _UNIT
            path = f"M{x} {y:.0f}C{x + 14} {low:.0f} {to_x - 14} {low:.0f} {to_x} {y:.0f}"
        else:
            y, to_y = (lane * _PITCH + _HEAD + _BOX) * _UNIT, (to_lane * _PITCH + _HEAD) * _UNIT
            half = (to_y - y) / 2
            path = f"M{x} {y:.0f}C{x} {y + half:.0f} {to_x} {to_y - half:.0f} {to_x} {to_y:.0f}"
        yield f'<path class="f{before} t{after}" d="{path}"/>'


def _lit(roadmap: Roadmap) -> str:
    """Over a chapter, its own lines come forward: what it builds on, and what builds on it."""
    rules = []
    for chapter in roadmap.chapters:
        n = chapter.number
        over = f".rm-map:has(.c{n}:is(:hover,:focus-visible))"
        rules.append(f"{over} .t{n}{{stroke:var(--q-primary);stroke-width:2;opacity:1}}")
        rules.append(f"{over} .f{n}{{stroke:var(--ink);stroke-width:1.6;opacity:.75}}")
        if chapter.requires:
            before = ",".join(f".c{b}" for b in chapter.requires)
            rules.append(f"{over} :is({before}){{border-color:var(--q-primary)}}")
    return "".join(rules)

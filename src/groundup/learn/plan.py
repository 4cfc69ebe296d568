"""A dated plan: a path, hours a week and a first day make a date for every row, with a milestone at the end of each stretch.

A row takes its share of its chapter's hours. Rows already done take none: planning again from progress moves what is left. Written
as Markdown and as a calendar (RFC 5545, all-day events), whose names stay the same from plan to plan, so that importing a new plan
moves the old entries.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ..core.errors import ConfigError
from .paths import LearningPath, load_paths
from .roadmap import Roadmap, Row, load_roadmap

_FOLD_BYTES = 75
"""Longest line of a calendar file (RFC 5545, 3.1)."""
_MAX_HOURS = 168.0


@dataclass(frozen=True, kw_only=True)
class Item:
    """One row to learn, or a milestone (no row, no hours)."""

    stretch: str
    title: str
    first: date
    last: date
    hours: float = 0.0
    row: str = ""
    chapter: int | None = None

    @property
    def is_milestone(self) -> bool:
        return not self.row


@dataclass(frozen=True, kw_only=True)
class Plan:
    path: str
    title: str
    outcome: str
    hours_per_week: float
    start: date
    items: tuple[Item, ...]
    done: int
    """Rows that were done before."""
    notes: tuple[str, ...]
    """Where the path leaves out, or puts later, what a chapter builds on."""

    @property
    def end(self) -> date:
        return max((item.last for item in self.items), default=self.start)

    @property
    def hours(self) -> float:
        return sum(item.hours for item in self.items)


def make_plan(path: str, *, hours_per_week: float, start: date, done: Collection[str] = ()) -> Plan:
    """The plan for a path (an id of paths.yaml). ConfigError for hours that no week has, or a path that does not exist."""
    if not (math.isfinite(hours_per_week) and 0 < hours_per_week <= _MAX_HOURS):
        raise ConfigError(
            f"{hours_per_week} hours a week; a week has more than 0 and at most {_MAX_HOURS:.0f}", path="hours"
        )
    roadmap, chosen = load_roadmap(), load_paths().path(path)
    items: list[Item] = []
    spent = 0.0
    skipped = 0

    def day(hours: float) -> date:
        return start + timedelta(days=math.floor(hours / hours_per_week * 7 + 1e-9))

    seen: set[str] = set()
    for stretch in chosen.stretches:
        for chapter_number, row in _rows_of(roadmap, stretch.chapters, stretch.rows):
            if row.id in seen:
                continue
            seen.add(row.id)
            if row.id in done:
                skipped += 1
                continue
            chapter = roadmap.chapter(chapter_number)
            hours = chapter.hours / len(chapter.rows)
            try:
                # The last day on which some of its hours lie.
                last = (
                    day(spent + hours)
                    if (spent + hours) / hours_per_week * 7 % 1
                    else day(spent + hours) - timedelta(days=1)
                )
                items.append(Item(stretch=stretch.title, title=f"{row.id} {row.title}", first=day(spent),
                                  last=max(day(spent), last), hours=round(hours, 2), row=row.id, chapter=chapter_number))  # fmt: skip
            except OverflowError:
                raise ConfigError(
                    f"{hours_per_week} hours a week do not end before the calendar does", path="hours"
                ) from None
            spent += hours
        when = items[-1].last if items else start
        items.append(Item(stretch=stretch.title, title=stretch.milestone, first=when, last=when))
    return Plan(
        path=chosen.id, title=chosen.title, outcome=chosen.outcome, hours_per_week=hours_per_week, start=start,
        items=tuple(items), done=skipped, notes=tuple(_notes(roadmap, chosen)),
    )  # fmt: skip


def _rows_of(roadmap: Roadmap, chapters: Collection[int], rows: Collection[str]) -> Iterator[tuple[int, Row]]:
    for number in chapters:
        for row in roadmap.chapter(number).rows:
            if not rows or row.id in rows or not any(r.partition(".")[0] == str(number) for r in rows):
                yield number, row


def _notes(roadmap: Roadmap, path: LearningPath) -> Iterator[str]:
    """Prerequisites that are not met when a chapter begins."""
    order = list(dict.fromkeys(n for stretch in path.stretches for n in stretch.chapters))
    for place, number in enumerate(order):
        for needed in roadmap.chapter(number).requires:
            what = f"Chapter {number} ({roadmap.chapter(number).title}) builds on {needed} ({roadmap.chapter(needed).title})"
            if needed not in order:
                yield f"{what}, which this path takes as known."
            elif order.index(needed) > place:
                yield f"{what}, which this plan teaches later: read its lesson first."


def against(plan: Plan, done: Collection[str], today: date) -> float:
    """Days ahead of the plan (negative: behind): what is done, in hours, against what should be done by yesterday."""
    rows = [item for item in plan.items if not item.is_milestone]
    should = sum(item.hours for item in rows if item.last < today)
    finished = sum(item.hours for item in rows if item.row in done)
    return (finished - should) / plan.hours_per_week * 7


def to_markdown(plan: Plan) -> str:
    lines = [
        f"# {plan.title}",
        "",
        f"{plan.outcome} {plan.hours:.0f} hours, {plan.hours_per_week:g} a week: {plan.start} to {plan.end}.",
        *(f"\n> {note}" for note in plan.notes),
    ]
    stretch = None
    for item in plan.items:
        if item.stretch != stretch:
            stretch = item.stretch
            lines += ["", f"## {stretch}", "", "| from | to | what | hours |", "|---|---|---|---|"]
        if item.is_milestone:
            lines.append(f"| | **{item.last}** | **Milestone: {item.title}** | |")
        else:
            lines.append(f"| {item.first} | {item.last} | {item.title} | {item.hours:.1f} |")
    return "\n".join(lines) + "\n"


def to_calendar(plan: Plan, *, now: datetime | None = None) -> str:
    """An .ics file: an all-day event for each row and milestone."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//groundup//plan//EN", "CALSCALE:GREGORIAN",
             f"X-WR-CALNAME:{_escaped(f'groundup: {plan.title}')}"]  # fmt: skip
    for number, item in enumerate(plan.items):
        name = item.row or f"milestone-{number}"
        told = f"groundup roadmap {item.row}" if item.row else "Milestone"
        lines += [
            "BEGIN:VEVENT",
            f"UID:{plan.path}-{name}@groundup",
            f"DTSTAMP:{stamp}",
            f"DTSTART;VALUE=DATE:{item.first:%Y%m%d}",
            f"DTEND;VALUE=DATE:{item.last + timedelta(days=1):%Y%m%d}",  # the end is not part of it (3.6.1)
            f"SUMMARY:{_escaped(item.title if item.row else f'Milestone: {item.title}')}",
            f"DESCRIPTION:{_escaped(told)}",
            f"CATEGORIES:{_escaped(item.stretch)}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(part + "\r\n" for line in lines for part in _folded(line))


def _escaped(text: str) -> str:
    for plain, written in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        text = text.replace(plain, written)
    return text


def _folded(line: str) -> Iterator[str]:
    """Lines of at most 75 bytes, never cut inside a character; continuations begin with a space."""
    piece = ""
    for character in line:
        if len((piece + character).encode()) > _FOLD_BYTES:
            yield piece
            piece = " "
        piece += character
    yield piece

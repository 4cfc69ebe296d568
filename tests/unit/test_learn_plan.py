"""Paths recommended, dates that add up, prerequisites, calendars that other programs read, plans made again from progress."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core.errors import ConfigError
from groundup.learn.assessment import recommend
from groundup.learn.paths import load_paths
from groundup.learn.plan import against, make_plan, to_calendar, to_markdown
from groundup.learn.roadmap import load_roadmap

PATHS = [path.id for path in load_paths().paths]
START = date(2027, 1, 4)


@pytest.mark.row("L.2")
@pytest.mark.parametrize(
    ("scores", "goal", "path"),
    [
        ({}, "learn", "complete-beginner"),
        ({"python": 1, "deep_learning": 5}, "apps", "complete-beginner"),
        ({"python": 2}, "learn", "complete-beginner"),
        ({"python": 3}, "learn", "quick-start"),
        ({"python": 4, "machine_learning": 3}, "build", "advanced"),
        ({"python": 4, "machine_learning": 3}, "apps", "llm-engineering"),
    ],
)
def test_recommendations(scores: dict[str, int], goal: str, path: str) -> None:
    found = recommend(scores, goal)
    assert found.path == path and found.why and found.title


@pytest.mark.row("L.2")
def test_refreshers_are_those_that_are_low_and_research_asks_for_more() -> None:
    told = recommend({"python": 3, "git": 1, "command_line": 1, "linear_algebra": 2, "statistics": 1}).refreshers
    assert len(told) == 1 and told[0].startswith("probability and statistics (1 of the 2")
    assert len(recommend({"python": 3, "linear_algebra": 2}, "research").refreshers) == 9


@pytest.mark.row("L.2")
def test_scores_that_are_none() -> None:
    for bad, match in (
        ({"python": 6}, "1 .never used. to 5"),
        ({"pyhton": 3}, "no such skill"),
        ({"git": True}, "1 .never"),
    ):
        with pytest.raises(ConfigError, match=match):
            recommend(bad)
    with pytest.raises(ConfigError, match="no goal"):
        recommend({}, "fame")


@pytest.mark.row("L.3")
@given(
    path=st.sampled_from(PATHS),
    hours=st.floats(0.5, 80),
    days=st.integers(0, 4000),
    seed=st.randoms(use_true_random=False),
)
def test_dates_add_up(path: str, hours: float, days: int, seed) -> None:  # type: ignore[no-untyped-def]
    rows = [row.id for row in load_roadmap().rows()]
    done = set(seed.sample(rows, seed.randrange(len(rows))))
    start = START + timedelta(days=days)
    plan = make_plan(path, hours_per_week=hours, start=start, done=done)
    items = [item for item in plan.items if not item.is_milestone]
    assert not {item.row for item in items} & done and len({item.row for item in items}) == len(items)
    assert all(item.first <= item.last for item in items)
    assert all(a.first <= b.first for a, b in zip(plan.items, plan.items[1:], strict=False))
    weeks = sum(item.hours for item in items) / hours
    assert abs((plan.end - start).days - 7 * weeks) <= 1.5
    assert sum(item.is_milestone for item in plan.items) == len(load_paths().path(path).stretches)
    # Told as known, taught later, or taught before: nothing that a chapter builds on is passed over in silence.
    order = list(
        dict.fromkeys(item.chapter for item in make_plan(path, hours_per_week=6, start=START).items if item.row)
    )
    for place, number in enumerate(order):
        for needed in load_roadmap().chapter(number).requires:
            before = needed in order[:place]
            assert before or any(n.startswith(f"Chapter {number} ") and f"builds on {needed} " in n for n in plan.notes)


@pytest.mark.row("L.3")
@pytest.mark.parametrize("path", PATHS)
def test_the_calendar_is_read_by_a_calendar(path: str) -> None:
    plan = make_plan(path, hours_per_week=6, start=START)
    text = to_calendar(plan, now=datetime(2027, 1, 1))
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    events = icalendar.Calendar.from_ical(text).walk("VEVENT")
    assert len(events) == len(plan.items)
    for event, item in zip(events, plan.items, strict=True):
        assert event.decoded("dtstart") == item.first and event.decoded("dtend") == item.last + timedelta(days=1)
        assert str(event["summary"]) == (item.title if item.row else f"Milestone: {item.title}")
    assert len({str(event["uid"]) for event in events}) == len(events)


@pytest.mark.row("L.3")
def test_planned_again_the_old_entries_move() -> None:
    first = make_plan("quick-start", hours_per_week=6, start=START)
    rows = [item.row for item in first.items if item.row]
    again = make_plan("quick-start", hours_per_week=6, start=START + timedelta(days=30), done=rows[:4])
    names = [{str(e["uid"]) for e in icalendar.Calendar.from_ical(to_calendar(p)).walk("VEVENT") if "milestone" not in e["uid"]}
             for p in (first, again)]  # fmt: skip
    assert names[1] < names[0] and again.done == 4
    assert again.items[0].row == rows[4] and again.items[0].first == START + timedelta(days=30)


@pytest.mark.row("L.3")
def test_early_and_late() -> None:
    plan = make_plan("quick-start", hours_per_week=6, start=START)
    rows = [item for item in plan.items if item.row]
    when = rows[3].last + timedelta(days=1)
    assert against(plan, {item.row for item in rows[:4]}, when) == pytest.approx(0)
    assert against(plan, {item.row for item in rows[:6]}, when) == pytest.approx(
        (rows[4].hours + rows[5].hours) / 6 * 7
    )
    assert against(plan, set(), when) < -10


@pytest.mark.row("L.3")
def test_markdown_has_every_row_and_bad_hours_are_refused() -> None:
    plan = make_plan("eight-weeks", hours_per_week=8, start=START)
    text = to_markdown(plan)
    assert all(item.title in text for item in plan.items)
    for hours in (0, -1, 200, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="hours"):
            make_plan("quick-start", hours_per_week=hours, start=START)
    with pytest.raises(ConfigError, match="calendar"):
        make_plan("complete-beginner", hours_per_week=1e-3, start=START)

"""What the roadmap page says: standing from the record, the map's links and places, and nothing on it that could run."""

from __future__ import annotations

import dataclasses
import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from groundup.learn.content import all_labs
from groundup.learn.exercises import EXERCISES
from groundup.learn.progress import Progress
from groundup.learn.roadmap import load_roadmap
from groundup.learn.standing import next_step, rows_done
from groundup.studio.learner import minutes_told, pace_told, read_standing
from groundup.studio.map_drawing import COLUMNS, links, map_html, places

pytestmark = pytest.mark.row("L.8")
TODAY = date(2027, 1, 4)


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "progress.db")


def test_a_new_learner_stands_at_nothing(progress: Progress) -> None:
    standing = read_standing(progress, TODAY)
    assert standing.counts() == [
        ("rows", 0, 166),
        ("exercises", 0, len(EXERCISES)),
        ("labs", 0, len(all_labs())),
        ("projects", 0, 26),
    ]
    assert standing.plan is None and standing.next_row == "" and standing.hours[0] == 0
    assert sum(standing.statuses().values()) == 166
    assert not progress.path.exists(), "looking writes nothing"


def test_the_record_is_read_as_the_command_line_reads_it(progress: Progress) -> None:
    for kind, name, detail in (
        ("row", "0.1", {}), ("row", "0.2", {}), ("row", "0.2", {"undone": True}), ("row", "77.7", {}),
        ("exercise", "5.1", {}), ("exercise", "gone", {}), ("capstone", "P.2", {}), ("capstone", "P.3", {"undone": True}),
    ):  # fmt: skip
        progress.add(kind, name, detail)  # type: ignore[arg-type]
    standing = read_standing(progress, TODAY)
    assert standing.rows >= {"0.1"} and "0.2" not in standing.rows
    assert "77.7" not in standing.rows, "a row that the roadmap no longer has counts for nothing"
    assert standing.rows == rows_done(progress) - {"77.7"}
    assert standing.exercises == {"5.1"} and standing.projects == {"P.2"}
    first = load_roadmap().chapter(0)
    assert standing.done_in(first) == 1 and standing.hours[0] == pytest.approx(first.hours / len(first.rows))


def test_a_row_is_done_by_all_its_exercises_and_labs(progress: Progress) -> None:
    exercises = [name for name in EXERCISES if re.match(r"5\.5[b-z]?$", name)]
    labs = [name for name in all_labs() if re.match(r"5\.5[b-z]?$", name)]
    assert len(exercises) > 1
    for name in exercises[:-1]:
        progress.add("exercise", name)
    for name in labs:
        progress.add("lab", name)
    assert "5.5" not in read_standing(progress).rows
    progress.add("exercise", exercises[-1])
    standing = read_standing(progress)
    assert "5.5" in standing.rows and "5.5" not in standing.marked


def test_the_next_step_is_the_plans(progress: Progress) -> None:
    progress.add("plan", "quick-start", {"hours": 6.0, "start": str(TODAY), "done": []})
    standing = read_standing(progress, TODAY + timedelta(days=14))
    assert standing.plan is not None and standing.next_row == "1.1" == next_step(progress, TODAY)["row"]
    assert standing.days_ahead < -7 and pace_told(standing.days_ahead).endswith("days behind")
    html = map_html(standing)
    assert html.count("rm-next") == 1 and re.search(r'c1 rm-next" href="/chapter/1"', html)


def test_pace_and_minutes_in_words() -> None:
    assert [pace_told(d) for d in (0.4, 1.2, -1.0, 7.6)] == [
        "on the day",
        "1 day ahead",
        "1 day behind",
        "8 days ahead",
    ]
    assert [minutes_told(s) for s in (0, 20, 95, 300)] == [
        "a minute or so", "about 20 seconds", "about 2 minutes", "about 5 minutes",
    ]  # fmt: skip


def test_every_prerequisite_is_on_the_map_or_follows_from_it() -> None:
    roadmap = load_roadmap()
    drawn = links(roadmap)
    reach: dict[int, set[int]] = {}
    for chapter in roadmap.chapters:
        direct = {before for before, after in drawn if after == chapter.number}
        reach[chapter.number] = direct.union(*(reach[n] for n in direct)) if direct else set()
        assert reach[chapter.number] == set(roadmap.needed_for(chapter.number)), chapter.number
    assert (0, 2) not in drawn and (1, 2) in drawn, "what follows from other lines is not drawn"


def test_no_two_chapters_share_a_place() -> None:
    where = places(load_roadmap())
    assert len(set(where.values())) == 23 and all(0 <= column < COLUMNS for _, column in where.values())
    assert where[0] == (0, 0) and where[5] == (0, 5) and where[22] == (3, 5)


def test_every_chapter_has_a_link_and_a_name_for_those_who_hear_it(progress: Progress) -> None:
    progress.add("row", "5.4")
    html = map_html(read_standing(progress))
    labels = dict(re.findall(r'href="/chapter/(\d+)"[^>]*aria-label="([^"]+)"', html))
    assert len(labels) == 23 and labels["5"].startswith("Chapter 5: The transformer. 1 of 6 rows done;")
    assert labels["18"].endswith("after 4 and 17.")
    assert html.count("<i class=") == 166 and html.count('<i class="done">') == 1


def test_titles_are_text(progress: Progress) -> None:
    standing = read_standing(progress)
    evil = dataclasses.replace(standing.roadmap.chapters[0], title="<img src=x onerror=alert(1)>\"'")
    roadmap = dataclasses.replace(standing.roadmap, chapters=(evil, *standing.roadmap.chapters[1:]))
    html = map_html(dataclasses.replace(standing, roadmap=roadmap))
    assert "<img" not in html and "&lt;img src=x onerror=alert(1)&gt;&quot;" in html

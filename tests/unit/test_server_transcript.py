"""Model text cut into prose and code, and the conversation as the page keeps it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.server.transcript import Segment, Transcript, segments

pytestmark = pytest.mark.row("17.6")


def test_fences_make_code() -> None:
    text = "Before\n\n```python\ndef f():\n    return 1\n```\nafter ``` not a fence"
    assert segments(text) == [
        Segment("Before"),
        Segment("def f():\n    return 1", True, "python"),
        Segment("after ``` not a fence"),
    ]
    assert segments("") == [] and segments("  ") == []
    assert segments("```\nstill being") == [Segment("still being", True)]
    assert segments("a\n```") == [Segment("a"), Segment("", True)]
    assert segments("a\x1b[31m\u202eb\r\n\tc\x00") == [Segment("a[31mb\n\tc")]


@given(st.lists(st.sampled_from(["```\n", "```py\n", "a", "b\n", "\n", " ", "日"])))
def test_nothing_but_fences_and_blank_lines_is_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    kept = "".join(line for line in text.split("\n") if not line.lstrip().startswith("```"))
    shown = "".join(segment.text for segment in segments(text)).replace("\n", "")
    assert shown.replace(" ", "") == kept.replace(" ", "")


@given(st.text(alphabet="`ab\n ", max_size=60))
def test_what_is_drawn_only_grows_at_its_end(text: str) -> None:
    """While an answer streams in, what has been drawn before its last line begins stays as it is."""
    whole = segments(text)
    for cut in range(len(text)):
        before = segments(text[:cut])
        if len(before) > 1 and text[:cut].endswith("\n"):
            assert whole[: len(before) - 1] == before[:-1]


def test_the_oldest_turn_goes_first_and_a_failed_one_is_taken_back() -> None:
    talk = Transcript()
    for i in range(3):
        talk.asked(f"q{i}")
        talk.answered(f"a{i}")
    talk.asked("q3")
    assert talk.forget_oldest()
    assert [m["content"] for m in talk.prompt()] == ["q1", "a1", "q2", "a2", "q3"]
    assert talk.forget_oldest() and talk.forget_oldest() and not talk.forget_oldest()
    assert [m["content"] for m in talk.prompt()] == ["q3"]
    talk.take_back()
    assert talk.prompt() == ()
    talk.take_back()
    assert talk.prompt() == ()

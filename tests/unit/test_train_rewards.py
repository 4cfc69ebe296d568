"""What a sample earns: every field of the shaped reward, mentions, and rewards of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from groundup.core.config import Use
from groundup.core.errors import ConfigError, TrainingError
from groundup.core.types import Completion, TaskExample, Usage, Verdict
from groundup.train.rewards import RewardConfig, ShapedReward, build_reward, mentions, rewards_of

pytestmark = pytest.mark.row("10.5")


def said(text: str = "so 7", tokens: int = 4, reason: Any = "stop") -> Completion:
    usage = Usage(prompt_tokens=1, completion_tokens=tokens)
    return Completion(text=text, token_ids=(1,) * tokens, logprobs=(), finish_reason=reason, usage=usage)


ASKED = TaskExample(id="p1", prompt="3 + 4?", answer="7")
RIGHT, WRONG = Verdict(score=1.0, details={"format": 1.0}), Verdict(score=0.0, details={"format": 0.0})


@pytest.mark.parametrize(
    ("fields", "completion", "verdict", "earned"),
    [
        ({}, said(), RIGHT, 1.0),
        ({}, said(), WRONG, 0.0),
        ({}, said(), Verdict(score=0.25), 0.25),
        ({"right": 3.0}, said(), RIGHT, 3.0),
        ({"right": 0.0}, said(), RIGHT, 0.0),
        ({"format": 0.5}, said(), RIGHT, 1.5),
        ({"format": 0.5}, said(), Verdict(score=0.0, details={"format": 1.0}), 0.5),  # a final answer, though wrong
        ({"format": 0.5}, said(), WRONG, 0.0),
        ({"format": 0.5}, said(), Verdict(score=1.0), 1.0),  # a judge that says nothing of a form
        ({"length_penalty": 0.25}, said(tokens=3), RIGHT, 0.25),
        ({"length_penalty": 0.25, "free_tokens": 2}, said(tokens=3), RIGHT, 0.75),
        ({"length_penalty": 0.25, "free_tokens": 5}, said(tokens=3), RIGHT, 1.0),  # nothing is earned by being shorter
        ({"cut_off": -0.5}, said(reason="length"), WRONG, -0.5),
        ({"cut_off": -0.5}, said(), RIGHT, 1.0),
        ({"believe": "mention"}, said("maybe 7, maybe 8"), WRONG, 1.0),
        ({"believe": "mention"}, said("maybe 8"), RIGHT, 0.0),
        ({"reward_model": 2.0}, said(), RIGHT, 1.0),  # which is added where the reward model is asked
        (
            {"right": 2.0, "format": 0.5, "length_penalty": 0.125, "free_tokens": 1, "cut_off": -1.0},
            said(tokens=5, reason="length"), RIGHT, 2.0 + 0.5 - 0.5 - 1.0,
        ),
    ],
)  # fmt: skip
def test_what_a_sample_earns(fields: dict[str, Any], completion: Completion, verdict: Verdict, earned: float) -> None:
    assert ShapedReward(RewardConfig(**fields))(ASKED, completion, verdict) == pytest.approx(earned)


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("7", "7", True),
        ("it is 7.", "7", True),
        ("7, I think", "7", True),
        ("17", "7", False),
        ("70", "7", False),
        ("7.5", "7", False),
        ("1.7", "7", False),
        ("x7", "7", False),
        ("7x", "7", False),
        ("= -7", "-7", True),
        ("a.b", "a.b", True),
        ("axb", "a.b", False),
        ("the (cat)", "(cat)", True),
        ("", "7", False),
    ],
)
def test_mentions(text: str, answer: str, found: bool) -> None:
    assert mentions(text, answer) is found


OWN = """
class Own:
    def __init__(self, times=1.0):
        self.times = times

    def __call__(self, example, completion, verdict):
        return self.times * len(completion.text) + (example.answer == "7") - verdict.score


class NoCall:
    pass


class Spoilt:
    def __init__(self, value):
        self.value = {"nan": float("nan"), "none": None, "text": "0.5"}.get(value, 1)

    def __call__(self, example, completion, verdict):
        return self.value


def function(example, completion, verdict):
    return 1.0
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path / "mine.py"


def test_the_users_own(own: Path) -> None:
    reward = build_reward(Use(use=f"{own}:Own", args={"times": 2.0}))
    assert rewards_of(reward, [ASKED], [said("abc")], [Verdict(score=0.5)]) == [6.5]
    assert isinstance(build_reward(RewardConfig()), ShapedReward)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("NoCall", {}, "cannot be called"),
        ("Own", {"tims": 2.0}, "tims"),
        ("function", {}, "cannot be made"),
        ("Missing", {}, "Missing"),
    ],
)
def test_what_is_no_reward_is_said_before_anything_runs(
    own: Path, name: str, args: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_reward(Use(use=f"{own}:{name}", args=args))
    assert name == "Missing" or "__call__" in caught.value.hint


@pytest.mark.parametrize("value", ["nan", "none", "text"])
def test_a_reward_that_is_no_number_names_the_problem(own: Path, value: str) -> None:
    reward = build_reward(Use(use=f"{own}:Spoilt", args={"value": value}))
    with pytest.raises(TrainingError, match=r"'p1'.*finite number"):
        rewards_of(reward, [ASKED], [said()], [RIGHT])
    assert rewards_of(build_reward(Use(use=f"{own}:Spoilt", args={"value": "int"})), [ASKED], [said()], [RIGHT]) == [
        1.0
    ]

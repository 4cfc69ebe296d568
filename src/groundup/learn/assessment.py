"""Where a learner stands (skills from 1, never used, to 5, expert), and which path that recommends, with the reasons.

Low scores recommend a refresher; they never shut a door.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.config import did_you_mean
from ..core.errors import ConfigError
from .paths import load_paths

GOALS = {
    "learn": "understand language models from the ground up",
    "build": "train and fine-tune models of my own",
    "apps": "put applications and agents into production soon",
    "research": "do research on models",
}
_PROGRAMS, _KNOWS_LEARNING = 3, 3
"""From these on a person programs, and has trained models (3 of 5: has used it in projects)."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    path: str
    title: str
    why: tuple[str, ...]
    refreshers: tuple[str, ...]
    """What to look at first, and why."""


def recommend(scores: Mapping[str, Any], goal: str = "learn") -> Recommendation:
    """The path for skills scored 1 to 5 (a skill left out counts as 1). ConfigError names a bad score, skill or goal."""
    skills = load_paths().skills
    if goal not in GOALS:
        raise ConfigError(
            f"{goal!r} is no goal; there are {', '.join(GOALS)}", path="goal", hint=did_you_mean(goal, list(GOALS))
        )
    for name, score in scores.items():
        if name not in skills:
            raise ConfigError("no such skill", path=name, hint=did_you_mean(name, list(skills)))
        if not isinstance(score, int) or isinstance(score, bool) or not 1 <= score <= 5:
            raise ConfigError(f"a score is 1 (never used) to 5 (expert), not {score!r}", path=name)
    level = {name: int(scores.get(name, 1)) for name in skills}
    path, why = _path(level, goal)
    research = goal == "research"
    refreshers = tuple(
        f"{skill.title} ({level[name]} of the {wanted} that help): {skill.refresher}"
        for name, skill in skills.items()
        if level[name] < (wanted := skill.research if research else skill.minimum)
    )
    return Recommendation(path=path, title=load_paths().path(path).title, why=tuple(why), refreshers=refreshers)


def _path(level: Mapping[str, int], goal: str) -> tuple[str, list[str]]:
    programs = level["python"]
    knows = max(level["machine_learning"], level["deep_learning"])
    if programs < 2:
        return "complete-beginner", [
            f"Python is at {programs}: the first chapter is taken slowly, with the language itself.",
            "Every later path begins where this one ends.",
        ]
    if goal == "apps":
        return "llm-engineering", [
            "Your goal is applications soon: tokenization, embeddings and the transformer, then retrieval, agents and operations.",
            "Chapters it leaves out can be read when a question leads there.",
        ]
    if knows >= _KNOWS_LEARNING and programs >= _PROGRAMS:
        return "advanced", [
            f"You have trained models (machine or deep learning at {knows}): part 1 is for looking things up.",
            "It begins with data and pre-training.",
        ]
    if programs >= _PROGRAMS:
        return "quick-start", [
            f"You program (Python at {programs}) and are new to models: chapter 1 explains what it needs as it goes.",
        ]
    return "complete-beginner", [
        f"Python at {programs} carries you through chapter 0, which brings the mathematics and classic learning.",
    ]

"""Paths and classic plans through the roadmap, and the skills that choose between them (paths.yaml)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path as File
from typing import Literal

from ..core.config import did_you_mean
from ..core.errors import ConfigError
from .roadmap import load_roadmap, made, read_data

FILE = File(__file__).with_name("paths.yaml")


@dataclass(frozen=True, kw_only=True)
class Skill:
    title: str
    minimum: int
    """From here on no refresher is needed; 0: optional."""
    research: int
    """The same for research."""
    refresher: str


@dataclass(frozen=True, kw_only=True)
class Stretch:
    title: str
    chapters: tuple[int, ...]
    milestone: str
    rows: tuple[str, ...] = ()
    """Only these of the chapters; (): all."""
    weeks: tuple[int, int] | None = None
    """Of classic plans, as published."""


@dataclass(frozen=True, kw_only=True)
class LearningPath:
    id: str
    title: str
    kind: Literal["start", "classic"]
    audience: str
    outcome: str
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, kw_only=True)
class Paths:
    skills: dict[str, Skill]
    paths: tuple[LearningPath, ...]

    def path(self, path_id: str) -> LearningPath:
        for path in self.paths:
            if path.id == path_id:
                return path
        names = [path.id for path in self.paths]
        raise ConfigError(
            f"there is no path {path_id!r}; there are {', '.join(names)}", hint=did_you_mean(path_id, names)
        )


@cache
def load_paths(file: File = FILE) -> Paths:
    """ConfigError names what is wrong in the file."""
    raw = read_data(file)
    skills = {name: made(Skill, skill, f"skills.{name}") for name, skill in raw["skills"].items()}
    found = []
    known = {row.id for row in load_roadmap().rows()}
    for n, path in enumerate(raw["paths"]):
        stretches = tuple(made(Stretch, s, f"paths.{n}.stretches.{i}") for i, s in enumerate(path["stretches"]))
        for stretch in stretches:
            for row in stretch.rows:
                if row not in known:
                    raise ConfigError(f"there is no row {row!r}", path=f"paths.{n}")
        found.append(made(LearningPath, {**path, "stretches": stretches}, f"paths.{n}"))
    return Paths(skills=skills, paths=tuple(found))

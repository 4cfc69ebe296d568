"""The roadmap as data: parts, chapters and rows (roadmap.yaml), read into frozen dataclasses.

A row names what makes it work: addresses of the API, recipes, tests, labs, exercises. Labs and exercises are found where they
are (labs/, learn/exercises/), so that the file names nothing twice; `tests/docs/test_roadmap.py` resolves every address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from ..core.config import did_you_mean
from ..core.errors import ConfigError

Status = Literal["works", "partly", "planned"]
FILE = Path(__file__).with_name("roadmap.yaml")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Row:
    id: str
    """Chapter and number: "5.4"."""
    title: str
    status: Status = "planned"
    api: tuple[str, ...] = ()
    """module:name, or a module."""
    recipes: tuple[str, ...] = ()
    """File names in recipes/ without the suffix."""
    tests: tuple[str, ...] = ()
    """Files below tests/ that prove it; each is marked with the row."""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chapter:
    number: int
    title: str
    part: int
    difficulty: str
    hours: int
    """A learner's, with labs and exercises."""
    requires: tuple[int, ...]
    """Chapters that come before."""
    needs: tuple[str, ...] = ()
    """What else one should know, in words."""
    resources: tuple[str, ...] = ()
    """Books, courses and papers by author and title."""
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    number: int
    title: str
    focus: str
    skills: tuple[str, ...]
    weeks: tuple[int, int]
    difficulty: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Roadmap:
    parts: tuple[Part, ...]
    chapters: tuple[Chapter, ...]
    journey: tuple[Row, ...] = ()
    """Rows L.1 to L.8, of no chapter: what carries a learner through the others."""

    def chapter(self, number: int) -> Chapter:
        for chapter in self.chapters:
            if chapter.number == number:
                return chapter
        raise ConfigError(f"there is no chapter {number}; they go from 0 to {self.chapters[-1].number}",
                          hint="groundup roadmap")  # fmt: skip

    def row(self, row_id: str) -> Row:
        every = [*self.rows(), *self.journey]
        for row in every:
            if row.id == row_id:
                return row
        raise ConfigError(f"there is no row {row_id!r}", hint=did_you_mean(row_id, [r.id for r in every]))

    def rows(self) -> Iterator[Row]:
        """Of all chapters."""
        for chapter in self.chapters:
            yield from chapter.rows

    def needed_for(self, number: int) -> tuple[int, ...]:
        """Every chapter that comes before `number`, in an order that can be learned in."""
        found: list[int] = []

        def visit(n: int) -> None:
            for before in self.chapter(n).requires:
                if before not in found:
                    visit(before)
                    found.append(before)

        visit(number)
        return tuple(found)


@cache
def load_roadmap(path: Path = FILE) -> Roadmap:
    """The roadmap; ConfigError names what is wrong in the file."""
    raw = read_data(path)
    parts = tuple(made(Part, part, f"parts.{n}") for n, part in enumerate(raw["parts"]))
    chapters = []
    for n, chapter in enumerate(raw["chapters"]):
        rows = tuple(made(Row, row, f"chapters.{n}.rows.{i}") for i, row in enumerate(chapter["rows"]))
        chapters.append(made(Chapter, {**chapter, "rows": rows}, f"chapters.{n}"))
    journey = tuple(made(Row, row, f"journey.{i}") for i, row in enumerate(raw["journey"]))
    roadmap = Roadmap(parts=parts, chapters=tuple(chapters), journey=journey)
    _check(roadmap)
    return roadmap


def read_data(path: Path) -> Any:
    """A YAML file that comes with the package."""
    import yaml

    # libyaml's loader where it is there: ten times as fast, and the verb has half a second.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 (one of the two safe ones)


def made(cls: type[T], raw: Mapping[str, Any], path: str) -> T:
    """The dataclass from a mapping; ConfigError for a key that it does not have, or lacks."""
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    unknown = set(raw) - known
    if unknown:
        raise ConfigError(f"unknown key {min(unknown)!r}", path=path, hint=did_you_mean(min(unknown), sorted(known)))
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})
    except TypeError as error:
        raise ConfigError(str(error), path=path) from None


def _check(roadmap: Roadmap) -> None:
    numbers = [chapter.number for chapter in roadmap.chapters]
    if numbers != list(range(len(numbers))):
        raise ConfigError(f"chapters must be numbered from 0 without gaps, not {numbers}", path="chapters")
    for chapter in roadmap.chapters:
        if any(before >= chapter.number for before in chapter.requires):
            raise ConfigError(f"requires a later chapter: {chapter.requires}", path=f"chapters.{chapter.number}")
        for row in chapter.rows:
            if row.id.partition(".")[0] != str(chapter.number):
                raise ConfigError(f"row {row.id} is in chapter {chapter.number}", path=f"chapters.{chapter.number}")
    for row in (*roadmap.rows(), *roadmap.journey):
        if row.status not in get_args(Status):
            raise ConfigError(f"status {row.status!r} is none of {get_args(Status)}", path=row.id)

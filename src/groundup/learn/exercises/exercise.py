"""What an exercise is: a component to write, fresh random cases, the library's own part as the reference, and known mistakes.

A case is plain data (numbers, text, lists, mappings, NumPy arrays): it crosses into the learner's process as JSON, and so do the
outputs. The learner's process never holds an expected value; it can only compute. `drive` is the source of a function that runs
there, `drive(solution, case) -> outputs`; everything else runs here.

Known mistakes are functions too: what a solution with that mistake would put out. Where a learner's outputs equal those on every
case, the verdict can name the mistake, not only the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Case = Mapping[str, Any]
"""Inputs by name; `drive` reads them."""
Outputs = Mapping[str, Any]
"""What came out, by name: arrays, numbers, text, lists, None."""

NUMPY: tuple[str, ...] = ("numpy",)
TORCH: tuple[str, ...] = ("numpy", "torch")
PLAIN_IMPORTS = frozenset(
    {"__future__", "abc", "bisect", "collections", "copy", "dataclasses", "enum", "fractions", "functools", "heapq", "itertools",
     "json", "math", "operator", "re", "statistics", "string", "typing", "unicodedata"}
)  # fmt: skip
"""Modules of the standard library that a solution may import. Not time, os, sys, inspect, importlib, ctypes, gc, ..."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One property, on cases of its own. Checks are made in order; the first that fails is the verdict."""

    name: str
    """A statement that is true of right solutions: "weights of a row sum to one"."""
    cases: Callable[[np.random.Generator], Sequence[Case]]
    """Fresh ones, smallest first: the first that fails is shown."""
    hints: tuple[str, str, str]
    """Ever more telling: where to look, what is usually wrong, what to write."""
    tolerance: float = 1e-5
    """Largest difference, relative to the size of what is expected; 0 for exact outputs."""
    judge: Callable[[Case, Outputs], str | None] | None = None
    """Says what is wrong with the outputs, by an identity; None: compare with the reference."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A plausible wrong solution, recognised by what it puts out."""

    name: str
    """What was done: "the scores are not divided by sqrt(head_dim)"."""
    outputs: Callable[[Case], Outputs]
    hint: str
    """What to do instead."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How running time may grow: measured at sizes n, 2n, 4n, of which the best of three runs counts; three times, before it fails."""

    case: Callable[[np.random.Generator, int], Case]
    start: int
    """n, large enough that the work and not the calling is measured."""
    exponent: float
    """Of the right solution: 1 linear, 2 quadratic."""
    hint: str


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How much slower than the library's own part a solution may be."""

    case: Callable[[np.random.Generator], Case]
    ratio: float
    hint: str


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How much memory a solution may take on one large case, beside what the interpreter and the inputs take."""

    case: Callable[[np.random.Generator], Case]
    limit_bytes: int
    hint: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    id: str
    """Row, and a letter for further ones: 5.4, 5.4b."""
    title: str
    entry: str
    """Name that the learner's file must define."""
    template: str
    """The file that `groundup exercise start` writes: signature, shapes, docstring, and nothing that works."""
    drive: str
    """Source of `def drive(solution, case)`, run in the learner's process; `np` (and `torch`) are there."""
    reference: Callable[[Case], Outputs]
    """The library's own part on a case."""
    checks: tuple[Check, ...]
    mistakes: tuple[Mistake, ...] = ()
    packages: tuple[str, ...] = NUMPY
    imports: frozenset[str] = frozenset()
    """Modules that may be imported beside PLAIN_IMPORTS and the packages."""
    denied: tuple[str, ...] = ()
    """Dotted names that would do the work: torch.nn.functional.scaled_dot_product_attention."""
    growth: Growth | None = None
    speed: Speed | None = None
    memory: Memory | None = None
    swap: str = ""
    """The command that puts a right solution into the real system, with {file} for the learner's file."""
    sources: tuple[str, ...] = ()
    seconds: float = 10.0
    """Time for all cases of one run."""

    @property
    def row(self) -> str:
        return self.id.rstrip("abcdefghijklmnopqrstuvwxyz")


def drive_calling(entry: str, *names: str) -> str:
    """The `drive` of a plain function: calls it with those inputs of the case, in order; the output is named result."""
    return f"def drive(solution, case):\n    return {{'result': solution.{entry}({', '.join(f'case[{n!r}]' for n in names)})}}\n"


def result(function: Callable[[Case], Any]) -> Callable[[Case], Outputs]:
    """A function of a case as the outputs of `drive_calling`."""
    return lambda case: {"result": function(case)}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the grader says of one file."""

    exercise: str
    passed: bool
    held: tuple[str, ...] = ()
    """Properties that hold, in the order in which they were checked."""
    failed: str = ""
    """The first that does not."""
    message: str = ""
    """What was seen: the smallest failing case, what was expected, what came."""
    mistake: str = ""
    """The known mistake whose outputs these are."""
    hint: str = ""
    level: int = 1
    case: Mapping[str, Any] = field(default_factory=dict)
    """The failing case as it can be printed."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """speed_ratio, growth_exponent, peak_bytes, seconds."""
    tier: Literal["isolated", "accident"] = "isolated"
    printed: str = ""
    """What the solution wrote to standard output and error; it proves nothing."""

"""Right or wrong, and why: a learner's file on fresh random cases, in a process that has nothing to look the answer up in.

The file runs in the sandbox's isolated tier with NumPy (and PyTorch) and nothing else: not this library, no network, no files, no
clock to wait on. Only outputs come back, as plain data; the expected ones are computed here, by the library's own part. So printing
PASS, exiting 0, patching asserts or sleeping changes nothing: there is no verdict inside to change.

Order: rules of the source, then every check (random cases, gradients, identities), then growth, speed and memory. The first that
fails is the verdict, with its smallest failing case and, where the outputs are those of a known mistake, its name.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.config import did_you_mean
from ...core.errors import ConfigError, DataError, SandboxError
from ...sandbox import Limits, Outcome, Tier, evaluate, require
from . import EXERCISES
from .compare import as_text, difference
from .exercise import Case, Check, Exercise, Outputs, Verdict
from .source_rules import broken_rules
from .wire import INSIDE, dumps, loads

_MEMORY_BYTES = 8 << 30
"""Address space: PyTorch alone maps several GiB that it never touches."""
_GROWTH_SLACK = 0.6
"""Added to the exponent: caches and fixed costs bend real curves. A power too many is a whole 1.0 more."""
_REPEATS = 3
_PRINTED_CHARACTERS = 600


def load_exercise(exercise_id: str) -> Exercise:
    """ConfigError names the exercises that there are."""
    if exercise_id not in EXERCISES:
        hint = did_you_mean(exercise_id, list(EXERCISES)) or "groundup exercise list"
        raise ConfigError(f"there is no exercise {exercise_id!r}", hint=hint)
    module, _, name = EXERCISES[exercise_id].partition(":")
    found: Exercise = getattr(importlib.import_module(f".{module}", __package__), name)
    return found


def grade(
    exercise: Exercise, source: str, *, seed: int | None = None, level: int = 1, tier: Tier | None = None
) -> Verdict:
    """The verdict on a solution. seed: of the random cases (fresh without); level: 1 to 3, how much the hint tells.

    Raises SandboxError where programs cannot be run at `tier` (None: isolated, else accident, which the verdict then says).
    """
    start = time.perf_counter()
    seed = int.from_bytes(os.urandom(4), "big") if seed is None else seed
    tier = _tier() if tier is None else tier
    verdict = _Grading(exercise, source, seed, level, tier).verdict()
    return replace(verdict, figures={**verdict.figures, "seconds": round(time.perf_counter() - start, 2), "seed": seed})


def _tier() -> Tier:
    try:
        require("isolated")
        return "isolated"
    except SandboxError:
        require("accident")
        return "accident"


@dataclass(frozen=True)
class _Ran:
    """What came of each case, up to the first that did not end."""

    outputs: Sequence[Outputs | str]
    """Of each case: its outputs, or the error as a sentence."""
    seconds: Sequence[float]
    outcome: Outcome


class _Grading:
    def __init__(self, exercise: Exercise, source: str, seed: int, level: int, tier: Tier) -> None:
        if level not in (1, 2, 3):
            raise ConfigError(f"hints have levels 1 to 3, not {level}", path="hint")
        self.exercise, self.source, self.seed, self.level, self.tier = exercise, source, seed, level, tier
        self.held: list[str] = []
        self.figures: dict[str, float] = {}
        self.printed = ""

    def verdict(self) -> Verdict:
        rules = broken_rules(self.source, self.exercise)
        if rules:
            return self._wrong("the file keeps to the rules", "; ".join(rules[:3]),
                               hint="Write the component itself, from NumPy's or PyTorch's basic operations.")  # fmt: skip
        self.held.append("the file keeps to the rules")
        checks = [(check, check.cases(self._rng(n))) for n, check in enumerate(self.exercise.checks)]
        ran = self._run([case for _, cases in checks for case in cases])
        self.printed = (ran.outcome.stdout + ran.outcome.stderr)[:_PRINTED_CHARACTERS]
        place = 0
        for check, cases in checks:
            wrong = self._checked(check, cases, ran, place)
            if wrong is not None:
                return wrong
            place += len(cases)
            self.held.append(check.name)
        return self._growth() or self._speed() or self._memory() or Verdict(
            exercise=self.exercise.id, passed=True, held=tuple(self.held), figures=self.figures, tier=self.tier, printed=self.printed
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------------- one check

    def _checked(self, check: Check, cases: Sequence[Case], ran: _Ran, place: int) -> Verdict | None:
        for number, case in enumerate(cases):
            if place + number >= len(ran.outputs):
                return self._ended(check, case, ran)
            got = ran.outputs[place + number]
            if isinstance(got, str):
                hint = f"{check.hints[self.level - 1]} It stopped with an error."
                return self._wrong(check.name, f"{got}\n{_shown(case)}", hint=hint, case=case)
            said = self._judged(check, case, got)
            if said is not None:
                mistake = self._mistake(cases, ran.outputs[place : place + len(cases)], check)
                hint = check.hints[self.level - 1] if mistake is None else mistake[1]
                return self._wrong(
                    check.name, f"{said}\n{_shown(case)}", hint=hint, case=case, mistake=mistake[0] if mistake else ""
                )
        return None

    def _judged(self, check: Check, case: Case, got: Outputs) -> str | None:
        if check.judge is not None:
            try:
                return check.judge(case, got)
            except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
                return f"the outputs have another form than asked for ({type(error).__name__}: {error})"
        return difference(self.exercise.reference(case), got, check.tolerance)

    def _mistake(self, cases: Sequence[Case], outputs: Sequence[Outputs | str], check: Check) -> tuple[str, str] | None:
        """The known mistake whose outputs these are on every case of the check, and on one where it shows."""
        for mistake in self.exercise.mistakes:
            shows = False
            for case, got in zip(cases, outputs):
                try:
                    theirs = mistake.outputs(case)
                except Exception:  # a mistake may be one that cannot be made on this case
                    break
                if isinstance(got, str) or difference(theirs, got, max(check.tolerance, 1e-9)) is not None:
                    break
                shows = shows or difference(self.exercise.reference(case), theirs, check.tolerance) is not None
            else:
                if shows:
                    return mistake.name, mistake.hint
        return None

    def _ended(self, check: Check, case: Case, ran: _Ran) -> Verdict:
        """The process ended before this case had its outputs."""
        outcome = ran.outcome
        why = {
            "timeout": f"it was stopped after {outcome.seconds:.1f} s: it never ends, or is far too slow",
            "memory": "it ran out of memory",
            "output": "it printed without end",
            "killed": "the process was ended",
            "ok": "the process ended by itself before it was asked for this case",
            "error": f"the process ended with an error: {(outcome.stderr.strip().splitlines() or ['no message'])[-1]}",
        }[outcome.reason]
        hint = "Does every loop end? Try the case above by hand." if outcome.reason == "timeout" else check.hints[0]
        if not ran.outputs and outcome.reason == "error":
            return self._wrong("the file can be loaded", f"{why}{_own_lines(outcome.stderr)}",
                               hint=f"Run it by itself first; it must define {self.exercise.entry}.")  # fmt: skip
        return self._wrong(check.name, f"{why}\n{_shown(case)}", hint=hint, case=case)

    # ------------------------------------------------------------------------------------------ growth, speed, memory

    def _growth(self) -> Verdict | None:
        growth = self.exercise.growth
        if growth is None:
            return None
        name = f"time grows like n^{growth.exponent:g}"
        sizes = [growth.start, 2 * growth.start, 4 * growth.start]
        for attempt in range(3):  # a busy machine can make one look steep
            cases = [growth.case(self._rng(100 + attempt), n) for n in sizes]
            ran = self._run(cases * _REPEATS)
            if len(ran.seconds) < len(cases) * _REPEATS:
                if attempt < 2:
                    continue
                return self._wrong(
                    name, f"it did not get through sizes {sizes} in {self.exercise.seconds:g} s", hint=growth.hint
                )
            best = [min(ran.seconds[i :: len(cases)]) for i in range(len(cases))]
            exponent = math.log2(max(best[2], 1e-9) / max(best[0], 1e-9)) / 2
            self.figures["growth_exponent"] = round(exponent, 2)
            if exponent <= growth.exponent + _GROWTH_SLACK:
                self.held.append(name)
                return None
        times = ", ".join(f"{n}: {1000 * s:.1f} ms" for n, s in zip(sizes, best))
        return self._wrong(name, f"it grew like n^{exponent:.1f} ({times})", hint=growth.hint)

    def _speed(self) -> Verdict | None:
        speed = self.exercise.speed
        if speed is None:
            return None
        name = f"at most {speed.ratio:g} times as slow as the library's own"
        ratio = math.inf
        for attempt in range(2):
            case = speed.case(self._rng(200 + attempt))
            ran = self._run([case] * (_REPEATS + 1))
            if len(ran.seconds) <= _REPEATS:
                continue
            own = min(_timed(self.exercise, case) for _ in range(_REPEATS))
            ratio = min(ran.seconds[1:]) / max(own, 1e-6)
            self.figures["speed_ratio"] = round(ratio, 3)
            if ratio <= speed.ratio:
                self.held.append(name)
                return None
        return self._wrong(name, f"it took {ratio:.0f} times as long on a large case", hint=speed.hint)

    def _memory(self) -> Verdict | None:
        memory = self.exercise.memory
        if memory is None:
            return None
        name = f"at most {memory.limit_bytes / 1e6:.0f} MB on a large case"
        empty, full = self._run([]), self._run([memory.case(self._rng(300))])
        used = full.outcome.peak_bytes - empty.outcome.peak_bytes
        self.figures["peak_bytes"] = used
        if not full.outputs or (full.outcome.peak_bytes and used > memory.limit_bytes):
            return self._wrong(name, f"it took {used / 1e6:.0f} MB", hint=memory.hint)
        self.held.append(name)
        return None

    # --------------------------------------------------------------------------------------------------------- running

    def _run(self, cases: Sequence[Case]) -> _Ran:
        """Every case through the solution, in one process."""
        limits = Limits(
            seconds=self.exercise.seconds + 5, cpu_seconds=self.exercise.seconds, memory_bytes=_MEMORY_BYTES
        )
        found = evaluate(
            _harness(self.exercise),
            [f"_one({n})" for n in range(len(cases))] or ["None"],
            files={"solution.py": self.source, "cases.json": dumps([dict(case) for case in cases])},
            tier=self.tier,
            limits=limits,
            packages=self.exercise.packages,
        )
        outputs: list[Outputs | str] = []
        seconds: list[float] = []
        for value in found.values if cases else ():
            if value[0] == "error":
                outputs.append(f"{value[1]}: {value[2]}")
                seconds.append(math.inf)
                continue
            try:
                made = loads(value[1]) if isinstance(value[1], str) else None
                if not (isinstance(made, Mapping) and isinstance(made.get("seconds"), float) and "outputs" in made):
                    raise DataError("outputs in another form")
            except DataError as error:
                outputs.append(error.message)
                seconds.append(math.inf)
                continue
            failed = made.get("error")
            got = made["outputs"]
            outputs.append(str(failed) if failed else got if isinstance(got, Mapping) else "drive gave no outputs")
            seconds.append(made["seconds"])
        return _Ran(outputs, seconds, found.outcome)

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number])

    def _wrong(self, failed: str, message: str, *, hint: str, case: Case | None = None, mistake: str = "") -> Verdict:
        printable = {name: as_text(value) for name, value in (case or {}).items()}
        return Verdict(
            exercise=self.exercise.id, passed=False, held=tuple(self.held), failed=failed, message=message, mistake=mistake,
            hint=hint, level=self.level, case=printable, figures=self.figures, tier=self.tier, printed=self.printed,
        )  # fmt: skip


def _timed(exercise: Exercise, case: Case) -> float:
    start = time.perf_counter()
    exercise.reference(case)
    return time.perf_counter() - start


def _shown(case: Case) -> str:
    return "case: " + ", ".join(f"{name} = {as_text(value)}" for name, value in case.items())


def _own_lines(stderr: str) -> str:
    """Where in the learner's file an error that ended the loading came from."""
    lines = re.findall(r'File "solution.py", line (\d+)', stderr)
    return f" (line {lines[-1]})" if lines else ""


def _harness(exercise: Exercise) -> str:
    """The program that the sandbox runs: take away what would do the work, load the solution, answer for one case at a time."""
    torch = "import torch\ntorch.set_num_threads(1)\ntorch.manual_seed(0)\n" if "torch" in exercise.packages else ""
    return (
        INSIDE
        + torch
        + f"_denied = {exercise.denied!r}\n"
        + _LOAD
        + exercise.drive
        + f"\n_entry = {exercise.entry!r}\n"
        + 'if not hasattr(solution, _entry):\n    raise NameError(f"the file defines no {_entry}")\n'
    )


_LOAD = """
def _taken_away(name):
    def refuse(*args, **kwargs):
        raise RuntimeError(f"{name} does what this exercise asks you to write")
    return refuse

for _name in _denied:
    _parts = _name.split(".")
    _owner = _s.modules.get(_parts[0])
    for _part in _parts[1:-1]:
        _owner = getattr(_owner, _part, None)
    if _owner is not None:
        setattr(_owner, _parts[-1], _taken_away(_name))

import types as _types
solution = _types.ModuleType("solution")
with open("solution.py", encoding="utf-8") as _file:
    _text = _file.read()
with open("cases.json", encoding="utf-8") as _file:
    _cases = _in(_j.load(_file))
_s.modules["solution"] = solution
exec(compile(_text, "solution.py", "exec"), solution.__dict__)

def _one(n):
    case = _cases[n]
    start = _clock()
    try:
        made = drive(solution, case)
    except Exception as error:
        line = error.__traceback__
        place = ""
        while line is not None:
            if line.tb_frame.f_code.co_filename == "solution.py":
                place = f" (line {line.tb_lineno})"
            line = line.tb_next
        return _j.dumps({"__pairs__": [["seconds", 0.0], ["outputs", None], ["error", f"{type(error).__name__}: {str(error)[:300]}{place}"]]})
    took = _clock() - start
    return _j.dumps({"__pairs__": [["seconds", took], ["outputs", _out(made)]]})

"""


def grade_file(exercise_id: str, path: Path, **options: Any) -> Verdict:
    """`grade` for a file; DataError where it cannot be read."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint=f"groundup exercise start {exercise_id}") from None
    return grade(load_exercise(exercise_id), source, **options)

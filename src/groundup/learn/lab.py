"""What every lab is made with: predict, run, compare, change, explain.

A lab is a marimo notebook, plain Python, in labs/. The learner commits to a number, runs the real thing, and sees the figure beside the
guess and beside the band in which it is expected, with what being outside usually means. Without a page (`groundup lab 3.2 --headless`,
and in tests) every prediction is its middle, every question is answered right, what can be changed stays as it is (or is another of
its options), and the figures are checked against their bands.

Figures that depend on the machine (seconds, ratios of times) have `timed=True`: their band informs, and fails nothing.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import ConfigError

HEADLESS, BUDGET, CHOICE = "GROUNDUP_LAB_HEADLESS", "GROUNDUP_LAB_BUDGET", "GROUNDUP_LAB_CHOICE"
"""Environment of a lab that is run without a page, the seconds that it may take, and which of the options are chosen in it."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One figure of a lab."""

    name: str
    value: float
    low: float
    high: float
    guess: float | None = None
    unit: str = ""
    timed: bool = False

    @property
    def inside(self) -> bool:
        return self.low <= self.value <= self.high


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of a lab, asked."""

    right: str
    why: str


@dataclass
class Lab:
    """One run of one lab. The last one made is `Lab.current`, which is how the command that ran the file finds its figures."""

    id: str
    title: str
    seconds: float
    """What it takes on two ordinary cores, start to end."""
    predicted: set[str] = field(default_factory=set)
    """What was asked to be predicted."""
    met: set[str] = field(default_factory=set)
    """Figures that were compared with a prediction. What is changed afterwards may compare them again, without one."""
    figures: dict[str, Compared] = field(default_factory=dict)
    choices: dict[str, int] = field(default_factory=dict)
    """What can be changed, and how many options it has."""
    questions: dict[str, Question] = field(default_factory=dict)
    finished: bool = False
    current: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        Lab.current = self

    @property
    def headless(self) -> bool:
        return bool(os.environ.get(HEADLESS))

    @property
    def budget(self) -> float:
        """Seconds that the heavy part may take: `seconds`, or less where the command said so."""
        return min(self.seconds, float(os.environ.get(BUDGET) or self.seconds))

    def scaled(self, full: int, least: int = 1) -> int:
        """Steps (or examples) for the budget: `full` for the lab's own time, in proportion for less, never below `least`."""
        return max(least, round(full * self.budget / self.seconds))

    def header(self) -> Any:
        import marimo as mo

        return mo.md(
            f"# Lab {self.id}: {self.title}\n\nTakes about **{self.seconds:.0f} seconds** of computing on two cores. "
            "Commit to your prediction first; then run; then see."
        )

    def predict(
        self, question: str, *, low: float, high: float, step: float | None = None, unit: str = "", log: bool = False
    ) -> Any:
        """A number to commit to. Its `value` is None until then. log: the slider moves by ratios, for guesses over powers of ten."""
        import marimo as mo

        if not low < high or (log and low <= 0):
            raise ConfigError(f"a prediction needs {'0 < ' if log else ''}low < high, not {low} and {high}")
        step = step or (high - low) / 100
        points = _ratios(low, high) if log else None
        middle = points[len(points) // 2] if points else round(low + round((high - low) / (2 * step)) * step, 9)
        self.predicted.add(question)
        way: dict[str, Any] = {"steps": points} if points else {"start": low, "stop": high, "step": step}
        slider = mo.ui.slider(**way, value=middle, show_value=True, full_width=True,
                              label=f"{question}{f' ({unit})' if unit else ''}")  # fmt: skip
        return _Committed(middle) if self.headless else slider.form(submit_button_label="Commit")

    def wait_for(self, *commitments: Any) -> None:
        """Stop the cell until every prediction is committed."""
        import marimo as mo

        missing = sum(c.value is None for c in commitments)
        mo.stop(missing > 0, mo.callout(mo.md("Commit to your prediction above; then this runs."), kind="info"))

    def compare(
        self, name: str, value: float, *, band: tuple[float, float], below: str, above: str, guess: Any = None, unit: str = "",
        timed: bool = False,
    ) -> Any:  # fmt: skip
        """The figure beside the guess and its band; `below` and `above` say what being outside usually means."""
        import marimo as mo

        guessed = None if guess is None else float(guess.value)
        made = Compared(name=name, value=float(value), low=band[0], high=band[1], guess=guessed, unit=unit, timed=timed)
        self.figures[name] = made
        if guessed is not None:
            self.met.add(name)
        self._record("prediction", {"figure": name, "value": made.value, "guess": guessed})
        told = f"**{name.replace('_', ' ')}: {f'{_written(made.value)} {unit}'.strip()}**, expected {_written(band[0])} to {_written(band[1])}."
        if guessed is not None:
            away = abs(made.value - guessed) / max(abs(made.value), 1e-12)
            told += f" You said {_written(guessed)}: {'close' if away < 0.2 else f'{100 * away:.0f} % away'}."
        if made.inside:
            return mo.callout(mo.md(told), kind="success")
        why = below if made.value < band[0] else above
        return mo.callout(mo.md(f"{told}\n\nIt is outside. {why}"), kind="warn")

    def choose(self, label: str, options: Sequence[Any], *, default: Any = None) -> Any:
        """What the learner changes: the cells that read its `value` run again."""
        import marimo as mo

        names = {str(option): option for option in options}
        first = str(options[0] if default is None else default)
        self.choices[label] = len(names)
        if self.headless and os.environ.get(CHOICE):
            return _Committed(options[int(os.environ[CHOICE]) % len(options)])
        return mo.ui.dropdown(names, value=first, label=label)

    def ask(self, name: str, question: str, *, right: str, wrong: Sequence[str], why: str) -> Any:
        """A question with one right answer, at another place in every lab; give it to `finish` by its name."""
        import marimo as mo

        if not wrong or right in wrong or len(set(wrong)) < len(wrong):
            raise ConfigError(
                f"question {name!r} needs one right answer and others beside it: {right!r}, {list(wrong)}"
            )
        self.questions[name] = Question(right=right, why=why)
        options = [right, *wrong]
        random.Random(f"{self.id} {name}").shuffle(options)
        return _Committed(right) if self.headless else mo.ui.radio(options, label=question)

    def finish(self, **asked: Any) -> Any:
        """What came of each question, and the end of the lab: written to the learner's progress once everything that was predicted is
        compared and every question is answered right.
        """
        import marimo as mo

        said = [self._said(self.questions[name], element.value) for name, element in asked.items()]
        wrong = [name for name, question in self.questions.items()
                 if name not in asked or asked[name].value != question.right]  # fmt: skip
        if wrong or not self.figures or len(self.met) < len(self.predicted):
            waiting = "every question is answered right" if wrong else "every prediction is compared with its figure"
            return mo.vstack([*said, mo.md(f"*The lab is finished when {waiting}.*")])
        self.finished = True
        self._record("lab", {"title": self.title, **{f.name: f.value for f in self.figures.values()}})
        done = mo.md(f"Lab {self.id} is done. Next: `groundup roadmap --next`.")
        return mo.vstack([*said, mo.callout(done, kind="success")])

    def _said(self, question: Question, given: str | None) -> Any:
        """Right or wrong, and why; nothing before an answer is chosen."""
        import marimo as mo

        if given is None:
            return mo.md("*Choose one.*")
        if given == question.right:
            return mo.callout(mo.md(f"Right. {question.why}"), kind="success")
        return mo.callout(mo.md("Not that one. Look at the figures above again, and choose once more."), kind="warn")

    def _record(self, kind: Any, detail: dict[str, Any]) -> None:
        if not self.headless:
            from .progress import Progress

            Progress().add(kind, self.id, detail)


def _written(value: float) -> str:
    """Four digits, and whole numbers from a thousand on."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def _ratios(low: float, high: float, count: int = 81) -> list[float]:
    """Numbers of two digits from low to high, each about the same ratio above the one before."""
    exact = [low * (high / low) ** (i / (count - 1)) for i in range(count)]
    return sorted({low, *(float(f"{x:.2g}") for x in exact[1:-1]), high})


@dataclass
class _Committed:
    """A prediction, choice or answer where nobody is there to give one."""

    value: Any

    def _mime_(self) -> tuple[str, str]:  # how marimo shows an object of a class it does not know
        return "text/plain", "" if self.value is None else f"{self.value}"


def run_headless(path: Any, *, budget_seconds: float | None = None, choice: int | None = None) -> Lab:
    """Run a lab's cells in order, without a page. What a cell raises is raised. choice: which option is chosen wherever one can be."""
    import importlib.util

    os.environ[HEADLESS] = "1"
    if budget_seconds is not None:
        os.environ[BUDGET] = str(budget_seconds)
    if choice is not None:
        os.environ[CHOICE] = str(choice)
    try:
        spec = importlib.util.spec_from_file_location(f"lab_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.app.run()
        lab = Lab.current
        if not isinstance(lab, Lab):
            raise ConfigError(f"{path} made no Lab, so it has no figures")
        return lab
    finally:
        for name in (HEADLESS, BUDGET, CHOICE):
            os.environ.pop(name, None)

"""What a search of settings goes over, and in which order: spaces written as text; grid, random and Bayesian samplers.

    optimizer.lr=log:1e-4..1e-1        evenly over the logarithm
    dropout=0..0.5                     evenly
    hidden_size=int:32..512            whole numbers; logint: evenly over the logarithm
    norm=none,batch,layer              one of these (YAML values)
    lr=log:1e-4..1e-1/7                for a grid: in 7 points, both ends among them

Every sampler proposes the next settings from (seed, what is known so far), so that a search that was killed goes on. The Bayesian
one is Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), which takes trials that still run for bad ones (constant
liar), so that several at once do not all try the same place.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from .errors import ConfigError, MissingDependency

Settings: TypeAlias = dict[str, Any]
"""Dotted path in the recipe -> value."""
SamplerName: TypeAlias = Literal["grid", "random", "tpe"]

_KINDS = ("log", "int", "logint")
_DEFAULT_POINTS = 5


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One setting: a range, or a choice of values."""

    path: str
    low: float = 0.0
    high: float = 0.0
    logarithmic: bool = False
    whole: bool = False
    points: int = _DEFAULT_POINTS
    """Of a grid."""
    choices: tuple[Any, ...] = ()

    def draw(self, rng: random.Random) -> Any:
        return rng.choice(self.choices) if self.choices else self.at(rng.random())

    def at(self, share: float) -> Any:
        """Value at a share in [0, 1] of the range. Raises ValueError for choices."""
        if self.choices:
            raise ValueError(f"{self.path} is a choice, not a range")
        if self.logarithmic:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else float(f"{value:.6g}")

    def grid(self) -> list[Any]:
        if self.choices:
            return list(self.choices)
        shares = [i / (self.points - 1) for i in range(self.points)] if self.points > 1 else [0.5]
        return list(dict.fromkeys(self.at(share) for share in shares))


def parse_space(texts: Sequence[str]) -> list[Dimension]:
    """Raises ConfigError that names the text and what is wrong with it."""
    made = []
    for text in texts:
        path, sign, rest = text.partition("=")
        if not sign or not path or not rest:
            raise ConfigError(f"{text!r} is not of the form key.path=values", path="--space",
                              hint="for example optimizer.lr=log:1e-4..1e-1 or hidden_size=64,128")  # fmt: skip
        made.append(_dimension(path, rest))
    repeated = {d.path for d in made if sum(d.path == other.path for other in made) > 1}
    if repeated:
        raise ConfigError(f"{sorted(repeated)[0]!r} is given twice", path="--space")
    if not made:
        raise ConfigError("there is nothing to search over", hint="--space key.path=values")
    return made


def _dimension(path: str, text: str) -> Dimension:
    kind, colon, rest = text.partition(":")
    if not colon or kind not in _KINDS:
        kind, rest = "", text
    if ".." not in rest:
        if kind:
            raise ConfigError(
                f"{text!r} needs two ends: {kind}:low..high", path=path, hint=f"{path}={kind}:1..100, for example"
            )
        choices = tuple(_value(part) for part in rest.split(","))
        return Dimension(path=path, choices=choices)
    ends, _, points = rest.partition("/")
    try:
        low, high = (float(end) for end in ends.split(".."))
        count = int(points) if points else _DEFAULT_POINTS
    except ValueError:
        raise ConfigError(f"{text!r} is no range: numbers are needed, low..high", path=path) from None
    if not low < high or count < 1:
        raise ConfigError(f"{text!r}: the lower end must come first, and a grid needs a point", path=path)
    logarithmic = kind in ("log", "logint")
    if logarithmic and low <= 0:
        raise ConfigError(f"{text!r}: a logarithmic range begins above 0", path=path)
    return Dimension(
        path=path, low=low, high=high, logarithmic=logarithmic, whole=kind in ("int", "logint"), points=count
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a trial when the next one is chosen."""

    number: int
    settings: Settings
    score: float | None
    """Higher is better; None while it runs, or if it failed."""


class Sampler(Protocol):
    def propose(self, number: int, known: Sequence[Known]) -> Settings | None:
        """Settings of trial `number`; None when there are no more."""
        ...


class GridSampler:
    """All combinations, the last dimension changing first."""

    def __init__(self, space: Sequence[Dimension]) -> None:
        self.every = [
            dict(zip([d.path for d in space], values, strict=True))
            for values in itertools.product(*(d.grid() for d in space))
        ]

    def propose(self, number: int, known: Sequence[Known]) -> Settings | None:
        return self.every[number] if number < len(self.every) else None


class RandomSampler:
    """Every setting drawn by itself (Bergstra and Bengio 2012)."""

    def __init__(self, space: Sequence[Dimension], seed: int) -> None:
        self.space, self.seed = space, seed

    def propose(self, number: int, known: Sequence[Known]) -> Settings | None:
        rng = random.Random(f"{self.seed}:{number}")
        return {d.path: d.draw(rng) for d in self.space}


class ParzenSampler:
    """Optuna's TPE, told all that is known before every proposal: it keeps nothing of its own."""

    def __init__(self, space: Sequence[Dimension], seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise MissingDependency("optuna", extra="search", purpose="Bayesian search") from None
        self.optuna: Any = optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.seed = space, seed
        self.distributions = {d.path: self._distribution(d) for d in space}

    def _distribution(self, d: Dimension) -> Any:
        kinds = self.optuna.distributions
        if d.choices:
            # Optuna's choices are texts and numbers; a list is told by its place.
            return kinds.CategoricalDistribution(list(range(len(d.choices))))
        if d.whole:
            return kinds.IntDistribution(int(d.low), int(d.high), log=d.logarithmic)
        return kinds.FloatDistribution(d.low, d.high, log=d.logarithmic)

    def propose(self, number: int, known: Sequence[Known]) -> Settings | None:
        optuna = self.optuna
        sampler = optuna.samplers.TPESampler(seed=self.seed + number, constant_liar=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        states = optuna.trial.TrialState
        by_path = {d.path: d for d in self.space}
        for one in known:
            params = {path: self._told(by_path[path], value) for path, value in one.settings.items()}
            state = states.RUNNING if one.score is None else states.COMPLETE
            study.add_trial(
                optuna.trial.create_trial(state=state, value=one.score, params=params, distributions=self.distributions)
            )
        asked = study.ask(self.distributions)
        return {d.path: self._taken(d, asked.params[d.path]) for d in self.space}

    def _told(self, d: Dimension, value: Any) -> Any:
        return d.choices.index(value) if d.choices else value

    def _taken(self, d: Dimension, value: Any) -> Any:
        if d.choices:
            return d.choices[value]
        return int(value) if d.whole else min(max(float(f"{value:.6g}"), d.low), d.high)


def build_sampler(name: SamplerName, space: Sequence[Dimension], seed: int) -> Sampler:
    if name == "grid":
        return GridSampler(space)
    return RandomSampler(space, seed) if name == "random" else ParzenSampler(space, seed)


def importances(
    space: Sequence[Dimension], settings: Sequence[Mapping[str, Any]], scores: Sequence[float]
) -> dict[str, float]:
    """Share of the scores' spread that goes with each setting by itself: 0 nothing, 1 all of it.

    Trials are put into groups by the setting (up to four of like size for a range), and the share is the spread of the groups' means over
    the whole, less what chance alone would give (epsilon squared, Kelley 1935). What two settings do only together is no one's share.
    """
    count = len(scores)
    found = {}
    mean = sum(scores) / count if count else 0.0
    whole = sum((score - mean) ** 2 for score in scores)
    for d in space:
        groups = _groups(d, [one[d.path] for one in settings], scores)
        inside = sum(sum((s - sum(group) / len(group)) ** 2 for s in group) for group in groups)
        free = count - len(groups)
        if whole <= 0 or free < 1 or len(groups) < 2:
            found[d.path] = 0.0
            continue
        chance = (len(groups) - 1) * inside / free
        found[d.path] = max(0.0, (whole - inside - chance) / whole)
    return found


def _groups(d: Dimension, values: Sequence[Any], scores: Sequence[float]) -> list[list[float]]:
    made: dict[Any, list[float]] = {}
    different = sorted(set(values)) if not d.choices else []
    if d.choices or len(different) <= 4:
        for value, score in zip(values, scores, strict=True):
            made.setdefault(json.dumps(value), []).append(score)
        return list(made.values())
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    for place, i in enumerate(order):
        made.setdefault(place * 4 // len(order), []).append(scores[i])
    return list(made.values())

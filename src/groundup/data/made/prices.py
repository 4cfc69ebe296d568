"""Daily prices whose rule is known, so that it is known what a forecast can find: a random walk of logarithms with quiet and wild times.

    return = drift + momentum x the return before + volatility x noise,  volatility^2 = a mean, moved by the squares of past surprises

The second line is GARCH(1,1) (Bollerslev 1986), the way in which stock returns cluster. `momentum` is all that is to be found about the
direction: 0 leaves nothing (as good as true of real daily prices), and no model can then beat the last price but by luck.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np

from ...core.errors import ConfigError

_SURPRISE, _PERSISTENCE = 0.08, 0.9
"""GARCH weights near those that daily stock indexes are usually fitted with."""
_FIRST = date(2000, 1, 3)


@dataclass(frozen=True, kw_only=True)
class PricesConfig:
    num_days: int = 2000
    drift: float = 0.0003
    """Mean return of a day."""
    volatility: float = 0.01
    """Standard deviation of a day's return, in the long run."""
    momentum: float = 0.2
    type: Literal["prices"] = "prices"

    def __post_init__(self) -> None:
        if self.num_days < 100:
            raise ConfigError(f"must be at least 100, not {self.num_days}", path="num_days")
        if not (0 < self.volatility < 0.2 and -0.9 < self.momentum < 0.9):
            raise ConfigError(
                f"volatility {self.volatility} must be in 0 .. 0.2, momentum {self.momentum} in -0.9 .. 0.9"
            )

    def series(self, seed: int) -> tuple[list[str], np.ndarray]:
        """(dates of weekdays, prices [num_days])."""
        draw = np.random.default_rng([seed, 23])
        variance, before = self.volatility**2, 0.0
        returns = np.empty(self.num_days)
        for number, noise in enumerate(draw.standard_normal(self.num_days)):
            surprise = np.sqrt(variance) * noise
            before = self.drift + self.momentum * before + surprise
            returns[number] = before
            rest = (1 - _SURPRISE - _PERSISTENCE) * self.volatility**2
            variance = rest + _SURPRISE * surprise**2 + _PERSISTENCE * variance
        days: list[str] = []
        day = _FIRST
        while len(days) < self.num_days:
            if day.weekday() < 5:
                days.append(day.isoformat())
            day += timedelta(days=1)
        return days, np.round(100 * np.exp(returns.cumsum()), 4)

"""Houses with prices whose rule is known: what a model of the table can at best find out is known too.

    log price = base + 0.75 log(area / 100) + 0.04 rooms + per condition + per district - 0.02 km to the centre - 0.0025 age
                + 0.12 if old and renovated + 0.08 if garden and beyond 5 km + noise

So a straight line finds most of it, and the last two only a model with interactions. Fitting the log of the price makes the usual error
smaller and that of the largest houses larger: the area counts by its own log too. The noise is normal with the standard deviation
`noise` (0.08: a price is off by 8 %), so that no model can do better. Some fields are missing, at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...core.errors import ConfigError

HEADER = ["area", "rooms", "built", "renovated", "district", "condition", "garden", "distance_km", "price"]
_DISTRICTS = {"old town": 0.30, "harbour": 0.22, "park": 0.15, "station": -0.05, "mill": -0.12, "fields": -0.20}
_CONDITIONS = {"poor": -0.22, "fair": -0.08, "good": 0.0, "very good": 0.12}
_BASE = 12.2
_YEAR = 2025


@dataclass(frozen=True, kw_only=True)
class HousesConfig:
    num_rows: int = 1500
    noise: float = 0.08
    missing: float = 0.02
    """Share of the fields (but for the price) that are empty."""
    type: Literal["houses"] = "houses"

    def __post_init__(self) -> None:
        if self.num_rows < 20:
            raise ConfigError(f"must be at least 20, not {self.num_rows}", path="num_rows")
        if self.noise < 0 or not 0 <= self.missing < 0.9:
            raise ConfigError(f"noise {self.noise} must be at least 0, missing {self.missing} in 0 .. 0.9")

    def rows(self, seed: int) -> tuple[list[str], list[list[str]]]:
        """(names of the columns, fields of every row)."""
        draw = np.random.default_rng([seed, 17])
        n = self.num_rows
        area = np.round(draw.lognormal(4.6, 0.38, n)).clip(22, 420)
        rooms = np.round(area / 27 + draw.normal(0, 0.8, n)).clip(1, 12)
        built = draw.integers(1880, _YEAR, n)
        renovated = draw.random(n) < np.where(built < 1980, 0.4, 0.1)
        districts, conditions = list(_DISTRICTS), list(_CONDITIONS)
        district = draw.integers(0, len(districts), n)
        condition = draw.choice(len(conditions), n, p=[0.1, 0.25, 0.45, 0.2])
        distance = np.round(draw.gamma(2.0, 1.6, n) + 0.9 * district, 1)
        garden = draw.random(n) < np.clip(0.1 + 0.06 * distance, 0, 0.8)
        log_price = (
            _BASE
            + 0.75 * np.log(area / 100)
            + 0.04 * rooms
            + np.array(list(_DISTRICTS.values()))[district]
            + np.array(list(_CONDITIONS.values()))[condition]
            - 0.02 * distance
            - 0.0025 * (_YEAR - built)
            + 0.12 * ((built < 1960) & renovated)
            + 0.08 * (garden & (distance > 5))
        )
        price = np.round(np.exp(log_price + draw.normal(0, self.noise, n)), -2)
        yes = ("no", "yes")
        made = [
            [f"{area[i]:.0f}", f"{rooms[i]:.0f}", str(built[i]), yes[int(renovated[i])], districts[district[i]],
             conditions[condition[i]], yes[int(garden[i])], f"{distance[i]:.1f}", f"{price[i]:.0f}"]
            for i in range(n)
        ]  # fmt: skip
        empty = draw.random((n, len(HEADER) - 1)) < self.missing
        for row, gone in zip(made, empty, strict=True):
            for place in np.flatnonzero(gone):
                row[place] = ""
        return list(HEADER), made

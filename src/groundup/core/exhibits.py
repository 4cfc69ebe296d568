"""What a stage wants shown in the report beside its figures: tables and plots as plain data.

A stage returns `{"exhibits": plain(table, plot, ...)}` among its figures; `evals/report/exhibits.py` draws them, and
`report.json` holds the numbers behind every picture. A picture that cannot be drawn from what is here does not belong in a report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

MAX_POINTS = 400
"""Of one series: a picture is a few hundred pixels wide."""


@dataclass(frozen=True, kw_only=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """Text and numbers; None is shown as a dash."""
    sentence: str = ""
    """What the table says, for somebody who has not read the recipe."""
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Series:
    name: str
    x: Sequence[float] | Sequence[str]
    """Numbers, or names of categories (bars)."""
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    """Ends of an interval at each point, drawn as a band (lines) or as whiskers (bars)."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    title: str
    kind: Literal["lines", "points", "bars", "steps", "heatmap", "contours", "images"]
    """lines, points, bars, steps (histograms): `series`. heatmap: `matrix` with names of its rows and columns. contours: `matrix`
    over the numbers `x` and `y`, with `series` as paths on it. images: `matrices`, grey in [0, 1], with `captions`."""
    series: Sequence[Series] = ()
    sentence: str = ""
    x_label: str = ""
    y_label: str = ""
    log_x: bool = False
    log_y: bool = False
    matrix: Sequence[Sequence[float]] = ()
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    x: Sequence[float] = ()
    y: Sequence[float] = ()
    matrices: Sequence[Sequence[Sequence[float]]] = ()
    captions: Sequence[str] = ()


def plain(*exhibits: Table | Plot) -> list[dict[str, Any]]:
    """As JSON values: empty fields are left out, long series thinned to MAX_POINTS, numbers rounded to 6 digits."""
    made = []
    for exhibit in exhibits:
        values = {name: _plain(value) for name, value in asdict(exhibit).items()}
        kept = {name: value for name, value in values.items() if value not in ("", [], False)}
        made.append({"exhibit": type(exhibit).__name__.lower(), **kept})
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):  # a Series
        long = len(value["x"]) if "x" in value else 0
        keep = range(0, long, -(-long // MAX_POINTS)) if long > MAX_POINTS else range(long)
        return {
            k: [_plain(v[i]) for i in keep] if k in ("x", "y", "low", "high") and len(v) == long else _plain(v)
            for k, v in value.items()
            if not (k in ("low", "high") and len(v) == 0)
        }
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Sequence):
        return [_plain(v) for v in value]
    return value

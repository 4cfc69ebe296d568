"""The report's pictures: SVG that lives inside the page, takes the page's colours (light and dark), and loads nothing.

Matplotlib draws with stand-in colours, which become CSS variables of the page afterwards.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

from ...core.run_figures import Curve
from .reading import is_number, shown

# Stand-ins that appear nowhere else in a picture -> the page's variables.
_INK, _GRID, _FIRST, _SECOND, _QUIET = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
_VARIABLES = {_INK: "--ink", _GRID: "--line", _FIRST: "--first", _SECOND: "--second", _QUIET: "--quiet"}
_WIDTH_INCHES, _HEIGHT_INCHES = 4.6, 2.7
_LABEL_CHARACTERS = 26
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
_MORE = ("#b8860b", "#2e8b57", "#8b5fbf", "#c0504d", "#4f8a8b", "#7f7f7f")
"""After the page's own: readable on light and dark."""


def colours_of(count: int) -> list[str]:
    """A colour for each of several series, the page's own first."""
    own = [_FIRST, _SECOND, _QUIET] if count <= 3 else [_FIRST, _SECOND, *_MORE]
    return [own[i % len(own)] for i in range(count)]


def curve_plot(
    curves: Mapping[str, Curve],
    *,
    salt: str,
    title: str,
    log_scale: bool = False,
    from_zero: bool = False,
    points: Sequence[str] = (),
    axis: str = "step",
    legend: str = "upper right",
) -> str:
    """Lines over steps as an SVG element; the names in `points` get markers. "" when there is nothing finite to draw."""
    drawn = {name: curve for name, curve in curves.items() if curve.x}
    if not drawn:
        return ""
    with canvas(salt, title) as (axes, out):
        for colour, (name, curve) in zip((_FIRST, _SECOND, _QUIET), drawn.items()):
            marker = "o" if name in points or len(curve.x) == 1 else None
            axes.plot(curve.x, curve.values, color=colour, label=name, marker=marker, markersize=3, linewidth=1.5)
        axes.set_xlabel(axis)
        if log_scale and all(value > 0 for curve in drawn.values() for value in curve.values):
            axes.set_yscale("log")
        elif from_zero:
            axes.set_ylim(0, 1.15 * max(max(curve.values) for curve in drawn.values()) or 1)
        if len(drawn) > 1:
            axes.legend(loc=legend, fontsize=8.5)
    return out[0]


def bar_plot(rows: Sequence[Mapping[str, Any]], *, salt: str, title: str, share: bool) -> str:
    """Rows (name, value, low, high, baseline) as horizontal bars with their intervals; baselines in the quiet colour."""
    drawn = [row for row in rows if is_number(row.get("value"))][::-1]
    if not drawn:
        return ""
    scale = 100 if share else 1
    with canvas(salt, title, height=0.75 + 0.34 * len(drawn)) as (axes, out):
        values = [scale * float(row["value"]) for row in drawn]
        colours = [_QUIET if row.get("baseline") else _FIRST for row in drawn]
        places = range(len(drawn))
        axes.barh(places, values, color=colours, height=0.62)
        ends = list(values)
        for place, row in enumerate(drawn):
            if is_number(row.get("low")) and is_number(row.get("high")):
                ends[place] = max(ends[place], scale * row["high"])
                axes.plot([scale * row["low"], scale * row["high"]], [place, place], color=_INK, linewidth=1.4)
        widest = max(*ends, 1e-9)
        for place, row in enumerate(drawn):
            label = shown(float(row["value"]), share=share)
            axes.text(ends[place] + 0.02 * widest, place, label, va="center", fontsize=8.5)
        axes.set_xlim(min(0.0, *values), 1.22 * widest)
        axes.set_yticks(places, [short(str(row.get("name", ""))) for row in drawn])
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        if share:
            axes.set_xlabel("per cent")
    return out[0]


def grouped_plot(groups: Mapping[str, Sequence[tuple[str, Any]]], *, salt: str, title: str) -> str:
    """Shares in groups of upright bars: group -> (name, value), every group with the same names. "" when nothing is finite."""
    names = [name for name, _ in next(iter(groups.values()), ())]
    if not names or not any(is_number(value) for rows in groups.values() for _, value in rows):
        return ""
    width = 0.8 / len(names)
    with canvas(salt, title) as (axes, out):
        for number, name in enumerate(names):
            values = [100 * float(rows[number][1]) if is_number(rows[number][1]) else 0.0 for rows in groups.values()]
            places = [place + (number - (len(names) - 1) / 2) * width for place in range(len(values))]
            strength = 0.35 + 0.65 * (number + 1) / len(names)
            axes.bar(places, values, width=0.92 * width, color=_FIRST, alpha=strength, label=short(name))
            for place, value in zip(places, values):
                axes.text(place, value + 1, f"{value:.0f}", ha="center", fontsize=7.5)
        axes.set_xticks(range(len(groups)), list(groups))
        axes.set_ylim(0, 118)
        axes.set_ylabel("per cent")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper left", ncols=len(names), fontsize=8)
    return out[0]


@contextmanager
def canvas(
    salt: str, title: str, height: float = _HEIGHT_INCHES, grid: tuple[int, int] | None = None
) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on (a flat list of them for a grid of rows and columns); at the end the list holds the SVG element."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out: list[str] = []
    # A glyph that matplotlib's own font lacks is only measured with it: the browser draws the text.
    with matplotlib.rc_context({**_RC, "svg.hashsalt": ascii(salt)}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.subplots() if grid is None else list(figure.subplots(*grid, squeeze=False).flat), out
        buffer = StringIO()
        no_metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    out.append(_inline(buffer.getvalue(), title))


def _inline(document: str, title: str) -> str:
    """The svg element of a file, sized by the page, without ids that another picture on the page could share."""
    from html import escape

    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    view = re.search(r'viewBox="([^"]+)"', svg)
    assert view is not None
    head_end = svg.index(">")
    label = escape(title, quote=True)
    svg = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" class="plot" '
        f'viewBox="{view[1]}" role="img" aria-label="{label}">{svg[head_end + 1 :]}'
    )
    for name in set(re.findall(r' id="([^"]+)"', svg)):
        if f"#{name}" not in svg:
            svg = svg.replace(f' id="{name}"', "")
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    # The page's own font, at the size matplotlib chose.
    return re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg).strip()


def short(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _LABEL_CHARACTERS else text[: _LABEL_CHARACTERS - 1] + "…"

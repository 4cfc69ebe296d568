"""Pictures of runs as options of ECharts: plain data, for `frame.chart`. Names in them come from runs and are drawn on a canvas, as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.core.run_figures import Curve

from .frame import SERIES
from .roofline import Limits

_FEW_POINTS = 15
"""Up to so many the points themselves are marked: a line through two of them hides how little it stands on."""
_TOOLTIP = {"trigger": "axis", "renderMode": "richText", "confine": True}
"""richText: the tooltip is drawn on the canvas too, so that no name in it can be markup."""
_MOST_POINTS = 400


def lines(
    curves: Mapping[str, Curve],
    *,
    x_label: str,
    y_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
    from_zero: bool = False,
    dashed: Sequence[str] = (),
    faint: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Lines over a numeric axis. dashed, faint: names of lines drawn so. Points that a logarithmic axis has no place for are left out."""
    series = []
    for number, (name, curve) in enumerate(curves.items()):
        thin = curve.thinned(_MOST_POINTS)
        points = [
            [_six(x), _six(y)] for x, y in zip(thin.x, thin.values) if (x > 0 or not log_x) and (y > 0 or not log_y)
        ]
        colour = (colours or {}).get(name, SERIES[number % len(SERIES)])
        marked = len(points) <= _FEW_POINTS and name not in faint
        series.append(
            {
                "type": "line", "name": name, "data": points, "showSymbol": marked, "symbol": "circle", "symbolSize": 5,
                "itemStyle": {"color": colour},
                "lineStyle": {"width": 1 if name in faint else 2, "color": colour,
                              "opacity": 0.3 if name in faint else 1.0, "type": "dashed" if name in dashed else "solid"},
            }
        )  # fmt: skip
    return {
        "tooltip": _TOOLTIP,
        "legend": {"show": len(series) > 1, "data": [n for n in curves if n not in faint], "top": 0, "left": 0,
                   "type": "scroll", "textStyle": {"color": "#66726d"}, "itemWidth": 18, "itemHeight": 8},
        "grid": {"left": 8, "right": 18, "top": 34 if len(series) > 1 else 14, "bottom": 26, "containLabel": True},
        "xAxis": {"type": "log" if log_x else "value", "name": x_label, "nameLocation": "middle", "nameGap": 26,
                  "min": None if log_x else "dataMin", "max": "dataMax", "splitLine": {"show": False}},
        "yAxis": {"type": "log" if log_y else "value", "name": y_label, "scale": not from_zero,
                  "min": 0 if from_zero and not log_y else None},
        "series": series,
    }  # fmt: skip


def bars(
    names: Sequence[str], values: Sequence[float], *, colour: str = SERIES[0], log: bool = False
) -> dict[str, Any]:
    """Lying bars, one below the other, each with its value."""
    return {
        "tooltip": {**_TOOLTIP, "axisPointer": {"type": "shadow"}},
        "grid": {"left": 8, "right": 64, "top": 4, "bottom": 4, "containLabel": True},
        "xAxis": {"type": "log" if log else "value", "show": False},
        "yAxis": {"type": "category", "data": list(names), "inverse": True, "axisTick": {"show": False},
                  "axisLabel": {"color": "#66726d", "width": 150, "overflow": "truncate"},
                  "axisLine": {"show": False}, "splitLine": {"show": False}},
        "series": [{"type": "bar", "data": [_six(v) for v in values], "barMaxWidth": 18, "itemStyle": {"color": colour, "borderRadius": 3},
                    "label": {"show": True, "position": "right", "color": "#66726d"}}],
    }  # fmt: skip


def roofline(
    limits: Limits | None, dots: Sequence[tuple[str, float, float]], *, recorded_peak: float | None
) -> dict[str, Any]:
    """log-log. limits: what the machine reaches now; without them only the peak that the run recorded. dots: (name, FLOP per byte,
    FLOP/s).
    """
    reach = [x for _, x, _ in dots]
    ridge = limits.ridge if limits else 10.0
    left = 10 ** math.floor(math.log10(min([*reach, ridge]) / 4))
    right = 10 ** math.ceil(math.log10(max([*reach, ridge]) * 4))
    series: list[dict[str, Any]] = []
    if limits is not None:
        roof = [[x, limits.at(x)] for x in (left, ridge, right)]
        series.append(
            {"type": "line", "name": "measured limits", "data": [[_six(x), _six(y)] for x, y in roof], "showSymbol": False,
             "lineStyle": {"width": 2.5, "color": SERIES[0]}, "itemStyle": {"color": SERIES[0]},
             "areaStyle": {"color": SERIES[0], "opacity": 0.07},
             "markLine": {"symbol": "none", "silent": True, "lineStyle": {"type": "dotted", "color": "#8a9691"},
                          "label": {"formatter": f"ridge {_number(ridge)}", "color": "#66726d", "position": "insideEndTop"},
                          "data": [{"xAxis": _six(ridge)}]}}
        )  # fmt: skip
    if recorded_peak is not None:
        series.append(
            {"type": "line", "name": "peak when it ran", "data": [[left, _six(recorded_peak)], [right, _six(recorded_peak)]],
             "showSymbol": False, "lineStyle": {"width": 1.5, "type": "dashed", "color": "#8a9691"},
             "itemStyle": {"color": "#8a9691"}}
        )  # fmt: skip
    for number, (name, x, y) in enumerate(dots, start=1):
        series.append(
            {"type": "scatter", "name": name, "data": [[_six(x), _six(y)]], "symbolSize": 14,
             "symbol": ("circle", "diamond", "triangle", "rect")[(number - 1) % 4],
             "itemStyle": {"color": SERIES[number % len(SERIES)]}}
        )  # fmt: skip
    heights = [y for _, _, y in dots] + ([limits.flops_per_second, limits.at(left)] if limits else [])
    heights += [recorded_peak] if recorded_peak else []
    return {
        "tooltip": {"trigger": "item", "renderMode": "richText", "confine": True},
        "legend": {"show": True, "top": 0, "left": 0, "type": "scroll", "textStyle": {"color": "#66726d"}, "itemWidth": 18, "itemHeight": 10},
        "grid": {"left": 8, "right": 24, "top": 44, "bottom": 30, "containLabel": True},
        "xAxis": {"type": "log", "name": "FLOP per byte moved", "nameLocation": "middle", "nameGap": 28, "min": left, "max": right,
                  "minorSplitLine": {"show": False}},
        "yAxis": {"type": "log", "axisLabel": {"color": "#66726d", ":formatter": _UNITS},
                  "min": 10 ** math.floor(math.log10(min(heights) / 1.5)),
                  "max": 10 ** math.ceil(math.log10(max(heights) * 1.2))},
        "series": series,
    }  # fmt: skip


_UNITS = "(v) => v >= 1e15 ? v / 1e15 + ' PFLOP/s' : v >= 1e12 ? v / 1e12 + ' TFLOP/s' : v >= 1e9 ? v / 1e9 + ' GFLOP/s' : v / 1e6 + ' MFLOP/s'"
"""A function of the page: ECharts itself knows no units."""
_DRAWN = ("lines", "points", "steps", "bars", "heatmap")


def exhibit(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """A plot of core/exhibits.py as it is in report.json. None for what cannot be drawn from what is there.

    Contours and images are drawn by the report (`evals/report/exhibits.py`).
    """
    try:
        return _exhibit(given) if given.get("kind") in _DRAWN else None
    except (TypeError, ValueError, IndexError, KeyError, AttributeError):
        return None


def _exhibit(given: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, log_x, log_y = given["kind"], bool(given.get("log_x")), bool(given.get("log_y"))
    if kind == "heatmap":
        return _heatmap(given)
    listed = [one for one in given.get("series") or () if one.get("y")]
    if not listed:
        return None
    x_label, y_label = str(given.get("x_label", "")), str(given.get("y_label", ""))
    if kind == "bars":
        names = [str(x) for x in listed[0]["x"]]
        if len(listed) == 1:
            return bars(names, listed[0]["y"], log=log_y)
        made = lines({}, x_label=x_label, y_label=y_label, log_y=log_y, from_zero=True)
        made["xAxis"] = {"type": "category", "data": names, "name": x_label, "nameLocation": "middle", "nameGap": 26}
        made["series"] = [
            {"type": "bar", "name": str(one.get("name", "")), "data": [_six(v) for v in one["y"]], "barMaxWidth": 22} for one in listed
        ]  # fmt: skip
        made["legend"] |= {"show": True, "data": [str(one.get("name", "")) for one in listed]}
        return made
    curves = {
        str(one.get("name", "")): Curve(x=[float(v) for v in one["x"]], values=[float(v) for v in one["y"]])
        for one in listed
    }
    made = lines(curves, x_label=x_label, y_label=y_label, log_x=log_x, log_y=log_y)
    for series in made["series"]:
        if kind == "points":
            series |= {"type": "scatter", "symbolSize": 6}
        elif kind == "steps":
            series |= {"step": "middle", "showSymbol": False}
    if kind == "points":
        made["tooltip"] = {**_TOOLTIP, "trigger": "item"}
    for one, series in zip(listed, list(made["series"])):
        if kind == "lines" and one.get("low") and one.get("high"):
            made["series"] += _band(one, series)
    return made


def _band(one: Mapping[str, Any], line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The interval around a line: its lower end, and on it the width, stacked."""
    x, low, high = one["x"], one["low"], one["high"]
    base = {
        "type": "line", "stack": f"band of {line['name']}", "stackStrategy": "all", "showSymbol": False, "silent": True,
        "lineStyle": {"opacity": 0}, "tooltip": {"show": False}, "itemStyle": line["itemStyle"],
    }  # fmt: skip
    return [
        {**base, "data": [[_six(a), _six(b)] for a, b in zip(x, low)]},
        {**base, "data": [[_six(a), _six(c - b)] for a, b, c in zip(x, low, high)],
         "areaStyle": {"color": line["itemStyle"]["color"], "opacity": 0.15}},
    ]  # fmt: skip


def _heatmap(given: Mapping[str, Any]) -> dict[str, Any]:
    matrix = given["matrix"]
    cells = [(j, i, _six(float(value))) for i, row in enumerate(matrix) for j, value in enumerate(row)]
    values = [value for _, _, value in cells if value is not None]
    rows = [str(r) for r in given.get("rows") or range(len(matrix))]
    columns = [str(c) for c in given.get("columns") or range(len(matrix[0]))]
    few = len(matrix) <= 12 and len(matrix[0]) <= 12
    return {
        "tooltip": {"trigger": "item", "renderMode": "richText", "confine": True},
        "grid": {"left": 8, "right": 16, "top": 8, "bottom": 44 if not few else 28, "containLabel": True},
        "xAxis": {"type": "category", "data": columns, "name": str(given.get("x_label", "")), "nameLocation": "middle", "nameGap": 26},
        "yAxis": {"type": "category", "data": rows, "inverse": True, "name": str(given.get("y_label", ""))},
        "visualMap": {"min": min(values), "max": max(values), "show": not few, "orient": "horizontal", "left": "center", "bottom": 0,
                      "itemHeight": 90, "itemWidth": 10, "inRange": {"color": ["#e3f1ee", "#0f766e"]}, "textStyle": {"color": "#66726d"}},
        "series": [{"type": "heatmap", "data": cells, "label": {"show": few, "color": "#16211e"}}],
    }  # fmt: skip


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _six(value: float) -> float | None:
    """To six digits: what a picture can show, a third of the bytes on the wire. None, a gap, for what is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def redraw(drawn: Any, options: Mapping[str, Any]) -> None:
    """Put new options into a chart that is on the page (`frame.chart`), whose axes keep their colours."""
    for name, value in options.items():
        if name in ("xAxis", "yAxis"):
            drawn.options[name] = {**drawn.options[name], **value}
        else:
            drawn.options[name] = value
    drawn.update()

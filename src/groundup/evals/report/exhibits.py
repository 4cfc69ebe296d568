"""The tables and plots that stages want shown (core/exhibits.py), as HTML and SVG.

What a run directory holds may be cut or edited: an exhibit that cannot be drawn is left out, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .markup import section, text_of
from .plots import canvas, colours_of, short
from .reading import Run, figures, shown, stages

_MOST_IMAGES = 64
_CELL_NUMBERS = 12
"""Cells of a heatmap carry their numbers up to this many a side."""


def exhibits(run: Run) -> str:
    """One section with the exhibits of every stage, in order."""
    parts = []
    for name, stage in stages(run.report).items():
        listed = figures(stage).get("exhibits")
        cards = [
            card
            for number, exhibit in enumerate(listed if isinstance(listed, list) else [])
            if isinstance(exhibit, Mapping) and (card := _card(exhibit, f"{name} {number}"))
        ]
        if cards:
            parts.append(f"<h3>{text_of(name)}</h3>{_laid_out(cards)}<br>")
    return section("What was found", "".join(parts))


def _laid_out(cards: list[str]) -> str:
    """Pictures side by side, tables over the whole width, in the order given."""
    made, row = [], []
    for card in [*cards, ""]:
        if card.startswith("<figure"):
            row.append(card)
            continue
        if row:
            made.append(f'<div class="grid">{"".join(row)}</div>')
            row = []
        made.append(card)
    return "".join(made)


def _card(exhibit: Mapping[str, Any], salt: str) -> str:
    title, sentence = str(exhibit.get("title", "")), str(exhibit.get("sentence", ""))
    told = f"<p class='soft'>{text_of(sentence)}</p>" if sentence else ""
    if exhibit.get("exhibit") == "table":
        notes = "".join(f'<p class="soft">{text_of(note)}</p>' for note in _list(exhibit.get("notes")))
        return f'<div class="card"><h3>{text_of(title)}</h3>{told}{_table(exhibit)}{notes}</div>'
    drawn = picture(exhibit, salt)
    if not drawn:
        return ""
    return f'<figure class="card"><h3>{text_of(title)}</h3><figcaption>{text_of(sentence)}</figcaption>{drawn}</figure>'


def picture(exhibit: Mapping[str, Any], salt: str) -> str:
    """A plot as an SVG element; "" for one that cannot be drawn from what is there."""
    try:
        return _picture(exhibit, salt)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError):
        return ""


def _table(exhibit: Mapping[str, Any]) -> str:
    columns = [str(c) for c in _list(exhibit.get("columns"))]
    rows = [_list(row) for row in _list(exhibit.get("rows"))]

    def cell(value: Any) -> str:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        words = "–" if value is None else shown(value) if number else str(value)
        return f"<td{' class=number' if number or value is None else ''}>{text_of(words)}</td>"

    def is_numeric(i: int) -> bool:
        return any(isinstance(row[i], (int, float)) for row in rows if i < len(row))

    head = "".join(f"<th{' class=number' if is_numeric(i) else ''}>{text_of(c)}</th>" for i, c in enumerate(columns))
    body = "".join(f"<tr>{''.join(cell(value) for value in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table class="results"><tr>{head}</tr>{body}</table></div>'


def _picture(exhibit: Mapping[str, Any], salt: str) -> str:
    kind = exhibit.get("kind")
    series = [s for s in _list(exhibit.get("series")) if isinstance(s, Mapping) and s.get("y")]
    title = str(exhibit.get("title", ""))
    if kind == "images":
        return _images(exhibit, salt, title)
    if kind == "heatmap":
        return _heatmap(exhibit, salt, title)
    if not series and kind != "contours":
        return ""
    names = [str(x) for x in series[0]["x"]] if kind == "bars" else []
    height = 2.9 if kind != "bars" or len(series) > 1 else 0.9 + 0.32 * len(names)
    with canvas(salt, title, height=height) as (axes, out):
        colours = colours_of(len(series))
        if kind == "bars":
            _bars(axes, series, names, colours)
        else:
            if kind == "contours":
                axes.contour(
                    exhibit["x"], exhibit["y"], exhibit["matrix"], levels=14, colors=[colours_of(3)[2]], linewidths=0.6
                )
            for colour, one in zip(colours, series):
                x, y, name = one["x"], one["y"], short(str(one.get("name", "")))
                if kind == "points":
                    axes.scatter(x, y, s=9, color=colour, label=name, alpha=0.75, linewidths=0)
                elif kind == "steps":
                    axes.step(x, y, color=colour, label=name, where="mid", linewidth=1.5)
                else:
                    marker = "o" if len(x) <= 15 else None
                    axes.plot(x, y, color=colour, label=name, marker=marker, markersize=3, linewidth=1.5)
                    if one.get("low") and one.get("high"):
                        axes.fill_between(x, one["low"], one["high"], color=colour, alpha=0.15, linewidth=0)
            if len(series) > 1:
                axes.legend(fontsize=8)
        horizontal = kind == "bars" and len(series) == 1
        x_label, y_label = str(exhibit.get("x_label", "")), str(exhibit.get("y_label", ""))
        axes.set_xlabel(y_label if horizontal else x_label)
        axes.set_ylabel(x_label if horizontal else y_label)
        if exhibit.get("log_x"):
            axes.set_xscale("log")
        if exhibit.get("log_y"):
            (axes.set_xscale if horizontal else axes.set_yscale)("log")
    return out[0]


def _bars(axes: Any, series: list[Mapping[str, Any]], names: list[str], colours: list[str]) -> None:
    """One series lies down, so that its names can be read; several stand side by side."""
    if len(series) == 1:
        one, places = series[0], list(range(len(names)))[::-1]
        axes.barh(places, one["y"], color=colours[0], height=0.62)
        for place, value in zip(places, one["y"]):
            axes.annotate(
                shown(value), (value, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
            )
        if one.get("low") and one.get("high"):
            for place, low, high in zip(places, one["low"], one["high"]):
                axes.plot([low, high], [place, place], color="black", linewidth=1)
        axes.set_yticks(places, [short(name) for name in names])
        axes.margins(x=0.14)
        axes.grid(axis="y", visible=False)
        return
    width = 0.8 / len(series)
    for number, (colour, one) in enumerate(zip(colours, series)):
        at = [place + (number - (len(series) - 1) / 2) * width for place in range(len(names))]
        axes.bar(at, one["y"], width=0.92 * width, color=colour, label=short(str(one.get("name", ""))))
    axes.set_xticks(range(len(names)), [short(name) for name in names], rotation=0 if len(names) < 6 else 30)
    axes.grid(axis="x", visible=False)
    axes.legend(fontsize=8)


def _heatmap(exhibit: Mapping[str, Any], salt: str, title: str) -> str:
    matrix = exhibit["matrix"]
    rows, columns = _list(exhibit.get("rows")), _list(exhibit.get("columns"))
    with canvas(salt, title, height=max(2.4, 1.0 + 0.22 * len(matrix))) as (axes, out):
        drawn = axes.imshow(matrix, cmap="Blues", aspect="auto", interpolation="nearest")
        axes.grid(visible=False)
        axes.set_yticks(range(len(rows)), [short(str(r)) for r in rows], fontsize=8)
        axes.set_xticks(
            range(len(columns)), [short(str(c)) for c in columns], fontsize=8,
            rotation=0 if len(columns) < 6 else 60, ha="center" if len(columns) < 6 else "right",
        )  # fmt: skip
        if len(matrix) <= _CELL_NUMBERS and len(matrix[0]) <= _CELL_NUMBERS:
            top = max(max(row) for row in matrix)
            for i, row in enumerate(matrix):
                for j, value in enumerate(row):
                    colour = "white" if value > 0.6 * top else "black"
                    axes.text(j, i, shown(value), ha="center", va="center", fontsize=7, color=colour)
        else:
            axes.figure.colorbar(drawn, ax=axes, shrink=0.8)
        axes.set_xlabel(str(exhibit.get("x_label", "")))
        axes.set_ylabel(str(exhibit.get("y_label", "")))
    return out[0]


def _images(exhibit: Mapping[str, Any], salt: str, title: str) -> str:
    matrices = _list(exhibit.get("matrices"))[:_MOST_IMAGES]
    captions = [str(c) for c in _list(exhibit.get("captions"))]
    if not matrices:
        return ""
    across = min(8, len(matrices))
    down = -(-len(matrices) // across)
    with canvas(salt, title, height=0.66 * down + 0.2, grid=(down, across)) as (panels, out):
        for number, panel in enumerate(panels):
            panel.set_axis_off()
            if number >= len(matrices):
                continue
            panel.imshow(matrices[number], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
            if number < len(captions):
                panel.set_title(short(captions[number]), fontsize=7, pad=2)
    return out[0]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []

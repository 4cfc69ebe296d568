"""Parts of pages that are made of tokens: a strip of them, the map of a head, bars of what may come next.

Each is a small Vue component beside this file; what it shows arrives as data and is put on the page as text by the browser.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from nicegui import ui
from nicegui.element import Element
from numpy.typing import NDArray

from .frame import style_sheet
from .token_pieces import Cut

POINT = "Point at a token, or Tab to the text and use the arrow keys."
_SHOWN_PIECES = 2000
"""Elements that a browser still draws at once while one types."""


def use_pieces() -> None:
    """Call it once in a page that has any of the parts below."""
    style_sheet("pieces.css")


def text_with_examples(
    examples: Mapping[str, str], name: str, on_change: Callable[[], Any], *, most: int, wait_ms: int = 350
) -> ui.textarea:
    """A text to type, which begins as the first example, and chips that put the others there. on_change: called once nothing was typed
    for `wait_ms`."""
    box = (
        ui.textarea(value=next(iter(examples.values())), on_change=on_change)
        .props(f'outlined autogrow debounce={wait_ms} maxlength={most} aria-label="{name}" spellcheck=false')
        .classes("st-text")
        .style("width: 100%")
    )
    with ui.element("div").classes("st-chips").props('role=group aria-label="Examples"').style("margin: .6rem 0"):
        ui.label("Try").classes("st-note").style("margin: 0")
        for example, text in examples.items():
            chip(example, partial(box.set_value, text))
    return box


def chip(name: str, click: Callable[[], Any]) -> ui.button:
    return ui.button(name, on_click=click, color=None).props("flat dense size=sm padding='2px 12px'")


class TokenStrip(Element, component="token_strip.js"):
    """Tokens of a text in a row. A piece is {t: text shown, n: note, k: class, c: colour}."""

    def __init__(
        self,
        pieces: Sequence[Mapping[str, Any]] = (),
        *,
        label: str,
        hint: str = POINT,
        group: str = "",
        on_pick: Callable[[int], Any] | None = None,
    ) -> None:
        """group: strips and maps of one group mark the same token. on_pick: given the index of a token that is clicked or entered."""
        super().__init__()
        self._props.update(
            {"label": label, "hint": hint, "pieces": list(pieces), "chosen": -1, "group": group, "weights": ""}
        )
        if on_pick is not None:
            self.classes("st-pickable")
            self.on("pick", lambda event: on_pick(int(event.args)))

    def show(self, pieces: Sequence[Mapping[str, Any]], *, chosen: int = -1) -> None:
        self._props["pieces"], self._props["chosen"] = list(pieces), chosen
        self.update()

    def shade(self, weights: NDArray[np.float32] | None) -> None:
        """weights [T, T]: pointing at token t shades the others by row t. None: no longer."""
        self._props["weights"] = "" if weights is None else quantised(weights)
        self.update()


def quantised(weights: NDArray[np.float32]) -> str:
    """Numbers in [0, 1] as bytes in base64."""
    return base64.b64encode((np.clip(weights, 0, 1) * 255 + 0.5).astype(np.uint8).tobytes()).decode()


def coloured(cut: Cut) -> list[dict[str, Any]]:
    """Pieces in turning colours, so that neighbours are told apart; at most 2,000 of them."""
    return [
        {"t": p.shown, "n": p.note, "k": f"st-t{i % 5}" + ("" if p.whole else " st-partial")}
        for i, p in enumerate(cut.pieces[:_SHOWN_PIECES])
    ]


def left_out(cut: Cut) -> str:
    """What `coloured` says it did not show."""
    over = len(cut.pieces) - _SHOWN_PIECES
    return f"The first {_SHOWN_PIECES:,} are shown, {over:,} more are counted." if over > 0 else ""


class AttentionMap(Element, component="attention_map.js"):
    """One head's weights as a map; row t is what token t takes from each token before it."""

    def __init__(self, *, group: str) -> None:
        super().__init__()
        self._props.update({"weights": "", "tokens": [], "label": "", "group": group})

    def show(self, weights: NDArray[np.float32], tokens: Sequence[str], label: str) -> None:
        """weights [T, T]; label: what a screen reader says of it."""
        self._props.update({"weights": quantised(weights), "tokens": list(tokens), "label": label})
        self.update()


class ChoiceBars(Element, component="choice_bars.js"):
    """What may come next. A row is {t: token shown, p: probability before, q: after, f: figure shown, cut: why not, n: what is read out}."""

    def __init__(self, *, label: str, on_pick: Callable[[int], Any]) -> None:
        super().__init__()
        self._props.update({"rows": [], "label": label})
        self.on("pick", lambda event: on_pick(int(event.args)))

    def show(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._props["rows"] = list(rows)
        self.update()


class Range(Element):
    """The browser's own slider: arrows, Page Up and Down, Home and End move it, and its name and value are read out.

    (Quasar's has its name on one element and the focus on another.)
    """

    def __init__(
        self, *, low: float, high: float, step: float, value: float, label: str, on_change: Callable[[], Any]
    ) -> None:
        super().__init__("input")
        self._props.update(
            {"type": "range", "min": low, "max": high, "step": step, "value": value, "aria-label": label}
        )
        self.classes("st-range")
        self.value = value
        self._on_change = on_change
        self.on("input", self._moved, js_handler="(event) => emit(Number(event.target.value))", throttle=0.05)

    def _moved(self, event: Any) -> Any:
        self.value = self._props["value"] = float(event.args)
        return self._on_change()

    def set(self, value: float, *, high: float | None = None) -> None:
        """Put it elsewhere, without a word to `on_change`."""
        self.value = self._props["value"] = value
        if high is not None:
            self._props["max"] = high
        self.update()


class PickTable(Element, component="pick_table.js"):
    """A table whose rows can be picked by their first cell. Column: {name, number: right-aligned, bar: the cell is row's bar}; row: {cells,
    bar: from -1 to 1, label: of its button}."""

    def __init__(self, *, label: str, columns: Sequence[Mapping[str, Any]], on_pick: Callable[[int], Any]) -> None:
        super().__init__()
        self._props.update({"label": label, "columns": list(columns), "rows": []})
        self.on("pick", lambda event: on_pick(int(event.args)))

    def show(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._props["rows"] = list(rows)
        self.update()

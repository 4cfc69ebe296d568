"""Parts of pages that are made of tokens: a strip of them, the map of a head, bars of what may come next.

Each is a small Vue component beside this file; what it shows arrives as data and is put on the page as text by the browser.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from nicegui import ui
from nicegui.element import Element
from numpy.typing import NDArray

from .token_pieces import Cut

POINT = "Point at a token, or Tab to the text and use the arrow keys."
_SHOWN_PIECES = 2000
"""Elements that a browser still draws at once while one types."""


@lru_cache
def _css() -> str:
    return files(__package__).joinpath("pieces.css").read_text(encoding="utf-8")


def use_pieces() -> None:
    """Call it once in a page that has any of the parts below."""
    ui.add_css(_css())


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

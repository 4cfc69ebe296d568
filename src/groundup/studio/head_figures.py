"""What can be said of an attention head from its weights over one text, and pictures of the weights.

Measures, each a mean over positions from the second on (the first has nothing but itself to look at):

- entropy, bits: 0 looks at one token, log2(t + 1) at all alike (Clark et al. 2019, "What Does BERT Look At?", section 3).
- distance, tokens: how far back it looks.
- first token: share given to position 0, where heads put what they have no use for (Xiao et al. 2023, "Efficient Streaming Language
  Models with Attention Sinks").
- previous token: share given to the token before (Voita et al. 2019, "positional heads"; Olsson et al. 2022).
- induction: share given to tokens that came right after an earlier copy of this token: the prefix-matching score of Olsson et al. 2022,
  "In-context Learning and Induction Heads", but over the text at hand, at those tokens of it that have an earlier copy, and not over
  random tokens that are repeated.
- same token: share given to earlier copies of this token ("duplicate token heads", Wang et al. 2022, "Interpretability in the Wild").

Letters: L layers, H heads, T positions.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .token_pieces import visible

if TYPE_CHECKING:
    from .app import Inspector

_NAMED_FROM = 0.4
"""Share from which a head is called by what it does; below, several things at once would be as true."""
_INK = (13, 148, 136)


@dataclass(frozen=True, kw_only=True)
class HeadFigures:
    """One head over one text."""

    entropy_bits: float
    distance_tokens: float
    first_token: float
    previous_token: float
    itself: float
    induction: float | None
    """None: no token of the text has an earlier copy with something between."""
    same_token: float | None

    @property
    def kind(self) -> str:
        """What it mostly does, in a word or two; "" where nothing stands out."""
        shares = {
            "induction": self.induction or 0.0,
            "same token": self.same_token or 0.0,
            "previous": self.previous_token,
            "first token": self.first_token,
            "itself": self.itself,
        }
        name = max(shares, key=lambda n: shares[n])
        return name if shares[name] >= _NAMED_FROM else ""


def head_figures(weights: NDArray[np.float32], pieces: Sequence[str]) -> HeadFigures:
    """weights [T, T], rows that sum to one, T > 1; pieces: the T tokens."""
    size = len(weights)
    rows = np.arange(1, size)
    w = weights[1:].astype(np.float64)
    distance = rows[:, None] - np.arange(size)
    safe = np.where(w > 0, w, 1.0)
    codes: dict[str, int] = {}
    kinds = np.array([codes.setdefault(piece, len(codes)) for piece in pieces])
    copies = (kinds[1:, None] == kinds) & (distance > 0)
    after = np.zeros_like(copies)
    # Right after an earlier copy; the token itself is not among them.
    after[:, 1:] = copies[:, :-1] & (np.arange(1, size) < rows[:, None])
    return HeadFigures(
        entropy_bits=float(-(w * np.log2(safe)).sum(1).mean()),
        distance_tokens=float((w * distance).sum(1).mean()),
        first_token=float(w[:, 0].mean()),
        previous_token=float(w[rows - 1, rows - 1].mean()),
        itself=float(w[rows - 1, rows].mean()),
        induction=_share(w, after),
        same_token=_share(w, copies),
    )


def _share(w: NDArray[np.float64], wanted: NDArray[np.bool_]) -> float | None:
    """Mean share given to the wanted positions, over the rows that have any."""
    able = wanted.any(1)
    return float((w * wanted).sum(1)[able].mean()) if able.any() else None


def picture(weights: NDArray[np.float32]) -> str:
    """The weights [T, S] in [0, 1] as a PNG in a data URI, one pixel each: how opaque is the square root of the weight, so that small
    ones are seen too."""
    opaque = (np.sqrt(np.clip(weights, 0, 1)) * 255 + 0.5).astype(np.uint8)
    image = Image.fromarray(opaque, "P")
    image.putpalette(bytes(_INK) * 256)
    out = BytesIO()
    image.save(out, "PNG", transparency=bytes(range(256)))
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A text through a model: what every head looked at and what every token cost."""

    text: str
    pieces: Sequence[str]
    """As they are read, T of them."""
    shown: Sequence[str]
    """The same for the eye."""
    attention: Sequence[NDArray[np.float32]]
    """L of [H, T, T]."""
    losses: NDArray[np.float32]
    """[T - 1] nats."""
    figures: Sequence[Sequence[HeadFigures]]
    pictures: Sequence[Sequence[str]]

    @property
    def loss(self) -> float:
        """Mean nats a token."""
        return float(self.losses.mean())


def read_text(inspector: Inspector, text: str) -> Reading | None:
    """All of it at once; None for a text of fewer than two tokens."""
    pieces = list(inspector.pieces(text))
    if len(pieces) < 2:
        return None
    attention = inspector.attention(text)
    return Reading(
        text=text,
        pieces=pieces,
        shown=[visible(p) or "∅" for p in pieces],
        attention=attention,
        losses=inspector.losses(text),
        figures=[[head_figures(head, pieces) for head in layer] for layer in attention],
        pictures=[[picture(head) for head in layer] for layer in attention],
    )

"""What a classifier's report shows of its answers on held-out examples, the same for every kind of classifier: figures, the confusion
matrix and, of images, those it got wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.exhibits import Plot, Table
from ..data.images import grey
from .label_figures import Labelling, confusion_plot

_MOST_LABELS = 40
"""Beyond it a confusion matrix is no picture."""
_SHOWN = 24


def label_results(
    wanted: np.ndarray, probabilities: np.ndarray, names: Sequence[str], *, images: np.ndarray | None = None
) -> tuple[dict[str, Any], list[Table | Plot]]:
    """Figures and exhibits. wanted int [N], probabilities [N, K]; images uint8 [N, H, W] or [N, H, W, 3], for the wrong ones."""
    given = probabilities.argmax(1)
    labelling = Labelling(labels=names, wanted=wanted, given=given, probabilities=probabilities)
    shown: list[Table | Plot] = []
    if len(names) <= _MOST_LABELS:
        shown.append(confusion_plot(labelling))
    wrong = np.flatnonzero(wanted != given)
    if images is not None and len(wrong):
        surest = wrong[np.argsort(-probabilities[wrong, given[wrong]], kind="stable")][:_SHOWN]
        shown.append(
            Plot(
                title="What it got wrong, the surest first",
                kind="images",
                sentence=f"{len(wrong):,} of {len(wanted):,}. Above each: the right label → the answer.",
                matrices=[grey(images[i]).tolist() for i in surest],
                captions=[f"{names[wanted[i]]} → {names[given[i]]}" for i in surest],
            )
        )
    return labelling.figures(), shown

"""What a classifier's report shows of its answers on held-out examples, the same for every kind of classifier: figures, the confusion
matrix and, of images, those it got wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.exhibits import Plot, Table
from ..data.images import grey
from ..foundations.intervals import wilson
from ..foundations.metrics import confusion, label_scores, log_loss, matthews

_MOST_LABELS = 40
"""Beyond it a confusion matrix is no picture."""
_SHOWN = 24


def label_results(
    wanted: np.ndarray, probabilities: np.ndarray, names: Sequence[str], *, images: np.ndarray | None = None
) -> tuple[dict[str, Any], list[Table | Plot]]:
    """Figures and exhibits. wanted int [N], probabilities [N, K]; images uint8 [N, H, W] or [N, H, W, 3], for the wrong ones."""
    given = probabilities.argmax(1)
    counts = confusion([names[i] for i in wanted], [names[i] for i in given], names)
    scores = label_scores(counts)
    right = int((wanted == given).sum())
    interval = wilson(right, len(wanted))
    figures = {
        "examples": len(wanted),
        "accuracy": right / max(1, len(wanted)),
        "accuracy_low": interval.low,
        "accuracy_high": interval.high,
        "macro_f1": scores.mean("f1", "macro"),
        "mcc": matthews(counts),
        "log_loss": log_loss(wanted, probabilities),
    }
    shown: list[Table | Plot] = []
    if len(names) <= _MOST_LABELS:
        shown.append(
            Plot(
                title="Confusion matrix",
                kind="heatmap",
                sentence="Rows: the right label. Columns: the answer. What is off the diagonal is wrong.",
                matrix=counts.tolist(),
                rows=names,
                columns=names,
                x_label="answer",
                y_label="right label",
            )
        )
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
    return figures, shown

"""Networks that give labels: probabilities of many examples, figures over folds or repetitions, and what to show of them.

Letters: N examples, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.exhibits import Plot, Series, Table
from ...foundations.metrics import log_loss
from ...objectives.networks import Example
from ..label_figures import Labelling, calibration_plot, confusion_plot
from .task import Exhibits, Part

_AT_ONCE = 256
BatchOf = Callable[[Sequence[Example]], Tensor]


def probabilities(model: nn.Module, batch_of: BatchOf, examples: Sequence[Example]) -> np.ndarray:
    """float64 [N, L], in the order of the examples; those of like length go through the network together."""
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].input))
    made: dict[int, np.ndarray] = {}
    training = model.training
    model.eval()
    with torch.no_grad():
        for first in range(0, len(order), _AT_ONCE):
            chosen = order[first : first + _AT_ONCE]
            scores = model(batch_of([examples[i] for i in chosen])).double().softmax(1).numpy()
            made.update(zip(chosen, scores, strict=True))
    model.train(training)
    return np.stack([made[i] for i in range(len(examples))])


class LabelFigures:
    """Task.evaluate and Task.judged for networks that give one of `names`."""

    def __init__(self, batch_of: BatchOf, names: Sequence[str], parts: Sequence[Part], *, folds: bool = False) -> None:
        self.batch_of, self.names, self.parts, self.folds = batch_of, tuple(names), parts, folds

    def evaluate(self, model: nn.Module, examples: Sequence[Example]) -> dict[str, float]:
        """loss (without smoothing or penalties) and accuracy; {} without examples."""
        if not examples:
            return {}
        made = probabilities(model, self.batch_of, examples)
        wanted = np.array([example.label for example in examples])
        return {"loss": log_loss(wanted, made), "accuracy": float((made.argmax(1) == wanted).mean())}

    def judged(self, models: Sequence[nn.Module]) -> tuple[dict[str, Any], Exhibits, Labelling]:
        """Figures (train/label_figures.py) of all folds together; or of the first training, with the mean accuracy of its repetitions and
        their lowest and highest as its interval. And the labels they are of.
        """
        found = [
            (_labels(part), probabilities(model, self.batch_of, part.held_out))
            for part, model in zip(self.parts, models, strict=True)
        ]
        chosen = found if self.folds else found[:1]
        labelling = Labelling(
            labels=self.names,
            wanted=np.concatenate([wanted for wanted, _ in chosen]),
            given=np.concatenate([made.argmax(1) for _, made in chosen]),
            folds=np.repeat(np.arange(len(chosen)), [len(wanted) for wanted, _ in chosen]) if self.folds else None,
            probabilities=np.concatenate([made for _, made in chosen]),
        )
        figures = labelling.figures()
        if len(found) > 1 and not self.folds:
            each = [round(float((made.argmax(1) == wanted).mean()), 6) for wanted, made in found]
            figures |= {
                "per_repeat": each,
                "accuracy": float(np.mean(each)),
                "accuracy_low": min(each),
                "accuracy_high": max(each),
            }
        columns = {
            "accuracy": "accuracy",
            "macro_f1": "macro F1",
            "mcc": "MCC",
            "log_loss": "log loss",
            "examples": "held-out examples",
        }
        many = (
            f"the mean of {len(found)} trainings; the rest of the first one"
            if "per_repeat" in figures
            else "all folds together"
        )
        table = Table(
            title="How often it is right",
            columns=[*columns.values(), "interval of accuracy"],
            rows=[
                [
                    *(figures[name] for name in columns),
                    f"{figures['accuracy_low']:.3f} .. {figures['accuracy_high']:.3f}",
                ]
            ],
            sentence=f"Accuracy: {many}." if len(found) > 1 else "",
        )
        drawn = (confusion_plot(labelling), calibration_plot(labelling, "the network"))
        return figures, [table, *(plot for plot in drawn if plot is not None)], labelling


def _labels(part: Part) -> np.ndarray:
    return np.array([example.label for example in part.held_out], np.int64)


def curves(rows: Sequence[Mapping[str, float]], names: Mapping[str, str], title: str, sentence: str) -> Plot | None:
    """Figures over the steps as lines; names: figure -> what it is called. None where there is nothing to draw."""
    series = []
    for figure, name in names.items():
        points = [(row["step"], row[figure]) for row in rows if isinstance(row.get(figure), float)]
        if len(points) > 1:
            x, y = zip(*points, strict=True)
            series.append(Series(name=name, x=x, y=y))
    if not series:
        return None
    return Plot(title=title, kind="lines", series=series, x_label="step", sentence=sentence)

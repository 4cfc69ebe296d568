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
from ...foundations.metrics import accuracy, confusion, label_scores, log_loss, macro_f1, matthews
from ...objectives.networks import Example
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

    def __init__(self, batch_of: BatchOf, names: Sequence[str], parts: Sequence[Part], part_name: str) -> None:
        self.batch_of, self.names, self.parts, self.part_name = batch_of, tuple(names), parts, part_name

    def evaluate(self, model: nn.Module, examples: Sequence[Example]) -> dict[str, float]:
        """loss (without smoothing or penalties) and accuracy; {} without examples."""
        if not examples:
            return {}
        made = probabilities(model, self.batch_of, examples)
        wanted = np.array([example.label for example in examples])
        return {"loss": log_loss(wanted, made), "accuracy": float((made.argmax(1) == wanted).mean())}

    def judged(self, models: Sequence[nn.Module]) -> tuple[dict[str, Any], Exhibits]:
        """accuracy, macro_f1 and mcc over all held-out examples together, per_<part> of each part alone."""
        rows = []
        for part, model in zip(self.parts, models, strict=True):
            made = probabilities(model, self.batch_of, part.held_out)
            rows.append((np.array([example.label for example in part.held_out]), made))
        wanted = [self.names[i] for labels, _ in rows for i in labels]
        given = [self.names[i] for _, made in rows for i in made.argmax(1)]
        counts = confusion(wanted, given, self.names)
        figures: dict[str, Any] = {
            "accuracy": accuracy(wanted, given),
            "macro_f1": macro_f1(wanted, given),
            "mcc": matthews(counts),
            "log_loss": float(np.average([log_loss(w, m) for w, m in rows], weights=[len(w) for w, _ in rows])),
            "held_out_examples": len(wanted),
        }
        if len(rows) > 1:
            figures[f"per_{self.part_name}"] = [
                {
                    "accuracy": float((made.argmax(1) == labels).mean()),
                    "macro_f1": macro_f1([self.names[i] for i in labels], [self.names[i] for i in made.argmax(1)]),
                }
                for labels, made in rows
            ]
        of_label = label_scores(counts)
        table = Table(
            title="Each label",
            columns=["label", "precision", "recall", "F1", "examples"],
            rows=[
                [
                    name,
                    float(of_label.precision[i]),
                    float(of_label.recall[i]),
                    float(of_label.f1[i]),
                    int(of_label.support[i]),
                ]
                for i, name in enumerate(self.names)
            ],
            sentence="On examples that the network was not trained on.",
        )
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        heat = Plot(
            title="Confusion matrix",
            kind="heatmap",
            matrix=np.round(shares, 3).tolist(),
            rows=self.names,
            columns=self.names,
            x_label="given",
            y_label="right",
            sentence="Share of each right label (row) that was given each label (column).",
        )
        whole = Table(
            title="All of them",
            columns=["examples", "accuracy", "macro F1", "MCC", "log loss"],
            rows=[[len(wanted), figures["accuracy"], figures["macro_f1"], figures["mcc"], figures["log_loss"]]],
            sentence=f"Over all {len(rows)} {self.part_name}s together." if len(rows) > 1 else "",
        )
        return figures, [whole, table, heat]

    def worst(self, model: nn.Module, part: Part, count: int) -> list[tuple[Example, str, str, float]]:
        """(example, right label, given label, its probability) of wrong answers, the surest first."""
        made = probabilities(model, self.batch_of, part.held_out)
        found = [
            (float(row.max()), example, int(row.argmax()))
            for row, example in zip(made, part.held_out, strict=True)
            if int(row.argmax()) != example.label
        ]
        found.sort(key=lambda item: -item[0])
        return [(e, self.names[e.label], self.names[given], sure) for sure, e, given in found[:count]]


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

"""Stage `compare_fits`: trainings on the same data side by side, as a systematic experiment ends: a table, bars, a curve of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..core.artifact import write_json
from ..core.errors import ConfigError
from ..core.exhibits import Plot, Series, Table, plain
from ..core.recipe import StageContext

_WORDS = {
    "accuracy": "accuracy, held out",
    "train_accuracy": "accuracy, trained on",
    "log_loss": "log loss, held out",
    "train_loss": "log loss, trained on",
    "val_loss": "loss, held out",
    "val_accuracy": "accuracy, held out",
    "step_seconds": "seconds a step",
    "memory_bytes": "MB beside the weights",
    "skipped_batches": "steps left out",
    "parameters": "parameters",
    "seconds": "seconds",
    "best_step": "best step",
    "told_apart": "told apart",
    "loss": "bound, nats",
}


@dataclass(frozen=True, kw_only=True)
class CompareFitsStage:
    stages: tuple[str, ...]
    """Stages of type fit."""
    figures: tuple[str, ...] = ("accuracy", "train_accuracy", "log_loss", "train_loss")
    """Columns; the bars are of the first."""
    curve: str | None = "val_loss"
    """Figure of the evaluations that is drawn over the steps; null: none."""
    sentence: str = ""
    """What the table says."""
    type: Literal["compare_fits"] = "compare_fits"
    kind = "comparison"

    def __post_init__(self) -> None:
        if not self.stages or not self.figures:
            raise ConfigError("there is nothing to compare", path="figures" if self.stages else "stages")

    def inputs(self) -> Sequence[str]:
        return self.stages

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        found = {name: context.figures[name] for name in self.stages}
        unknown = [f for f in self.figures if not any(f in of for of in found.values())]
        if unknown:
            numbers = sorted({k for of in found.values() for k, v in of.items() if isinstance(v, (int, float))})
            raise ConfigError(f"no stage has the figure {unknown[0]!r}", path=f"{context.name}.figures",
                              hint=f"there are {', '.join(numbers)}")  # fmt: skip
        rows = {_words(name): [_shown(f, of.get(f)) for f in self.figures] for name, of in found.items()}
        gap = "accuracy" in self.figures and "train_accuracy" in self.figures
        columns = ["training", *(_WORDS.get(f, _words(f)) for f in self.figures)]
        if gap:
            columns.append("learned by heart")
            for name, of in found.items():
                rows[_words(name)].append(of["train_accuracy"] - of["accuracy"])
        table = Table(
            title="Side by side",
            columns=columns,
            rows=[[name, *row] for name, row in rows.items()],
            sentence=self.sentence,
            notes=["Learned by heart: how much more often it is right on what it was trained on."] if gap else (),
        )
        write_json(
            context.directory / "figures.json",
            {name: {f: of.get(f) for f in self.figures} for name, of in found.items()},
        )
        bars = _bars(found, self.figures[0])
        exhibits: list[Table | Plot] = [table, *bars]
        if self.curve is not None:
            exhibits += _curves(found, self.curve)
        return {
            "compared": {name: {f: of.get(f) for f in self.figures} for name, of in found.items()},
            "exhibits": plain(*exhibits),
        }


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(figure: str, value: Any) -> Any:
    return round(value / 1e6, 1) if figure == "memory_bytes" and value is not None else value


def _bars(found: Mapping[str, Mapping[str, Any]], figure: str) -> list[Plot]:
    have = {name: of for name, of in found.items() if figure in of}
    ends = all(f"{figure}_low" in of for of in have.values())
    repeated = any("per_repeat" in of for of in have.values())
    series = Series(
        name=figure,
        x=[_words(name) for name in have],
        y=[_shown(figure, of[figure]) for of in have.values()],
        low=[of[f"{figure}_low"] for of in have.values()] if ends else (),
        high=[of[f"{figure}_high"] for of in have.values()] if ends else (),
    )
    sentence = (
        ("Lines: lowest to highest of the repetitions." if repeated else "Lines: 95 % intervals.") if ends else ""
    )
    title = _WORDS.get(figure, _words(figure))
    return [Plot(title=title.capitalize(), kind="bars", series=[series], y_label=title, sentence=sentence)]


def _curves(found: Mapping[str, Mapping[str, Any]], figure: str) -> list[Plot]:
    series = []
    for name, of in found.items():
        points = [(row["step"], row[figure]) for row in of.get("history", ()) if figure in row]
        if len(points) > 1:
            x, y = zip(*points, strict=True)
            series.append(Series(name=_words(name), x=x, y=y))
    if not series:
        return []
    return [Plot(title=_WORDS.get(figure, _words(figure)).capitalize(), kind="lines", series=series, x_label="step")]

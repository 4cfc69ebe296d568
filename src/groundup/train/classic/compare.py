"""Stage `compare_classifiers`: the methods of several earlier stages in one table, where they labelled the same held-out examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...core.artifact import write_json
from ...core.errors import ConfigError
from ...core.exhibits import Table, plain
from ...core.recipe import StageContext
from ..label_figures import bars

_COLUMNS = {"accuracy": "accuracy", "macro_f1": "macro F1", "mcc": "MCC", "seconds": "seconds"}
_SAME = ("accuracy", "macro_f1", "mcc", "examples")
_NEEDED = ("accuracy", "accuracy_low", "accuracy_high")


@dataclass(frozen=True, kw_only=True)
class CompareClassifiersStage:
    stages: tuple[str, ...]
    """Stages whose figures hold accuracy, macro_f1, mcc (classify_text: those of each of its methods)."""
    type: Literal["compare_classifiers"] = "compare_classifiers"
    kind = "comparison"

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("names no stage", path="stages")

    def inputs(self) -> Sequence[str]:
        return self.stages

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        found: dict[str, Mapping[str, Any]] = {}
        for stage in self.stages:
            figures = context.figures[stage]
            rows = figures.get("methods") or {stage: figures}
            for name, row in rows.items():
                lacking = [key for key in _NEEDED if not isinstance(row.get(key), (int, float))]
                if lacking:
                    raise ConfigError(f"the stage {stage!r} has no figure {lacking[0]!r}", path=f"{context.name}.stages",
                                      hint="name stages that classify: classify_text, fit")  # fmt: skip
                if name in found and all(found[name].get(key) == row.get(key) for key in _SAME):
                    continue  # a baseline that several stages have
                found[name if name not in found else f"{stage}: {name}"] = row
        ordered = dict(sorted(found.items(), key=lambda item: -item[1]["accuracy"]))
        counts = sorted({row["examples"] for row in ordered.values() if "examples" in row})
        write_json(context.directory / "methods.json", {name: dict(row) for name, row in ordered.items()})
        notes = (
            [] if len(counts) < 2 else [f"Not all were measured on the same examples: {', '.join(map(str, counts))}."]
        )
        table = Table(
            title="All methods, best first",
            columns=["method", *_COLUMNS.values(), "interval of accuracy"],
            rows=[[name, *(row.get(key) for key in _COLUMNS), f"{row['accuracy_low']:.3f} .. {row['accuracy_high']:.3f}"]
                  for name, row in ordered.items()],
            notes=notes,
        )  # fmt: skip
        best = next(iter(ordered))
        return {"best": best, "accuracy": ordered[best]["accuracy"], "methods": {n: row["accuracy"] for n, row in ordered.items()},
                "exhibits": plain(table, bars(ordered, "Accuracy of all methods"))}  # fmt: skip

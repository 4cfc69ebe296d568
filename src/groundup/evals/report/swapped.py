"""A run with parts of the user's own beside the run of the same recipe with the built-in ones: loss curves, speed, memory.

The built-in run is looked for beside this one, in the same folder of runs.
"""

from __future__ import annotations

from pathlib import Path

from ...core.run_figures import StageComparison, StageFigures, built_in_run, compare_runs, swapped_parts
from .markup import section, text_of
from .plots import curve_plot
from .reading import Run

_ROWS = (
    # field, what it is called, how it is written
    ("val_loss", "loss on held-out text, nats a token", "{:.4f}"),
    ("loss", "training loss at the end, nats a token", "{:.4f}"),
    ("tokens_per_second", "tokens a second", "{:,.0f}"),
    ("peak_memory_bytes", "peak memory of a step, MB", "{:,.0f}"),
    ("seconds", "seconds in all", "{:,.1f}"),
    ("steps", "steps", "{:,.0f}"),
    ("parameters", "parameters", "{:,.0f}"),
)


def swapped(run: Run) -> str:
    """Nothing for a run without parts of the user's own."""
    parts = {} if run.directory is None else swapped_parts(run.directory)
    if run.directory is None or not parts:
        return ""
    used = ", ".join(f"{place} = {Path(part).name}" for place, part in parts.items())
    siblings = [path for path in run.directory.resolve().parent.iterdir() if path.is_dir()]
    other = built_in_run(run.directory.resolve(), siblings)
    if other is None:
        again = "Run the same recipe without --swap into the same folder of runs, and this one again: they are then compared here."
        return section("Your own parts", f'<div class="card"><p>{text_of(used)}</p><p class="soft">{again}</p></div>')
    cards = [_card(stage) for stage in compare_runs(run.directory, other)]
    return section(
        "Your own parts, beside the built-in ones", "".join(cards), f"{used}; the built-in run is {other.name}."
    )


def _card(stage: StageComparison) -> str:
    plots = []
    for figure, (own, built_in) in stage.curves.items():
        curves = {"yours": own.thinned(), "built-in": built_in.thinned()}
        plots.append(curve_plot(curves, salt=f"swapped {stage.stage} {figure}", title=f"{stage.stage}: {figure}"))
    rows = "".join(_row(stage.left, stage.right, *row) for row in _ROWS)
    return (
        f'<div class="card"><h3>{text_of(stage.stage)}</h3>{"".join(plots)}<div class="scroll"><table class="results">'
        '<tr><th></th><th class="number">yours</th><th class="number">built-in</th><th class="number">yours / built-in</th></tr>'
        f"{rows}</table></div></div>"
    )


def _row(own: StageFigures, built_in: StageFigures, name: str, title: str, form: str) -> str:
    left, right = getattr(own, name), getattr(built_in, name)
    if left is None and right is None:
        return ""
    scale = 1e6 if name.endswith("_bytes") else 1
    cells = [form.format(value / scale) if value is not None else "" for value in (left, right)]
    ratio = f"{left / right:.2f}" if left is not None and right else ""
    return f"<tr><td>{text_of(title)}</td>" + "".join(f'<td class="number">{c}</td>' for c in (*cells, ratio)) + "</tr>"

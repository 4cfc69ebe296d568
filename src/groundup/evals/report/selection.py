"""Best-of-n on the report's page: what more samples and a chooser are worth, and what a reward model loses against the verifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.run_figures import Curve
from .markup import section, text_of
from .plots import curve_plot
from .reading import Run, figures, is_number, shown, stages

_LINES = (("verifier", "perfect chooser"), ("reward_model", "reward model"), ("majority", "majority vote"))
_SHOWN_COUNTS = 5


def selection(run: Run) -> str:
    """A plot and a table for every stage with best-of-n curves."""
    cards = []
    for name, stage in stages(run.report).items():
        found = figures(stage).get("best_of_n")
        if isinstance(found, Mapping) and _numbers(found.get("n")):
            cards.append(_card(name, found))
    return section(
        "Choosing among samples",
        "".join(cards),
        "Share of held-out problems solved by one of n samples, chosen by a verifier that knows the answer, by the reward model, "
        "or by vote. Choosing the best of n moves away from the model's own answers by at most log n - (n - 1) / n nats.",
    )


def _card(name: str, found: Mapping[str, Any]) -> str:
    counts = found["n"]
    lines = {title: Curve(x=counts, values=found[key]) for key, title in _LINES if _numbers(found.get(key), counts)}
    plot = curve_plot(
        lines, salt=f"selection {name}", title="Choosing among samples", axis="samples (n)", legend="best"
    )
    powers = [i for i, n in enumerate(counts) if n == 1 or i == len(counts) - 1 or (int(n) & (int(n) - 1)) == 0]
    powers = powers[: _SHOWN_COUNTS - 1] + powers[_SHOWN_COUNTS - 1 :][-1:]
    head = "".join(f'<th class="number">n = {text_of(int(counts[i]))}</th>' for i in powers)
    rows = (*_LINES, ("weighted_vote", "vote weighted by score"))
    body = "".join(
        f"<tr><td>{text_of(title)}</td>"
        + "".join(f'<td class="number">{text_of(shown(found[key][i], share=True))}</td>' for i in powers)
        + "</tr>"
        for key, title in rows
        if _numbers(found.get(key), counts)
    )
    bound: Any = found.get("kl_bound")
    if _numbers(bound, counts):
        body += "<tr><td>distance at most, nats</td>" + "".join(
            f'<td class="number">{text_of(shown(bound[i]))}</td>' for i in powers
        )
        body += "</tr>"
    return (
        f'<div class="card"><h3>{text_of(name)}</h3>{plot}<div class="scroll"><table class="results"><tr><th></th>{head}</tr>'
        f"{body}</table></div></div>"
    )


def _numbers(values: Any, like: Sequence[Any] | None = None) -> bool:
    listed = isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
    return listed and all(is_number(v) for v in values) and (like is None or len(values) == len(like))

"""What alignment did to a model, on the report's page: one table and one plot of all models of a run, and the samples that a
policy was paid for on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .markup import section, text_of
from .plots import grouped_plot
from .reading import Run, figures, is_number, shown, stages

_COLUMNS = (
    # figure, heading, in per cent
    ("exact_match", "solved", True),
    ("exact_match_harder", "harder ones", True),
    ("win_rate", "verified wins", True),
    ("answer_tokens", "tokens an answer", False),
    ("bits_per_byte", "bits per byte", False),
    ("seconds", "seconds of training", False),
)
_SHOWN_ROLLOUTS = 6


def comparison(run: Run) -> str:
    """One table and one plot for every stage that compared models."""
    cards = []
    for name, stage in stages(run.report).items():
        found = figures(stage).get("comparison")
        rows = found.get("rows") if isinstance(found, Mapping) else None
        if isinstance(rows, list) and rows:
            cards.append(_table(run, name, [row for row in rows if isinstance(row, Mapping)], figures(stage)))
    return section(
        "What each stage of training did",
        "".join(cards),
        "The same held-out problems and texts for every model; bits per byte on general text is what alignment cost.",
    )


def _table(run: Run, salt: str, rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    entries = stages(run.report)
    full = [{**row, "seconds": entries.get(str(row.get("name")), {}).get("seconds")} for row in rows]
    columns = [c for c in _COLUMNS if any(is_number(row.get(c[0])) for row in full)]
    head = "".join(f'<th class="number">{text_of(title)}</th>' for _, title, _ in columns)
    body = "".join(
        f"<tr class=own><td>{text_of(row.get('name', ''))}</td>"
        + "".join(f'<td class="number">{text_of(shown(row.get(key), share=share))}</td>' for key, _, share in columns)
        + "</tr>"
        for row in full
    )
    shares = [(key, title) for key, title, share in columns if share]
    plot = grouped_plot(
        {title: [(str(row.get("name", "")), row.get(key)) for row in full] for key, title in shares},
        salt=f"comparison {salt}",
        title="What each stage of training did",
    )
    against = found.get("against")
    note = f'<p class="soft">Wins are against {text_of(against)}.</p>' if against else ""
    return (
        f'<div class="card">{plot}<div class="scroll"><table class="results"><tr><th></th>{head}</tr>{body}</table></div>'
        f"{note}</div>"
    )


def rollouts_on_the_way(run: Run, stage: str) -> str:
    """Groups of samples with what each earned, from the `rollout` events of a stage."""
    found = [e for e in run.events if e.get("kind") == "rollout" and str(e.get("stage", "")) == stage]
    if not found:
        return ""
    step = max(1, (len(found) - 1) // max(1, _SHOWN_ROLLOUTS - 1))
    body = []
    for event in [*found[:-1:step], found[-1]] if len(found) > 1 else found:
        rows = "".join(
            f'<tr><td class="number">{text_of(shown(s.get("reward")))}</td><td class="number">'
            f"{text_of(shown(s.get('against_group')))}</td><td><pre>{text_of(s.get('text', ''))}</pre></td></tr>"
            for s in event.get("samples", ())
            if isinstance(s, Mapping)
        )
        body.append(
            f"<h3>{text_of(event.get('message', ''))}</h3><pre><span class='asked'>{text_of(_asked(event.get('prompt')))}"
            f"</span></pre><table><tr><th class='number'>reward</th><th class='number'>against its group</th><th></th></tr>"
            f"{rows}</table>"
        )
    return (
        f"<details><summary><b>What it was paid for</b> <span class='soft'>{text_of(stage)}, {len(found)} groups of samples"
        f"</span></summary>{''.join(body)}</details>"
    )


def _asked(prompt: Any) -> str:
    if isinstance(prompt, list):
        return "\n".join(str(m.get("content", "")) for m in prompt if isinstance(m, Mapping))
    return str(prompt or "")

"""`report.html`: one file with no scripts and nothing to fetch, made from a run directory.

It knows what an evaluation, a training curve and a count of dropped documents look like, wherever they come from; every other
figure of every stage is in that stage's table. Everything from the run is escaped: generated text is hostile input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...core.artifact import write_bytes
from ...core.run_figures import Curve
from ..meanings import BASELINES, KINDS, MEASURES, meaning_of
from .alignment import comparison, rollouts_on_the_way
from .exhibits import exhibits
from .markup import section, text_of
from .plots import bar_plot, curve_plot
from .reading import (
    Run,
    best_row,
    data_size,
    duration,
    evaluations,
    figures,
    flat,
    headline,
    is_number,
    measure_title,
    opening_swaps,
    read_run,
    rows,
    samples,
    shown,
    stages,
    words,
)
from .selection import selection
from .style import STYLE
from .swapped import swapped

PAGE = "report.html"
_TILES = 6
_SAMPLES = 12
_CURVES = (
    # title, what it says, names tried in the metrics, the scale
    ("Loss", "Average surprise per token, in nats; lower is better. The second line is text it does not learn from.",
     ("loss", "val_loss"), ""),
    ("Learning rate", "How far each step moves the weights.", ("lr", "learning_rate"), ""),
    ("Speed", "Tokens learned from per second.", ("tokens_per_second",), "from zero"),
    ("Share of the machine's peak", "How much of the measured peak goes into the model's own arithmetic (MFU).",
     ("mfu",), "from zero"),
    ("Gradient norm", "Length of the gradient before clipping; spikes are where training was unsteady.",
     ("grad_norm",), "log"),
    ("Reward", "What the model's own samples earned, and the share of held-out problems that it solves.",
     ("reward", "pass_rate", "val_exact_match"), "from zero"),
    ("Preference", "Share of pairs that the model puts the right way round; the second line is pairs it does not learn from.",
     ("rewards/accuracies", "val_rewards/accuracies"), "from zero"),
    ("Margin", "By how much the better completion's reward is the higher.",
     ("rewards/margins", "val_rewards/margins"), ""),
    ("Distance from the reference", "How far the policy has moved from the model it started as, in nats a token.",
     ("kl",), "from zero"),
    ("Length", "Tokens of a sample: a reward that can be had by writing more, or less, shows here first.",
     ("completion_tokens",), "from zero"),
    ("Entropy", "How undecided the policy is about the next token; at 0 it has nothing left to try.",
     ("entropy",), "from zero"),
)  # fmt: skip


def write_report_html(run_directory: Path | str) -> Path:
    """Write `report.html` beside `report.json` and return its path. Raises ArtifactError without a report.json; metrics
    and events may be missing, cut or full of NaN.
    """
    directory = Path(run_directory)
    path = directory / PAGE
    # A lone surrogate from a model's output has no UTF-8 form; it must not cost the report.
    write_bytes(path, page(read_run(directory)).encode("utf-8", errors="replace"))
    return path


def page(run: Run) -> str:
    """The whole page as text."""
    name = text_of(run.report.get("name") or "run")
    sections = [
        _head(run),
        _tiles(run),
        swapped(run),
        comparison(run),
        selection(run),
        _evaluations(run),
        exhibits(run),
        _samples(run),
        _use(run),
        _training(run),
        _data(run),
        _stages(run),
        _environment(run),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{name}: report</title><style>{STYLE}</style></head><body><main>\n"
        + "\n".join(section for section in sections if section)
        + "\n<footer>Made by groundup from report.json and metrics.jsonl in this run's folder.</footer>"
        "\n</main></body></html>\n"
    )


def _head(run: Run) -> str:
    description = str(run.report.get("description") or "").strip()
    told = " ".join(headline(run))
    return (
        f"<header><h1>{text_of(run.report.get('name') or 'run')}</h1>"
        + (f'<p class="lead">{text_of(description)}</p>' if description else "")
        + (f"<p>{text_of(told)}</p>" if told else "")
        + "</header>"
    )


def _tiles(run: Run) -> str:
    tiles: list[tuple[str, str]] = []
    for _, evaluation in evaluations(run.report):
        own = best_row(evaluation)
        measure = str(evaluation.get("measure"))
        title = measure_title(measure)
        if own is not None and title not in [t for _, t in tiles]:
            share = measure in MEASURES and MEASURES[measure].share
            tiles.append((shown(float(own["value"]), share=share), title))
    last = [(stage, by_name["val_loss"]) for stage, by_name in run.curves.items() if "val_loss" in by_name]
    tiles += [(shown(curve.values[-1]), f"Validation loss, {stage}") for stage, curve in last if curve.values]
    for stage in stages(run.report).values():
        kept = figures(stage).get("documents_kept")
        if is_number(kept):
            tiles.append((shown(kept), "Documents"))
    seconds = [s["seconds"] for s in stages(run.report).values() if is_number(s.get("seconds"))]
    if seconds:
        tiles = [*tiles[: _TILES - 1], (duration(sum(seconds)), "In all")]
    inner = "".join(f'<div class="tile"><b>{text_of(v)}</b><span>{text_of(t)}</span></div>' for v, t in tiles[:_TILES])
    return f'<div class="tiles">{inner}</div>' if inner else ""


def _evaluations(run: Run) -> str:
    measures = [str(evaluation.get("measure")) for _, evaluation in evaluations(run.report)]
    cards = [
        _evaluation(
            evaluation, salt=f"evaluation {number}", first=str(evaluation.get("measure")) not in measures[:number]
        )
        for number, (_, evaluation) in enumerate(evaluations(run.report))
    ]
    skipped = [
        f"<p class='soft'>Not measured: {text_of(words(str(what)))} ({text_of(why)}).</p>"
        for stage in stages(run.report).values()
        for what, why in _mapping(figures(stage).get("skipped")).items()
    ]
    return section(
        "How good it is",
        "".join(cards + skipped),
        "Each figure stands beside simple baselines: a model is worth its training only where it beats them. "
        "The thin line on a bar, and the small figures in the table, are the 95 % interval; the last column counts what "
        "was measured.",
    )


def _evaluation(evaluation: Mapping[str, Any], *, salt: str, first: bool) -> str:
    """A card. `first`: of its measure, and so with what the measure means."""
    measure = str(evaluation.get("measure", ""))
    meaning = MEASURES.get(measure)
    share = bool(meaning and meaning.share)
    about = str(evaluation.get("about", ""))
    about = KINDS.get(about, about)
    overlap = any("word_overlap" in row for row in rows(evaluation))
    better = {True: " Higher is better.", False: " Lower is better.", None: ""}[
        meaning.higher_is_better if meaning else None
    ]
    body = []
    for row in rows(evaluation):
        named = str(row.get("name", ""))
        note = BASELINES.get(named, "") if row.get("baseline") else str(row.get("note", ""))
        interval = (
            f"<small>{text_of(shown(row['low'], share=share))} to {text_of(shown(row['high'], share=share))}</small>"
            if is_number(row.get("low")) and is_number(row.get("high")) and row["low"] < row["high"]
            else ""
        )
        body.append(
            f"<tr{'' if row.get('baseline') else ' class=own'}><td>{text_of(named)}"
            + (f"<small>{text_of(note)}</small>" if note else "")
            + f'</td><td class="number">{text_of(shown(row.get("value"), share=share))}{interval}</td>'
            + (f'<td class="number">{text_of(shown(row.get("word_overlap"), share=True))}</td>' if overlap else "")
            + f'<td class="number">{text_of(shown(row["count"]) if row.get("count") is not None else "")}</td></tr>'
        )
    compared = "".join(f'<p class="soft">{text_of(line)}</p>' for line in _listed(evaluation.get("notes")))
    return (
        f'<div class="card"><h3>{text_of(measure_title(measure))}{text_of(f": {about}") if about else ""}</h3>'
        + (
            f"<p class='soft'>{text_of((meaning.sentence if meaning else meaning_of(measure)) + better)}</p>"
            if first
            else ""
        )
        + f'<div class="grid"><div>{bar_plot(rows(evaluation), salt=salt, title=measure_title(measure), share=share)}</div>'
        '<div class="scroll"><table class="results"><tr><th></th><th class="number">value</th>'
        + ('<th class="number">words</th>' if overlap else "")
        + f'<th class="number">count</th></tr>{"".join(body)}</table></div></div>{compared}</div>'
    )


def _samples(run: Run) -> str:
    cards = []
    for sample in samples(run.report):
        verdict = sample.get("verdict")
        mark = (
            f'<span class="{"right" if sample.get("right") else "wrong"}"> {text_of(verdict)}</span>' if verdict else ""
        )
        title = " · ".join(str(sample[k]) for k in ("model", "task", "kind") if sample.get(k))
        answer = sample.get("answer")
        between = "\n" if "\n" in str(answer) or str(answer)[:1].isspace() else " "
        right = (
            f"\n<span class='asked'>right answer:{between}{text_of(answer)}</span>" if answer not in (None, "") else ""
        )
        made = text_of(sample["text"]) if sample.get("text") else "(nothing)"
        gap = "\n" if sample.get("chat") else ""
        cards.append(
            f'<div class="card"><h3>{text_of(title)}{mark}</h3><pre><span class="asked">{text_of(sample.get("prompt", ""))}'
            f'</span>{gap}<span class="made">{made}</span>{right}</pre></div>'
        )
    return section(
        "What it writes",
        f'<div class="grid">{"".join(cards)}</div>' if cards else "",
        "Grey is what it was given, blue is what it wrote. Not picked: the first ones of each kind.",
    )


def _use(run: Run) -> str:
    if not run.models:
        return ""
    model = f"{run.path}/{run.models[-1]}"
    quoted = f"'{model}'" if any(c in model for c in " '\"$&;()<>|*?") else model
    own = opening_swaps(run.report)
    commands = (
        ("Talk to it", f"groundup chat {quoted}{own}"),
        ("Serve it, with the OpenAI API and a chat page", f"groundup serve {quoted}{own}"),
        ("Let it go on with a text", f"groundup generate {quoted} 'def read_lines(path):'{own}"),
        ("Measure it on a text of your own", f"groundup eval {quoted} --text yours.txt --json{own}"),
    )
    body = "".join(f"<h3>{text_of(what)}</h3><pre>{text_of(command)}</pre>" for what, command in commands)
    return section("Use it", f'<div class="card">{body}</div>')


def _training(run: Run) -> str:
    parts = []
    for stage, by_name in run.curves.items():
        cards = []
        for title, sentence, names, scale in _CURVES:
            curves = {name: by_name[name] for name in names if name in by_name}
            plot = curve_plot(
                {words(n): c for n, c in curves.items()},
                salt=f"{stage} {title}",
                title=f"{title}, {stage}",
                log_scale=scale == "log",
                from_zero=scale == "from zero",
                points=("val loss",),
            )
            if curves:
                cards.append(
                    f'<figure class="card"><h3>{text_of(title)}</h3><figcaption>{text_of(sentence)}{_gaps(curves)}'
                    f"</figcaption>{plot}</figure>"
                )
        if cards:
            steps = max((curve.x[-1] for curve in by_name.values() if curve.x), default=0)
            parts.append(f"<h3>{text_of(stage)}, {steps:,.0f} steps</h3><div class='grid'>{''.join(cards)}</div><br>")
        parts += [_samples_on_the_way(run, stage), rollouts_on_the_way(run, stage)]
    events = [e for e in run.events if e.get("kind") not in ("start", "done", "cached", "sample", "rollout")]
    if events:
        listed = "".join(
            f"<tr><td class='name'>{text_of(e.get('time', ''))}</td><td>{text_of(e.get('stage', ''))}</td>"
            f"<td>{text_of(e.get('kind', ''))}</td><td>{text_of(e.get('message', ''))}</td></tr>"
            for e in events[-30:]
        )
        parts.append(
            f"<details><summary><b>Events</b> <span class='soft'>{len(events)} noted while it trained</span></summary>"
            f'<div class="scroll"><table>{listed}</table></div></details>'
        )
    return section("How it learned", "".join(parts))


def _samples_on_the_way(run: Run, stage: str) -> str:
    """How the model's writing changed, from the `sample` events of a stage."""
    found = [e for e in run.events if e.get("kind") == "sample" and str(e.get("stage", "")) == stage]
    if not found:
        return ""
    shown_events = found if len(found) <= _SAMPLES else [*found[: _SAMPLES // 2], *found[-_SAMPLES // 2 :]]
    body = "".join(
        f"<h3>step {text_of(shown(e.get('step')))}</h3><pre><span class='asked'>{text_of(e.get('prompt', ''))}</span>"
        f"<span class='made'>{text_of(e.get('message', ''))}</span></pre>"
        for e in shown_events
    )
    return (
        f"<details><summary><b>What it wrote on the way</b> <span class='soft'>{text_of(stage)}, {len(found)} samples"
        f"</span></summary>{body}</details>"
    )


def _gaps(curves: Mapping[str, Curve]) -> str:
    missing = {name: curve.gaps for name, curve in curves.items() if curve.gaps}
    if not missing:
        return ""
    told = ", ".join(f"{count:,} of {text_of(words(name))}" for name, count in missing.items())
    return f" <span class='wrong'>Left out because they were not finite: {told}.</span>"


def _data(run: Run) -> str:
    parts = []
    for name, stage in stages(run.report).items():
        found = figures(stage)
        dropped = _mapping(found.get("dropped"))
        if not is_number(found.get("documents_in")) and not dropped:
            continue
        counts = [
            ("Documents read", shown(found.get("documents_in"))),
            ("kept", shown(found.get("documents_kept"))),
            ("left out", shown(found.get("documents_dropped"))),
        ]
        documents, sizes = _mapping(found.get("documents")), _mapping(found.get("text_bytes"))
        counts += [(f"in {split}", f"{shown(n)} ({data_size(sizes.get(split))})") for split, n in documents.items()]
        reasons = sorted(dropped.items(), key=lambda item: -item[1] if is_number(item[1]) else 0)
        parts.append(
            f'<div class="grid"><div class="card"><h3>{text_of(name)}</h3>{_table(counts)}</div>'
            + (f'<div class="card"><h3>Left out, by reason</h3>{_table(reasons)}</div>' if reasons else "")
            + "</div>"
        )
    return section("What it learned from", "".join(parts))


def _stages(run: Run) -> str:
    done = stages(run.report)
    longest = max((s["seconds"] for s in done.values() if is_number(s.get("seconds"))), default=0) or 1
    parts = []
    for name, stage in done.items():
        share = stage["seconds"] / longest if is_number(stage.get("seconds")) else 0
        lines = [
            *flat({k: v for k, v in figures(stage).items() if k != "exhibits"}),
            ("key", stage.get("key", "")),
            ("identity", stage.get("identity", "")),
        ]
        known = {"type", "seconds", "key", "identity", "figures"}
        lines += [line for k, v in stage.items() if k not in known for line in flat(v, str(k))]
        body = "".join(
            f'<tr><td>{text_of(words(key))}{_meaning(key)}</td><td class="{_number_class(value)}">{text_of(shown(value))}</td></tr>'
            for key, value in lines
        )
        parts.append(
            f"<details><summary><b>{text_of(name)}</b><span class='soft'>{text_of(stage.get('type', ''))}</span>"
            f'<span class="bar"><i style="width:{100 * max(0.0, min(1.0, share)):.1f}%"></i></span>'
            f'<span class="time">{text_of(duration(stage.get("seconds")))}</span></summary>'
            f'<div class="scroll"><table>{body}</table></div></details>'
        )
    return section(
        "Stage by stage",
        "".join(parts),
        "Open one for all of its figures. The key is the hash of its config and inputs: the same key is never run twice.",
    )


def _meaning(key: str) -> str:
    sentence = meaning_of(key) if "." not in key else ""
    return f"<small>{text_of(sentence)}</small>" if sentence else ""


def _number_class(value: Any) -> str:
    return "number" if isinstance(value, (int, float)) else ""


def _environment(run: Run) -> str:
    lines = [("seed", str(run.report.get("seed", ""))), *_mapping(run.report.get("environment")).items()]
    swaps = _mapping(run.report.get("swaps"))
    own = f'<div class="card"><h3>Your own parts in it</h3>{_table(swaps.items())}</div>' if swaps else ""
    return section("What it ran on", f'<div class="grid"><div class="card">{_table(lines)}</div>{own}</div>')


def _table(lines: Iterable[tuple[str, Any]]) -> str:
    body = "".join(
        f'<tr><td>{text_of(key)}</td><td class="number">{text_of(value if isinstance(value, str) else shown(value))}</td></tr>'
        for key, value in lines
    )
    return f'<div class="scroll"><table>{body}</table></div>'


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []

"""A page to show: what a learner has finished, with the figures and the commands behind them. One file, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..core.artifact import read_json, write_text
from ..core.errors import ArtifactError
from ..core.recipe import REPORT
from ..evals.report.style import STYLE
from .progress import Fact, Progress
from .roadmap import load_roadmap
from .standing import rows_done


def write_portfolio(path: Path, progress: Progress, *, runs: Sequence[Path] = (), name: str = "") -> None:
    """ArtifactError names a run that has no report."""
    done = rows_done(progress)
    body = [
        f"<header><h1>{escape(name or 'Portfolio')}</h1><p class='lead'>Language models, built from the ground up.</p></header>",
        _chapters(done),
        _facts("Exercises passed", progress.facts("exercise"),
               "Each was graded on fresh random cases against the library's own part, in a process of its own.", "groundup check"),
        _facts("Labs finished", progress.facts("lab"), "A prediction first, then the run, then the figure beside its band.", "groundup lab"),
        _facts("Projects", progress.facts("capstone"), "", ""),
        *(_run(run) for run in runs),
    ]  # fmt: skip
    title = escape(name or "Portfolio")
    write_text(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{''.join(body)}"
        "<footer>Made by groundup progress --portfolio.</footer></main></body></html>\n",
    )


def _chapters(done: set[str]) -> str:
    rows = []
    for chapter in load_roadmap().chapters:
        mine = [row for row in chapter.rows if row.id in done]
        if mine:
            listed = ", ".join(escape(f"{row.id} {row.title}") for row in mine)
            rows.append(f"<tr><td>{chapter.number}</td><td>{escape(chapter.title)}</td>"
                        f"<td class=number>{len(mine)} of {len(chapter.rows)}</td><td>{listed}</td></tr>")  # fmt: skip
    return _section("The roadmap", f"<table>{''.join(rows)}</table>" if rows else "", "")


def _facts(title: str, facts: list[Fact], sentence: str, command: str) -> str:
    def code(of: str) -> str:
        return f"<code>{escape(command)} {escape(of)}</code>" if command else ""

    newest = {fact.name: fact for fact in facts}
    standing = [fact for fact in newest.values() if not fact.detail.get("undone")]
    rows = [
        f"<tr><td>{escape(fact.name)}</td><td>{escape(fact.time[:10])}</td>"
        f"<td>{escape('; '.join(f'{k} {v}' for k, v in _shown(fact.detail)))}</td>"
        f"<td>{code(fact.name)}</td></tr>"
        for fact in standing
    ]
    return _section(title, f"<table>{''.join(rows)}</table>" if rows else "", sentence)


def _shown(detail: Any) -> Iterator[tuple[str, Any]]:
    for key, value in detail.items():
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            yield key, f"{value:.4g}" if isinstance(value, float) else value


def _run(run: Path) -> str:
    if not (run / REPORT).is_file():
        raise ArtifactError(f"{run} is no run with a report", hint="groundup runs lists the runs that exist")
    report = read_json(run / REPORT)
    rows = []
    for stage, entry in report.get("stages", {}).items():
        for table in entry.get("figures", {}).get("evaluations", []):
            for row in table.get("rows", []):
                value = row.get("value")
                if isinstance(value, (int, float)):
                    rows.append(f"<tr><td>{escape(stage)}</td><td>{escape(str(table.get('measure')))}, "
                                f"{escape(str(table.get('about')))}</td><td>{escape(str(row.get('name')))}</td>"
                                f"<td class=number>{value:.4g}</td></tr>")  # fmt: skip
    command = f"groundup run recipes/{report.get('name', '')}.yaml"
    own = "".join(f"<p>Own part: <code>{escape(k)}={escape(v)}</code></p>" for k, v in report.get("swaps", {}).items())
    return _section(f"Run: {report.get('name', run.name)}", f"<pre>{escape(command)}</pre>{own}<table>{''.join(rows)}</table>",
                    str(report.get("description", "")))  # fmt: skip


def _section(title: str, body: str, sentence: str) -> str:
    told = f"<p class='soft'>{escape(sentence)}</p>" if sentence else ""
    return f"<section><h2>{escape(title)}</h2>{told}<div class='card'>{body}</div></section>" if body else ""

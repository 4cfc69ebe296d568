"""`groundup plan`: dates for a path, as a table, Markdown and a calendar; again from what is done."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from .output import json_option, print_json, print_table


@click.command()
@click.option("--path", help="An id from `groundup plan --list`. Default: that of the plan you have.")
@click.option("--hours", type=float, help="Hours a week. Default: as in the plan you have, else 6.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="First day. Default: today.")
@click.option("--replan", is_flag=True, help="Plan what is left again, from today, by what you have done.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the plan as Markdown.")
@click.option("--calendar", type=click.Path(path_type=Path), help="Write the plan as a calendar (.ics).")
@click.option("--list", "list_paths", is_flag=True, help="List the paths and classic plans.")
@json_option
def command(
    path: str | None, hours: float | None, start: datetime | None, replan: bool, markdown: Path | None, calendar: Path | None,
    list_paths: bool, as_json: bool,
) -> None:  # fmt: skip
    """Turn a path into dates. The plan is remembered: `groundup roadmap --next` and `groundup plan --replan` go by it.

    \b
    Examples:
      groundup plan --list
      groundup plan --path quick-start --hours 6 --start 2027-01-04 --calendar plan.ics --markdown plan.md
      groundup plan --replan --calendar plan.ics
    """
    from ..core.artifact import write_text
    from ..learn.paths import load_paths
    from ..learn.plan import make_plan, to_calendar, to_markdown
    from ..learn.progress import Progress
    from ..learn.standing import plan_of, rows_done

    if list_paths:
        listed = [(p.id, p.title, p.kind, p.audience) for p in load_paths().paths]
        if as_json:
            print_json([dict(zip(("id", "title", "kind", "audience"), row)) for row in listed])
        else:
            print_table("Paths", ["path", "title", "", "for whom"], listed)
        return
    progress = Progress()
    before = plan_of(progress)
    if path is None and before is None:
        raise click.UsageError(
            "name a path: --path quick-start (groundup plan --list), or let groundup assess recommend one"
        )
    makes = path is not None or replan or hours is not None or start is not None
    if makes or before is None:
        done = rows_done(progress)
        first = start.date() if start is not None else date.today()
        weekly = hours or (before.hours_per_week if before else 6.0)
        name = path or (before.path if before else "")
        plan = make_plan(name, hours_per_week=weekly, start=first, done=done)
        progress.add("plan", plan.path, {"hours": weekly, "start": str(first), "done": sorted(done)})
    else:
        plan = before
    if markdown is not None:
        write_text(markdown, to_markdown(plan))
    if calendar is not None:
        write_text(calendar, to_calendar(plan))
    if as_json:
        print_json({"path": plan.path, "title": plan.title, "start": str(plan.start), "end": str(plan.end), "hours": round(plan.hours, 1),
                    "hours_per_week": plan.hours_per_week, "done_before": plan.done, "notes": list(plan.notes),
                    "items": [{"what": i.title, "row": i.row or None, "first": str(i.first), "last": str(i.last), "hours": i.hours,
                               "stretch": i.stretch, "milestone": i.is_milestone} for i in plan.items]})  # fmt: skip
        return
    rows = [
        (str(i.first), str(i.last), f"★ {i.title}" if i.is_milestone else i.title, i.hours or "", i.stretch)
        for i in plan.items
    ]
    print_table(
        f"{plan.title}: {plan.start} to {plan.end}, {plan.hours:.0f} hours", ["from", "to", "what", "hours", ""], rows
    )
    for note in plan.notes:
        click.echo(f"note: {note}")
    for written in (markdown, calendar):
        if written is not None:
            click.echo(f"wrote {written}")

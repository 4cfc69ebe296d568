"""Which model a view is about: a choice of the runs that have one, kept in the page's address (`?model=...`)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

from nicegui import ui

from groundup.core.artifact import SEAL, sealed_in
from groundup.core.runs import list_runs

from .app import Studio
from .frame import empty


def models_of(runs: Path) -> dict[str, str]:
    """Path -> name, of every finished model under the folder of runs; the newest first, one per stage."""
    found = [
        ((path / SEAL).stat().st_mtime_ns, path, f"{run.path.name} / {path.name}")
        for run in (list_runs(runs) if runs.is_dir() else ())
        for path, seal in sealed_in(run.path)
        if seal.kind == "model"
    ]
    return {str(path): name for _, path, name in sorted(found, reverse=True)}


async def choose_model(studio: Studio, given: str, address: str, *, label: str = "Model") -> str | None:
    """A choice of models; the one that is chosen (`given`, else the newest), None where there is none at all."""
    models = await asyncio.to_thread(models_of, studio.config.runs)
    if given and given not in models and Path(given).is_dir():
        models = {given: Path(given).name, **models}
    if not models:
        empty(f"There is no model in {studio.config.runs} yet. This makes one in a few minutes:",
              "groundup run recipes/quickstart.yaml")  # fmt: skip
        return None
    chosen = given if given in models else next(iter(models))

    def go(path: str) -> None:
        ui.navigate.to(f"{address}?model={quote(path)}")

    ui.select(models, value=chosen, label=label, on_change=lambda event: go(event.value)).props(
        "outlined dense options-dense"
    ).classes("st-choice")
    return chosen

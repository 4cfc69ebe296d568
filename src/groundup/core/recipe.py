"""Recipes and the runner: a recipe is one run of stages; a finished stage is never run twice.

A recipe is a mapping. `name`, `description`, `seed`, `budget` and `base` (a path) are the run's own; every other top-level key
is a stage, run in the order written: a node whose `type` names a stage class. A stage reads the sealed directories of earlier
stages by their names and writes one of its own, `<run>/<stage>/`.

Each stage is keyed by the hash of its config, its seed, what it reads from outside (`fingerprint`), the user's files it
uses, and the keys of its inputs. Same key: nothing to do. A killed stage goes on from its `scratch` folder, which outlives
the process and is emptied when the key changes.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from .. import __version__
from .artifact import (
    commit_directory,
    hash_json,
    identity,
    read_json,
    read_seal,
    recover_directory,
    seal,
    verify,
    write_json,
    write_text,
)
from .config import (
    Use,
    apply_overrides,
    apply_swaps,
    check_user_part,
    did_you_mean,
    find_uses,
    json_schema,
    parse,
    parse_duration,
    read_recipe,
    to_plain,
    user_part_hash,
)
from .errors import ArtifactError, ConfigError
from .progress import Progress, SilentProgress
from .protocols import Rewarder
from .tracking import JsonlTracker

OpenModel = Callable[..., Any]
"""(path, *, trusted_parts=(), ...) -> Generator and Scorer. Given by the composition root, so that no stage imports the engine."""


def no_model_opener(*args: Any, **kwargs: Any) -> Any:
    raise ConfigError("this run was started without a way to open models", hint="pass open_model= to run_recipe")


RUN_KEYS = ("name", "description", "seed", "budget", "base")
REPORT = "report.json"
WRITTEN, RESOLVED = "recipe.json", "resolved.json"
"""The run's recipe as the user wrote it, and with every default filled in."""
OF_STAGES = "of_stages"
"""Figure of a stage that measures others: {stage: {figure: value}}, shown in the report as those stages' own."""
DEFAULT_SEED = 1337


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """What a stage is given to do its work."""

    name: str
    directory: Path
    """Empty at the start; what is in it at the end is sealed as the stage's artifact."""
    scratch: Path
    """Outlives a kill, so that the stage can go on where it was; removed once the stage is sealed."""
    inputs: Mapping[str, Path]
    """Name of each stage in `inputs()` -> its verified directory."""
    figures: Mapping[str, Mapping[str, Any]]
    """Figures of every earlier stage of this run."""
    run_directory: Path
    recipe_directory: Path
    """Where the user's own parts and relative paths are looked up."""
    seed: int
    swaps: Mapping[str, str]
    """Dotted path -> file.py:Name of every user part in the recipe."""
    tracker: JsonlTracker
    progress: Progress
    open_model: OpenModel
    """A model directory (or a live model, see groundup.engine) as a Generator and Scorer; close it when done."""


def open_rewarder(context: StageContext, stage: str) -> Rewarder:
    """The reward model that an earlier stage made. ConfigError if that stage made a model of another sort."""
    opened = context.open_model(context.inputs[stage], trusted_parts=tuple(context.swaps.values()))
    if isinstance(opened, Rewarder):
        return opened
    opened.close()
    raise ConfigError(f"the stage {stage!r} made a model that writes; it gives no scores",
                      path=f"{context.name}.reward_model",
                      hint="name a stage of type train with objective: {type: reward}")  # fmt: skip


class Stage(Protocol):
    """A frozen dataclass with a `type` field (its config) that is also the stage."""

    @property
    def kind(self) -> str:
        """The kind of artifact it makes."""
        ...

    def inputs(self) -> Sequence[str]:
        """Names of the earlier stages it reads."""
        ...

    def fingerprint(self) -> str:
        """Identity of anything it reads that no earlier stage made (files, library versions); "" if nothing."""
        ...

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Do the work; return the figures that belong in report.json."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A parsed recipe: what was written, and the stages it resolved to."""

    name: str
    description: str
    seed: int
    written: Mapping[str, Any]
    stages: Mapping[str, Stage]
    directory: Path
    swaps: Mapping[str, str] = field(default_factory=dict)

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default filled in."""
        stages = {name: to_plain(stage) for name, stage in self.stages.items()}
        return {"name": self.name, "description": self.description, "seed": self.seed, **stages}


StageTable = Mapping[str, str]
"""Stage type -> "package.module:Class". Wired at the composition root (groundup.cli.wiring)."""


def load_recipe(
    path: Path,
    table: StageTable,
    *,
    overrides: Sequence[str] = (),
    swaps: Sequence[str] = (),
    budget: str | None = None,
) -> Recipe:
    """Read, override, swap, scale to the budget, and parse every stage. Raises ConfigError with the dotted path."""
    data = apply_swaps(apply_overrides(read_recipe(path), overrides), swaps)
    written = json.loads(json.dumps(data))
    _anchor_uses(data, path.resolve().parent)
    name = str(data.pop("name", path.stem))
    description = str(data.pop("description", ""))
    seed = data.pop("seed", DEFAULT_SEED)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"must be a whole number of at least 0, not {seed!r}", path="seed")
    stated = data.pop("budget", None)
    if budget is not None:
        if stated is None:
            raise ConfigError("this recipe states no time budget, so --budget has nothing to scale",
                              path="budget", hint="override the stage's own budget instead")  # fmt: skip
        _scale_budgets(data, parse_duration(budget) / parse_duration(stated))
    stages: dict[str, Stage] = {}
    for key, value in data.items():
        stages[key] = _parse_stage(key, value, table, list(stages))
    if not stages:
        raise ConfigError(f"recipe {path} has no stages")
    for use in find_uses(data).values():
        check_user_part(Use(use=use), root=path.resolve().parent)
    return Recipe(
        name=name,
        description=description,
        seed=seed,
        written=written,
        stages=stages,
        directory=path.resolve().parent,
        swaps=find_uses(data),
    )


def _anchor_uses(data: Any, directory: Path) -> None:
    """Make the files of `use:` nodes absolute: from where the command was typed, else beside the recipe."""
    if isinstance(data, Mapping):
        if isinstance(data.get("use"), str):
            file, _, name = data["use"].rpartition(":")
            path = Path(file).expanduser()
            data["use"] = f"{(path if path.exists() else directory / path).resolve()}:{name}"  # type: ignore[index]
        for value in data.values():
            _anchor_uses(value, directory)
    elif isinstance(data, list):
        for value in data:
            _anchor_uses(value, directory)


def _scale_budgets(data: Any, factor: float) -> None:
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "budget_seconds" and isinstance(value, (int, float)):
                data[key] = value * factor
            else:
                _scale_budgets(value, factor)


def stage_class(kind: str, table: StageTable, *, path: str) -> Any:
    target = table.get(kind)
    if target is None:
        raise ConfigError(f"no stage of type {kind!r}", path=f"{path}.type", hint=did_you_mean(kind, list(table)))
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _parse_stage(key: str, value: Any, table: StageTable, earlier: list[str]) -> Stage:
    if isinstance(value, str):
        value = {"type": "pretrained", "path": value}  # model=<directory>
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise ConfigError("a stage must be a mapping with a type", path=key,
                          hint=did_you_mean(key, [*RUN_KEYS, *table]))  # fmt: skip
    cls = stage_class(value["type"], table, path=key)
    stage: Stage = parse(cls, value, path=key)
    for needed in stage.inputs():
        if needed not in earlier:
            raise ConfigError(f"reads stage {needed!r}, which is not written before it", path=key,
                              hint=did_you_mean(needed, earlier))  # fmt: skip
    return stage


def only_stage(recipe: Recipe, name: str) -> Recipe:
    """The recipe with one stage and those that it reads. ConfigError when there is no such stage."""
    if name not in recipe.stages:
        raise ConfigError(f"the recipe has no stage {name!r}", hint=did_you_mean(name, list(recipe.stages)))
    needed = {name}
    for other in reversed(list(recipe.stages)):
        if other in needed:
            needed.update(recipe.stages[other].inputs())
    return replace(recipe, stages={other: stage for other, stage in recipe.stages.items() if other in needed})


def stage_keys(recipe: Recipe) -> dict[str, str]:
    """Key of every stage: equal keys mean equal work."""
    keys: dict[str, str] = {}
    for name, stage in recipe.stages.items():
        plain = to_plain(stage)
        users = {path: user_part_hash(Use(use=use), root=recipe.directory) for path, use in find_uses(plain).items()}
        keys[name] = hash_json(
            {
                "config": plain,
                "seed": recipe.seed,
                "outside": stage.fingerprint(),
                "users": users,
                "inputs": {needed: keys[needed] for needed in stage.inputs()},
            }
        )
    return keys


def run_recipe(
    recipe: Recipe,
    out: Path,
    *,
    progress: Progress | None = None,
    on_stage: Callable[[str, str, Mapping[str, Any]], None] | None = None,
    open_model: OpenModel = no_model_opener,
) -> dict[str, Any]:
    """Run every stage that is not already done under `out`; return (and write) the run's report.

    on_stage(name, "start" | "cached" | "done", figures) is called as stages begin and end.
    """
    progress = progress or SilentProgress()
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / WRITTEN, recipe.written)
    write_json(out / RESOLVED, recipe.resolved())
    keys = stage_keys(recipe)
    report: dict[str, Any] = {
        "name": recipe.name,
        "description": recipe.description,
        "seed": recipe.seed,
        "swaps": dict(recipe.swaps),
        "environment": environment(),
        "stages": {},
    }
    figures: dict[str, Mapping[str, Any]] = {}
    tracker = JsonlTracker(out)
    for name, stage in recipe.stages.items():
        final = out / name
        recover_directory(final)
        found = _finished(final, keys[name])
        if found is None:
            if on_stage:
                on_stage(name, "start", {})
            found = _run_stage(recipe, name, stage, keys, out, figures, tracker, progress, open_model)
            state = "done"
        else:
            state = "cached"
        figures[name] = found.facts.get("figures", {})
        if on_stage:
            on_stage(name, state, figures[name])
        report["stages"][name] = {
            "type": to_plain(stage)["type"],
            "seconds": found.facts.get("seconds"),
            "key": keys[name],
            "identity": identity(found),
            "figures": figures[name],
        }
        for other, found in figures[name].get(OF_STAGES, {}).items():
            report["stages"][other] = {**found, **report["stages"][other]}
        write_json(out / REPORT, report)
    return report


def stage_plan(recipe: Recipe, out: Path) -> list[dict[str, str]]:
    """What `run_recipe` would do: name, type, key, and state (done, unfinished, new) of each stage. Writes nothing."""
    rows = []
    for name, key in stage_keys(recipe).items():
        key_file = out / "scratch" / name / "key"
        if _finished(out / name, key) is not None:
            state = "done"
        elif key_file.is_file() and key_file.read_text() == key:
            state = "unfinished"
        else:
            state = "new"
        rows.append({"name": name, "type": str(to_plain(recipe.stages[name])["type"]), "state": state, "key": key})
    return rows


def recipe_schema(table: StageTable) -> dict[str, Any]:
    """JSON Schema of a whole recipe: the run's own keys, and stages of any known type under any other key."""
    definitions: dict[str, Any] = {}
    for kind in table:
        schema = json_schema(stage_class(kind, table, path=kind))
        definitions |= schema.pop("$defs", {})
        definitions[f"stage_{kind}"] = schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "groundup recipe",
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "description": {"type": "string"},
            "seed": {"type": "integer", "minimum": 0},
            "budget": {"type": ["string", "number"]},
            "base": {"type": "string"},
        },
        "additionalProperties": {"anyOf": [*({"$ref": f"#/$defs/stage_{kind}"} for kind in table), {"type": "string"}]},
        "$defs": definitions,
    }


def _finished(final: Path, key: str) -> Any:
    try:
        found = read_seal(final)
    except ArtifactError:
        return None
    return verify(final) if found.key == key else None


def _run_stage(
    recipe: Recipe,
    name: str,
    stage: Stage,
    keys: Mapping[str, str],
    out: Path,
    figures: Mapping[str, Mapping[str, Any]],
    tracker: JsonlTracker,
    progress: Progress,
    open_model: OpenModel,
) -> Any:
    partial, scratch = out / f"{name}.partial", out / "scratch" / name
    key_file = scratch / "key"
    if not key_file.is_file() or key_file.read_text() != keys[name]:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        write_text(key_file, keys[name])
        tracker.for_stage(name).rewind(-1)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    context = StageContext(
        name=name,
        directory=partial,
        scratch=scratch,
        inputs={needed: out / needed for needed in stage.inputs()},
        figures=dict(figures),
        run_directory=out,
        recipe_directory=recipe.directory,
        seed=recipe.seed,
        swaps=recipe.swaps,
        tracker=tracker.for_stage(name),
        progress=progress,
        open_model=open_model,
    )
    spent = scratch / "seconds"
    before = float(spent.read_text()) if spent.is_file() else 0.0
    start = time.perf_counter()
    try:
        stage_figures = dict(stage.run(context))
    finally:
        seconds = before + time.perf_counter() - start
        if scratch.is_dir():
            write_text(spent, repr(seconds))
    made = seal(
        partial,
        kind=stage.kind,
        facts={
            "figures": stage_figures,
            "seconds": round(seconds, 3),
            "swaps": {p: u for p, u in recipe.swaps.items() if p.partition(".")[0] == name},
            "groundup": __version__,
        },
        parents={needed: keys[needed] for needed in stage.inputs()},
        key=keys[name],
    )
    commit_directory(partial, out / name)
    shutil.rmtree(scratch, ignore_errors=True)
    return made


def environment() -> dict[str, Any]:
    """What the run ran on: versions and machine, no names of people or places."""
    import importlib.metadata

    versions = {}
    for package in ("torch", "numpy", "numba", "safetensors"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "groundup": __version__,
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **versions,
    }


def read_report(run: Path) -> dict[str, Any]:
    """`report.json` of a run directory."""
    report: dict[str, Any] = read_json(run / REPORT)
    return report

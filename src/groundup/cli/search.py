"""`groundup search`: many runs of one recipe with other settings, in parallel, resumable, with a picture of what mattered.

Every trial is a run directory under <out>/trials. `trial.json` in it is written before it starts and `result.json` when it has
ended, so a search that was killed keeps what is finished and goes on with what was not (a run resumes by itself). Stages whose keys
are those of a finished trial's are linked from there and not done again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from .output import json_option, print_json, progress_for

_SHOWN_TRIALS = 30
_CHILD = """import ctypes, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
from groundup.cli.main import main
main()
"""
"""The command line, ended (PR_SET_PDEATHSIG, SIGTERM) with the search that started it: two processes must not work on one trial."""
TRIAL, RESULT, SEARCH = "trial.json", "result.json", "search.json"


@dataclass(frozen=True, kw_only=True)
class Trial:
    number: int
    settings: Mapping[str, Any]
    value: float | None = None
    error: str = ""
    seconds: float = 0.0


@dataclass(kw_only=True)
class Search:
    """One search: where it is, what it goes over, and its trials so far."""

    recipe: Path
    overrides: Sequence[str]
    space: Sequence[Any]
    metric: str
    maximize: bool
    out: Path
    jobs: int
    sampler: Any
    finished: dict[int, Trial] = field(default_factory=dict)
    begun: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """Settings of every trial that was started, finished or not."""
    stages: dict[str, Path] = field(default_factory=dict)
    """Key of a finished stage -> its directory in some trial."""
    processes: set[subprocess.Popen[str]] = field(default_factory=set)

    @property
    def stage(self) -> str:
        return self.metric.partition(".")[0]

    def directory(self, number: int) -> Path:
        return self.out / "trials" / f"{number:04d}"

    # ------------------------------------------------------------------------------------------ what was done before

    def recall(self) -> None:
        """Take up the trials in the directory."""
        from ..core.artifact import read_json

        for path in sorted((self.out / "trials").glob(f"*/{TRIAL}")):
            told = read_json(path)
            self.begun[told["number"]] = told["settings"]
            result = path.with_name(RESULT)
            if result.is_file():
                self._finish(Trial(number=told["number"], settings=told["settings"], **read_json(result)))

    def _finish(self, trial: Trial) -> None:
        from ..core.artifact import read_json

        self.finished[trial.number] = trial
        report = self.directory(trial.number) / "report.json"
        if report.is_file():
            for name, stage in read_json(report)["stages"].items():
                self.stages.setdefault(stage["key"], self.directory(trial.number) / name)

    # ------------------------------------------------------------------------------------------------------ the trials

    def run(self, num_trials: int, progress: Any) -> None:
        """Until `num_trials` have ended, those of before counted."""
        waiting = [number for number in sorted(self.begun) if number not in self.finished]
        running: dict[Future[Trial], int] = {}
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            with ThreadPoolExecutor(self.jobs) as pool, progress.task("trials", num_trials) as bar:
                try:
                    while True:
                        while len(running) < self.jobs:
                            number = waiting.pop(0) if waiting else self._propose(num_trials)
                            if number is None:
                                break
                            process = self._start(number)
                            running[pool.submit(self._wait, number, process, time.perf_counter())] = number
                        bar.update(completed=len(self.finished), facts=self._best_so_far())
                        if not running:
                            return
                        for done in wait(running, return_when=FIRST_COMPLETED).done:
                            del running[done]
                            self._finish(done.result())
                finally:
                    for process in self.processes:
                        process.terminate()
        finally:
            signal.signal(signal.SIGTERM, before)

    def _best_so_far(self) -> str:
        best = self.best
        return "" if best is None else f"best {best.value:.4g} (trial {best.number})"

    @property
    def best(self) -> Trial | None:
        good = [t for t in self.finished.values() if t.value is not None]
        return max(good, key=lambda t: (self.score(t), -t.number), default=None)

    def score(self, trial: Trial) -> float:
        assert trial.value is not None
        return trial.value if self.maximize else -trial.value

    def _propose(self, num_trials: int) -> int | None:
        from ..core.artifact import write_json
        from ..core.search_space import Known

        number = max(self.begun, default=-1) + 1
        if number >= num_trials:
            return None
        known = []
        for n, settings in sorted(self.begun.items()):
            trial = self.finished.get(n)
            if trial is None or trial.value is not None:  # failed ones say nothing about how good they would have been
                known.append(
                    Known(number=n, settings=dict(settings), score=None if trial is None else self.score(trial))
                )
        settings = self.sampler.propose(number, known)
        if settings is None:
            return None
        self.begun[number] = settings
        self.directory(number).mkdir(parents=True, exist_ok=True)
        write_json(self.directory(number) / TRIAL, {"number": number, "settings": settings})
        return number

    def _start(self, number: int) -> subprocess.Popen[str]:
        written = [*self.overrides, *(f"{path}={json.dumps(value)}" for path, value in self.begun[number].items())]
        self._link_finished_stages(number, written)
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        command = [sys.executable, "-c", _CHILD, "run", str(self.recipe), *written, "--only", self.stage,
                   "--out", str(self.directory(number)), "--json"]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                   env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)})  # fmt: skip
        self.processes.add(process)
        return process

    def _link_finished_stages(self, number: int, overrides: Sequence[str]) -> None:
        from ..core.recipe import load_recipe, only_stage, stage_keys
        from .wiring import STAGES

        recipe = only_stage(load_recipe(self.recipe, STAGES, overrides=overrides), self.stage)
        for name, key in stage_keys(recipe).items():
            place = self.directory(number) / name
            if key in self.stages and not place.exists():
                partial = place.with_name(f"{name}.linked")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(self.stages[key], partial, copy_function=os.link)
                partial.rename(place)

    def _wait(self, number: int, process: subprocess.Popen[str], start: float) -> Trial:
        from ..core.artifact import write_json

        output, _ = process.communicate()
        self.processes.discard(process)
        settings = self.begun[number]
        value, error = None, ""
        if process.returncode < 0 or process.returncode in (130, 143):
            # Stopped from outside: no verdict on the settings, so nothing is written and the trial is gone on with.
            return Trial(number=number, settings=settings, error=f"stopped (exit code {process.returncode})")
        try:
            told = json.loads(output.strip().rsplit("\n", 1)[-1])
            if process.returncode:
                error = told["error"]["message"]
            else:
                value = figure(told, self.metric)
        except (ValueError, KeyError, IndexError) as fault:
            error = str(fault) if process.returncode == 0 else f"exit code {process.returncode}"
        result = {"value": value, "error": error, "seconds": round(time.perf_counter() - start, 3)}
        write_json(self.directory(number) / RESULT, result)
        return Trial(number=number, settings=settings, **result)  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------------------------ the report

    def figures(self) -> dict[str, Any]:
        from ..core.search_space import importances

        good = sorted(
            (t for t in self.finished.values() if t.value is not None), key=lambda t: (-self.score(t), t.number)
        )
        best = self.best
        values = [float(t.value or 0.0) for t in good]
        return {
            "metric": self.metric,
            "direction": "maximize" if self.maximize else "minimize",
            "trials": len(self.finished),
            "failed": len(self.finished) - len(good),
            "best": None
            if best is None
            else {
                "trial": best.number,
                "value": best.value,
                "settings": dict(best.settings),
                "run": str(self.directory(best.number)),
            },
            "importances": importances(self.space, [t.settings for t in good], values),
            "all": [
                {
                    "trial": t.number,
                    "value": t.value,
                    "error": t.error,
                    "seconds": t.seconds,
                    "settings": dict(t.settings),
                }
                for t in sorted(self.finished.values(), key=lambda t: t.number)
            ],
        }


def figure(report: Mapping[str, Any], metric: str) -> float:
    """`stage.figure.of.it` of a run's report. KeyError says what there is instead."""
    stage, *path = metric.split(".")
    found: Any = report["stages"][stage]["figures"]
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            numbers = [k for k, v in found.items() if isinstance(v, (int, float))] if isinstance(found, Mapping) else []
            raise KeyError(f"no figure {metric!r}; the stage {stage!r} has {', '.join(numbers) or 'none'}")
        found = found[name]
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise KeyError(f"{metric!r} is no number but {str(found)[:60]!r}")
    return float(found)


def exhibits(search: Search, figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    from ..core.exhibits import Plot, Series, Table, plain

    good = sorted((t for t in search.finished.values() if t.value is not None), key=lambda t: t.number)
    if not good:
        return []
    names = [d.path for d in search.space]
    best_first = sorted(good, key=lambda t: -search.score(t))
    failed = [t for t in search.finished.values() if t.value is None]
    made: list[Table | Plot] = [
        Table(
            title="Trials, best first",
            columns=["trial", search.metric, *names, "seconds"],
            rows=[[t.number, t.value, *(t.settings[n] for n in names), t.seconds] for t in best_first[:_SHOWN_TRIALS]],
            notes=[f"Trial {t.number} failed: {t.error}" for t in failed[:5]],
        )
    ]
    numbers, values = [t.number for t in good], [float(t.value or 0.0) for t in good]
    so_far: list[float] = []
    for t in good:
        assert t.value is not None
        so_far.append(t.value if not so_far else (max if search.maximize else min)(so_far[-1], t.value))
    made.append(
        Plot(
            title="Trial by trial",
            kind="points",
            x_label="trial",
            y_label=search.metric,
            series=[Series(name="trial", x=numbers, y=values), Series(name="best so far", x=numbers, y=so_far)],
        )
    )
    found = figures["importances"]
    ranked = sorted(found, key=lambda name: -found[name])
    made.append(
        Plot(
            title="What mattered",
            kind="bars",
            series=[Series(name="share", x=ranked, y=[found[name] for name in ranked])],
            y_label="share of the spread",
            sentence="How much of the spread of the trials goes with each setting by itself, less what chance would give.",
        )
    )
    for d in search.space:
        of = [t.settings[d.path] for t in good]
        if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in of):
            made.append(
                Plot(
                    title=d.path,
                    kind="points",
                    series=[Series(name="trial", x=of, y=values)],
                    log_x=d.logarithmic,
                    x_label=d.path,
                    y_label=search.metric,
                )
            )
            continue
        groups: dict[str, list[float]] = {}
        for v, t in zip(of, good, strict=True):
            groups.setdefault(str(v), []).append(float(t.value or 0.0))
        made.append(
            Plot(
                title=d.path,
                kind="bars",
                y_label=search.metric,
                sentence="Mean of the trials with each value, lowest to highest.",
                series=[
                    Series(
                        name="mean",
                        x=list(groups),
                        y=[sum(g) / len(g) for g in groups.values()],
                        low=[min(g) for g in groups.values()],
                        high=[max(g) for g in groups.values()],
                    )
                ],
            )
        )
    return plain(*made)


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option("--space", "spaces", multiple=True, required=True, metavar="KEY=VALUES",
              help="log:1e-4..1e-1, 0..0.5, int:1..8, logint:16..512, or values divided by commas. May be repeated.")  # fmt: skip
@click.option("--metric", required=True, help="A figure of a stage: classifier.accuracy.")
@click.option("--maximize/--minimize", default=True, help="Which way is better.")
@click.option(
    "--trials",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="At most so many, finished ones counted.",
)
@click.option("--sampler", type=click.Choice(["grid", "random", "tpe"]), default="tpe", show_default=True,
              help="tpe: Bayesian, learns from the trials before (extra: search).")  # fmt: skip
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Trials at once.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Directory of the search. Default: runs/search_<recipe's name>."
)
@json_option
def command(
    recipe: Path,
    overrides: tuple[str, ...],
    spaces: tuple[str, ...],
    metric: str,
    maximize: bool,
    trials: int,
    sampler: Any,
    jobs: int,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Look for the settings of RECIPE that make a figure best. OVERRIDES hold for every trial.

    Killing it and running it again goes on where it was; more --trials go on from those that are there.

    \b
    Examples:
      groundup search recipes/digits.yaml --metric torch_mlp.accuracy --jobs 2 \\
          --space torch_mlp.optimizer.lr=log:1e-4..1e-1 --space torch_mlp.model.hidden_size=64,128,256
      groundup search recipes/house_prices.yaml --metric fit.rmse --minimize --sampler grid --space fit.max_depth=int:2..8
    """
    from ..core.artifact import read_json, write_json
    from ..core.errors import ConfigError
    from ..core.recipe import environment, load_recipe, only_stage
    from ..core.search_space import build_sampler, parse_space
    from ..evals.report import report_card, write_report_html
    from .wiring import STAGES

    space = parse_space(spaces)
    loaded = load_recipe(recipe, STAGES, overrides=overrides)
    out = out or Path("runs") / f"search_{loaded.name}"
    search = Search(recipe=recipe, overrides=overrides, space=space, metric=metric, maximize=maximize, out=out, jobs=jobs,
                    sampler=build_sampler(sampler, space, seed))  # fmt: skip
    only_stage(loaded, search.stage)  # the metric's stage must be there
    told = {"recipe": loaded.written, "space": list(spaces), "metric": metric, "maximize": maximize}
    if (out / SEARCH).is_file():
        before = read_json(out / SEARCH)
        if before != told:
            changed = next(name for name in told if before.get(name) != told[name])
            raise ConfigError(f"{out} holds another search: its {changed} is not the same",
                              hint="choose another place with --out")  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SEARCH, told)
    search.recall()
    start = time.perf_counter()
    search.run(trials, progress_for(as_json))
    figures = search.figures()
    if figures["best"] is None:
        reasons = {t.error for t in search.finished.values()}
        raise ConfigError(f"none of {len(search.finished)} trials gave {metric}: {'; '.join(sorted(reasons))[:400]}")
    report = {
        "name": f"search of {loaded.name}",
        "description": f"{figures['direction']} {metric} over {len(space)} settings, {len(search.finished)} trials ({sampler})",
        "seed": seed,
        "environment": environment(),
        "stages": {
            "search": {
                "type": "search",
                "seconds": round(time.perf_counter() - start, 3),
                "figures": figures | {"exhibits": exhibits(search, figures)},
            }
        },
    }
    write_json(out / "report.json", report)
    page = write_report_html(out)
    if as_json:
        print_json({"out": str(out), "report": str(page), **figures})
        return
    from rich.console import Console

    best = figures["best"]
    Console().print(report_card(report, out))
    click.echo(
        f"best: {metric} = {best['value']:.4g} with "
        + " ".join(f"{k}={json.dumps(v)}" for k, v in best["settings"].items())
    )

"""The stage `forecast`: the next value of a series by an LSTM, judged beside the simplest forecasts on days that none of them had seen.

Walk forward: the last `test_share` of the series is cut into `folds` blocks; before each block every method is fitted afresh on all that lies
before it, scaled by that part's own mean and deviation, and then forecasts the block a step ahead at a time, always from true past
values. The network's stopping point is a fixed number of steps, so nothing is chosen by looking at what is forecast.

The forecasts are of changes: log returns where all values are above zero, differences otherwise, which turn into levels by adding
to the last value. Errors of levels flatter everybody (tomorrow's price is nearly today's), so beside MAE and RMSE stand the mean
absolute scaled error (Hyndman and Koehler 2006; 1 is the last value's own error in the past) and the share of right directions, with
intervals. The baselines: last value, drift, seasonal (the value `season` steps ago), linear autoregression on the same window.

Left out: several series, known future inputs, horizons beyond one step, costs of trading.

Letters: N values, W window, B windows, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import ConfigError, DataError
from ..core.exhibits import Plot, Series, Table, plain
from ..core.predictors import read_predictor, save_predictor
from ..core.recipe import StageContext
from ..core.types import Prediction, PredictorFacts
from ..data.series import read_series
from ..foundations.intervals import paired_bootstrap, wilson
from ..nn.mixers.rnn import Recurrent
from ..nn.protocols import Batch, LossOutput
from ..objectives.sources import WindowSource
from .checkpoint import Checkpoints
from .loop import Loop, LoopConfig
from .optim.build import AdamWConfig, build_optimizer
from .schedule import ScheduleConfig, build_schedule
from .settings import Settings

TYPE = "forecast"
_RIDGE = 1e-3
"""Of the linear autoregression, per window: enough to be well posed, too little to matter."""
_SHOWN_LAST = 120
NETWORK = "network"
_TABLE_SAYS = (
    "Every forecast is of a value that its method had not seen. The last value is the one to beat: a gain whose interval holds 0 "
    "does not show that a method beats it, and a share of directions whose interval holds 0.5 does not show that it knows them."
)
_PLOT_SAYS = "Lines of levels lie close together whatever the method, which only has to stay near the value before; the table tells them apart."


@dataclass(frozen=True, kw_only=True)
class ForecastStage:
    series: str = "series"
    """The stage with the series."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    window: int = 20
    """How many past changes the network and the autoregression see."""
    hidden_size: int = 32
    dropout: float = 0.1
    num_steps: int = 300
    batch_size: int = 64
    lr: float = 0.003
    test_share: float = 0.3
    folds: int = 4
    season: int = 5
    """Steps after which a pattern may come back: 5 for working days."""
    type: Literal["forecast"] = "forecast"
    kind = "predictor"

    def __post_init__(self) -> None:
        for name in ("window", "hidden_size", "num_steps", "batch_size", "folds", "season"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)
        if not 0 < self.test_share < 0.9:
            raise ConfigError(f"must be in 0 .. 0.9, not {self.test_share}", path="test_share")

    def inputs(self) -> Sequence[str]:
        return (self.series,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        values, labels, name = read_series(context.inputs[self.series])
        logs = bool((values > 0).all())
        changes = np.diff(np.log(values) if logs else values)
        first = len(changes) - int(len(changes) * self.test_share)
        if first < 3 * self.window or len(changes) - first < self.folds:
            raise DataError(
                f"{len(values)} values are too few for a window of {self.window} and a test share of {self.test_share}",
                hint=f"give a longer series, or set {context.name}.window lower",
            )
        bounds = np.linspace(first, len(changes), self.folds + 1).astype(int)
        made: dict[str, list[np.ndarray]] = {}
        for fold, (begin, end) in enumerate(pairwise(bounds)):
            context.progress.say(
                f"  block {fold + 1} of {self.folds}: fitted on {begin:,} changes, forecasts {end - begin:,}"
            )
            for method, forecast in self._forecasts(context, changes, begin, end, f"fold{fold}", values, logs).items():
                made.setdefault(method, []).append(forecast)
        forecasts = {method: np.concatenate(blocks) for method, blocks in made.items()}
        rows = judged(
            forecasts,
            changes[first:],
            values[first:],
            logs=logs,
            scale=float(np.abs(np.diff(values[: first + 1])).mean()),
        )
        self._save(context, changes, logs=logs, name=name)
        return {
            "methods": rows,
            "forecast_values": len(changes) - first,
            "changes_are": "log returns" if logs else "differences",
            "exhibits": self._exhibits(rows, forecasts, values[first:], labels, name, logs=logs),
        }

    def _forecasts(
        self,
        context: StageContext,
        changes: np.ndarray,
        begin: int,
        end: int,
        folder: str,
        values: np.ndarray,
        logs: bool,
    ) -> dict[str, np.ndarray]:
        """Changes begin .. end, each forecast from those before it by what was fitted on those before `begin`."""
        scaled, mean, std = self._scaled(changes, begin)
        past, target = windows_of(scaled[:begin], self.window)
        ahead, _ = windows_of(scaled[begin - self.window : end], self.window)
        levels = np.log(values) if logs else values
        # The value to forecast is at place t + 1 of the values when the change is at place t.
        seasonal = [levels[t + 1 - self.season] - levels[t] for t in range(begin, end)]
        network = self._trained(context, past, target, folder)
        return {
            "last value": np.zeros(end - begin),
            "drift": np.full(end - begin, mean),
            f"value {self.season} steps ago": np.array(seasonal),
            "linear autoregression": with_ones(ahead) @ ridge(with_ones(past), target) * std + mean,
            NETWORK: said(network, ahead) * std + mean,
        }

    def _scaled(self, changes: np.ndarray, end: int) -> tuple[np.ndarray, float, float]:
        mean, std = float(changes[:end].mean()), float(changes[:end].std())
        if std == 0:
            raise DataError("the series never changes, so there is nothing to forecast")
        return (changes - mean) / std, mean, std

    def _trained(self, context: StageContext, past: np.ndarray, target: np.ndarray, folder: str) -> ForecastNetwork:
        torch.manual_seed(context.seed)
        model = ForecastNetwork(self.cell, self.hidden_size, self.dropout)
        loop = Loop(
            model,
            ForecastObjective(),
            WindowSource(Shuffled(past, target, context.seed)),
            build_optimizer(AdamWConfig(lr=self.lr, weight_decay=0.01), model),
            build_schedule(ScheduleConfig(shape="cosine", final=0.0)),
            LoopConfig(num_steps=self.num_steps, batch_size=self.batch_size, micro_batch_size=self.batch_size, log_every_steps=50),
            Settings(),
            Checkpoints(context.scratch / folder, context.tracker),
            progress=context.progress,
        )  # fmt: skip
        loop.run()
        return model.eval()

    def _save(self, context: StageContext, changes: np.ndarray, *, logs: bool, name: str) -> None:
        """The network fitted on everything."""
        scaled, mean, std = self._scaled(changes, len(changes))
        network = self._trained(context, *windows_of(scaled, self.window), "all")
        shape = {"cell": self.cell, "hidden_size": self.hidden_size, "window": self.window}
        arrays = {key: value.numpy() for key, value in network.state_dict().items()}
        save_predictor(context.directory, TYPE, {**shape, "mean": mean, "std": std, "logs": logs, "name": name}, arrays)

    def _exhibits(
        self,
        rows: Mapping[str, Mapping[str, Any]],
        forecasts: Mapping[str, np.ndarray],
        values: np.ndarray,
        labels: Sequence[str],
        name: str,
        *,
        logs: bool,
    ) -> list[dict[str, Any]]:
        table = Table(
            title=f"One step ahead: {name}",
            columns=["method", "MAE", "RMSE", "MASE", "RMSE of changes", "direction right", "95 % interval", "MAE gained on the last value"],
            rows=[
                (method, r["mae"], r["rmse"], r["mase"], r["rmse_changes"], *_direction(r["direction"]), _against(r["gain"]))
                for method, r in rows.items()
            ],
            sentence=_TABLE_SAYS,
        )  # fmt: skip
        count = min(_SHOWN_LAST, len(values) - 1)
        true = values[-count:]
        x = list(range(count))
        drawn = [Series(name="true", x=x, y=true.tolist())]
        for method in ("last value", NETWORK):
            drawn.append(
                Series(name=method, x=x, y=levels(forecasts[method], values[:-1], logs=logs)[-count:].tolist())
            )
        plot = Plot(
            title=f"The last {count} forecasts", kind="lines", series=drawn,
            x_label=f"up to {labels[-1]}" if labels else "step",
            sentence=_PLOT_SAYS,
        )  # fmt: skip
        return plain(table, plot)


def _direction(found: Mapping[str, Any] | None) -> tuple[Any, Any]:
    if found is None:
        return None, None
    return round(found["value"], 4), f"{found['low']:.3f} to {found['high']:.3f}"


def _against(found: Mapping[str, Any] | None) -> str | None:
    return None if found is None else f"{found['value']:.4g} ({found['low']:.4g} to {found['high']:.4g})"


def windows_of(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """values [N] -> (every W neighbours [N - W, W], the value after each [N - W])."""
    past = np.lib.stride_tricks.sliding_window_view(values, window)
    return past[:-1].astype(np.float32), values[window:].astype(np.float32)


def with_ones(past: np.ndarray) -> np.ndarray:
    return np.concatenate([past, np.ones((len(past), 1), past.dtype)], axis=1)


def ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x.astype(np.float64), y.astype(np.float64)
    weights: np.ndarray = np.linalg.solve(x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
    return weights


def levels(changes: np.ndarray, before: np.ndarray, *, logs: bool) -> np.ndarray:
    """The values that forecast changes [n] lead to from the true values [n] before them."""
    made: np.ndarray = before * np.exp(changes) if logs else before + changes
    return made


def judged(
    forecasts: Mapping[str, np.ndarray], changes: np.ndarray, values: np.ndarray, *, logs: bool, scale: float
) -> dict[str, dict[str, Any]]:
    """Figures of each method. changes [n] as they were; values [n + 1]: the one before them, and those they led to."""
    before, true = values[:-1], values[1:]
    naive = np.abs(true - before)
    moved = changes != 0
    rows: dict[str, dict[str, Any]] = {}
    for method, forecast in forecasts.items():
        error = levels(forecast, before, logs=logs) - true
        says = moved & (forecast != 0)
        right = int((np.sign(forecast[says]) == np.sign(changes[says])).sum())
        itself = not forecast.any()
        rows[method] = {
            "mae": float(np.abs(error).mean()),
            "rmse": float(np.sqrt((error**2).mean())),
            "mase": float(np.abs(error).mean()) / scale if scale else None,
            "rmse_changes": float(np.sqrt(((forecast - changes) ** 2).mean())),
            "direction": wilson(right, int(says.sum())).plain() if says.any() else None,
            "gain": None if itself else paired_bootstrap(naive.tolist(), np.abs(error).tolist()).plain(),
        }
    return rows


class Shuffled:
    """Windows without end, every one once an epoch: `groundup.objectives.sources.Windows`."""

    def __init__(self, past: np.ndarray, target: np.ndarray, seed: int) -> None:
        self.past, self.target, self.seed = past, target, seed
        self._order: tuple[int, np.ndarray] | None = None

    def example(self, index: int) -> tuple[np.ndarray, float]:
        epoch, place = divmod(index, len(self.target))
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.target)))
        at = int(self._order[1][place])
        return self.past[at], float(self.target[at])


class ForecastNetwork(nn.Module):
    def __init__(self, cell: Any, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.recurrent = Recurrent(1, hidden_size, 1, cell)
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, 1)
        with torch.no_grad():
            self.output.weight.mul_(0.1)  # begins near the mean, which is hard enough to beat

    def forward(self, past: Tensor) -> Tensor:
        """past [B, W] scaled changes -> the next one [B]"""
        y, _ = self.recurrent(past.unsqueeze(-1))
        made: Tensor = self.output(self.drop(y[:, -1])).squeeze(-1)
        return made


class ForecastObjective:
    """groundup.nn.protocols.Objective: mean squared error, in units of the past's variance."""

    def collate(self, examples: Sequence[tuple[np.ndarray, float]]) -> Batch:
        past = torch.from_numpy(np.stack([window for window, _ in examples]))
        return Batch(past, torch.tensor([value for _, value in examples]), count=len(examples))

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        return LossOutput(nn.functional.mse_loss(model(batch.input_ids), batch.targets))


def said(network: nn.Module, past: np.ndarray) -> np.ndarray:
    """past [B, W] -> [B] float64"""
    with torch.no_grad():
        made: np.ndarray = network(torch.from_numpy(past)).double().numpy()
    return made


class Forecast:
    """groundup.core.protocols.Predictor: a series, oldest value first -> its next value."""

    def __init__(self, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self.config = config
        self.network = ForecastNetwork(config["cell"], config["hidden_size"])
        self.network.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in arrays.items()})
        self.network.eval()

    @property
    def facts(self) -> PredictorFacts:
        needed = self.config["window"] + 1
        return PredictorFacts(
            kind=TYPE, input="series", summary=f"the next value of {self.config['name']}, from its last {needed}"
        )

    def predict(self, inputs: Sequence[Any]) -> list[Prediction]:
        made = []
        for number, series in enumerate(inputs):
            values = self._checked(series, number)
            changes = np.diff(np.log(values) if self.config["logs"] else values)
            scaled = ((changes - self.config["mean"]) / self.config["std"]).astype(np.float32)
            change = said(self.network, scaled[None]) * self.config["std"] + self.config["mean"]
            made.append(Prediction(value=float(levels(change, values[-1:], logs=self.config["logs"])[0])))
        return made

    def _checked(self, series: Any, number: int) -> np.ndarray:
        needed = self.config["window"] + 1
        try:
            values = np.asarray(series, np.float64)
        except (TypeError, ValueError):
            values = np.zeros((0, 0))
        if values.ndim != 1 or not np.isfinite(values).all():
            raise DataError(
                f"input {number} is no list of numbers", hint="give a series as JSON: '[101.2, 100.9, ...]'"
            )
        if len(values) < needed:
            raise DataError(f"input {number} has {len(values)} values; this model looks at the last {needed}")
        if self.config["logs"] and (values <= 0).any():
            raise DataError(f"input {number} has a value that is not above 0; this model was made of a series that was")
        return values[-needed:]


def load_forecast(directory: Path) -> Forecast:
    return Forecast(*read_predictor(directory, TYPE))

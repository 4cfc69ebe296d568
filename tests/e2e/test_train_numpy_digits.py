"""The NumPy networks from recipe to prediction, the landscapes and the study of initial weights, small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from groundup.cli.main import cli
from groundup.cli.wiring import STAGES, open_predictor
from groundup.core.errors import DataError, TrainingError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.data.images import grey, read_images
from groundup.train.fit_numpy import NumpyTraining


def run(tmp_path: Path, stages: dict[str, Any], name: str = "run") -> tuple[dict[str, Any], Path]:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(stages))
    report = run_recipe(load_recipe(recipe, STAGES), tmp_path / name)
    return {stage: row["figures"] for stage, row in report["stages"].items()}, tmp_path / name


DATA = {"type": "images", "limit": 700}


@pytest.mark.row("1.7")
@pytest.mark.parametrize(
    "model",
    [
        {"type": "mlp", "hidden_sizes": [64], "norm": "layer", "activation": "gelu"},
        {"type": "cnn", "channels": [8], "hidden_size": 32, "norm": "batch", "dropout": 0.1},
    ],
    ids=["mlp", "cnn"],
)
def test_digits_are_learnt_saved_and_predicted(tmp_path: Path, model: dict[str, Any]) -> None:
    stages = {"data": DATA, "net": {"type": "fit_numpy", "model": model, "num_epochs": 14, "optimizer": {"lr": 0.005}}}
    figures, out = run(tmp_path, stages)
    assert figures["net"]["accuracy"] > 0.85 and figures["net"]["examples"] == 140
    assert {plot["title"] for plot in figures["net"]["exhibits"]} >= {
        "Confusion matrix",
        "Pictures with the wrong label",
    }
    again, _ = run(tmp_path, stages, "again")
    assert (out / "net" / "model.safetensors").read_bytes() == (
        tmp_path / "again" / "net" / "model.safetensors"
    ).read_bytes()
    assert again["net"]["accuracy"] == figures["net"]["accuracy"]

    images, labels = read_images(out / "data", "test")
    predictor = open_predictor(out)
    said = predictor.predict([grey(image) for image in images])
    share = np.mean([int(p.label) == label for p, label in zip(said, labels, strict=True)])
    assert share == pytest.approx(figures["net"]["accuracy"], abs=1e-6)
    assert sum(said[0].scores.values()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(DataError, match="input 1"):
        predictor.predict(["a text"])
    Image.fromarray(images[0]).save(tmp_path / "one.png")
    done = CliRunner().invoke(cli, ["predict", str(out), "--input", str(tmp_path / "one.png"), "--json"])
    assert done.exit_code == 0 and json.loads(done.output)["predictions"][0]["label"] == said[0].label


@pytest.mark.row("1.7")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    tmp_path: Path, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = {"type": "fit_numpy", "model": {"type": "cnn", "channels": [4], "hidden_size": 16, "norm": "batch", "dropout": 0.3},
           "num_epochs": 4, "optimizer": {"type": optimizer, "lr": 0.005}}  # fmt: skip
    figures, out = run(tmp_path, {"data": DATA, "net": net}, "whole")
    told: list[int] = []
    real = NumpyTraining.save

    def killed_after_two(self: NumpyTraining, path: Path) -> None:
        real(self, path)
        told.append(self.epoch)
        if len(told) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(NumpyTraining, "save", killed_after_two)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, {"data": DATA, "net": net}, "killed")
    again, killed = run(tmp_path, {"data": DATA, "net": net}, "killed")
    assert told == [1, 2, 3, 4]
    assert (killed / "net/model.safetensors").read_bytes() == (out / "net/model.safetensors").read_bytes()
    assert again["net"]["exhibits"] == figures["net"]["exhibits"]
    assert (killed / "metrics.jsonl").read_text() == (out / "metrics.jsonl").read_text()


@pytest.mark.row("1.2")
def test_squared_error_learns_and_runaway_losses_are_errors(tmp_path: Path) -> None:
    fit = {"type": "fit_numpy", "model": {"type": "mlp", "hidden_sizes": [32]}, "loss": "mse", "num_epochs": 30}
    figures, _ = run(tmp_path, {"data": DATA, "net": {**fit, "optimizer": {"lr": 0.01}, "label_smoothing": 0.1}})
    assert figures["net"]["accuracy"] > 0.3
    wild = {"type": "sgd", "lr": 1e6, "nesterov": True, "weight_decay": 0.01}
    with pytest.raises(TrainingError, match="epoch 1") as raised, np.errstate(all="ignore"):
        run(tmp_path, {"data": DATA, "net": {**fit, "optimizer": wild}}, "wild")
    assert "optimizer.lr" in raised.value.hint


@pytest.mark.row("0.4")
@pytest.mark.row("1.8")
def test_landscapes_are_walked_and_pictured(tmp_path: Path) -> None:
    stage = {
        "type": "landscapes",
        "landscapes": ["quadratic", "ill_conditioned", "saddle"],
        "num_steps": 80,
        "learning_rates": [0.01, 0.1],
    }
    figures, _ = run(tmp_path, {"paths": stage})
    steps = figures["paths"]["steps"]
    assert steps["gradient descent"]["quadratic"] == 40  # the first n with 4.5 0.9^2n + 6.25 0.8^2n <= 0.001
    assert steps["gradient descent"]["ill_conditioned"] is None and steps["momentum"]["saddle"] is not None
    kinds = [plot.get("kind") for plot in figures["paths"]["exhibits"]]
    assert kinds.count("contours") == 3
    convex = {row[0]: row[2] for row in figures["paths"]["exhibits"][2]["rows"]}
    assert convex == {"quadratic": "yes", "ill_conditioned": "yes", "saddle": "no"}


@pytest.mark.row("1.5")
def test_vanishing_and_exploding_signals_are_named(tmp_path: Path) -> None:
    figures, _ = run(tmp_path, {"study": {"type": "init_study", "num_layers": 40, "hidden_size": 64, "batch_size": 16}})
    said = figures["study"]["diagnosis"]
    assert said["relu: He"] == "steady" and said["residual, relu: He, depth-scaled"] == "steady"
    assert said["relu: too small"] == "the signal vanishes and the gradient vanishes"
    assert said["relu: too large"] == "the signal explodes and the gradient explodes"
    assert said["tanh: too large"] == "the gradient explodes"
    assert said["sigmoid: He"] == "the gradient vanishes"
    assert said["residual, relu: He"].startswith("the signal explodes")


@pytest.mark.row("1.7")
def test_mnist_reaches_its_figure(tmp_path: Path, shared_data: Path) -> None:
    """A part of the run behind the figure: 4,000 images, two epochs."""
    source = {
        "type": "idx",
        **{n: str(shared_data / "mnist" / f"t10k-{n}-idx{d}-ubyte.gz") for n, d in (("images", 3), ("labels", 1))},
    }
    figures, _ = run(
        tmp_path,
        {"data": {"type": "images", "source": source, "limit": 5000}, "net": {"type": "fit_numpy", "num_epochs": 2}},
    )
    assert figures["net"]["accuracy"] > 0.88

"""Pictures and texts to a network that predicts, by the commands a person types; a killed training goes on bit for bit."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.cli.wiring import STAGES, open_predictor
from groundup.core.artifact import read_seal
from groundup.core.errors import ConfigError, DataError, GroundupError
from groundup.core.recipe import load_recipe, run_recipe

SOURCE = '''
import numpy as np
from groundup.data.images import LabelledImages
class Bars:
    """Lying and standing bars on a noisy ground."""
    def read(self):
        rng = np.random.default_rng(5)
        images = rng.integers(0, 120, (160, 6, 6), np.uint8)
        labels = np.arange(160) % 2
        for image, label in zip(images, labels):
            place = rng.integers(6)
            if label: image[:, place] = 250
            else: image[place] = 250
        return LabelledImages(images=images, labels=labels, names=("lying", "standing"))
'''
FIT = "{type: fit, batch_size: 16, num_epochs: 12, precision: {dtype: float32, threads: 1, compile: 'off'}, "


def recipe(directory: Path, **stages: str) -> Path:
    (directory / "mine.py").write_text(SOURCE)
    lines = ["name: small", "data: {type: images, source: {use: mine.py:Bars}, split: {validation: 0.2, test: 0.25}}"]
    path = directory / "small.yaml"
    path.write_text("\n".join([*lines, *(f"{name}: {node}" for name, node in stages.items())]) + "\n")
    return path


def run(path: Path, out: Path, *overrides: str) -> dict[str, Any]:
    return run_recipe(load_recipe(path, STAGES, overrides=overrides), out)


@pytest.mark.row("1.7")
def test_pictures_to_predictors(tmp_path: Path) -> None:
    adam = "optimizer: {type: adam, lr: 0.005}"
    path = recipe(
        tmp_path,
        cnn=f"{FIT}{adam}, model: {{type: cnn, channels: [8], hidden_size: 16}}, repeats: 2, early_stopping: {{patience: 0}}}}",
        vae=f"{FIT}{adam}, model: {{type: vae, latent_size: 3, hidden_size: 32}}}}",
        gan=f"{FIT}{adam}, model: {{type: gan, latent_size: 4, channels: 4}}}}",
        comparison="{type: compare_fits, stages: [cnn]}",
        range="{type: gradient_range, network: cnn, highest_scale: 8}",
    )
    out = tmp_path / "run"
    report = run(path, out)["stages"]
    figures = report["cnn"]["figures"]
    assert figures["accuracy"] >= 0.8 and len(figures["per_repeat"]) == 2
    titles = {e["title"] for stage in report.values() for e in stage["figures"].get("exhibits", ())}
    assert {"Loss", "Confusion matrix", "Samples", "Walks between codes", "Side by side", "The two players"} <= titles
    assert report["vae"]["figures"]["loss"] < report["vae"]["figures"]["loss_of_mean_picture"] + 1
    lost = report["range"]["figures"]
    assert 0 <= lost["vanished_at_best_scale"] <= lost["vanished_without_scale"] <= 1
    bar = np.full((6, 6), 0.2)
    bar[:, 3] = 0.98
    (prediction,) = open_predictor(out / "cnn").predict([bar.tolist()])
    assert prediction.label == "standing" and sum(prediction.scores.values()) == pytest.approx(1)
    usual, odd = open_predictor(out / "vae").predict([bar.tolist(), (1 - bar).tolist()])
    assert usual.value is not None and odd.value is not None and usual.value < odd.value
    (real,) = open_predictor(out / "gan").predict([bar.tolist()])
    assert real.value is not None and 0 < real.value < 1
    said = CliRunner().invoke(cli, ["predict", str(out / "cnn"), json.dumps(bar.tolist()), "--json"])
    assert json.loads(said.output)["predictions"][0]["label"] == "standing"
    with pytest.raises(DataError, match="input 1"):
        open_predictor(out / "cnn").predict([[[2.0]]])


@pytest.mark.row("2.5")
def test_texts_by_folds_to_a_predictor(tmp_path: Path) -> None:
    rows = [
        {"text": f"{'good' if i % 2 else 'bad'} film number w{i % 7}", "label": "pos" if i % 2 else "neg"}
        for i in range(60)
    ]
    rows = [{**row, "text": f"{row['text']} x{i}"} for i, row in enumerate(rows)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    path = tmp_path / "small.yaml"
    model = "{type: mean_of_embeddings, embedding_size: 8, hidden_size: 8, word_dropout: 0.0, dropout: 0.0}"
    path.write_text(
        f"data: {{type: labelled, path: {tmp_path}/rows.jsonl, split: {{validation: 0, test: 0}}}}\n"
        f"net: {FIT}optimizer: {{type: adam, lr: 0.02}}, model: {model}, folds: 3}}\n"
        f"lstm: {FIT}optimizer: {{type: adam, lr: 0.02}}, folds: 2,"
        " model: {type: text_rnn, embedding_size: 8, hidden_size: 8}}\n"
        "all: {type: compare_classifiers, stages: [net, lstm]}\n"
    )
    report = run(path, tmp_path / "run")["stages"]
    figures = report["net"]["figures"]
    assert figures["accuracy"] > 0.9 and len(figures["per_fold"]) == 3 and figures["examples"] == 60
    assert report["lstm"]["figures"]["accuracy"] > 0.8
    predictor = open_predictor(tmp_path / "run" / "net")
    assert [p.label for p in predictor.predict(["a good film", "bad , bad film"])] == ["pos", "neg"]
    assert predictor.predict(["", "unheard of"])[0].label in ("pos", "neg")
    with pytest.raises(DataError, match="takes texts"):
        predictor.predict([3])
    assert read_seal(tmp_path / "run" / "net").kind == "predictor"


@pytest.mark.row("1.4")
def test_killed_trainings_go_on_and_end_the_same(tmp_path: Path) -> None:
    """Two repetitions with batch norm and dropout, stopped twice: what is finished stays, the rest goes on bit for bit."""
    node = (
        f"{FIT}model: {{type: mlp, hidden_size: 8, norm: batch, dropout: 0.3}}, repeats: 2, checkpoint_every_seconds: 0.0,"
        " early_stopping: {patience: 0}, evaluations: 4}"
    )
    path = recipe(tmp_path, net=node)
    run(path, tmp_path / "whole")
    from groundup.core.progress import SilentProgress
    from groundup.objectives.networks import LabelObjective

    for stop_at in (20, 60):
        seen = 0
        collate = LabelObjective.collate

        def stopping(self: Any, examples: Any, at: int = stop_at, collate: Any = collate) -> Any:
            nonlocal seen
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGTERM)
            return collate(self, examples)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LabelObjective, "collate", stopping)
            with pytest.raises(GroundupError, match="stopped by SIGTERM"):
                run_recipe(load_recipe(path, STAGES), tmp_path / "part", progress=SilentProgress())
    run(path, tmp_path / "part")
    for name in ("model.safetensors", "predictor.json"):
        assert (tmp_path / "part/net" / name).read_bytes() == (tmp_path / "whole/net" / name).read_bytes()
    reports = [
        json.loads((tmp_path / n / "report.json").read_text())["stages"]["net"]["figures"] for n in ("whole", "part")
    ]
    for name in ("accuracy", "per_repeat", "log_loss", "best_step"):
        assert reports[0][name] == reports[1][name]


@pytest.mark.row("1.4")
def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    path = recipe(tmp_path, net=f"{FIT}model: {{type: mlp}}, early_stopping: {{}}}}")
    for override, match in (
        ("data.split.validation=0", "validation"),
        ("net.model={type: text_cnn}", "no network for pictures"),
        ("net.folds=3", "folds are for texts"),
    ):
        with pytest.raises((ConfigError, DataError), match=match):
            run(path, tmp_path / override[:8], override)
    with pytest.raises(ConfigError, match="when to stop"):
        load_recipe(path, STAGES, overrides=["net.num_epochs=null"])

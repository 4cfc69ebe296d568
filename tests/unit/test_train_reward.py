"""Reward models trained by the stage, opened by the engine: what was preferred, graded or marked is scored so."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.cli.wiring import open_model
from groundup.core.errors import ConfigError, DataError, ModelError
from groundup.engine.reward import RewardScorer, is_reward_model
from groundup.objectives.reward import reliability
from small_preferences import LETTERS, model_directory, preferred, run_stage, write_rows

pytestmark = pytest.mark.row("10.2")


def graded(rng: random.Random) -> dict[str, Any]:
    """Grade: how many of three letters are of the first ones; marks: share of them, and the length."""
    answer = "".join(rng.choices(LETTERS, k=3))
    good = sum(letter in LETTERS[:3] for letter in answer)
    return {
        "prompt": [{"role": "user", "content": rng.choice(LETTERS)}],
        "completion": [{"role": "assistant", "content": answer}],
        "label": good >= 2,
        "grade": good,
        "grades": {"good": good / 3, **({"bad": 1 - good / 3} if rng.random() < 0.7 else {})},
    }


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, rng = tmp_path_factory.mktemp("inputs"), random.Random(3)
    counts = {"train": 120, "validation": 30}
    return {
        "model": model_directory(root / "model"),
        "pairs": write_rows(
            root / "p", "preference", {s: [preferred(rng) for _ in range(n)] for s, n in counts.items()}
        ),
        "graded": write_rows(root / "g", "feedback", {s: [graded(rng) for _ in range(n)] for s, n in counts.items()}),
    }


def talk(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}]


def test_pairs(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stage = {"data": "pairs", "objective": {"type": "reward"}, "num_steps": 40, "micro_batch_size": 4}
    figures, made = run_stage(tmp_path, inputs, stage)
    last = figures["history"][-1]
    assert last["val_accuracy"] >= 0.9
    assert 0 <= last["val_calibration_error"] <= 0.5
    assert sum(count for *_, count in figures["reliability"]) == 30
    scorer = open_model(made)
    assert isinstance(scorer, RewardScorer)
    good, bad = scorer.scores([talk("abc"), talk("def")])
    assert good > bad
    assert scorer.scores([]) == []
    with pytest.raises(ModelError, match="grades"):
        scorer.grades([talk("abc")])
    # transformers opens the same directory and says the same.
    from transformers import AutoModelForSequenceClassification

    theirs = AutoModelForSequenceClassification.from_pretrained(made).eval()
    text = scorer.template.render(talk("abc"))
    ids = torch.tensor([scorer.tokenizer.encode(text, allow_special=True)])
    with torch.no_grad():
        assert theirs(ids).logits.item() == pytest.approx(good, rel=1e-3, abs=1e-4)
    margins = np.subtract(*(scorer.scores([talk(a) for a in side]) for side in (["ab", "ca"], ["fe", "dd"])))
    assert reliability(margins.tolist()).accuracy == 1.0


def test_an_adapter_is_merged_into_what_is_saved(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stage = {"data": "pairs", "objective": {"type": "reward"}, "adapter": {"type": "lora", "r": 4}, "num_steps": 30}
    figures, made = run_stage(tmp_path, inputs, {**stage, "optimizer": {"type": "adamw", "lr": 0.02}})
    scorer = open_model(made)
    good, bad = scorer.scores([talk("abc"), talk("def")])
    assert good > bad and figures["history"][-1]["val_accuracy"] >= 0.8
    assert not any("lora" in name for name, _ in scorer.model.named_parameters())


def test_grades(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stage = {"data": "graded", "objective": {"type": "reward_ordinal", "num_grades": 4}, "num_steps": 80}
    figures, made = run_stage(tmp_path, inputs, stage)
    assert figures["history"][-1]["val_mean_error"] < 0.6 * figures["history"][0]["val_mean_error"] + 0.2
    scorer = RewardScorer.load(made)
    assert len(scorer.thresholds) == 3 and list(scorer.thresholds) == sorted(scorer.thresholds)
    low, middle, high = scorer.grades([talk("def"), talk("adf"), talk("abc")])
    assert 0 <= low < middle < high <= 3


def test_several_attributes(tmp_path: Path, inputs: dict[str, Path]) -> None:
    objective = {"type": "reward_multi", "attributes": ["good", "bad"], "weights": [1.0, -1.0]}
    _, made = run_stage(tmp_path, inputs, {"data": "graded", "objective": objective, "num_steps": 80})
    scorer = open_model(made)
    outputs = scorer.outputs([talk("def"), talk("abc")])
    assert outputs.shape == (2, 2)
    low, high = scorer.scores([talk("def"), talk("abc")])
    assert low == pytest.approx(outputs[0, 0] - outputs[0, 1]) and high > low + 0.5


def test_mistakes_are_named(tmp_path: Path, inputs: dict[str, Path]) -> None:
    assert not is_reward_model(inputs["model"])
    with pytest.raises(ModelError, match="no reward model"):
        RewardScorer.load(inputs["model"])
    with pytest.raises(DataError, match=r"whole number of 0 \.\. 1, not [23]"):
        run_stage(
            tmp_path,
            inputs,
            {"data": "graded", "objective": {"type": "reward_ordinal", "num_grades": 2}, "num_steps": 1},
        )
    with pytest.raises(DataError, match="mark for any of"):
        objective = {"type": "reward_multi", "attributes": ["kind"]}
        run_stage(tmp_path, inputs, {"data": "graded", "objective": objective, "num_steps": 1})
    with pytest.raises(DataError, match="reads 'preference'"):
        run_stage(tmp_path, inputs, {"data": "graded", "objective": {"type": "reward"}, "num_steps": 1})
    with pytest.raises(ConfigError, match="save"):
        stage = {"data": "pairs", "objective": {"type": "reward"}, "adapter": {"type": "lora"}, "save": "adapter"}
        run_stage(tmp_path, inputs, {**stage, "num_steps": 1})

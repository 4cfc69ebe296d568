"""The train stage on preferences: what is right becomes likely, and the reference is made once."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from groundup.core.errors import DataError
from groundup.models.directory import load_model
from groundup.train.methods import preference
from small_preferences import judged, model_directory, preferred, run_stage, write_rows

pytestmark = pytest.mark.row("10.4")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, rng = tmp_path_factory.mktemp("inputs"), random.Random(4)
    counts = {"train": 60, "validation": 20}
    pairs = {split: [preferred(rng) for _ in range(n)] for split, n in counts.items()}
    same = pairs["train"][0]
    pairs["train"].append({**same, "rejected": same["chosen"]})  # nothing to compare: left out
    return {
        "model": model_directory(root / "model"),
        "tokens": write_rows(root / "pairs", "preference", pairs),
        "judged": write_rows(
            root / "judged", "feedback", {split: [judged(rng) for _ in range(n)] for split, n in counts.items()}
        ),
    }


@pytest.mark.parametrize(
    "objective",
    [{"type": "dpo", "beta": 0.3}, {"type": "ipo"}, {"type": "orpo"}, {"type": "simpo"}],
    ids=lambda objective: objective["type"],
)
def test_pairs_are_learned(tmp_path: Path, inputs: dict[str, Path], objective: dict[str, Any]) -> None:
    figures, made = run_stage(tmp_path, inputs, {"objective": objective, "num_steps": 40, "micro_batch_size": 4})
    assert figures["history"][-1]["val_rewards/accuracies"] >= 0.9
    assert figures["history"][-1]["val_rewards/margins"] > 0.1
    assert figures["epochs"] == pytest.approx(40 * 8 / 60, abs=1e-3)  # the pair of equals is not among them
    load_model(made, verify=False)


def test_judged_completions_are_learned(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stage = {"data": "judged", "objective": {"type": "kto", "beta": 0.5}, "num_steps": 40}
    figures, _ = run_stage(tmp_path, inputs, stage)
    first, last = figures["history"][0], figures["history"][-1]
    assert last["val_loss"] < first["val_loss"] < 0.5
    assert last["val_rewards/accuracies"] >= 0.8


def test_the_reference_is_made_once(tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stage: dict[str, Any] = {"objective": {"type": "dpo"}, "num_steps": 2}
    calls: list[int] = []
    plain = preference.reference_logprobs

    def counted(model: Any, sequences: Any, **settings: Any) -> Any:
        calls.append(len(sequences))
        return plain(model, sequences, **settings)

    monkeypatch.setattr(preference, "reference_logprobs", counted)
    run_stage(tmp_path, inputs, stage)
    assert calls == [2 * (60 + 20)]
    run_stage(tmp_path, inputs, {**stage, "num_steps": 3})
    assert calls == [2 * (60 + 20)]
    other = {**inputs, "model": model_directory(tmp_path / "other", hidden_size=16)}
    run_stage(tmp_path / "b", {**inputs, "other": other["model"]}, {**stage, "reference": "other"})
    assert len(calls) == 2
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert any("rewards/margins" in line and "kl" in line for line in lines)


def test_wrong_data_is_named(tmp_path: Path, inputs: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=r"'feedback' artifact; the objective dpo reads 'preference'"):
        run_stage(tmp_path, inputs, {"data": "judged", "objective": {"type": "dpo"}, "num_steps": 1})
    with pytest.raises(DataError, match="something to compare within 5 tokens"):
        run_stage(tmp_path, inputs, {"objective": {"type": "dpo"}, "num_steps": 1, "context_tokens": 5})


@pytest.mark.row("9.2")
def test_an_adapter_is_compared_with_the_model_without_it(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stage = {"objective": {"type": "dpo", "beta": 0.5}, "num_steps": 30, "optimizer": {"type": "adamw", "lr": 0.02}}
    adapter = {"type": "lora", "r": 4}
    figures, made = run_stage(tmp_path, inputs, {**stage, "adapter": adapter})
    assert figures["trained_parameters"] < figures["parameters"] / 2
    assert figures["history"][-1]["val_rewards/accuracies"] >= 0.8
    load_model(made, verify=False)

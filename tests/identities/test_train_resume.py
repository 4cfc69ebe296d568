"""A stopped and resumed run is the uninterrupted one, byte for byte; accumulation is exact; looking changes nothing."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.objectives.causal import CausalLM
from groundup.objectives.sources import WindowSource
from groundup.train.loop import Interrupted
from tiny import Windows, tiny_loop, weights_bytes


def losses(directory: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


class StopAt(CausalLM):
    """Sends this process a signal when batch number `at` is collated."""

    def __init__(self, at: int, number: int) -> None:
        super().__init__()
        self.at, self.number, self.seen = at, number, 0

    def collate(self, examples: Any) -> Any:
        self.seen += 1
        if self.seen == self.at:
            os.kill(os.getpid(), self.number)
        return super().collate(examples)


@pytest.mark.row("7.3")
@pytest.mark.parametrize("muon", [True, False])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_stop_and_go_on_is_the_uninterrupted_run(tmp_path: Path, muon: bool, ema_decay: float) -> None:
    whole = tiny_loop(tmp_path / "whole", muon=muon, ema_decay=ema_decay)
    whole.run()
    for number in (signal.SIGTERM, signal.SIGINT):
        part = tmp_path / f"part{number}"
        with pytest.raises(Interrupted) as stopped:
            tiny_loop(part, muon=muon, ema_decay=ema_decay, objective=StopAt(31, number)).run()
        assert stopped.value.exit_code == 128 + number
        resumed = tiny_loop(part, muon=muon, ema_decay=ema_decay)
        resumed.run()
        assert weights_bytes(resumed) == weights_bytes(whole)
        assert losses(part) == losses(tmp_path / "whole")
    assert losses(tmp_path / "whole")[-1][1] < 0.8 * losses(tmp_path / "whole")[0][1], "it did not learn"


@pytest.mark.row("7.2")
def test_accumulation_is_exact(tmp_path: Path) -> None:
    """Micro-batches of unequal numbers of targets, against the whole batch at once."""

    class Ragged(Windows):
        def example(self, index: int) -> Any:
            ids = super().example(index)
            documents = (torch.arange(len(ids)) >= index % 11).long().numpy()
            return ids, documents

    runs = []
    for size in (8, 4, 3, 1):
        loop = tiny_loop(tmp_path / str(size), num_steps=6, micro_batch_size=size, source=WindowSource(Ragged()))
        loop.run()
        runs.append(losses(tmp_path / str(size)))
    for other in runs[1:]:
        assert [s for s, _ in other] == [s for s, _ in runs[0]]
        assert [x for _, x in other] == pytest.approx([x for _, x in runs[0]], rel=2e-3)


@pytest.mark.row("7.2")
def test_evaluation_changes_nothing(tmp_path: Path) -> None:
    plain = tiny_loop(tmp_path / "plain", num_steps=10)
    plain.run()

    def look(model: Any) -> dict[str, float]:
        return {"val_loss": float(torch.rand(()))}

    watched = tiny_loop(tmp_path / "watched", num_steps=10, evaluate=look, evaluate_every_steps=2)
    result = watched.run()
    assert len(result.history) == 5
    assert weights_bytes(plain) == weights_bytes(watched)


@pytest.mark.row("7.2")
def test_activation_checkpointing_is_the_same_run(tmp_path: Path) -> None:
    plain, saving = tiny_loop(tmp_path / "a", num_steps=5), tiny_loop(tmp_path / "b", num_steps=5)
    saving.model.checkpoint_activations = True
    plain.run()
    saving.run()
    for (_, a), (_, b) in zip(losses(tmp_path / "a"), losses(tmp_path / "b"), strict=True):
        assert a == pytest.approx(b, rel=1e-5)

"""R2 to R4, R6: every prefix of a save, truncation, bit flips, a full disk, NaN batches."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.core import artifact
from groundup.core.errors import ArtifactError, TrainingError
from groundup.objectives.causal import CausalLM
from groundup.train import checkpoint
from tiny import Windows, tiny_loop, weights_bytes


def events(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "events.log").read_text().splitlines()]


class PowerCut(BaseException):
    pass


@pytest.mark.row("7.3")
@pytest.mark.faults
def test_every_prefix_of_a_save_loads_old_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop after each file operation of a save in turn (no clean-up runs, as at a power cut) and load what is there."""
    tiny_loop(tmp_path / "old", num_steps=8, checkpoint_every_steps=4).run()
    fsynced: list[str] = []
    operations = [0]
    cut_at = [-1]

    def counted(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if operations[0] == cut_at[0]:
                raise PowerCut
            operations[0] += 1
            return function(*args, **kwargs)

        return call

    real_rmtree = shutil.rmtree
    for module, name in ((os, "fsync"), (os, "replace"), (os, "rename"), (checkpoint, "_save")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    # Clean-up code must not run after a power cut: what is on disk stays as it was.
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: fsynced.append(str(self)))
    monkeypatch.setattr(checkpoint.shutil, "rmtree", lambda p, **k: operations[0] != cut_at[0] and real_rmtree(p, **k))

    def attempt(directory: Path, cut: int) -> bool:
        """True if the save got to its end."""
        cut_at[0] = -1
        loop = tiny_loop(directory, num_steps=12, checkpoint_every_steps=4)
        loop._resume()
        assert loop.step == 8
        while loop.step < 12:
            loop._one_step()
        operations[0], cut_at[0] = 0, cut
        try:
            loop._save()
        except PowerCut:
            return False
        finally:
            cut_at[0] = -1
        return True

    seen = {"old": 0, "new": 0}
    prefix = 0
    while True:
        directory = tmp_path / f"cut{prefix}"
        shutil.copytree(tmp_path / "old", directory)
        finished = attempt(directory, prefix)
        loop = tiny_loop(directory, num_steps=12, checkpoint_every_steps=4)
        loop._resume()
        assert loop.step in (8, 12), f"after {prefix} operations the state is neither old nor new"
        seen["old" if loop.step == 8 else "new"] += 1
        real_rmtree(directory)
        if finished:
            break
        prefix += 1
    print(f"{prefix + 1} prefixes of a save: {seen}")
    assert prefix >= 10 and seen["old"] >= 8 and seen["new"] >= 1


@pytest.mark.row("7.3")
@pytest.mark.faults
def test_truncations_and_bit_flips_are_detected(tmp_path: Path) -> None:
    loop = tiny_loop(tmp_path, num_steps=8, checkpoint_every_steps=4)
    loop.run()
    newest = loop.checkpoints.steps()[-1]
    seed = random.randrange(2**31)
    rng = random.Random(seed)
    files = [p for p in sorted(newest.iterdir()) if p.stat().st_size > 0]
    detected = {"truncated": 0, "flipped": 0}
    for kind in detected:
        for _ in range(200):
            path = rng.choice(files)
            whole = path.read_bytes()
            damaged = bytearray(whole)
            if kind == "truncated":
                del damaged[rng.randrange(len(whole)) :]
            else:
                damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            try:
                artifact.verify(newest, kind="checkpoint")
            except ArtifactError:
                detected[kind] += 1
            path.write_bytes(whole)
    print(f"seed {seed}: detected {detected} of 200 each")
    assert detected == {"truncated": 200, "flipped": 200}


@pytest.mark.row("7.3")
@pytest.mark.faults
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(tmp_path: Path) -> None:
    whole = tiny_loop(tmp_path / "whole", num_steps=20, checkpoint_every_steps=5)
    whole.run()
    part = tmp_path / "part"
    tiny_loop(part, num_steps=20, checkpoint_every_steps=5).run()
    newest = part / "checkpoints" / "step_00000020" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\x55")
    resumed = tiny_loop(part, num_steps=20, checkpoint_every_steps=5)
    resumed.run()
    assert [e["kind"] for e in events(part)].count("damaged_checkpoint") == 1
    assert (part / "checkpoints" / "step_00000020.damaged").is_dir()
    assert weights_bytes(resumed) == weights_bytes(whole)


@pytest.mark.row("7.3")
@pytest.mark.faults
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    loop = tiny_loop(tmp_path, num_steps=20, checkpoint_every_steps=5)
    real, saves = checkpoint._save, [0]

    def failing(tensors: Any, path: Path) -> None:
        saves[0] += 1
        if saves[0] > 6:  # two whole checkpoints, then no more room in the middle of a file
            path.write_bytes(b"\0" * 100)
            raise OSError(code, os.strerror(code))
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "_save", failing)
    result = loop.run()
    assert result.step == 20, "training must go on"
    failed = [e for e in events(tmp_path) if e["kind"] == "checkpoint_failed"]
    assert len(failed) >= 2 and os.strerror(code) in failed[0]["message"]
    newest = loop.checkpoints.newest()
    assert newest is not None and newest.name == "step_00000005"
    assert not list((tmp_path / "checkpoints").glob("*.partial")), "no temporary files may be left"


class Poisoned(CausalLM):
    """NaN or Inf instead of the loss for the given batches."""

    def __init__(self, batches: set[int], value: float) -> None:
        super().__init__()
        self.batches, self.value, self.micro = batches, value, -1

    def loss(self, model: Any, batch: Any) -> Any:
        output = super().loss(model, batch)
        if int(batch.input_ids[0, 0]) >= 0 and self.current in self.batches:
            output.loss = output.loss * self.value
        return output

    current = -1


class Counting(Windows):
    """Tells the objective which batch is being made."""

    def __init__(self, objective: Poisoned, batch_size: int = 8) -> None:
        super().__init__()
        self.objective, self.batch_size = objective, batch_size

    def example(self, index: int) -> Any:
        self.objective.current = index // self.batch_size
        return super().example(index)


@pytest.mark.row("7.4")
@pytest.mark.faults
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("batches", [{0}, {15}, {39}, {15, 16}])
def test_bad_batches_never_reach_the_weights(tmp_path: Path, value: float, batches: set[int]) -> None:
    from groundup.objectives.sources import WindowSource

    objective = Poisoned(batches, value)
    loop = tiny_loop(tmp_path, objective=objective, source=WindowSource(Counting(objective)))
    result = loop.run()
    assert result.step == 40 and result.skipped == len(batches)
    assert all(torch.isfinite(p).all() for p in loop.model.parameters())
    bad = [e for e in events(tmp_path) if e["kind"] == "bad_step"]
    assert sorted(e["batch"] for e in bad) == sorted(batches)
    clean = tiny_loop(tmp_path / "clean")
    clean_loss = clean.run().metrics["loss"]
    assert result.metrics["loss"] == pytest.approx(clean_loss, rel=0.25)


@pytest.mark.row("7.4")
@pytest.mark.faults
def test_three_bad_batches_roll_back(tmp_path: Path) -> None:
    from groundup.objectives.sources import WindowSource

    objective = Poisoned({15, 16, 17}, float("nan"))
    loop = tiny_loop(tmp_path, objective=objective, source=WindowSource(Counting(objective)))
    result = loop.run()
    assert result.step == 40
    rolled = [e for e in events(tmp_path) if e["kind"] == "rolled_back"]
    assert len(rolled) == 1 and rolled[0]["step"] == 14, rolled
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 41)), "the record reads as if the bad stretch had not been"


@pytest.mark.row("7.4")
@pytest.mark.faults
def test_a_hopeless_run_stops_with_advice(tmp_path: Path) -> None:
    from groundup.objectives.sources import WindowSource

    objective = Poisoned(set(range(10, 1000)), float("nan"))
    loop = tiny_loop(tmp_path, objective=objective, source=WindowSource(Counting(objective)))
    with pytest.raises(TrainingError, match="rolled back") as stopped:
        loop.run()
    assert "lr" in stopped.value.hint


@pytest.mark.row("7.3")
@pytest.mark.faults
def test_a_read_only_record_does_not_stop_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    loop = tiny_loop(tmp_path, num_steps=5)
    loop.tracker.directory = tmp_path / "nowhere"
    assert loop.run().step == 5
    assert "the run goes on" in capsys.readouterr().err

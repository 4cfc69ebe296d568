"""Run by test_train_kill.py in a process of its own: trains in forked children and kills them with SIGKILL.

usage: kill_trials.py DIRECTORY KILLS SEED. Prints one JSON object: kills, kills inside a save, runs, runs whose weights and
losses are byte for byte those of the uninterrupted run, and the most steps that one kill cost.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

import tiny
from groundup.core import artifact
from groundup.train import checkpoint

STEPS, EVERY = 120, 10


def train(directory: Path, *, die_in_save: int | None) -> None:
    """In a child: train to the end, or die at the given file operation of a save."""
    torch.set_num_threads(1)
    loop = tiny.tiny_loop(directory, num_steps=STEPS, checkpoint_every_steps=EVERY)
    if die_in_save is not None:
        left = [die_in_save]

        def counted(function):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return call

        for module, name in ((artifact.os, "fsync"), (artifact.os, "replace"), (artifact.os, "rename")):
            setattr(module, name, counted(getattr(module, name)))
        checkpoint._save = counted(checkpoint._save)
    loop.run()
    (directory / "weights").write_bytes(tiny.weights_bytes(loop))


def child(directory: Path, die_in_save: int | None) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            train(directory, die_in_save=die_in_save)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return pid


def losses(directory: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


def last_step(directory: Path) -> int:
    try:
        return losses(directory)[-1][0]
    except (OSError, IndexError, ValueError):
        return 0


def main() -> None:
    directory, wanted, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    start = time.perf_counter()
    os.waitpid(child(directory / "whole", None), 0)
    whole_seconds = time.perf_counter() - start
    expected = (directory / "whole" / "weights").read_bytes(), losses(directory / "whole")
    kills = in_save = runs = same = lost = 0
    while kills < wanted:
        run = directory / f"run{runs}"
        runs += 1
        while True:
            inside = kills < wanted and rng.random() < 0.4
            pid = child(run, rng.randrange(1, 90) if inside else None)
            if not inside and kills < wanted:
                threading.Event().wait(rng.uniform(0.02, whole_seconds * 0.8))
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if os.WIFEXITED(status):
                assert os.WEXITSTATUS(status) == 0, "a child failed by itself"
                break
            kills += 1
            in_save += inside
            saved = [int(p.name[5:]) for p in (run / "checkpoints").glob("step_*") if p.name[5:].isdigit()]
            lost = max(lost, last_step(run) - max(saved, default=0))
        same += ((run / "weights").read_bytes(), losses(run)) == expected
    print(
        json.dumps({"kills": kills, "in_save": in_save, "runs": runs, "same": same, "lost_steps": lost, "every": EVERY})
    )


if __name__ == "__main__":
    main()

"""R1: kill -9 at any moment costs at most one save interval and changes nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.row("7.3")
@pytest.mark.faults
@pytest.mark.timeout(600)
def test_kill_at_random_moments(tmp_path: Path) -> None:
    kills = int(os.environ.get("GROUNDUP_KILLS", "25"))
    seed = random.randrange(2**31)
    script = Path(__file__).with_name("kill_trials.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(kills), str(seed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-2000:]}"
    counts = json.loads(done.stdout.splitlines()[-1])
    print(f"seed {seed}: {counts}")
    assert counts["kills"] >= kills
    assert counts["in_save"] * 5 >= counts["kills"], "too few kills fell inside a save for the test to mean anything"
    assert counts["same"] == counts["runs"], f"seed {seed}: {counts}"
    assert counts["lost_steps"] <= counts["every"]

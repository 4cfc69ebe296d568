"""Shared fixtures: real data beside the checkout, one torch thread, seeds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets used by tests and measurements; not part of the project."""
    named = os.environ.get("GROUNDUP_SHARED_DATA")
    path = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (path / "README.md").is_file():
        pytest.skip(f"real data sets are not at {path}; set GROUNDUP_SHARED_DATA to the folder that holds them")
    return path

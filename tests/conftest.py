"""Shared fixtures: real data beside the checkout, one torch thread, seeds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from browsing import launched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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


@pytest.fixture
def draw() -> np.random.Generator:
    """Fresh random numbers each time; the printed seed brings a failed case back."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a process: two at once are more than playwright's synchronous half allows."""
    with launched() as browser:
        yield browser

"""Reference libraries as they are in a plain process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def no_notebook() -> Iterator[None]:
    """transformers takes a process that has imported marimo, as tests of labs do, for a notebook, and then asks for IPython."""
    marimo = sys.modules.pop("marimo", None)
    yield
    if marimo is not None:
        sys.modules["marimo"] = marimo

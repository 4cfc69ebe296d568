"""What the package exports is there, and nothing heavy is loaded to import it."""

from __future__ import annotations

import subprocess
import sys

import groundup


def test_every_exported_name_resolves() -> None:
    for name in groundup.__all__:
        assert getattr(groundup, name) is not None


def test_import_is_light() -> None:
    code = "import sys, groundup; print(sorted({n.partition('.')[0] for n in sys.modules} & {'torch','numpy','numba','pydantic'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

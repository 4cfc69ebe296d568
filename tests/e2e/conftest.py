"""A studio over a small real run, for the tests of its views."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from small_studio import StudioProcess, studio_process

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "tokenizer.vocab_size=500", "model.hidden_size=32", "model.num_hidden_layers=2", "model.max_position_embeddings=128",
    "model.block.ffn.intermediate_size=64", "base.context_tokens=64", "base.batch_size=4", "base.num_steps=20", "base.evaluations=4",
    "base.precision.threads=1", "base.precision.dtype=float32", "sft.batch_size=4", "sft.num_steps=6",
    "sft.precision.threads=1", "sft.precision.dtype=float32", "evaluation.text_bytes=2000",
    "evaluation.num_functions=1", "evaluation.questions_per_kind=1", "evaluation.function_tokens=8", "evaluation.answer_tokens=8",
    "evaluation.sample_tokens=8",
]  # fmt: skip


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run, `small`. Copy what a test changes."""
    text = tmp_path_factory.mktemp("text")
    for package in ("json", "email"):
        for path in (Path(sysconfig.get_path("stdlib")) / package).glob("*.py"):
            (text / package).mkdir(exist_ok=True)
            shutil.copy(path, text / package / path.name)
    runs = tmp_path_factory.mktemp("studio") / "runs"
    line = [
        "run",
        str(ROOT / "recipes/quickstart.yaml"),
        f"data.source.path={text}",
        *SMALL,
        "--out",
        str(runs / "small"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "groundup", *line, "--json"], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return runs


@pytest.fixture(scope="session")
def studio(small_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    with studio_process(small_runs, tmp_path_factory.mktemp("studio-home")) as running:
        yield running

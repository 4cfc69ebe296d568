"""The command a person types: the quickstart recipe on a small folder, through every verb."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "quickstart.yaml"
SMALL = [
    "tokenizer.vocab_size=600",
    "model.hidden_size=24",
    "model.num_hidden_layers=2",
    "model.max_position_embeddings=128",
    "model.block.ffn.intermediate_size=64",
    "base.context_tokens=64",
    "base.batch_size=4",
    "base.num_steps=12",
    "base.evaluations=2",
    "base.checkpoint_every_steps=4",
    "base.precision.threads=1",
    "base.precision.dtype=float32",
    "sft.batch_size=4",
    "sft.num_steps=6",
    "sft.precision.threads=1",
    "sft.precision.dtype=float32",
    "evaluation.text_bytes=4000",
    "evaluation.num_functions=2",
    "evaluation.questions_per_kind=2",
    "evaluation.function_tokens=8",
    "evaluation.answer_tokens=8",
    "evaluation.sample_tokens=8",
]


def groundup(*args: str, check: bool = True, **given: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "groundup", *args], capture_output=True, text=True, encoding="utf-8", timeout=280, **given
    )  # fmt: skip
    if check:
        assert done.returncode == 0, f"{args}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


def last_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the standard library's Python, in a folder with a space and an accent in its name."""
    target = tmp_path_factory.mktemp("text") / "my notés"
    library = Path(sysconfig.get_path("stdlib"))
    for package in ("json", "email", "importlib", "http"):
        for path in (library / package).glob("*.py"):
            (target / package).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / package / path.name)
    return target


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished small run, killed once on the way with SIGKILL."""
    out = tmp_path_factory.mktemp("runs") / "small"
    command = ["run", str(RECIPE), f"data.source.path={folder}", *SMALL, "--out", str(out), "--json"]
    first = subprocess.Popen(
        [sys.executable, "-m", "groundup", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 200
    while not list((out / "scratch" / "base" / "checkpoints").glob("step_0*")) and time.monotonic() < end:
        if first.poll() is not None:
            break
        try:
            first.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    first.send_signal(signal.SIGKILL)
    first.wait()
    report = last_json(groundup(*command))
    assert list(report["stages"]) == ["data", "tokenizer", "model", "tokens", "pairs", "base", "sft", "evaluation"]
    return out


@pytest.mark.slow
@pytest.mark.row("7.2")
def test_the_run_has_a_report(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    stages = report["stages"]
    assert stages["base"]["figures"]["steps"] == 12 and stages["sft"]["figures"]["steps"] == 6
    assert all(len(stage["key"]) == 64 and stage["seconds"] >= 0 for stage in stages.values())
    assert stages["evaluation"]["figures"]["bits_per_byte"] > 0
    page = (run / "report.html").read_text()
    assert "<svg" in page and "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page


@pytest.mark.slow
@pytest.mark.row("7.3")
def test_a_rerun_does_nothing(run: Path, folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*.safetensors")}
    command = ["run", str(RECIPE), f"data.source.path={folder}", *SMALL, "--out", str(run)]
    plan = last_json(groundup(*command, "--dry-run", "--json"))
    assert {row["state"] for row in plan["stages"]} == {"done"}
    groundup(*command, "--json")
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*.safetensors")} == before
    changed = last_json(groundup(*command, "sft.optimizer.lr=0.001", "--dry-run", "--json"))
    states = {row["name"]: row["state"] for row in changed["stages"]}
    assert states["base"] == "done" and states["sft"] == states["evaluation"] == "new"


@pytest.mark.slow
@pytest.mark.row("17.6")
def test_every_verb_over_the_run(run: Path, tmp_path: Path) -> None:
    answer = last_json(groundup("chat", str(run), "What does dumps do?", "--max-tokens", "8", "--seed", "1", "--json"))
    assert answer["message"]["role"] == "assistant" and answer["completion_tokens"] <= 8
    made = [
        last_json(
            groundup("generate", str(run / "base"), "def ", "--max-tokens", "6", "--seed", "3", "-n", "2", "--json")
        )
        for _ in range(2)
    ]
    assert made[0] == made[1], "the same seed must give the same text"
    assert made[0]["completions"][0]["completion_tokens"] <= 6
    text = tmp_path / "text.txt.gz"
    with gzip.open(text, "wt") as file:
        file.write("import json\n" * 50)
    scored = last_json(groundup("eval", str(run), "--text", str(text), "--json"))
    assert scored["unit"] == "token" and scored["bytes"] == 600 and 0 < scored["bits_per_byte"] < 20
    assert "evaluation" in last_json(groundup("eval", str(run), "--json"))["evaluations"]
    pieces = last_json(groundup("tokenizer", str(run / "tokenizer"), "def hello", "--json"))
    assert "".join(p["text"] for p in pieces["pieces"]) == "def hello"
    assert set(last_json(groundup("data", str(run), "--json"))) == {"data", "tokens", "pairs"}
    assert last_json(groundup("info", str(run), "--json"))["verified"] is True
    assert last_json(groundup("runs", str(run.parent), "--json"))["runs"][0]["unfinished"] == []


@pytest.mark.slow
def test_a_damaged_model_is_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run / "sft", copy)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    done = groundup("generate", str(copy), "x", check=False)
    assert done.returncode == 1 and "sha256" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.row("L.6")
def test_a_part_of_ones_own(folder: Path, tmp_path: Path) -> None:
    """--swap trains, is recorded, is refused without being named, and generates when it is."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import torch\n"
        "from torch import nn\n\n"
        "class Mean(nn.Module):\n"
        "    '''Each position sees the mean of those up to it.'''\n"
        "    def __init__(self, hidden_size, num_attention_heads):\n"
        "        super().__init__()\n"
        "        assert num_attention_heads == 3\n"
        "        self.proj = nn.Linear(hidden_size, hidden_size)\n"
        "    def forward(self, x, state=None):\n"
        "        count = torch.arange(1, x.shape[1] + 1).view(1, -1, 1)\n"
        "        return self.proj(x.cumsum(1) / count), state\n"
    )
    out = tmp_path / "out"
    swap = f"model.block.mixer={mine}:Mean"
    command = ["train", str(RECIPE), f"data.source.path={folder}", *SMALL, "--out", str(out), "--swap", swap, "--json"]
    report = last_json(groundup(*command))
    assert report["swaps"] == {"model.block.mixer": f"{mine}:Mean"}
    refused = groundup("generate", str(out), "def", "--max-tokens", "4", check=False)
    assert refused.returncode == 1 and "Mean" in refused.stderr and "--swap" in refused.stderr
    made = groundup("generate", str(out), "def", "--max-tokens", "4", "--swap", swap, "--json")
    assert last_json(made)["completions"][0]["completion_tokens"] == 4
    mine.write_text(
        "from torch import nn\nclass Mean(nn.Module):\n    def forward(self, x, state=None):\n        return x\n"
    )
    wrong = groundup(*command, check=False)
    assert wrong.returncode == 1 and "(y, state)" in wrong.stderr


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["run", "nothing.yaml"], 2, "does not exist"),
        (["run", str(RECIPE), "model.hiden_size=3"], 2, "hidden_size"),
        (["run", str(RECIPE), "base.optimizer.type=adamv"], 2, "adamw"),
        (["run", str(RECIPE), "--budget", "soon"], 2, "3m"),
        (["run", str(RECIPE), "--swap", "model.block.mixer=mine"], 2, "file.py:ClassName"),
        (["chat", "no-such-run"], 1, "no-such-run"),
        (["evaluate"], 2, "eval"),
        (["generate"], 2, "MODEL"),
    ],
)
def test_errors_are_one_line_with_the_way_out(args: list[str], code: int, words: str, tmp_path: Path) -> None:
    done = groundup(*args, check=False, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 4
    as_json = groundup(*args, "--json", check=False, cwd=tmp_path)
    if args[0] != "evaluate":
        assert last_json(as_json)["error"]["exit_code"] == code


def test_every_verb_has_an_example_and_json() -> None:
    import click

    from groundup.cli.main import VERBS, cli

    for verb in VERBS:
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None and command.help is not None
        assert f"groundup {verb}" in command.help, f"{verb} has no example"
        for one in command.commands.values() if isinstance(command, click.Group) else [command]:
            assert any("--json" in p.opts for p in one.params), f"{verb} {one.name} has no --json"


@pytest.mark.row("22.1")
def test_help_starts_without_heavy_imports() -> None:
    code = "import sys; sys.argv=['groundup','--help']\ntry:\n import groundup.cli.main as m; m.main()\nexcept SystemExit: pass\n"
    code += (
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'torch','numpy','numba','pydantic','yaml','rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_c_locale_and_no_home(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(tmp_path / "nowhere"), "PYTHONUTF8": "0"}
    done = groundup("run", str(RECIPE), "--dry-run", "--json", env=env, cwd=tmp_path)
    assert len(last_json(done)["stages"]) == 8


@pytest.mark.slow
@pytest.mark.row("9.1")
def test_going_on_from_another_model(run: Path, folder: Path, tmp_path: Path) -> None:
    """model=<directory> with its own tokenizer trains; with another tokenizer's tokens it is refused, with the way out."""
    command = ["train", str(RECIPE), f"data.source.path={folder}", *[s for s in SMALL if not s.startswith("model.")]]
    command += [f"model={run / 'base'}", "base.context_tokens=32", "--out", str(tmp_path / "on")]
    refused = groundup(*command, "tokenizer.vocab_size=500", check=False)
    assert refused.returncode == 1 and "tokens.tokenizer=model" in refused.stderr, refused.stderr
    report = last_json(groundup(*command, "tokens.tokenizer=model", "tokenizer.vocab_size=500", "--json"))
    assert report["stages"]["model"]["type"] == "pretrained"
    before = last_json(groundup("info", str(run / "base"), "--json"))
    after = last_json(groundup("info", str(tmp_path / "on" / "base"), "--json"))
    assert after["parameters"] == before["parameters"] and after["identity"] != before["identity"]

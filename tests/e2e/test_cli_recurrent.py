"""Recurrent and feed-forward language models by the commands a person types: recipe, report, evaluation, text, and served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.cli.wiring import open_model
from groundup.server import ServerConfig, ServerThread, create_app

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("train.num_epochs=null", "train.budget_seconds=null", "train.precision.threads=1", "train.precision.dtype=float32")  # fmt: skip


def groundup(*args: str) -> str:
    done = CliRunner().invoke(cli, list(args), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    lines = [f"the {a} cat {b} the <unk> dog" for a, b in zip("abcabdab" * 30, "xyxz" * 60)]
    (folder / "train.txt").write_text("\n".join(lines[:200]) + "\n")
    (folder / "valid.txt").write_text("\n".join(lines[200:]) + "\n")
    return folder


@pytest.mark.row("2.3")
def test_an_lstm_from_text_to_answers_over_http(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "lstm"
    groundup("run", str(ROOT / "recipes/ptb_lstm.yaml"), f"data.source.path={text / 'train.txt'}",
             f"data.validation_path={text / 'valid.txt'}", "model.embedding_size=12", "model.hidden_size=16",
             "model.dropout=0.0", "train.context_tokens=9", "train.batch_size=8", "train.num_steps=120", "train.evaluations=2",
             "train.optimizer.lr=0.02", *SMALL, "--out", str(out))  # fmt: skip
    figures = json.loads((out / "report.json").read_text())["stages"]["train"]["figures"]
    assert figures["val_perplexity"] < 3, "two of seven words are free to choose"
    scored: dict[str, Any] = json.loads(groundup("eval", str(out), "--text", str(text / "valid.txt"), "--json"))
    assert scored["unit"] == "word" and scored["tokens"] >= len((text / "valid.txt").read_text().split()) + 39
    assert scored["perplexity"] == pytest.approx(figures["val_perplexity"], rel=0.1)
    args = ("generate", str(out), "the a", "--max-tokens", "8", "--temperature", "0", "--json")
    made = json.loads(groundup(*args))["completions"][0]
    assert made["text"].startswith(" cat") and "dog\n" in made["text"]
    assert json.loads(groundup("info", str(out), "--json"))["family"] == "groundup_rnn"
    config = ServerConfig(port=0, chat_page=False)
    engine = open_model(out)
    try:
        with (
            ServerThread(create_app(engine, config=config), config) as running,
            openai.OpenAI(base_url=running.url + "/v1", api_key="unused", max_retries=0) as client,
        ):
            answer = client.completions.create(model="train", prompt="the a", max_tokens=8, temperature=0)
    finally:
        engine.close()
    assert answer.choices[0].text == made["text"]


@pytest.mark.row("2.2")
def test_a_feedforward_model_and_what_it_writes(text: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        f"""
base: {ROOT / "recipes/ptb_feedforward.yaml"}
name: small
writing: {{type: write, model: train, prompts: ["the a", "the b"], temperatures: [0.1, 1.0], max_tokens: 6}}
"""
    )
    out = tmp_path / "small"
    groundup("run", str(recipe), f"data.source.path={text / 'train.txt'}", f"data.validation_path={text / 'valid.txt'}",
             "model.embedding_size=8", "model.hidden_size=16", "model.dropout=0.0", "train.context_tokens=9", "train.batch_size=8",
             "train.num_steps=100", "train.evaluations=2", "train.optimizer.lr=0.02", *SMALL, "--out", str(out))  # fmt: skip
    stages = json.loads((out / "report.json").read_text())["stages"]
    assert stages["train"]["figures"]["val_perplexity"] < 4
    written = stages["writing"]["figures"]["written"]
    assert [w["temperature"] for w in written] == [0.1, 1.0] * 2
    assert written[0]["text"].startswith(" cat")
    assert "What the model writes" in (out / "report.html").read_text()

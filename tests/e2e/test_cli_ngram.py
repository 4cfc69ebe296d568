"""n-gram models by the commands a person types: recipe, report, evaluation, generation, a smoothing of one's own, a server's view."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.core.errors import ConfigError, ModelError

ROOT = Path(__file__).resolve().parents[2]
MINE = '''
"""A smoothing of my own: counts of one unit alone, whatever came before."""

import numpy as np

from groundup.models.ngram.smoothing import Estimates


class Unigrams:
    def __init__(self, wrong=0.0):
        self.wrong = wrong

    def estimate(self, trie):
        single = (trie.count[: trie.vocab_size + 2] + 1.0)[1:-1]
        prob = np.concatenate([[1.0], single / single.sum(), [0.0]])
        return Estimates(prob[trie.word + 1] + self.wrong, np.ones(len(trie.word)), {"mine": 1})
'''


def groundup(*args: str) -> str:
    done = CliRunner().invoke(cli, list(args), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    lines = [
        f"the {a} cat {b} the <unk> dog number {i % 7}" for i, (a, b) in enumerate(zip("abcabdab" * 30, "xyxz" * 60))
    ]
    (folder / "train.txt").write_text("\n".join(lines[:200]) + "\n")
    (folder / "valid.txt").write_text("\n".join(lines[200:]) + "\n")
    return folder


@pytest.mark.row("2.1")
def test_the_published_recipe_from_counts_to_text(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "kn5"
    groundup("run", str(ROOT / "recipes/ptb_kn5.yaml"), f"data.source.path={text / 'train.txt'}",
             f"data.validation_path={text / 'valid.txt'}", "model.arpa=true", "--out", str(out))  # fmt: skip
    figures = json.loads((out / "report.json").read_text())["stages"]["model"]["figures"]
    assert figures["smoothing"] == "modified_kneser_ney" and figures["unit"] == "word"
    assert figures["train_units"] == len((text / "train.txt").read_text().split()) + 200
    assert (out / "model" / "model.arpa").read_text().startswith("\\data\\")
    assert "What held-out text costs" in (out / "report.html").read_text()
    scored: dict[str, Any] = json.loads(groundup("eval", str(out), "--text", str(text / "valid.txt"), "--json"))
    assert scored["unit"] == "word" and scored["perplexity"] == pytest.approx(
        figures["validation"]["perplexity"], abs=1e-3
    )
    arpa = tmp_path / "arpa.yaml"
    arpa.write_text(f"name: arpa\nmodel: {{type: arpa, path: {out / 'model' / 'model.arpa'}}}\n")
    groundup("run", str(arpa), "--out", str(tmp_path / "arpa"))
    again = json.loads(groundup("eval", str(tmp_path / "arpa"), "--text", str(text / "valid.txt"), "--json"))
    assert again["perplexity"] == scored["perplexity"]
    args = ("generate", str(out), "the a", "--max-tokens", "12", "--seed", "3", "--json")
    made = json.loads(groundup(*args))["completions"][0]
    assert made["completion_tokens"] == 12 and made["text"].startswith(" cat")
    assert json.loads(groundup(*args))["completions"][0] == made
    info = json.loads(groundup("info", str(out), "--json"))
    assert info["family"] == "ngram" and info["vocab_size"] == figures["vocab_size"]


@pytest.mark.row("2.1")
def test_orders_and_smoothings_side_by_side_with_one_of_ones_own(text: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    recipe = tmp_path / "ladder.yaml"
    recipe.write_text(
        f"name: ladder\ndata: {{type: documents, source: {{type: files, path: {text}}}, steps: []}}\n"
        "tokenizer: {type: train_tokenizer, algorithm: char}\n"
        "ladder: {type: compare_ngrams, orders: [1, 3], split: validation, smoothings: [{type: laplace}, {type: katz},\n"
        "  {type: add_k, k: 0.1}, {type: add_k, k: 0.2}, {type: maximum_likelihood}, {use: mine.py:Unigrams}]}\n"
        "model: {type: ngram, order: 4, smoothing: {type: kneser_ney}}\n"
    )
    out = tmp_path / "out"
    shown = groundup("run", str(recipe), "--out", str(out))
    assert "validation perplexity" in shown and "per character" in shown
    found = json.loads((out / "report.json").read_text())["stages"]["ladder"]["figures"]["perplexity"]
    assert set(found) == {"laplace", "katz", "add k (k 0.1)", "add k (k 0.2)", "maximum likelihood", "Unigrams"}
    assert found["Unigrams"]["order_1"] == found["Unigrams"]["order_3"] == found["laplace"]["order_1"]
    assert found["katz"]["order_3"] < found["katz"]["order_1"]
    made = json.loads(groundup("generate", str(out), "the ", "--max-tokens", "9", "--json"))["completions"][0]
    assert len(made["text"]) == 9
    with pytest.raises(ModelError, match="Unigrams sum to something"):
        groundup("run", str(recipe), "model.smoothing={use: mine.py:Unigrams, args: {wrong: 0.1}}", "--out", str(out))
    with pytest.raises(ConfigError, match="from 1 to 7"):
        groundup("run", str(recipe), "model.order=8", "--out", str(out))

"""From pairs to a translator: a tiny run, its figures and report, and what every verb makes of it."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from groundup.cli.main import cli
from groundup.cli.wiring import STAGES, open_model
from groundup.core.errors import ConfigError, RequestError
from groundup.core.protocols import complete
from groundup.core.recipe import load_recipe, run_recipe
from groundup.core.types import Request, SamplingParams, ScoreRequest
from groundup.data.parallel import TextPair
from groundup.evals.translate import dice_dictionary
from groundup.server import ServerConfig, ServerThread, create_app

pytestmark = [pytest.mark.row("2.4"), pytest.mark.row("P.8")]

TRANSFORMER = {"type": "transformer", "dropout": 0.0, "num_encoder_layers": 1, "num_decoder_layers": 1, "num_attention_heads": 2,
               "intermediate_size": 64}  # fmt: skip
NUMBERS = {"one": "un", "two": "deux", "three": "trois", "four": "quatre", "five": "cinq", "six": "six"}


def pairs() -> list[dict[str, str]]:
    """Two numbers, written the other way round."""
    words = list(NUMBERS)
    return [{"en": f"{a} {b}", "fr": f"{NUMBERS[b]} {NUMBERS[a]}"} for a in words for b in words] * 2


def recipe(tmp_path: Path, network: dict[str, Any], steps: int) -> Path:
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, pairs())))
    made = {
        "name": "numbers",
        "data": {"type": "parallel", "path": "rows.jsonl", "source_field": "en", "target_field": "fr",
                 "split": {"by": "document", "validation": 0.1, "test": 0.1}},
        "tokenizer": {"type": "train_tokenizer", "algorithm": "word", "special_tokens": ["<|endoftext|>"]},
        "model": {"type": "seq2seq", "hidden_size": 32, "max_position_embeddings": 24, "network": network, "num_beams": 2},
        "translator": {
            "type": "train", "data": "data", "objective": {"type": "seq2seq", "bucket_tokens": 128}, "batch_size": 1,
            "num_steps": steps, "optimizer": {"type": "adamw", "lr": 0.01, "weight_decay": 0.0},
            "precision": {"dtype": "float32", "threads": 1, "compile": "off"}, "evaluations": 2, "samples": ["one two"],
        },
        "evaluation": {"type": "translate", "searches": [{"num_beams": 2}], "num_alignments": 1},
    }  # fmt: skip
    path = tmp_path / "numbers.json"
    path.write_text(json.dumps(made))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("seq2seq")
    path = recipe(tmp_path, TRANSFORMER, 100)
    patch = pytest.MonkeyPatch()
    with patch.context() as here:
        here.chdir(tmp_path)
        run_recipe(load_recipe(path, STAGES), tmp_path / "run", open_model=open_model)
    return tmp_path / "run"


def test_it_learns_and_the_report_shows_it(run: Path) -> None:
    figures = json.loads((run / "report.json").read_text())["stages"]
    trained, found = (figures[name]["figures"] for name in ("translator", "evaluation"))
    losses = [row["val_loss"] for row in trained["history"]]
    assert losses[-1] < 2.0
    assert found["results"]["model, greedy"]["rouge1"] > 40
    assert found["results"]["the source as it is"]["rouge1"] < 20
    kinds = [exhibit["exhibit"] for exhibit in found["exhibits"]]
    assert kinds == ["table", "plot", "table", "plot"]
    heatmap = found["exhibits"][-1]
    assert [sum(row) for row in heatmap["matrix"]] == pytest.approx([1.0] * len(heatmap["rows"]), abs=1e-3)
    rows = [json.loads(line) for line in (run / "evaluation" / "translations.jsonl").read_text().splitlines()]
    assert rows and set(rows[0]) == {"id", "source", "reference", "written", "greedy", "bleu"}
    assert "one two" in (run / "events.log").read_text()  # a sample while training


def test_the_recurrent_one_goes_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path, {"type": "recurrent", "attention": "additive", "input_feeding": True}, 6)
    run_recipe(load_recipe(path, STAGES), tmp_path / "run", open_model=open_model)
    found = json.loads((tmp_path / "run" / "report.json").read_text())["stages"]
    first, last = found["translator"]["figures"]["history"]
    assert last["val_loss"] < first["val_loss"]
    assert set(found["evaluation"]["figures"]["validation"]) == {"greedy", "2 beams, penalty 1"}


def test_generate_and_info(run: Path) -> None:
    made = CliRunner().invoke(cli, ["generate", str(run), "three four", "--max-tokens", "8", "--json"])
    assert made.exit_code == 0, made.output
    text = json.loads(made.output)["completions"][0]["text"]
    with closing(open_model(run)) as model:
        [again] = complete(model, [Request(prompt="three four", params=SamplingParams(max_tokens=8))])
    assert again.text == text
    plain = CliRunner().invoke(cli, ["generate", str(run), "three four", "--max-tokens", "8"])
    assert plain.output.strip() == text.strip()  # the source is not part of a translation
    assert "groundup_seq2seq" in CliRunner().invoke(cli, ["info", str(run)]).output


@pytest.mark.parametrize("num_beams", [1, 3])
def test_streams_stops_and_cancelled_requests(run: Path, num_beams: int) -> None:
    with closing(open_model(run, num_beams=num_beams)) as model:
        params = SamplingParams(max_tokens=12, temperature=0.0)
        [whole] = complete(model, [Request(prompt="one six", params=params)])
        assert whole.finish_reason == "stop" and whole.text.strip()
        word = whole.text.strip().split()[-1]
        [cut] = complete(model, [Request(prompt="one six", params=replace(params, stop=(word,)))])
        assert cut.finish_reason == "stop" and cut.text == whole.text[: whole.text.index(word)]
        [short] = complete(model, [Request(prompt="one six", params=replace(params, max_tokens=1))])
        assert short.finish_reason == "length" and short.usage.completion_tokens == 1
        chat = [{"role": "user", "content": "two two"}, {"role": "user", "content": "one six"}]
        assert complete(model, [Request(prompt=chat, params=params)])[0].text == whole.text
        gone = Request(prompt="one six", params=params)
        gone.cancel.set()
        assert complete(model, [gone])[0].finish_reason == "cancelled"
        assert model.probe()


def test_bad_requests_are_named(run: Path) -> None:
    with closing(open_model(run)) as model:
        for request, said in (
            (Request(prompt="one " * 60), "context of 24"),
            (Request(prompt="one", params=SamplingParams(max_tokens=999)), "max_tokens"),
            (Request(prompt="one", params=SamplingParams(max_tokens=5), adapter="x"), "adapter"),
            (Request(prompt=(1, 10**6), params=SamplingParams(max_tokens=5)), "token 1"),
        ):
            with pytest.raises(RequestError, match=said):
                model.generate([request])
        with pytest.raises(RequestError, match="both be text"):
            model.logprobs([ScoreRequest(context=(1,), continuation="x")])
        right, wrong = model.logprobs(
            [ScoreRequest(context="one two", continuation=text) for text in ("deux un", "cinq cinq")]
        )
        assert right.total > wrong.total


def test_it_is_served_and_chats(run: Path) -> None:
    config = ServerConfig(port=0, chat_page=False)
    with closing(open_model(run)) as model, ServerThread(create_app(model, config=config), config) as server:
        [wanted] = complete(model, [Request(prompt="two five", params=SamplingParams(max_tokens=10))])
        body = {"model": "translator", "messages": [{"role": "user", "content": "two five"}], "max_tokens": 10}
        answer = httpx2.post(f"{server.url}/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == wanted.text


def test_an_encoder_decoder_needs_its_own_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path, {"type": "recurrent"}, 1)
    raw = json.loads(path.read_text())
    decoder = {"mixer": {"type": "attention", "num_attention_heads": 2}, "ffn": {"type": "mlp", "intermediate_size": 8}}
    raw["model"] = {
        "type": "decoder",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "max_position_embeddings": 8,
        "block": decoder,
    }
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="trains an encoder-decoder"):
        run_recipe(load_recipe(path, STAGES), tmp_path / "run", open_model=open_model)


def test_dice_finds_the_words_that_belong_together() -> None:
    found = dice_dictionary([TextPair(str(i), row["en"], row["fr"]) for i, row in enumerate(pairs())])
    assert found == NUMBERS

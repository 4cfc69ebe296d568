"""The stage: the recipe as it is typed, an endpoint in place of templates, a run that is killed and goes on."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import CliRunner

from faulty_endpoint import PIECES, Behaviour, FaultyEndpoint
from groundup.cli.main import cli
from groundup.cli.wiring import STAGES, open_model
from groundup.core.artifact import read_json, verify, write_text
from groundup.core.errors import ConfigError, DataError, RequestError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.core.types import ScoreRequest
from groundup.data.messages import read_examples
from groundup.data.split import SPLITS
from groundup.server import ServerConfig, ServerThread, create_app
from scripted_generator import Scripted
from small_engine import small_engine

pytestmark = pytest.mark.row("8.3")
RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "synthesize.yaml"


def rows_of(directory: Path) -> list[dict[str, Any]]:
    return [row for split in SPLITS for row in read_examples(directory, split)]


def run(out: Path, *overrides: str, opener: Any = open_model) -> dict[str, Any]:
    return run_recipe(load_recipe(RECIPE, STAGES, overrides=overrides), out, open_model=opener)


def test_the_recipe_as_it_is_typed(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["run", str(RECIPE), "--out", str(tmp_path / "run"), "made.num_rows=150"])
    assert done.exit_code == 0, done.output
    made = tmp_path / "run" / "made"
    assert verify(made, kind="instruct")
    rows = rows_of(made)
    assert 250 < len(rows) <= 300 and {"template_tool_traces", "conversation_list"} <= {row["kind"] for row in rows}
    card = read_json(made / "card.json")
    assert sum(row["examples"] for row in card["splits"].values()) == len(rows)
    dropped = [json.loads(line) for line in (made / "dropped.jsonl").read_text().splitlines()]
    assert len(rows) + len(dropped) == 300
    shown = CliRunner().invoke(cli, ["data", str(made)])
    assert shown.exit_code == 0 and "self_rouge_questions" in shown.output


def test_the_same_seed_makes_the_same_rows(tmp_path: Path) -> None:
    figures = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, "made.num_rows=40", f"seed={seed}")
        figures.append(verify(tmp_path / name / "made").files["train.jsonl"]["sha256"])
    assert figures[0] == figures[1] != figures[2]


def personas(url: str, model: str = "m", *more: str) -> tuple[str, ...]:
    return (
        "made.makers=[{type: personas, asking: {batch_size: 4, max_tokens: 40}}]",
        "made.filters=[{type: heuristics}]",
        "made.num_rows=10",
        f"made.endpoint.base_url={url}",
        f"made.endpoint.model={model}",
        "made.endpoint.backoff_seconds=0.001",
        *more,
    )


def test_an_endpoint_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own server over a scripted model: what it was asked and what came of it is in rows and card; the key is nowhere."""
    key = "sk-a-secret-for-tests"
    monkeypatch.setenv("TEST_ENDPOINT_KEY", key)

    def rule(request: Any, text: str) -> str:
        return (
            f"How do I find lamp {request.params.seed}?" if "Write the one message" in text else "Look under the table."
        )

    model = Scripted(rule)
    config = ServerConfig(port=0, chat_page=False, api_key=key)
    with ServerThread(create_app(model, config=config), config) as server:
        report = run(tmp_path, *personas(server.url + "/v1", "scripted", "made.endpoint.api_key_env=TEST_ENDPOINT_KEY"))
    rows = rows_of(tmp_path / "made")
    assert len(rows) == 10
    assert all(row["messages"][-1]["content"] == "Look under the table." for row in rows)
    figures = report["stages"]["made"]["figures"]
    assert figures["usage"]["completions"] == len(model.seen) == 20
    assert figures["usage"]["completion_tokens"] == 10 * 6 + 10 * 4
    card = read_json(tmp_path / "made" / "card.json")
    assert card["model"] == "scripted" and "outputs of scripted" in card["licence"]
    assert any("Write the one message" in prompt["text"] for prompt in card["prompts"])
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path


@pytest.mark.faults
def test_a_run_that_died_pays_for_no_answer_twice(tmp_path: Path) -> None:
    dead: Behaviour = (400, {}, {"error": {"message": "no credit"}})
    with FaultyEndpoint([*["answer"] * 9, dead, "answer"]) as faulty:
        overrides = personas(faulty.url, "m", "made.endpoint.max_concurrency=1")
        with pytest.raises(RequestError, match="no credit"):
            run(tmp_path / "a", *overrides)
        assert len(faulty.bodies) == 10
        assert not (tmp_path / "a" / "made").exists()
        run(tmp_path / "a", *overrides)
        bodies = [json.dumps(body, sort_keys=True) for body in faulty.bodies]
        assert len(bodies) == 21 and len(set(bodies)) == 20  # only the one that failed was sent again
        # The rows are those of a run that was never stopped.
        run(tmp_path / "b", *overrides)
    assert rows_of(tmp_path / "a" / "made") == rows_of(tmp_path / "b" / "made")
    assert rows_of(tmp_path / "a" / "made")[0]["messages"][-1]["content"] == "".join(PIECES)
    assert not (tmp_path / "a" / "scratch" / "made").exists()


@pytest.mark.faults
def test_faults_on_the_way_change_nothing(tmp_path: Path) -> None:
    busy: Behaviour = (429, {"retry-after": "0"}, {"error": {"message": "busy"}})
    with FaultyEndpoint(["answer"]) as calm:
        run(tmp_path / "calm", *personas(calm.url))
    with FaultyEndpoint(["cut", busy, "break", "answer", "cut", (500, {}, {}), "answer"]) as rough:
        run(tmp_path / "rough", *personas(rough.url))
    assert len(rough.bodies) == 25
    assert rows_of(tmp_path / "calm" / "made") == rows_of(tmp_path / "rough" / "made")


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """A stage that stands for a trained model; the opener gives the engine."""

    type: Literal["named_model"] = "named_model"
    kind = "model"

    def inputs(self) -> tuple[str, ...]:
        return ()

    def fingerprint(self) -> str:
        return ""

    def run(self, context: Any) -> dict[str, Any]:
        write_text(context.directory / "name.txt", "tiny")
        return {}


@pytest.mark.row("8.4")
def test_a_model_of_the_run_is_asked_and_scores(tmp_path: Path) -> None:
    """The real engine over a tiny random decoder: it solves nothing, so that all its traces are refused with their reason;
    the rows from templates that its score lets by are those of the formula.
    """
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "model: {type: named_model}\n"
        "made:\n"
        "  type: synthesize\n"
        "  model: model\n"
        "  num_rows: 8\n"
        "  makers:\n"
        "  - {type: reasoning_traces, samples: 2, attempts_per_row: 1, asking: {max_tokens: 8, batch_size: 4}}\n"
        "  - {type: template_conversations, max_turns: 2}\n"
        "  filters: [{type: model_score, max_ifd: 1.0, batch_size: 4}]\n"
    )
    opened = []

    def opener(path: Path, **options: Any) -> Any:
        assert (path / "name.txt").is_file()
        opened.append(small_engine())
        return opened[-1]

    table = {**STAGES, "named_model": f"{__name__}:NamedModel"}
    report = run_recipe(load_recipe(recipe, table), tmp_path / "run", open_model=opener)
    figures = report["stages"]["made"]["figures"]
    assert figures["usage"]["completions"] == 16 and figures["usage"]["completion_tokens"] > 16
    assert figures["makers"][0]["good"] == 0 and figures["makers"][0]["refused"] == 16
    made = tmp_path / "run" / "made"
    rows = rows_of(made)
    dropped = [json.loads(line) for line in (made / "dropped.jsonl").read_text().splitlines()]
    assert len(rows) + len(dropped) == 24
    engine = small_engine()
    for row, kept in [*((row, True) for row in rows), *((row["row"], False) for row in dropped[16:])]:
        *before, last = row["messages"]
        answer = " " + last["content"]
        context = "".join(f"{m['role'].capitalize()}: {m['content']}\n\n" for m in before) + "Assistant:"
        a, b = engine.logprobs([ScoreRequest(context=c, continuation=answer) for c in (context, "")])
        # This model has no token that begins texts: the answer's first byte has no score without the question.
        assert len(b.logprobs) == len(a.logprobs) - 1 == len(answer) - 1
        ifd = math.exp((b.total - sum(a.logprobs[1:])) / len(b.logprobs))
        assert (ifd <= 1.0) == kept or abs(ifd - 1.0) < 1e-4
    assert len(opened) == 2
    engine.close()


def test_what_cannot_work_is_said_before_the_run(tmp_path: Path) -> None:
    wrong: dict[str, tuple[str, ...]] = {
        "asks a model, and none is named": ("made.makers=[{type: personas}]",),
        "needs a model of the run": ("made.filters=[{type: model_score}]",),
        "at least 1": ("made.num_rows=0",),
        "at least one maker": ("made.makers=[]",),
        "no part of type": ("made.makers=[{type: persona}]",),
        "must be an http": personas("host:80"),
    }
    for message, overrides in wrong.items():
        with pytest.raises(ConfigError, match=message):
            load_recipe(RECIPE, STAGES, overrides=overrides)
    with pytest.raises(DataError, match="no row was left of 20; most were dropped for: heuristics: answer too short"):
        run(tmp_path, "made.num_rows=10", "made.filters=[{type: heuristics, min_answer_characters: 5000}]")


def test_a_generator_of_the_users_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from groundup.core.types import Capabilities, Chunk, Usage\n"
        "class Mine:\n"
        "    capabilities = Capabilities(model='mine', max_context_tokens=99, abilities=frozenset({'chat'}))\n"
        "    def __init__(self, word): self.word = word\n"
        "    def generate(self, requests):\n"
        "        for i, _ in enumerate(requests):\n"
        "            usage = Usage(prompt_tokens=1, completion_tokens=5)\n"
        "            yield i, Chunk(text=f'Is the {self.word} green?', finish_reason='stop', usage=usage)\n"
    )
    run(
        tmp_path / "run",
        "made.makers=[{type: personas}]",
        "made.filters=[]",
        "made.num_rows=3",
        f"made.endpoint={{use: '{mine}:Mine', args: {{word: door}}}}",
    )
    assert rows_of(tmp_path / "run" / "made")[0]["messages"][0]["content"] == "Is the door green?"
    assert read_json(tmp_path / "run" / "made" / "card.json")["model"] == "mine"
